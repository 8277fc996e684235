"""Examples of /v1/meta/* for the API description; a test holds them to the contracts."""

from __future__ import annotations

from typing import Any, Final

_META: Final = {"market": "sandbox", "as_of": "2026-05-17T20:14:33.250Z"}
_BINANCE: Final[dict[str, Any]] = {
    "venue": "binance",
    "status": "ok",
    "detail": "",
    "last_ok": "2026-05-17T20:14:33Z",
    "age_seconds": 0,
    "assets": 65,
    "instruments": 130,
    "conventions": {
        "funding_interval": "fundingIntervalHours of fundingInfo, 8 h where absent",
        "funding_raw_hours": None,
        "liquidations": "sampled",
        "liquidation_price": "average fill price",
        "open_interest_unit": "coins",
        "open_interest_sides": 1,
        "open_interest_usd": "coins × mark price",
    },
}
EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "meta_assets": {
        "data": [
            {
                "asset": "BTC",
                "tier": "hot",
                "cadence_seconds": 60,
                "snapshots": {
                    "markets.funding": "2026-05-17T20:14:00Z",
                    "markets.volume_flow": "2026-05-17T20:14:00Z",
                },
                "venues": {
                    "binance": [
                        {
                            "symbol": "BTCUSDT",
                            "kind": "perp",
                            "quote": "USDT",
                            "funding_interval_h": 8.0,
                            "book_state": "live",
                            "live_age_seconds": 0,
                            "datasets": {
                                "funding_settled": {
                                    "since": "2026-04-17T16:00:00Z",
                                    "until": "2026-05-17T16:00:00Z",
                                    "age_seconds": 15273,
                                }
                            },
                        }
                    ]
                },
                "absent": {
                    "deribit": {
                        "symbol": None,
                        "reason": "not listed",
                        "since": "2026-05-01T00:00:00Z",
                    }
                },
                "changes": [
                    {
                        "venue": "okx",
                        "symbol": "BTC-USDT-SWAP",
                        "kind": "perp",
                        "change": "multiplier",
                        "detail": "contract_size 0.1 to 0.01",
                        "at": "2026-05-02T00:00:04Z",
                    }
                ],
            }
        ],
        "meta": {**_META, "total": 65, "datasets": ["funding_settled", "bars_1m"]},
    },
    "meta_venues": {"data": [_BINANCE], "meta": _META},
    "meta_plans": {
        "data": [
            {
                "slug": "pro",
                "name": "Pro",
                "price_usd_month": 100.0,
                "api": True,
                "layers": ["L1"],
                "limits": {
                    "requests_per_minute": 40,
                    "quota_day": 25000,
                    "quota_month": 750000,
                    "keys": 3,
                    "websocket": False,
                    "subscriptions_per_socket": 0,
                    "sockets": 0,
                    "usage_log_days": 90,
                },
            }
        ]
    },
    "meta_fields": {
        "data": [
            {
                "metric": "markets.funding",
                "name": "aggregate.z_score",
                "meaning": "Robust z: distance to the window's median in 1.4826 × median absolute "
                "deviation",
                "unit": "",
                "range": "-10 to 10",
                "source": "computed by FOCSAL",
                "endpoint": "/v1/markets/funding",
                "layer": "L1",
            }
        ],
        "total": 1,
    },
    "meta_status": {
        "status": "ok",
        "components": [
            {"name": "database", "status": "ok", "detail": ""},
            {"name": "redis", "status": "ok", "detail": ""},
            {"name": "market_data", "status": "ok", "detail": ""},
            {"name": "snapshots:markets.funding", "status": "ok", "detail": ""},
        ],
        "sources": [_BINANCE],
        "backfill": {
            "required": {"state": "ready", "done": 542, "total": 542, "failed": 0},
            "background": {"state": "running", "done": 4321, "total": 8259, "failed": 0},
            "gaps": {"open_interest": 2},
        },
        "meta": _META,
    },
}
