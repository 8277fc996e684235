"""OKX's REST endpoints as data: ccxt's name of each call, its limit, page sizes and names of bars."""

from __future__ import annotations

from typing import Final

from apps.venues.okx import wire

BAR: Final = {seconds: name for name, seconds in wire.INTERVAL_S.items()}
CALLS: Final[dict[str, tuple[str, int]]] = {
    "instruments": ("publicGetPublicInstruments", 20),
    "mark-price": ("publicGetPublicMarkPrice", 10),
    "index-tickers": ("publicGetMarketIndexTickers", 20),
    "funding-rate": ("publicGetPublicFundingRate", 10),
    "funding-rate-history": ("publicGetPublicFundingRateHistory", 10),
    "open-interest": ("publicGetPublicOpenInterest", 20),
    "open-interest-history": ("publicGetRubikStatContractsOpenInterestHistory", 10),
    "candles": ("publicGetMarketCandles", 40),
    "history-candles": ("publicGetMarketHistoryCandles", 20),
    "mark-price-candles": ("publicGetMarketMarkPriceCandles", 20),
    "history-mark-price-candles": ("publicGetMarketHistoryMarkPriceCandles", 10),
    "index-candles": ("publicGetMarketIndexCandles", 20),
    "history-index-candles": ("publicGetMarketHistoryIndexCandles", 10),
    "accounts": ("publicGetRubikStatContractsLongShortAccountRatioContract", 5),
    "top_accounts": ("publicGetRubikStatContractsLongShortAccountRatioContractTopTrader", 5),
    "top_positions": ("publicGetRubikStatContractsLongShortPositionRatioContractTopTrader", 5),
    "taker": ("publicGetRubikStatTakerVolumeContract", 5),
}
"""ccxt's call, and the venue's limit per two seconds, of each endpoint."""
BOOKS_LIMIT: Final = 40
BOOK_LEVELS: Final = 400
CANDLE_PAGE: Final = 300
HISTORY_CANDLE_PAGE: Final = 100
RECENT_CANDLES: Final = 1_440
FUNDING_PAGE: Final = 400
RUBIK_PAGE: Final = 100
TAKER_COINS: Final = "0"
