"""Publishes the messages of members: sends each to Redis, and answers once it is accepted, or once it is committed."""

import asyncio
from collections.abc import Callable
from functools import partial

from broker.errors import (
    BacklogFullError,
    BrokerError,
    NotSeatedError,
    RateLimitedError,
    SessionBacklogFullError,
    SessionClosedError,
    SessionUnknownError,
)
from broker.pubsub.publisher import Outcome, Published, Publisher, Toll
from broker.redis.futures import ignore_result
from gateway.counters import Counters
from gateway.limits.rate import Rate
from gateway.protocol import close_codes, server_events
from gateway.protocol.commands import CommandId
from gateway.protocol.frames import text_frame
from gateway.protocol.server_events import RETRY_MS, ErrorData
from gateway.protocol.state_machine import Publish
from gateway.rooms.driver import RoomDriver
from gateway.rooms.effects import CommitOutcome
from gateway.rooms.link_share import LinkShare
from gateway.rooms.membership import Membership
from gateway.rooms.tolls import Tolls

MAX_UNCOMMITTED = 1024


class Publishing:
    """Publishes the messages of all members of a gateway, at most at the rate `user_rate` for one user.

    `link_share` says when a member's socket is not read until Redis has answered. `now` is the time for the rate, in
    seconds.
    """

    def __init__(
        self,
        publisher: Publisher,
        driver: RoomDriver,
        counters: Counters,
        *,
        tolls: Tolls,
        link_share: LinkShare,
        user_rate: Rate,
        now: Callable[[], float],
    ) -> None:
        self.link_share = link_share
        self._publisher = publisher
        self._tolls = tolls
        self._driver = driver
        self._counters = counters
        self._user_rate = user_rate
        self._now = now

    def publish(self, member: Membership, command: Publish) -> None:
        """Send the message to Redis; the member gets the `ack` or `error` later."""
        wait = member.room.spend_message(member, self._user_rate, self._now())
        if wait > 0:
            self._say(member, server_events.too_fast(command.id, self._user_rate, wait, "messages"))
            member.carrier.limited("messages_user", wait)
            return
        if command.is_awaited:
            if member.uncommitted >= MAX_UNCOMMITTED:
                waiting = f"{MAX_UNCOMMITTED} of your messages wait to be committed; nothing was stored"
                self._say_unavailable(member, command.id, waiting)
                return
            member.uncommitted += 1
            member.wants_persisted = True
        self._sent(member)
        toll = self._tolls.of_next(member)
        message_id = self._publisher.send(
            member.room.info.id,
            user_id=member.user.id,
            user_name=member.user.name,
            text=command.text,
            key=command.key,
            is_awaited=command.is_awaited,
            toll=toll,
            settle=partial(self._published, member, command, toll),
        )
        self._counters.relay_timer.sent(message_id)

    def announce_typing(self, member: Membership) -> None:
        """Tell the other members that the member's user is typing, unless Redis has not answered the last `typing`."""
        if member.is_typing:
            self._counters.limited["typing"] += 1
            return
        member.is_typing = True
        self._sent(member)
        typing = self._publisher.send_ephemeral(member.room.info.id, "user_typing", member.user)
        typing.add_done_callback(partial(self._announced, member))

    def _announced(self, member: Membership, typing: "asyncio.Future[object]") -> None:
        ignore_result(typing)  # a lost `typing` is no error
        member.is_typing = False
        self._answered(member)

    def _sent(self, member: Membership) -> None:
        if self.link_share.sent(member):
            member.carrier.pause_reading()

    def _answered(self, member: Membership) -> None:
        if self.link_share.answered(member):
            member.carrier.resume_reading()

    def _published(
        self, member: Membership, command: Publish, toll: Toll | None, message_id: str, outcome: Outcome
    ) -> None:
        self._answered(member)
        if member.is_gone:
            return
        if isinstance(outcome, BrokerError):
            if toll is not None and isinstance(outcome, RateLimitedError | SessionBacklogFullError):
                self._tolls.refused(member, toll)
            member.uncommitted -= command.is_awaited
            self._counters.relay_timer.forget(message_id)
            self._say_failed(member, command.id, outcome)
            return
        if toll is not None:
            self._tolls.paid(member, toll)
        if outcome.message_id != message_id:
            self._counters.relay_timer.forget(message_id)
        if command.is_awaited:
            self._await_commit(member, command.id, outcome)
        else:
            ack = server_events.ack(command.id, outcome.seq, outcome.message_id)
            self._driver.answer(member, text_frame(ack))

    def _await_commit(self, member: Membership, command_id: CommandId, done: Published) -> None:
        settle = partial(self._settled, member, command_id, done)
        if done.is_persisted:
            settle(CommitOutcome.COMMITTED)
        elif done.is_refused:
            settle(CommitOutcome.REFUSED)
        else:
            self._driver.await_commit(member.room, done.seq, settle)

    def _settled(self, member: Membership, command_id: CommandId, done: Published, outcome: CommitOutcome) -> None:
        member.uncommitted -= 1
        if member.is_gone:
            return
        match outcome:
            case CommitOutcome.COMMITTED:
                self._say(member, server_events.ack(command_id, done.seq, done.message_id, "persisted"))
            case CommitOutcome.UNKNOWN:  # neither `ack` nor `error` would be true: a resume shows the new epoch
                member.carrier.end(close_codes.RESYNC)
            case CommitOutcome.REFUSED:
                what = f"the message was delivered with seq {done.seq}, but can't be stored"
                self._say(member, server_events.error(command_id, ErrorData("unavailable", what)))

    def _say_failed(self, member: Membership, command_id: CommandId, error: BrokerError) -> None:
        if isinstance(error, RateLimitedError):
            self._say_limited(member, command_id, error)
            return
        self._counters.publish_failed(error)
        match error:
            case SessionUnknownError():
                self._say_unavailable(member, command_id, "the session's state was lost; nothing was stored")
                room = member.room
                self._driver.perform(room, room.end_all(close_codes.RESYNC))
            case NotSeatedError():  # the lease was lost, and everyone saw the user leave: a resume takes a seat again
                self._say_unavailable(member, command_id, "you have no seat any more; nothing was stored")
                member.carrier.end(close_codes.RESYNC)
            case SessionClosedError():
                what = "the session is closed; nothing was stored"
                self._say(member, server_events.error(command_id, ErrorData("session_closed", what)))
            case SessionBacklogFullError():
                self._counters.limited["session_backlog_bytes"] += 1
                waiting = "too many messages of this session wait to be stored; nothing was stored"
                self._say_unavailable(member, command_id, waiting)
            case BacklogFullError():
                self._say_unavailable(member, command_id, "too many messages wait to be stored; nothing was stored")
            case _:
                self._say_unavailable(member, command_id, f"{error}; repeat the message with the same key")

    def _say_limited(self, member: Membership, command_id: CommandId, error: RateLimitedError) -> None:
        whose = "your messages" if error.what == "messages_user" else "the messages of this session"
        message = f"{whose} come too often; nothing was stored: repeat it after `retry_after_ms`"
        retry_after_ms = max(RETRY_MS, error.retry_after_ms)
        data = ErrorData("rate_limited", message, retryable=True, retry_after_ms=retry_after_ms)
        self._say(member, server_events.error(command_id, data))
        member.carrier.limited(error.what, error.retry_after_ms / 1000)

    def _say_unavailable(self, member: Membership, command_id: CommandId, message: str) -> None:
        data = ErrorData("unavailable", message, retryable=True, retry_after_ms=RETRY_MS)
        self._say(member, server_events.error(command_id, data))

    def _say(self, member: Membership, body: bytes) -> None:
        member.carrier.answer(text_frame(body))
