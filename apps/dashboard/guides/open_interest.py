"""What open interest is and how to read it."""

from __future__ import annotations

from typing import Final

from apps.dashboard.guides.base import Formula, MetricGuide, Reading
from apps.markets.contracts_open_interest import OPEN_INTEREST_METRIC
from apps.markets.history_open_interest import INTERVALS

GUIDE: Final = MetricGuide(
    slug="open-interest",
    metric=OPEN_INTEREST_METRIC,
    path="/v1/markets/open-interest",
    title="Open interest",
    lead="Positions in perpetual futures that are open: how many, where, and whether they are being built "
    "or closed.",
    unit="aggregate.value and venues.* are US dollars; oi_base is coins, oi_contracts the venue's own "
    "contracts. One side of each contract is counted, whatever the venue publishes.",
    formulas=(
        Formula(
            "USD",
            "linear: quantity × mark price; inverse: contracts × USD of a contract",
            "A venue that counts buyers and sellers is halved.",
        ),
        Formula("Aggregate", "OI = Σ OIᵥ", "Over the venues with a young number, in USD."),
        Formula(
            "Change",
            "Δ = Σ OIᵥ(now) − Σ OIᵥ(then), percent = 100 × Δ / Σ OIᵥ(then)",
            "Only venues known at both moments, named in venues. change_base is free of price.",
        ),
        Formula(
            "z_score",
            "z = (ln(OI / OI₋₂₄ₕ) − median) / (1.4826 × MAD)",
            "Open interest wanders, so the z compares its 24-hour change with those of the last 30 days; "
            "percentile_30d ranks the level.",
        ),
        Formula(
            "Worked example",
            "from 3.0 and 1.0 bn to 3.3 and 0.9 bn → +0.2 bn, +5 %, building",
            "The venues' shares are 0.785714 and 0.214286.",
        ),
    ),
    states=(
        Reading("building", "up 5 % and more in 24 hours"),
        Reading("rising", "up 1 % and more"),
        Reading("steady", "between −1 and 1 %"),
        Reading("falling", "down 1 % and more"),
        Reading("unwinding", "down 5 % and more"),
    ),
    notes=(
        "Each venue counts with its main perpetual of the asset, named in symbol.",
        "Deribit and Hyperliquid publish no past open interest: percentile_30d and z_score of theirs are "
        "null until ours reaches back 10 days, and the aggregate is ranked on the venues in "
        "venues_ranked, then and now.",
        "Bybit's past is published in coins alone: it is valued at Bybit's last traded price of that time.",
        "History (from, to) is the last sample of each interval; sampled_at says when that was.",
    ),
    intervals=tuple(INTERVALS.seconds),
    example="open-interest",
    reads=("aggregate", "value"),
    history_reads=("aggregate", "value"),
)
