"""What every connection of a gateway shares."""

from dataclasses import dataclass

from broker.pubsub.publisher import Publisher
from gateway.access.admission import Admission, Door
from gateway.connection.heartbeat import Heartbeat
from gateway.counters import Counters
from gateway.recovery.replay import Replays
from gateway.rooms.hub import Hub
from gateway.rooms.leave_queue import LeaveQueue
from gateway.tasks import Tasks


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """The parts that connections use, composed once by gateway/serve.py, and the limits they keep."""

    hub: Hub
    publisher: Publisher
    admission: Admission
    door: Door
    leave_queue: LeaveQueue
    replays: Replays
    heartbeat: Heartbeat
    tasks: Tasks
    counters: Counters
    join_timeout_seconds: int
    max_frame_bytes: int
    max_buffer_bytes: int
    max_malformed_frames: int
