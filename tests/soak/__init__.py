"""Tests that take minutes: ``make soak``. Each module has ``run() -> dict`` and raises when it fails."""
