"""The Lua scripts: loaded on every connection, called by digest, sent whole again when Redis has forgotten them."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha1
from importlib.resources import files
from typing import TypeVar

from broker.errors import BrokerUnavailableError
from broker.redis.connection import Reply
from broker.redis.futures import ignore_result
from broker.redis.link import Link, Settle, settle_future, settle_read

T = TypeVar("T")

GATEWAY_SCRIPTS = (
    *("open", "join", "leave", "remove", "publish", "close", "reap", "fence", "reconcile", "canary"),
    *("renew_gateway", "spend", "count_sockets"),
)
WORKER_SCRIPTS = ("announce", "take", "renew", "release", "settle", "dead_letter", "restore", "reconcile", "trim")
OPERATOR_SCRIPTS = ("retry_dead_letter",)
# The functions in front of a script are made again at each call: `publish`, which runs for each message, stands alone.
_SHARED = {
    **dict.fromkeys(("open", "canary"), ("trimming", "lib")),
    **dict.fromkeys(("join", "leave", "remove", "reap", "fence", "restore"), ("trimming", "lib", "seats")),
    **dict.fromkeys(("close", "reconcile"), ("trimming", "lib", "seats", "closing")),
    "settle": ("trimming",),
}

# These scripts run even while it is not known whether Redis lost data: a seq that they give lies in a new epoch.
ALWAYS = frozenset({"fence", "reconcile", "canary", "renew_gateway"})


class Script:
    """One script with the shared functions that it needs in front."""

    __slots__ = ("digest", "name", "source")

    def __init__(self, name: str) -> None:
        folder = files("broker") / "lua"
        self.name = name
        parts = (*_SHARED.get(name, ()), name)
        self.source = "".join((folder / f"{part}.lua").read_text() for part in parts)
        self.digest = sha1(self.source.encode()).hexdigest()  # noqa: S324 - EVALSHA is made of SHA-1


class Scripts:
    """Calls the scripts with these names over one link."""

    def __init__(self, link: Link, names: Sequence[str] = GATEWAY_SCRIPTS) -> None:
        self._link = link
        self._scripts = {name: Script(name) for name in names}
        self._is_shut = False

    @property
    def is_shut(self) -> bool:
        """Whether every script that could give a seq is refused, as if Redis were away."""
        return self._is_shut

    def shut(self) -> None:
        """Refuse every script that could give a seq, until `open`."""
        self._is_shut = True

    def open(self) -> None:
        """Run all scripts again."""
        self._is_shut = False

    def load(self) -> None:
        """Send all scripts to a new connection, so calls by digest find them. A failure shows at the first call."""
        for script in self._scripts.values():
            self._link.call("SCRIPT", "LOAD", script.source).add_done_callback(ignore_result)

    def call(self, name: str, keys: Sequence[str], *args: str | bytes | int) -> "asyncio.Future[Reply]":
        """Run script `name`; errors as for `Link.call`, and BrokerUnavailableError while they are shut."""
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.send(partial(settle_future, answer), name, keys, *args)
        return answer

    def ask(
        self, read: Callable[[Reply], T], name: str, keys: Sequence[str], *args: str | bytes | int
    ) -> "asyncio.Future[T]":
        """Run script `name`; the future gives the result of `read` for the reply, as for `Link.ask`."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.send(partial(settle_read, answer, read), name, keys, *args)
        return answer

    def send(self, settle: Settle, name: str, keys: Sequence[str], *args: str | bytes | int) -> None:
        """The same without a future, as `Link.send_script`."""
        if self._is_shut and name not in ALWAYS:
            settle(BrokerUnavailableError("what Redis holds is being checked"))
            return
        script = self._scripts[name]
        self._link.send_script(settle, script.source, "EVALSHA", script.digest, len(keys), *keys, *args)
