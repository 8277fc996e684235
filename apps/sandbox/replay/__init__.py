"""Plays recorded wire messages through the venue faces."""
