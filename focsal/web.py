"""The web process: uvicorn with our WebSocket protocol, and sockets drained before its own shutdown.

``python -m focsal.web --port 8000``. Any ASGI server can serve ``focsal.asgi:application``; this one fans
out without encoding per socket, pings as the protocol says, and lets clients go in good order.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Final

import uvicorn

from apps.stream.wire import MAX_FRAME_BYTES, WireProtocol
from focsal.settings.environment import env_list

DRAIN_S: Final = 20.0
HTTP_GRACE_S: Final = 8
"""With the drain it stays under the supervisor's 35 s."""


class WebServer(uvicorn.Server):
    """Between the stop signal and uvicorn's shutdown: not ready, sockets told and closed."""

    async def shutdown(self, sockets: object = None) -> None:
        from focsal.asgi import stream

        draining = asyncio.create_task(stream.drain(DRAIN_S))
        while not draining.done() and not self.force_exit:
            await asyncio.wait([draining], timeout=0.1)
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        await super().shutdown(None)


def config(host: str, port: int) -> uvicorn.Config:
    proxies = env_list("FOCSAL_TRUSTED_PROXIES", [])
    return uvicorn.Config(
        "focsal.asgi:application",
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws=WireProtocol,
        ws_max_size=MAX_FRAME_BYTES,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        # Else anybody names an address of one's own, against which keys and wrong passwords are held.
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        # Addresses may carry keys. What uvicorn still says goes through our redacting handler.
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=HTTP_GRACE_S,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m focsal.web")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    WebServer(config(arguments.host, arguments.port)).run()


if __name__ == "__main__":
    main()
