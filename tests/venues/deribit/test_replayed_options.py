"""The client on recorded option books, with channels that our own plan never asks for."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve

from apps.marketdata.books import BookState
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.stream_client import StreamSpec, StreamStatus
from tests.venues.deribit.test_stream import Listener, streaming

NAME = "BTC-24SEP21-8000-P"
CHANNEL = f"book.{NAME}.raw"


async def test_option_books_have_states_of_their_own(captures_dir: Path) -> None:
    path = captures_dir / "deribit" / "options" / "ws_options_raw_20210722.ndjson.gz"
    recorded = [
        line.decode()
        for line in gzip.decompress(path.read_bytes()).splitlines()
        if f'"channel":"{CHANNEL}"'.encode() in line
    ]

    async def play(socket: ServerConnection) -> None:
        async for raw in socket:
            request = json.loads(raw)
            names = request["params"].get("channels", "ok")
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": names}))
            if request["method"] == "public/subscribe":
                for line in recorded:
                    await socket.send(line)

    option = Instrument(
        venue="deribit", symbol=NAME, asset="BTC", kind=InstrumentKind.OPTION, quote="BTC",
        is_inverse=True,
    )  # fmt: skip
    listener = Listener()
    spec = StreamSpec("public", CHANNEL, "BTC", "book", 1000.0, NAME)
    async with serve(play, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with streaming(
            f"ws://127.0.0.1:{port}", listener, spec, instruments=(option,)
        ) as client:
            await listener.until(lambda: len(listener.events) >= len(recorded))
            book = client.books[option.key]
            assert (book.state, book.applied_count) == (BookState.LIVE, len(recorded) - 1)
            # Premiums and amounts of options are in coins.
            assert 0 < (book.book.best_ask or 0) < 0.1
            assert any(
                one.channel == CHANNEL and one.status is StreamStatus.LIVE
                for one in listener.states
            )
