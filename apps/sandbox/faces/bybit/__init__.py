"""Bybit v5 (linear) as the emulator speaks it."""
