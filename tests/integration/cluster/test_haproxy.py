"""A real HAProxy before small HTTP servers: who gets which request, and what it answers itself."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from cluster.embedded.haproxy import Balancer, BalancerError, Slot, apply, find_haproxy
from cluster.process.ports import free_port
from cluster.state.home import Home
from cluster.supervisor.plan import Plan
from gateway.configuration import load
from gateway.connection.upgrade import MAX_HEAD_BYTES
from tests.gateways import SECRET
from tests.haproxy import started


class Upstream:
    """A server that answers every request with its name and the headers it got; `/ready` as it is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_ready = True
        self.is_dying = False
        self.left_unanswered = 0
        self.checks = 0

    async def listen(self) -> Slot:
        """Start serving; the slot that leads here."""
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)
        return Slot(self.server.sockets[0].getsockname()[1], "ready")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        is_check = head.startswith("GET /ready")
        self.checks += is_check
        if self.is_dying and not is_check:
            self.left_unanswered += 1
            writer.close()
            return
        status = "503 Not Ready" if is_check and not self.is_ready else "200 OK"
        body = f"{self.name}\n{head}"
        writer.write(f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        writer.close()


class Balanced:
    """HAProxy before three such servers, and a client."""

    def __init__(self, folder: Path, bind: str = "127.0.0.1:{port}", proxies: Sequence[str] = ()) -> None:
        self.upstreams = {number: Upstream(f"gw-{number}") for number in (1, 2, 3)}
        self.slots: dict[int, Slot] = {}
        self.port = free_port()
        haproxy = find_haproxy()
        assert haproxy is not None
        self.balancer = Balancer(
            haproxy,
            folder,
            bind.format(port=self.port),
            lambda: self.slots,
            open_files=1024,
            drain_seconds=5,
            proxies=proxies,
        )
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False)

    async def start(self, log: Path) -> None:
        """Start the servers and HAProxy; returns when it listens."""
        for number, upstream in self.upstreams.items():
            self.slots[number] = await upstream.listen()
        self.process = await started(self.balancer.launch(), log, self.port)

    async def stop(self) -> None:
        """End everything."""
        await self.client.aclose()
        self.process.kill()
        await self.process.wait()
        for upstream in self.upstreams.values():
            upstream.server.close()

    async def served_by(self, path: str) -> str:
        """The name of the server that answered."""
        response = await self.client.get(path)
        assert response.status_code == 200, response.text
        return response.text.splitlines()[0]


@pytest.fixture
async def balanced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Balanced]:
    # As deep as a checkout in the workspace of a build server: the whole path does not fit into a socket's address.
    folder = tmp_path / ("w" * 100)
    folder.mkdir()
    # As the supervisor does.
    monkeypatch.chdir(folder)
    running = Balanced(folder)
    await running.start(tmp_path / "log")
    yield running
    await running.stop()


async def test_on_every_address_ipv4_and_ipv6_are_served_with_their_own_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HOST=:: means all addresses of both families, and the gateway gets an IPv4 client's address as IPv4."""
    monkeypatch.chdir(tmp_path)
    settings, sources = load({"HOST": "::", "JWT_SECRET": SECRET})
    plan = Plan.of(Home(tmp_path), settings, sources, {}, port=8100)
    running = Balanced(tmp_path, plan.bind.replace("8100", "{port}"))
    await running.start(tmp_path / "log")
    try:
        for host, client in (("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")):
            response = await running.client.get(f"http://{host}:{running.port}/health")
            assert f"x-forwarded-for: {client}\n" in response.text.replace("\r", "")
    finally:
        await running.stop()


async def test_a_session_stays_with_its_gateway(balanced: Balanced) -> None:
    """Every path that names a session leads to one gateway, and sessions are spread over all of them."""
    names = set()
    for session_id in (str(uuid.uuid4()) for _ in range(40)):
        paths = (f"/ws/{session_id}", f"/api/sessions/{session_id}", f"/api/sessions/{session_id}/messages?limit=1")
        served = {await balanced.served_by(path) for path in paths}
        assert len(served) == 1
        names |= served
    assert names == {"gw-1", "gw-2", "gw-3"}


async def test_requests_without_a_session_reach_all_gateways(balanced: Balanced) -> None:
    """Requests that name no session are spread over all gateways."""
    assert {await balanced.served_by("/health") for _ in range(6)} == {"gw-1", "gw-2", "gw-3"}


async def test_the_gateway_learns_the_address_of_the_client(balanced: Balanced) -> None:
    """X-Forwarded-For names the client, and the id of the request is passed on unchanged."""
    response = await balanced.client.get("/health", headers={"X-Request-ID": "mine"})
    assert "x-forwarded-for: 127.0.0.1" in response.text
    assert "x-request-id: mine" in response.text


CLAIMED = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}


async def test_a_client_can_claim_neither_address_nor_scheme(balanced: Balanced) -> None:
    """What a client says of its address is replaced, and what it says of its scheme removed."""
    response = await balanced.client.get("/health", headers=CLAIMED)
    assert "x-forwarded-for: 127.0.0.1" in response.text
    assert "203.0.113.7" not in response.text
    assert "x-forwarded-proto" not in response.text


