"""OKX's BTC-USD and ETH-USD options: the same volatilities as the options market's, in OKX's form.

Volatilities are fractions. ``…BS`` greeks are in USD, the others in coins.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from apps.sandbox.faces.okx.errors import Refusal
from apps.sandbox.faces.okx.frames import trimmed
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, floats
from apps.sandbox.market.options.board import Board, Contract
from apps.sandbox.market.options.chain import Chain, half_spread
from apps.sandbox.market.options.market import AssetOptions
from apps.sandbox.market.protocol import Market

FAMILIES: Final = {"BTC-USD": "BTC", "ETH-USD": "ETH"}
_MULTIPLIERS: Final = {"BTC": "0.01", "ETH": "0.1"}
_SECOND_MS: Final = 1_000
_LEAST_VOLATILITY: Final = 0.01


class OptionBook:
    """What the venue says of its options."""

    def __init__(self, market: Market, listings: Sequence[Listing]) -> None:
        seed: int = getattr(market, "seed", 0)
        dated = [one for one in listings if one.expiry_ms is not None]
        own = {one.asset: one for one in listings if one.is_perp and not one.is_inverse}
        self._assets = {
            family: AssetOptions(seed, market, own[asset], dated)
            for family, asset in FAMILIES.items()
            if asset in own
        }

    def _find(self, family: str) -> AssetOptions | None:
        """None: of an asset that is not part of this market."""
        if family not in FAMILIES:
            raise Refusal("51000", "Parameter instFamily error", 400)
        return self._assets.get(family)

    def instruments(self, family: str, now_ms: int) -> list[dict[str, Any]]:
        options = self._find(family)
        if options is None:
            return []
        return [_instrument(family, one) for one in options.boards.at(now_ms).contracts]

    def summaries(self, family: str, expiry: str, now_ms: int) -> list[dict[str, Any]]:
        """``expiry``: as in names (``261225``); empty for all."""
        at_ms = now_ms // _SECOND_MS * _SECOND_MS
        options = self._find(family)
        if options is None:
            return []
        rows = _summaries(family, options.chain(at_ms), at_ms)
        return [row for row in rows if not expiry or row["instId"].split("-")[2] == expiry]


def name_of(family: str, contract: Contract) -> str:
    """``BTC-USD-261225-100000-C``."""
    at = datetime.fromtimestamp(contract.expiry.at_ms / 1000, tz=UTC)
    strike = trimmed(contract.strike, 4)
    return f"{family}-{at:%y%m%d}-{strike}-{'C' if contract.is_call else 'P'}"


def _instrument(family: str, contract: Contract) -> dict[str, Any]:
    return {
        "alias": "", "auctionEndTime": "", "baseCcy": "", "category": "1",
        "ctMult": _MULTIPLIERS[contract.asset], "ctType": "", "ctVal": "1",
        "ctValCcy": contract.asset, "expTime": str(contract.expiry.at_ms), "instFamily": family,
        "instId": name_of(family, contract), "instType": "OPTION", "lever": "",
        "listTime": str(contract.expiry.listed_ms), "lotSz": "1", "maxIcebergSz": "1000000",
        "maxLmtAmt": "20000000", "maxLmtSz": "1000000", "maxMktAmt": "", "maxMktSz": "5000",
        "maxStopSz": "5000", "maxTriggerSz": "1000000", "maxTwapSz": "1000000", "minSz": "1",
        "optType": "C" if contract.is_call else "P", "quoteCcy": "", "ruleType": "normal",
        "settleCcy": contract.asset, "state": "live", "stk": trimmed(contract.strike, 4),
        "tickSz": "0.0001", "uly": family,
    }  # fmt: skip


def _summaries(family: str, chain: Chain, now_ms: int) -> list[dict[str, Any]]:
    board, forward, sigma, greeks = chain.board, chain.forward, chain.sigma, chain.greeks
    room = half_spread(chain.terms, forward, board.strike, chain.years, sigma)
    columns: dict[str, FloatArray] = {
        # A coin's worth of premium is itself a position in the coin.
        "delta": floats(greeks.delta - chain.mark),
        "gamma": floats(greeks.gamma * forward),
        "vega": floats(greeks.vega / forward),
        "theta": floats(greeks.theta / forward),
        "deltaBS": greeks.delta,
        "gammaBS": greeks.gamma,
        "vegaBS": greeks.vega,
        "thetaBS": greeks.theta,
        "lever": floats(1.0 / np.maximum(chain.mark, 1e-6)),
        "markVol": sigma,
        "bidVol": floats(np.where(chain.bid > 0, np.maximum(sigma - room, _LEAST_VOLATILITY), 0.0)),
        "askVol": floats(sigma + room),
        "volLv": _at_the_money(board, forward, sigma),
        "fwdPx": forward,
    }
    texts = {name: [f"{one:.10f}" for one in values.tolist()] for name, values in columns.items()}
    return [
        {
            "instType": "OPTION",
            "instId": name_of(family, contract),
            "uly": family,
            **{name: rows[at] for name, rows in texts.items()},
            "realVol": "",
            "ts": str(now_ms),
        }
        for at, contract in enumerate(board.contracts)
    ]


def _at_the_money(board: Board, forward: FloatArray, sigma: FloatArray) -> FloatArray:
    """Each contract's expiry has one: that of the strike nearest to the forward."""
    out = np.empty(len(board))
    for expiry in range(len(board.expiries)):
        own = (board.expiry_at == expiry).nonzero()[0]
        nearest = own[np.abs(board.strike[own] - forward[own]).argmin()]
        out[own] = sigma[nearest]
    return floats(out)
