"""When an open socket hears from us, and after how much silence it is taken for gone; in seconds."""

from __future__ import annotations

from focsal.settings.environment import env_float

STREAM_HEARTBEAT_S = env_float("FOCSAL_STREAM_HEARTBEAT_S", 15.0, minimum=0.1)
STREAM_PING_S = env_float("FOCSAL_STREAM_PING_S", 30.0, minimum=0.1)
STREAM_SILENCE_S = env_float("FOCSAL_STREAM_SILENCE_S", 60.0, minimum=0.2)
