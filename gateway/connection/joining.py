"""The join of one connection: admission, the welcome, and from there to the live events."""

from typing import TYPE_CHECKING

import structlog

from gateway.access.admission import Admitted, RefusedError, refusals
from gateway.connection.context import Context
from gateway.protocol import close_codes, server_events
from gateway.protocol.commands import Join
from gateway.protocol.frames import text_frame
from gateway.protocol.server_events import Welcome
from gateway.recovery.replay import Replay
from gateway.rooms.membership import Membership
from gateway.rooms.room import Room

if TYPE_CHECKING:  # it starts the join
    from gateway.connection.connection import Connection

log = structlog.get_logger()


async def join(context: Context, connection: "Connection", command: Join) -> None:
    """Let the client in, or end its connection."""
    try:
        with refusals():
            await _join(context, connection, command)
    except RefusedError as error:
        context.counters.joins_refused[error.ending.name] += 1
        connection.end(error.ending, command.id, "name" if error.ending is close_codes.NAME_TAKEN else None)
    except Exception:
        context.counters.joins_refused[close_codes.INTERNAL.name] += 1
        connection.end(close_codes.INTERNAL)
        raise


async def _join(context: Context, connection: "Connection", command: Join) -> None:
    admission = context.admission
    info, user = await admission.identify(connection.session_id, command)
    async with context.hub.joining(info) as room:
        admitted = await admission.admit(info, user, command, connection.id)
        if connection.has_ended:  # the client went while its seat was being taken
            admission.withdraw(info.id, user, command, connection.id)
        else:
            _welcome(context, connection, command, room, admitted)


def _welcome(context: Context, connection: "Connection", command: Join, room: Room, admitted: Admitted) -> None:
    """Take the seat: no await from here to the room, so that no event is missed or repeated."""
    user, seat, plan = admitted.user, admitted.seat, admitted.plan
    membership = Membership(connection.id, user, room, connection, wants_batches=connection.wants_batches)
    replay = Replay(context.replays, membership)
    connection.seated(membership)
    context.driver.seat(membership, seat.seq, seat.epoch)
    if membership.is_gone:  # the user was removed, or connected again elsewhere, in the meantime
        return
    context.counters.joins[plan.resumed.source if command.resume is not None else "new"] += 1
    welcome = Welcome(
        session=server_events.session_of(room.info),
        you=user,
        users=seat.users,
        user_count=seat.user_count,
        seq=command.resume.seq if plan.resumed.recovered and command.resume is not None else seat.seq,
        epoch=seat.epoch,
        token=context.admission.token_for(room.info.id, user),
        resumed=plan.resumed,
        heartbeat_seconds=context.heartbeat.interval_seconds,
    )
    bodies = [server_events.welcome(command.id, welcome), *(event.body for event in plan.events)]
    connection.write(b"".join(map(text_frame, bodies)))
    replay.begin(plan, seat.seq)
    log.info(
        "connection.opened",
        session_id=room.info.id,
        user_id=user.id,
        is_new=seat.is_new,
        source=plan.resumed.source,
        missed=plan.resumed.missed,
    )
