"""What changed between two books."""

from __future__ import annotations


def book_difference(old: dict[int, int], new: dict[int, int]) -> list[tuple[int, int]]:
    """Levels of ``new`` that differ from ``old``, 0 for those that went; ascending price."""
    changes = dict(new.items() - old.items())
    changes.update(dict.fromkeys(old.keys() - new.keys(), 0))
    return sorted(changes.items())
