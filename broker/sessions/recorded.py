"""What Postgres knows of a session, which a Redis that lost data must not undo."""

import asyncio

import msgspec
import structlog

from broker.events import instant
from broker.keys import Keys
from broker.redis.connection import Reply
from broker.redis.scripts import Scripts
from broker.sessions.bans import Ban
from broker.sessions.epochs import new_epoch

log = structlog.get_logger()


class Recorded(msgspec.Struct, frozen=True):
    """A session in Postgres: its highest `seq` (0: none), whether it is open, whom the host removed, bans in force."""

    session_id: str
    seq: int
    is_active: bool
    removed_user_ids: tuple[str, ...] = ()
    bans: tuple[Ban, ...] = ()


class Reconciled(msgspec.Struct, frozen=True):
    """What Redis had lost of a session: it got a new epoch; so many users were removed again; it was closed again."""

    is_fenced: bool
    removed: int
    is_closed: bool

    @property
    def has_changed(self) -> bool:
        """Whether Redis had lost anything that Postgres knows."""
        return self.is_fenced or self.removed > 0 or self.is_closed


def reconcile(scripts: Scripts, keys: Keys, recorded: Recorded) -> "asyncio.Future[Reconciled]":
    """Make the session's hot state agree with Postgres; returns what Redis had lost, nothing without hot state.

    The command leaves now; the future raises BrokerUnavailableError when Redis can't be reached.
    """
    partition = keys.partition_of(recorded.session_id)

    def told(reply: Reply) -> Reconciled:
        result = Reconciled(bool(reply[0]), reply[1], bool(reply[2]))
        if result.has_changed:
            log.warning("session.reconciled", session_id=recorded.session_id, **msgspec.structs.asdict(result))
        return result

    return scripts.ask(
        told,
        "reconcile",
        (keys.session(partition, recorded.session_id), keys.part(partition)),
        recorded.seq,
        int(recorded.is_active),
        new_epoch(),
        instant(),
        *recorded.removed_user_ids,
        "--",
        *(argument for ban in recorded.bans for argument in ban.arguments),
    )
