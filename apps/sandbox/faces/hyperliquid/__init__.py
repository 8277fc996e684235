"""Hyperliquid as documented in VENUES sections 2 and 7."""
