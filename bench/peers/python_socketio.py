"""python-socketio with its Redis manager, under uvicorn: `python -m bench.peers.python_socketio PORT REDIS_URL`."""

import sys
import uuid
from typing import Any

import socketio
import uvicorn

from bench.peers.textbook import message

IDLE_SECONDS = 300


def create_app(redis_url: str) -> Any:
    """The ASGI application."""
    manager = socketio.AsyncRedisManager(redis_url)
    # Pings are off everywhere: a run is short.
    server = socketio.AsyncServer(async_mode="asgi", client_manager=manager, ping_interval=IDLE_SECONDS)

    async def join(sid: str, room: str, name: str) -> None:
        await server.save_session(sid, {"room": room, "user": {"id": str(uuid.uuid4()), "name": name}})
        await server.enter_room(sid, room)
        await server.emit("joined", room, to=sid)

    async def say(sid: str, text: str) -> None:
        session = await server.get_session(sid)
        await server.emit("message", message(session["room"], session["user"], text), room=session["room"])

    server.on("join", join)
    server.on("message", say)
    return socketio.ASGIApp(server)


def main(port: int, redis_url: str) -> None:
    """Serve on loopback."""
    uvicorn.run(
        create_app(redis_url),
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
