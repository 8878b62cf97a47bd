"""The textbook server, written with care: Starlette, a set of sockets per room, redis-py's pub/sub, a send loop.

Run as `python -m bench.peers.textbook PORT REDIS_URL`. It keeps no seq, no log and no stream.
"""

import asyncio
import contextlib
import json
import sys
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import redis.asyncio as redis
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


class Rooms:
    """The sockets of each room, and one subscription that feeds them."""

    def __init__(self, redis_url: str) -> None:
        self._sockets: defaultdict[str, set[WebSocket]] = defaultdict(set)
        # The default pool fails beyond 100 commands at once; this one waits.
        self._redis = redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(redis_url, max_connections=50))
        self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
        # Concurrent calls of `subscribe` lose subscriptions.
        self._subscribing = asyncio.Lock()

    async def enter(self, room: str, websocket: WebSocket) -> None:
        """Deliver the room's messages to this socket."""
        self._sockets[room].add(websocket)
        if len(self._sockets[room]) == 1:
            async with self._subscribing:
                await self._pubsub.subscribe(f"room:{room}")

    async def leave(self, room: str, websocket: WebSocket) -> None:
        """Deliver nothing more."""
        self._sockets[room].discard(websocket)
        if not self._sockets[room]:
            del self._sockets[room]
            async with self._subscribing:
                await self._pubsub.unsubscribe(f"room:{room}")

    async def publish(self, room: str, event: dict[str, Any]) -> None:
        """Send to the room's sockets, on every server."""
        await self._redis.publish(f"room:{room}", json.dumps(event))

    async def relay(self) -> None:
        """Deliver until cancelled."""
        await self._pubsub.subscribe("server")  # so that there is a connection to listen on
        async for message in self._pubsub.listen():
            room = message["channel"].decode().removeprefix("room:")
            text = message["data"].decode()
            for websocket in list(self._sockets.get(room, ())):
                with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                    await websocket.send_text(text)


async def endpoint(websocket: WebSocket) -> None:
    """One client, from its join to its end."""
    rooms: Rooms = websocket.app.state.rooms
    room = websocket.path_params["room"]
    await websocket.accept()
    user = {"id": str(uuid.uuid4()), "name": (await websocket.receive_json())["name"]}
    await rooms.enter(room, websocket)
    try:
        await websocket.send_text(json.dumps({"type": "welcome", "data": {"you": user}}, separators=(",", ":")))
        while True:
            said = await websocket.receive_json()
            await rooms.publish(room, message(room, user, said["text"]))
    except WebSocketDisconnect:
        pass
    finally:
        await rooms.leave(room, websocket)


def message(room: str, user: dict[str, str], text: str) -> dict[str, Any]:
    """The same event that the product sends."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = {
        "id": str(uuid.uuid4()),
        "session_id": room,
        "user_id": user["id"],
        "user_name": user["name"],
        "text": text,
        "timestamp": now,
        "is_spirit": False,
    }
    return {"type": "message_received", "ts": now, "data": data}


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """The relay runs as long as the server."""
    app.state.rooms = Rooms(app.state.redis_url)
    relay = asyncio.create_task(app.state.rooms.relay(), name="relay")
    yield
    relay.cancel()


def main(port: int, redis_url: str) -> None:
    """Serve on loopback with uvicorn's fastest parts, and without pings, like all peers."""
    app = Starlette(routes=[WebSocketRoute("/ws/{room}", endpoint)], lifespan=lifespan)
    app.state.redis_url = redis_url
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
