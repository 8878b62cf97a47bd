"""A user of Redis with few rights: what the documentation lists is enough, and `seance check` finds what is missing."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from broker.keys import Keys
from tests.gateways import running_gateways, running_workers
from tests.raw_client import connected
from tests.rest import create_session
from tests.seance_command import Seance
from tests.services import Services
from tests.waiting import eventually

KEYS = Keys("seance", 16)
PAGE = Path(__file__).resolve().parents[3] / "docs" / "operations.md"


def documented() -> tuple[str, ...]:
    """The rights in the documentation's `ACL SETUSER`, without name and password."""
    (line,) = re.findall(r"(?m)^ACL SETUSER seance reset on ><password> (.+)$", PAGE.read_text(encoding="utf-8"))
    return tuple(line.split())


@pytest.fixture
def admin(redis_url: str) -> Iterator[Redis]:
    """The administrator of Redis; the user `case` is gone afterwards."""
    with Redis.from_url(redis_url) as client:
        yield client
        client.acl_deluser("case")


def as_user(admin: Redis, redis_url: str, rights: tuple[str, ...]) -> str:
    """The URL of Redis for a user who has only these rights."""
    admin.execute_command("ACL", "SETUSER", "case", "reset", "on", ">pw", *rights)  # type: ignore[no-untyped-call]
    parts = urlsplit(redis_url)
    return parts._replace(netloc=f"case:pw@{parts.hostname}:{parts.port}").geturl()


async def test_the_documented_rights_run_a_gateway_and_a_worker(
    admin: Redis, redis_url: str, database_url: str, tmp_path: Path
) -> None:
    """With exactly these rights a message is sent, heard, and committed, and nobody is refused anything."""
    services = Services(as_user(admin, redis_url, documented()), database_url)
    with running_gateways(services, tmp_path) as [gateway], running_workers(services, tmp_path) as [worker]:
        await eventually(lambda: admin.exists(*map(KEYS.owner, range(16))) == 16, what="a worker at work")
        session = await create_session(gateway.url)
        async with connected(gateway.url, session["id"]) as ana:
            await ana.join("Ana")
            await ana.say({"type": "message", "id": 1, "text": "hi", "key": "k", "ack": "persisted"})
            assert (await ana.event_of("message_received"))["data"]["text"] == "hi"
            assert (await ana.event_of("ack"))["data"]["level"] == "persisted"
        for process in (gateway, worker):
            assert "NOPERM" not in process.log.read_text()
            assert "fencing.impossible" not in process.log.read_text()


def test_check_is_content_with_the_documented_rights(seance: Seance, admin: Redis, redis_url: str) -> None:
    """No check fails with the documented rights, and nothing is left behind in Redis."""
    result = seance("check", REDIS_URL=as_user(admin, redis_url, documented()))
    assert result.exit_code == 0, result.output
    assert "BAD" not in result.output
    assert admin.keys("*") == []


def test_check_calls_a_user_without_dangerous_commands_good(seance: Seance, admin: Redis, redis_url: str) -> None:
    """Everything works without INFO; what could not be looked at is said."""
    rights = ("~seance:*", "&seance:*", "+@all", "-@dangerous", "-@admin")
    result = seance("check", REDIS_URL=as_user(admin, redis_url, rights))
    assert result.exit_code == 0, result.output
    assert "INFO is not allowed" in result.output


@pytest.mark.parametrize(
    ("rights", "stage"),
    [
        (("~seance:*", "+@all"), "subscribing to a channel"),
        (("~seance:*", "&other:*", "+@all"), "subscribing to a channel"),
        (("~seance:*", "&seance:*", "+@all", "-@scripting"), "loading scripts"),
        (("~other:*", "&seance:*", "+@all"), "writing a key"),
        (("~seance:*", "&seance:*", "+@all", "-@stream"), "joining a session"),
        (("~seance:*", "&seance:*", "+@all", "-xreadgroup"), "reading a stream"),
    ],
    ids=["no channels", "other channels", "no scripts", "other keys", "no streams", "no consumer groups"],
)
def test_check_names_what_a_user_may_not_do(
    seance: Seance, admin: Redis, redis_url: str, rights: tuple[str, ...], stage: str
) -> None:
    """The stage that Redis refuses is named with the reply of Redis, and nothing is left behind in Redis."""
    result = seance("check", REDIS_URL=as_user(admin, redis_url, rights))
    assert result.exit_code == 1
    assert f"BAD  Redis rights: {stage}: " in result.output
    assert "docs/operations.md" in result.output
    if "~seance:*" in rights:
        assert admin.keys("*") == []
