"""What is attacked: Redis, Postgres, two gateways and a worker with the limits that they have by default."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.attack import witness
from tests.gateways import Gateway, running_gateways, running_workers
from tests.services import Services, running_services

_MAX_USERS: Final = 1000
_CREATES_OF_AN_ADDRESS: Final = 5
_LOST_LEASES: Final = ("lease.lost", "lease.late")


@dataclass
class Stack:
    """Everything that runs."""

    services: Services
    gateways: list[Gateway]
    _creations: int = 0

    @property
    def ports(self) -> tuple[int, int]:
        """The gateways'."""
        return self.gateways[0].port, self.gateways[1].port

    def lost_leases(self) -> int:
        """How often gateways lost their leases or renewed them late, since their start."""
        return sum(gateway.said().count(event) for gateway in self.gateways for event in _LOST_LEASES)

    def create_sessions(self, count: int, fields: Mapping[str, object]) -> Sequence[str]:
        """The ids of new sessions with these fields; many addresses create them, so that no limit stands in the way."""
        body = {"name": "attack", "spirit": False, "max_users": _MAX_USERS, "presence": "full", **fields}
        return [self._create(body) for _ in range(count)]

    def _create(self, body: Mapping[str, Any]) -> str:
        address = f"127.0.2.{1 + self._creations // _CREATES_OF_AN_ADDRESS % 250}"
        self._creations += 1
        transport = httpx.HTTPTransport(local_address=address)
        with httpx.Client(base_url=self.gateways[0].url, transport=transport, timeout=30, trust_env=False) as client:
            answer = client.post("/api/sessions", json=body)
        assert answer.status_code == httpx.codes.CREATED, answer.text
        created: str = answer.json()["data"]["id"]
        return created


@contextlib.contextmanager
def running_stack(folder: Path, services: Services | None = None) -> Iterator[Stack]:
    """A stack with its logs below the folder, on servers of its own unless others are given; ended at the end."""
    with contextlib.ExitStack() as stack:
        servers = services or stack.enter_context(running_services(folder))
        # `open`: who knows a session's id is inside, and attackers do.
        gateways = stack.enter_context(running_gateways(servers, folder, 2, limits="on", auth_mode="open"))
        stack.enter_context(running_workers(servers, folder))
        yield Stack(servers, gateways)


def witness_order(stack: Stack) -> witness.Order:
    """New sessions for the witness."""
    talked_in, other = stack.create_sessions(2, {})
    return witness.Order(talked_in, stack.ports, other)
