"""Publishing on a real Redis: what a member hears when a limit of the session or of the user is reached."""

from typing import Any

import pytest

from broker.limits.buckets import Pace
from broker.pubsub.publisher import Publisher
from gateway.limits.rate import UNLIMITED, Rate
from gateway.protocol.state_machine import Publish
from gateway.rooms.link_share import LinkShare
from gateway.rooms.publishing import Publishing
from gateway.rooms.tolls import Tolls
from tests.gateway_core import KEYS, GatewayCore, Recorder, gateway_core
from tests.session_state import ANA
from tests.waiting import eventually

KIB = 1024


def publishing_of(core: GatewayCore, *, user: Rate = UNLIMITED) -> Publishing:
    """Publishing with this limit for users, and 64 KiB of a session's messages that may wait for Postgres."""
    publisher = Publisher(
        core.link,
        core.scripts,
        keys=KEYS,
        max_backlog=100_000,
        max_session_backlog_bytes=64 * KIB,
        user_pace=Pace.of(user.per_second, user.burst),
    )
    # The gateway's own limit of users is off: a test would not come to that of all gateways.
    return Publishing(
        publisher,
        core.driver,
        core.counters,
        tolls=Tolls(UNLIMITED, user),
        link_share=LinkShare(64),
        user_rate=UNLIMITED,
        now=lambda: 100.0,
    )


async def answers(publishing: Publishing, member: Recorder, count: int) -> list[str]:
    """Publish so many messages of 1 KiB, one after the other; what each is answered."""
    found: list[str] = []
    for number in range(count):
        publishing.publish(member.membership, Publish(number, "x" * KIB, None))

        def answer(number: int = number) -> dict[str, Any] | None:
            return next((event for event in member.events if event.get("id") == number), None)

        event = await eventually(answer)
        found.append(event["type"] if event["type"] == "ack" else event["data"]["code"])
        member.writes.clear()
    return found


async def test_too_many_bytes_of_a_session_wait_for_postgres(redis_url: str) -> None:
    """Messages are refused until Postgres has caught up: nobody stores them here, so the test moves the watermark."""
    async with gateway_core(redis_url) as core:
        member, publishing = await core.join(ANA), publishing_of(core)
        told = await answers(publishing, member, 100)
        first = told.index("unavailable")
        assert 40 <= first <= 80
        assert set(told[:first]) == {"ack"}
        assert set(told[first:]) == {"unavailable"}
        assert core.counters.limited["session_backlog_bytes"] == 100 - first
        assert core.counters.publishes_failed["backlog"] == 100 - first
        _, seq = await core.position()
        await core.link.call("HSET", core.key, "persisted", seq)
        assert await answers(publishing, member, 1) == ["ack"]


@pytest.mark.parametrize("burst", [3, 40])
async def test_a_user_is_told_when_to_go_on(redis_url: str, burst: int) -> None:
    """Whatever the burst, as many messages are published as it says, but for a few that are not paid for yet."""
    async with gateway_core(redis_url) as core:
        member, publishing = await core.join(ANA), publishing_of(core, user=Rate(0.01, burst))
        told = await answers(publishing, member, burst + 12)
        published = told.count("ack")
        assert burst <= published <= burst + (9 if burst == 40 else 0)
        assert told == ["ack"] * published + ["rate_limited"] * (len(told) - published)
