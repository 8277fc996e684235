"""Binance USDⓈ-M and spot as documented in VENUES sections 1–3."""
