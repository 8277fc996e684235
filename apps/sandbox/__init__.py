"""The venue emulator: a process that speaks the venues' own protocols on loopback. No Django."""
