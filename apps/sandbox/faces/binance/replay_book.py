"""The order book of a replay's REST interface."""

from __future__ import annotations

from typing import Any

import orjson


class ReplayBook:
    """Before playback reaches the recorded REST body: that body. Afterwards: body plus played changes.

    Levels keep the recorded strings.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.reset()

    def reset(self) -> None:
        """Back to the start of the recording."""
        self._passed = False
        self._early: list[dict[str, Any]] = []
        self._last_id = 0
        self._time: dict[str, Any] = {}
        self._sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}

    def pass_snapshot(self) -> None:
        snapshot = orjson.loads(self._body)
        self._last_id = int(snapshot["lastUpdateId"])
        self._time = {key: snapshot[key] for key in ("E", "T") if key in snapshot}
        for side in ("bids", "asks"):
            self._sides[side] = dict(snapshot[side])
        self._passed = True
        for update in self._early:
            self._apply(update)
        self._early.clear()

    def on_update(self, data: bytes) -> None:
        update = orjson.loads(data)
        if self._passed:
            self._apply(update)
        else:
            self._early.append(update)

    def _apply(self, update: dict[str, Any]) -> None:
        if update["u"] <= self._last_id:
            return
        for side, key in (("bids", "b"), ("asks", "a")):
            levels = self._sides[side]
            for price, size in update[key]:
                if float(size) == 0.0:
                    levels.pop(price, None)
                else:
                    levels[price] = size
        self._last_id = update["u"]
        if self._time:
            self._time = {"E": update["E"], "T": update.get("T", update["E"])}

    def body(self, limit: int) -> bytes:
        """The REST answer; the recorded bytes themselves as long as they apply."""
        if not self._passed:
            answer = orjson.loads(self._body)
            if max(len(answer["bids"]), len(answer["asks"])) <= limit:
                return self._body
            answer["bids"], answer["asks"] = answer["bids"][:limit], answer["asks"][:limit]
            return orjson.dumps(answer)
        bids = sorted(self._sides["bids"].items(), key=lambda level: -float(level[0]))
        asks = sorted(self._sides["asks"].items(), key=lambda level: float(level[0]))
        return orjson.dumps(
            {
                "lastUpdateId": self._last_id,
                **self._time,
                "bids": bids[:limit],
                "asks": asks[:limit],
            }
        )
