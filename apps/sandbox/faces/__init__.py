"""The venues' own REST and WebSocket protocols."""
