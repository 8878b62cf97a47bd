"""The join of one connection: admission, the welcome, and the start of the replay."""

import contextlib
from collections.abc import AsyncIterator

import structlog

from gateway.access.admission import Admitted, refusals
from gateway.access.grants import Grant
from gateway.connection.context import Context
from gateway.protocol import server_events
from gateway.protocol.commands import Join
from gateway.protocol.frames import text_frame
from gateway.protocol.server_events import Welcome
from gateway.protocol.token_life import whole
from gateway.recovery.replay import Replay
from gateway.rooms.membership import Membership
from gateway.rooms.room import Room

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def admitted(
    context: Context, session_id: str, connection_id: str, command: Join, *, address: str
) -> AsyncIterator[tuple[Room, Admitted]]:
    """Take a seat, and hold the room, whose join buffer keeps the events until the end. Raises RefusedError."""
    with refusals():
        who = await context.admission.identify(session_id, command, address=address)
        async with context.hub.joining(who.info) as room:
            yield room, await context.admission.admit(who, command, connection_id, address)


def welcome(context: Context, member: Membership, command: Join, admitted: Admitted, grant: Grant) -> None:
    """Enter the room, write the welcome, start the replay. No await between these, so that no event is missed."""
    info, seat, plan = member.room.info, admitted.seat, admitted.plan
    replay = Replay(context.replays, member)
    context.driver.seat(member, seat.seq, seat.epoch)
    if member.is_gone:  # the user was removed, or connected again elsewhere, during the join
        return
    context.counters.joins[plan.resumed.source if command.resume is not None else "new"] += 1
    data = Welcome(
        session=server_events.session_of(info),
        you=member.user,
        users=seat.users,
        user_count=seat.user_count,
        seq=command.resume.seq if plan.resumed.recovered and command.resume is not None else seat.seq,
        epoch=seat.epoch,
        token=grant.token,
        token_expires_in_seconds=whole(grant.life.seconds),
        resumed=plan.resumed,
        heartbeat_seconds=context.heartbeat.interval_seconds,
    )
    bodies = [server_events.welcome(command.id, data), *(event.body for event in plan.events)]
    member.carrier.write(b"".join(map(text_frame, bodies)))
    replay.begin(plan, seat.seq)
    log.info(
        "connection.opened",
        session_id=info.id,
        user_id=member.user_id,
        is_new=seat.is_new,
        source=plan.resumed.source,
        missed=plan.resumed.missed,
    )
