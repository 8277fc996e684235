"""The options market of the emulator: contracts, a volatility surface without arbitrage, interest, prints."""
