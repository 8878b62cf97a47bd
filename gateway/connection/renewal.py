"""The tokens of one connection after its join: the gateway's own renewals, and those that a client asks for."""

import asyncio

from gateway.access.grants import Grant, RefreshRefusedError
from gateway.connection.context import Context
from gateway.protocol import server_events
from gateway.protocol.commands import CommandId, Refresh
from gateway.protocol.frames import text_frame
from gateway.protocol.state_machine import StateMachine
from gateway.protocol.token_life import REFRESH_SECONDS, whole
from gateway.rooms.membership import Membership


def accept(machine: StateMachine, member: Membership, grant: Grant) -> None:
    """The member goes on by this grant."""
    member.token_id = grant.token_id
    member.application_subject = grant.application_subject
    member.token_seconds = grant.token_seconds
    machine.token_lasts(grant.life, asyncio.get_running_loop().time())


def renew(context: Context, machine: StateMachine, member: Membership) -> None:
    """Give the member a new token, without being asked."""
    _renewed(machine, member, context.grants.renewed(member.room.info.id, member.user, member), None)
    context.counters.tokens_renewed["gateway"] += 1


async def refresh(context: Context, machine: StateMachine, member: Membership, command: Refresh) -> None:
    """Check the client's token, and answer."""
    try:
        grant = await context.grants.refreshed(member.room.info.id, member.user, member.id, command.token)
    except RefreshRefusedError as error:
        if not member.is_gone:
            member.carrier.answer(text_frame(server_events.error(command.id, error.error)))
    else:
        if not member.is_gone:
            _renewed(machine, member, grant, command.id)
            context.counters.tokens_renewed["client"] += 1
    finally:
        asyncio.get_running_loop().call_later(REFRESH_SECONDS, machine.refresh_is_over)


def _renewed(machine: StateMachine, member: Membership, grant: Grant, command_id: CommandId) -> None:
    accept(machine, member, grant)
    event = server_events.token_renewed(command_id, grant.token, whole(grant.life.seconds))
    member.carrier.answer(text_frame(event))
