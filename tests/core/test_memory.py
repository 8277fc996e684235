"""What is there by now is left out of later collections."""

from __future__ import annotations

import gc

from apps.core.memory import keep_what_is_loaded


def test_later_collections_look_only_at_what_came_since() -> None:
    kept = [[number] for number in range(1000)]
    try:
        keep_what_is_loaded()
        followed = {id(one) for one in gc.get_objects()}
        assert gc.get_freeze_count() > 1000
        assert not followed & {id(one) for one in kept}
        since = [[1]]
        assert any(one is since for one in gc.get_objects())
    finally:
        gc.unfreeze()