async def test_a_trusted_proxy_in_front_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The balancer adds the address of an outer proxy to the client's, which the gateway then finds."""
    monkeypatch.chdir(tmp_path)
    running = Balanced(tmp_path, proxies=("192.0.2.0/24", "127.0.0.0/8", "::1/128"))
    await running.start(tmp_path / "log")
    try:
        response = await running.client.get("/health", headers=CLAIMED)
        given = [line for line in response.text.splitlines() if line.startswith("x-forwarded-")]
        assert given == ["x-forwarded-for: 203.0.113.7", "x-forwarded-proto: https", "x-forwarded-for: 127.0.0.1"]
    finally:
        await running.stop()


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 502), ("DELETE", 502)])
async def test_a_request_that_changes_nothing_is_repeated(balanced: Balanced, method: str, status: int) -> None:
    """When a gateway ends without an answer, another gateway gets the request, unless the request could act twice."""
    dying = balanced.upstreams[1]
    dying.is_dying = True
    for _ in range(6):
        before = dying.left_unanswered
        response = await balanced.client.request(method, "/health")
        assert response.status_code == (status if dying.left_unanswered > before else 200)
    assert dying.left_unanswered > 0


async def test_a_draining_slot_gets_no_new_requests(balanced: Balanced) -> None:
    """A draining slot gets no new request; back in service, the slot gets its sessions again."""
    paths = [f"/ws/{uuid.uuid4()}" for _ in range(30)]
    before = [await balanced.served_by(path) for path in paths]
    ready = balanced.slots[2]
    balanced.slots[2] = Slot(ready.port, "drain")
    await balanced.balancer.sync()
    during = [await balanced.served_by(path) for path in paths]
    assert "gw-2" not in during
    assert [now for now, was in zip(during, before, strict=True) if was != "gw-2"] == [
        was for was in before if was != "gw-2"
    ]
    balanced.slots[2] = ready
    await balanced.balancer.sync()
    assert [await balanced.served_by(path) for path in paths] == before


async def test_a_gateway_that_is_not_ready_gets_no_requests(balanced: Balanced) -> None:
    """A gateway gets no requests while its `/ready` answers 503."""
    balanced.upstreams[1].is_ready = False
    async with asyncio.timeout(10):
        while "gw-1" in {await balanced.served_by("/health") for _ in range(6)}:
            pass
        balanced.upstreams[1].is_ready = True
        while "gw-1" not in {await balanced.served_by("/health") for _ in range(6)}:
            pass


async def test_without_a_gateway_haproxy_answers_in_the_envelope(balanced: Balanced) -> None:
    """Without a gateway, the answer is the API's 503, with the id of the request or a new id."""
    balanced.slots.clear()
    await balanced.balancer.sync()
    assert balanced.balancer.problem is None
    response = await balanced.client.get("/api/sessions", headers={"X-Request-ID": 'mine "quoted"'})
    assert response.status_code == 503
    body = response.json()
    assert (body["success"], body["data"], body["error"]["code"]) == (False, None, "unavailable")
    assert body["meta"]["request_id"] == response.headers["X-Request-ID"] == 'mine "quoted"'
    assert datetime.fromisoformat(body["meta"]["timestamp"]).tzinfo is not None
    assert uuid.UUID((await balanced.client.get("/")).json()["meta"]["request_id"]).version == 4


@pytest.mark.parametrize("head", ["GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + "x" * 90_000, "no HTTP"])
async def test_what_is_no_request_reaches_no_gateway(balanced: Balanced, head: str) -> None:
    """HAProxy answers 400 by itself and ends the connection; its words can't be set before there is a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", balanced.port)
    writer.write(f"{head}\r\n\r\n".encode())
    async with asyncio.timeout(10):
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_a_head_over_the_limit_of_gateways_reaches_the_gateway(balanced: Balanced) -> None:
    """A gateway refuses a head over 64 KiB in the envelope, so HAProxy must let the head through."""
    long = "x" * (MAX_HEAD_BYTES + 1000)
    response = await balanced.client.get("/health", headers={"X-Long": long})
    assert (response.status_code, long in response.text) == (200, True)


async def test_a_restarted_haproxy_knows_the_slots(balanced: Balanced, tmp_path: Path) -> None:
    """Killed and started again, HAProxy serves with the current slots, and is told only later changes."""
    balanced.slots[3] = Slot()
    balanced.process.kill()
    await balanced.process.wait()
    await balanced.balancer.sync()
    balanced.process = await started(balanced.balancer.launch(), tmp_path / "log", balanced.port)
    assert {await balanced.served_by("/health") for _ in range(6)} == {"gw-1", "gw-2"}
    await balanced.balancer.sync()


@pytest.mark.parametrize(("number", "slot"), [(99, Slot(1, "ready")), (99, Slot())])
async def test_a_refused_command_is_an_error(balanced: Balanced, number: int, slot: Slot) -> None:
    """When HAProxy refuses a command, the error has the words of HAProxy."""
    assert balanced.process.returncode is None
    with pytest.raises(BalancerError, match="No such"):
        await apply(Path("haproxy.sock"), number, slot)


async def test_the_balancer_remembers_why_it_was_not_told(balanced: Balanced) -> None:
    """While HAProxy does not answer, the balancer has the reason; once HAProxy was told, there is none."""
    assert balanced.balancer.problem is None
    await asyncio.to_thread(Path("haproxy.sock").rename, "away")
    balanced.slots[2] = Slot(balanced.slots[2].port, "drain")
    await balanced.balancer.sync()
    assert "HAProxy does not answer" in str(balanced.balancer.problem)
    await asyncio.to_thread(Path("away").rename, "haproxy.sock")
    balancer = balanced.balancer
    async with asyncio.timeout(10):
        while balancer.problem is not None:
            await balancer.sync()


async def test_a_missing_socket_is_an_error() -> None:
    """When HAProxy does not run, the error says that HAProxy does not answer."""
    with pytest.raises(BalancerError, match="does not answer"):
        await apply(Path("nothing.sock"), 1, Slot())
