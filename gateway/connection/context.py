"""The parts and limits that all connections of a gateway share."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.access.admission import Admission
from gateway.access.door import Door
from gateway.access.grants import Grants
from gateway.connection.deadlines import Deadlines
from gateway.connection.heartbeat import Heartbeat
from gateway.connection.turns import Turns
from gateway.counters import Counters
from gateway.protocol.socket_limits import SocketLimits
from gateway.recovery.replay import Replays
from gateway.rooms.driver import RoomDriver
from gateway.rooms.flush_scheduler import FlushScheduler
from gateway.rooms.hub import Hub
from gateway.rooms.leave_queue import LeaveQueue
from gateway.rooms.publishing import Publishing
from gateway.tasks import Tasks

CLOSE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """The parts that connections use, and the limits of connections; gateway/serve.py makes one context.

    `now` is the time for the rates, in seconds. `close_seconds` is how long a client may take to answer a close frame.
    """

    hub: Hub
    driver: RoomDriver
    scheduler: FlushScheduler
    publishing: Publishing
    admission: Admission
    grants: Grants
    door: Door
    leave_queue: LeaveQueue
    replays: Replays
    heartbeat: Heartbeat
    turns: Turns
    now: Callable[[], float]
    deadlines: Deadlines
    tasks: Tasks
    counters: Counters
    limits: SocketLimits
    join_timeout_seconds: int
    max_buffer_bytes: int
    close_seconds: float = CLOSE_SECONDS
