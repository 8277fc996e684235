"""Which of a venue's listings of an asset stands for it. Pure."""

from __future__ import annotations

from typing import Final

from apps.marketdata.instruments import Instrument

# Stablecoin-margined first: the book that most of the market trades.
QUOTE_ORDER: Final = ("USDT", "USD", "USDC")


def preference(instrument: Instrument) -> tuple[int, str]:
    """The smallest is the main listing: by quote currency, then by symbol."""
    quote = instrument.quote
    order = QUOTE_ORDER.index(quote) if quote in QUOTE_ORDER else len(QUOTE_ORDER)
    return order, instrument.symbol
