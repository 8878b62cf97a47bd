"""The limits of one socket, shared by all sockets of a gateway, and the times that belong to them. Pure."""

from typing import Final

import msgspec

from gateway.limits.rate import UNLIMITED, Rate

# Frames that are handled in the turn of the loop in which they were read. More frames wait for the queue of turns: a
# hundred sockets that send at once then hold up the loop for a few milliseconds.
FIRST_FRAMES: Final = 8
# An error costs the gateway more than a frame: a wrong command counts as so many frames more, and a right one that is
# over a rate as fewer, so that a client with a thousand messages is told about each of them within 10 s.
ERROR_FRAMES: Final = 4
REFUSAL_FRAMES: Final = 1
# A socket over its rate of frames is not read for at least so long: the gateway shall not wake up for each frame.
PAUSE_SECONDS: Final = 0.1
# A client that is over a limit for so long is closed. The time starts anew once the client has kept to its limits for
# `CALM_SECONDS`. That is less than `RETRY_MS`: a client that waits as it was told is never closed.
ABUSE_SECONDS: Final = 10.0
CALM_SECONDS: Final = 0.5


class SocketLimits(msgspec.Struct, frozen=True, kw_only=True):
    """`turn_frames` and `turn_bytes` bound the work in one turn of the loop, the rates what a client may do in time."""

    max_frame_bytes: int
    malformed_frames: int
    """Consecutive malformed frames that are allowed."""
    turn_frames: int = 64
    turn_bytes: int = 65_536
    frames: Rate = UNLIMITED
    messages: Rate = UNLIMITED
    typing: Rate = UNLIMITED
    first_frames: int = FIRST_FRAMES
    """The same as `turn_frames`, in the turn in which the frames were read; never more than `turn_frames`."""

    def __post_init__(self) -> None:
        if self.first_frames > self.turn_frames:
            msgspec.structs.force_setattr(self, "first_frames", self.turn_frames)
