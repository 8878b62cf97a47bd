"""The join of one connection: admission, the welcome, and from there to the live events."""

import asyncio
from typing import Protocol

import structlog

from broker.events import User
from gateway.access.admission import Admitted, RefusedError
from gateway.connection.context import Context
from gateway.protocol import close_codes, server_events
from gateway.protocol.close_codes import Ending
from gateway.protocol.commands import CommandId, Join
from gateway.protocol.frames import text_frame
from gateway.protocol.server_events import Welcome
from gateway.recovery.replay import Reader, Replay
from gateway.rooms.room import Room

log = structlog.get_logger()


class Newcomer(Reader, Protocol):
    """The connection that joins."""

    session_id: str

    @property
    def transport(self) -> asyncio.Transport:
        """Where its frames go."""

    @property
    def has_ended(self) -> bool:
        """Whether nobody is there any more."""

    def seated(self, user: User, room: Room, replay: Replay) -> None:
        """It has a seat; `replay` hears how its buffer is until it has caught up."""

    def end(self, ending: Ending, command_id: CommandId = None, field: str | None = None) -> None:
        """Close the connection."""


async def join(context: Context, newcomer: Newcomer, command: Join) -> None:
    """Let it in, or end it."""
    try:
        admitted = await context.admission.admit(newcomer.session_id, command, newcomer.id)
    except RefusedError as error:
        context.counters.join_refused(error.ending)
        newcomer.end(error.ending, command.id, "name" if error.ending is close_codes.NAME_TAKEN else None)
    except Exception:
        context.counters.join_refused(close_codes.INTERNAL)
        newcomer.end(close_codes.INTERNAL)
        raise
    else:
        if newcomer.has_ended:  # the client went while its seat was being taken
            context.admission.withdraw(newcomer.session_id, admitted.user, command, newcomer.id)
        else:
            _welcome(context, newcomer, command, admitted)
        context.hub.left(admitted.room)


def _welcome(context: Context, newcomer: Newcomer, command: Join, admitted: Admitted) -> None:
    """Take the seat: no await from here to the room, so that no event is missed or repeated."""
    user, seat, room, plan = admitted.user, admitted.seat, admitted.room, admitted.plan
    replay = Replay(context.replays, newcomer, room, newcomer.transport)
    newcomer.seated(user, room, replay)
    room.seat(newcomer, seat.seq, seat.epoch)
    if newcomer.has_ended:  # it was replaced or removed already
        return
    context.counters.joined(plan.resumed, is_back=command.resume is not None)
    welcome = Welcome(
        session=server_events.session_of(room.info),
        you=user,
        users=seat.users,
        user_count=seat.user_count,
        seq=command.resume.seq if plan.resumed.recovered and command.resume is not None else seat.seq,
        epoch=seat.epoch,
        token=context.admission.token_for(newcomer.session_id, user),
        resumed=plan.resumed,
        heartbeat_seconds=context.heartbeat.interval_seconds,
    )
    bodies = [server_events.welcome(command.id, welcome), *(event.body for event in plan.events)]
    newcomer.transport.write(b"".join(map(text_frame, bodies)))
    replay.begin(plan, seat.seq)
    log.info(
        "connection.opened",
        session_id=newcomer.session_id,
        user_id=user.id,
        is_new=seat.is_new,
        source=plan.resumed.source,
        missed=plan.resumed.missed,
    )
