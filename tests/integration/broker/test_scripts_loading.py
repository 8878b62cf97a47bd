"""Calling scripts: by digest, whole when Redis has forgotten them, and their errors."""

import pytest

from broker.errors import BrokerError, BrokerUnavailableError
from broker.redis.link import Link, connected
from broker.redis.scripts import GATEWAY_SCRIPTS, OPERATOR_SCRIPTS, WORKER_SCRIPTS, Script, Scripts
from tests.redis_server import redial
from tests.session_state import PART, SessionState
from tests.waiting import eventually


async def loaded(link: Link, names: tuple[str, ...] = GATEWAY_SCRIPTS) -> list[int]:
    """For each script, 1 when Redis knows it."""
    answer: list[int] = await link.call("SCRIPT", "EXISTS", *(Script(name).digest for name in names))
    return answer


@pytest.mark.parametrize("name", GATEWAY_SCRIPTS + WORKER_SCRIPTS + OPERATOR_SCRIPTS)
def test_a_script_tells_keys_arguments_and_returns(name: str) -> None:
    """Every script, with the shared functions in front, tells its keys, its arguments and its returns."""
    source = Script(name).source
    assert source.startswith("-- Shared by every script") != ("Stands alone" in source)
    assert source.count("\n-- KEYS  1") == source.count("\n-- ARGV  ") == source.count("\n-- Returns ") == 1


async def test_a_new_connection_loads_every_script(link: Link, redis_url: str) -> None:
    """A new connection loads every script, since the server behind it may be another one."""
    link.on_up = (Scripts(link).load,)
    assert await loaded(link) == [0] * len(GATEWAY_SCRIPTS)
    await redial(redis_url, link.keeper)
    assert await loaded(link) == [1] * len(GATEWAY_SCRIPTS)


async def test_forgotten_scripts_are_sent_whole(session: SessionState) -> None:
    """When Redis has forgotten its scripts, the call is repeated with the source and succeeds."""
    await session.open()
    assert await session.publish("one") == 1
    await session.redis("SCRIPT", "FLUSH")
    assert await session.publish("two") == 2
    assert await session.publish("three") == 3
    assert [event["data"]["text"] for event in await session.recorded()] == ["one", "two", "three"]


async def test_calls_of_a_forgotten_script_keep_their_order(session: SessionState, scripts: Scripts) -> None:
    """Calls that were under way together are all carried out, in the order made."""
    await session.open()
    await session.redis("SCRIPT", "FLUSH")
    calls = [scripts.call("close", (session.key, PART), "now"), scripts.call("close", (session.key, PART), "later")]
    assert [await call for call in calls] == [1, 1]
    assert (await session.recorded())[0]["ts"] == "now"


async def test_a_call_that_a_later_one_has_overtaken_is_not_carried_out(
    link: Link, session: SessionState, scripts: Scripts
) -> None:
    """When another process loads the script between two calls, the first one fails, and the second keeps its place."""
    await session.open()
    await session.redis("SCRIPT", "FLUSH")
    first = scripts.call("close", (session.key, PART), "first")
    other = scripts.call("fence", ("seance:{3}:session:other", PART), "e", 1, "new", 0)
    link.call("SCRIPT", "LOAD", Script("close").source)  # as another process does
    second = scripts.call("close", (session.key, PART), "second")
    third = scripts.call("close", (session.key, PART), "third")
    assert [await second, await third, await other] == [1, 1, 0]
    with pytest.raises(BrokerUnavailableError, match="nothing was done"):
        await first
    assert [event["ts"] for event in await session.recorded()] == ["second"]


async def test_calls_made_while_a_script_is_sent_again_come_after_it(
    link: Link, session: SessionState, scripts: Scripts, redis_url: str
) -> None:
    """A call made before everything under way is answered waits for its turn, though Redis knows the script by then."""
    await session.open()
    await session.redis("SCRIPT", "FLUSH")
    first = scripts.call("close", (session.key, PART), "first")
    last = link.call("BLPOP", "answer", 0)  # keeps Redis from answering everything
    await eventually(lambda: link._reload is not None)
    second = scripts.call("close", (session.key, PART), "second")
    async with connected(redis_url, timeout_seconds=5, name="another-process") as other:
        await other.call("SCRIPT", "LOAD", Script("close").source)
        await other.call("RPUSH", "answer", 1)
    assert [await last, await first, await second] == [[b"answer", b"1"], 1, 1]
    assert [event["ts"] for event in await session.recorded()] == ["first"]


async def test_a_connection_that_breaks_fails_the_calls_that_wait_for_their_script(
    link: Link, session: SessionState, scripts: Scripts
) -> None:
    """Refused calls and those held back fail with the connection, like all others."""
    await session.open()
    await session.redis("SCRIPT", "FLUSH")
    refused = scripts.call("close", (session.key, PART), "now")
    waiting = link.call("BLPOP", "nothing", 0)
    await eventually(lambda: link._reload is not None)
    held = scripts.call("close", (session.key, PART), "later")
    assert link.keeper._wire is not None
    link.keeper._wire.abort()
    for call in (refused, waiting, held):
        with pytest.raises(BrokerUnavailableError, match="broke"):
            await call


async def test_an_error_inside_a_script_raises(link: Link, scripts: Scripts) -> None:
    """An error inside a script raises, after a call by digest and after a call by source."""
    await link.call("SCRIPT", "FLUSH")
    await link.call("SET", f"{PART}gateways", "no zset")
    for _ in range(2):
        with pytest.raises(BrokerError, match="WRONGTYPE"):
            await scripts.call("reap", (PART,), 1, "now", 1)


async def test_a_script_without_a_connection_fails_at_once(redis_url: str) -> None:
    """A call fails at once when Redis can't be reached."""
    answer = Scripts(Link(redis_url)).call("reap", (PART,), 1, "now", 1)
    assert answer.done()
    with pytest.raises(BrokerUnavailableError):
        await answer


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_cancelled_script_call_disturbs_no_other(
    link: Link, session: SessionState, scripts: Scripts, is_known: bool
) -> None:
    """A cancelled call disturbs no other; a script that Redis knows was carried out by then."""
    await session.open()
    if is_known:
        await link.call("SCRIPT", "LOAD", Script("close").source)
    scripts.call("close", (session.key, PART), "now").cancel()
    assert (await session.hash())["is_active"] == ("0" if is_known else "1")
    assert await session.close() == 1


async def test_a_call_cancelled_while_its_source_is_sent_disturbs_no_other(
    link: Link, session: SessionState, scripts: Scripts
) -> None:
    """The same while the source is on its way."""
    await session.open()
    await link.call("SCRIPT", "FLUSH")
    answer = scripts.call("close", (session.key, PART), "now")
    assert await link.call("PING") == b"PONG"  # by then EVALSHA was answered
    answer.cancel()
    assert (await session.hash())["is_active"] == "0"
