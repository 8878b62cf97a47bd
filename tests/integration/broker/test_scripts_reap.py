"""`reap.lua`, branch by branch."""

from broker import keys
from broker.redis.link import Link
from broker.redis.scripts import Scripts
from tests.session_state import ANA, BEN, CAT, FOREVER, GRACE, KEPT, OTHER_SESSION, PARTITION, Ear, Hot, bodies, left

GATEWAYS = keys.gateways(PARTITION)


async def lease(hot: Hot, gateway: str, expiry: int) -> None:
    """Let the gateway's lease end then."""
    await hot.redis("ZADD", GATEWAYS, expiry, gateway)


async def leases(hot: Hot) -> set[bytes]:
    """Every gateway that has a lease, expired or not."""
    return set(await hot.redis("ZRANGE", GATEWAYS, 0, -1))


async def test_nothing_to_do(hot: Hot) -> None:
    """Nothing is seen and nothing made where nobody is."""
    assert await hot.reap() == 0
    assert await hot.keys() == set()


async def test_the_living_keep_their_seats(hot: Hot) -> None:
    """A seat is kept while its gateway's lease runs, or while its grace does."""
    await hot.open()
    await hot.join(ANA)
    await hot.join(BEN, connection="c-2")
    await hot.leave(BEN, "lost", connection="c-2")
    await lease(hot, "gw-1", FOREVER)
    await hot.heard()
    assert await hot.reap() == 0
    assert set(await hot.seats()) == {ANA, BEN}
    assert (await hot.heard(), await leases(hot)) == ([], {b"gw-1"})


async def test_grace_passed(hot: Hot) -> None:
    """A seat whose grace has passed is freed, and everyone is told that its user was lost."""
    await hot.open()
    await hot.join(ANA)
    await hot.join(BEN, connection="c-2")
    await hot.leave(ANA, "lost")
    await hot.heard()
    await hot.pass_time(GRACE)
    assert await hot.reap() == 1
    assert (set(await hot.seats()), await hot.away()) == ({BEN}, {})
    assert await hot.heard() == [left(3, ANA, 1, "lost")]
    assert (await hot.recorded())[2:] == bodies(left(3, ANA, 1, "lost"))
    assert await hot.reap() == 0


async def test_lease_expired(hot: Hot, link: Link, scripts: Scripts, ear: Ear) -> None:
    """A dead gateway's seats are freed in every session of the partition, exactly one event each; others stay."""
    other = Hot(link, scripts, ear, OTHER_SESSION)
    await hot.open()
    await other.open()
    await hot.join(ANA, gateway="dead")
    await hot.join(BEN, gateway="alive")
    await other.join(CAT, gateway="dead")
    await lease(hot, "dead", 1)
    await lease(hot, "alive", FOREVER)
    await hot.heard()
    await other.heard()
    assert await hot.reap() == 2
    assert await hot.heard() == [left(3, ANA, 1, "lost")]
    assert await other.heard() == [left(2, CAT, 0, "lost")]
    assert (set(await hot.seats()), await other.seats()) == ({BEN}, {})
    assert (await leases(hot), await hot.held_by("dead")) == ({b"alive"}, set())
    assert await other.expiring() == {"", ":log"}
    assert await hot.reap() == 0


async def test_a_dead_gateway_without_seats(hot: Hot) -> None:
    """A lease that held nothing is forgotten."""
    await lease(hot, "dead", 1)
    assert await hot.reap() == 0
    assert await leases(hot) == set()


async def test_limit(hot: Hot) -> None:
    """At most `limit` seats of dead gateways are freed in one call; the next calls go on, over several gateways."""
    await hot.open(max_users=10)
    for number in range(5):
        await hot.join(f"u{number}", name=f"u{number}", gateway=f"dead-{number % 2}")
    await lease(hot, "dead-0", 1)
    await lease(hot, "dead-1", 2)
    left_over = []
    for expected in (2, 2, 1, 0):
        assert await hot.reap(limit=2) == expected
        left_over.append((len(await hot.seats()), len(await leases(hot))))
    assert left_over == [(3, 2), (1, 1), (0, 0), (0, 0)]
    assert len([event for event in await hot.recorded() if event["type"] == "user_left"]) == 5


async def test_a_seat_that_is_held_elsewhere(hot: Hot) -> None:
    """An entry left over from before a user moved to another gateway frees nothing."""
    await hot.open()
    await hot.join(ANA, gateway="alive")
    await hot.redis("SADD", "seance:{3}:gateway:dead", hot.member(ANA))
    await lease(hot, "dead", 1)
    await hot.heard()
    assert await hot.reap() == 1
    assert (set(await hot.seats()), await hot.heard()) == ({ANA}, [])


async def test_a_seat_that_is_away(hot: Hot) -> None:
    """An entry of a seat that is kept for its user frees nothing before the grace has passed."""
    await hot.open()
    await hot.join(ANA, gateway="dead")
    await hot.leave(ANA, "lost")
    await hot.redis("SADD", "seance:{3}:gateway:dead", hot.member(ANA))
    await lease(hot, "dead", 1)
    assert await hot.reap() == 1
    assert (set(await hot.seats()), await hot.away()) == ({ANA}, {hot.member(ANA): KEPT})


async def test_a_seat_that_is_gone(hot: Hot) -> None:
    """An entry of a seat that nobody has any more frees nothing."""
    await hot.open()
    await hot.redis("SADD", "seance:{3}:gateway:dead", hot.member(ANA))
    await lease(hot, "dead", 1)
    assert await hot.reap() == 1
    assert (await hot.heard(), await leases(hot)) == ([], set())


async def test_an_overdue_entry_whose_seat_is_held_again(hot: Hot) -> None:
    """An away entry left over from before its user came back frees nothing, and is forgotten."""
    await hot.open()
    await hot.join(ANA)
    await hot.redis("ZADD", "seance:{3}:away", 1, hot.member(ANA), 1, hot.member(BEN))
    await hot.heard()
    assert await hot.reap() == 2
    assert (set(await hot.seats()), await hot.away(), await hot.heard()) == ({ANA}, {}, [])


async def test_overdue_seats_in_one_call(hot: Hot) -> None:
    """At most 100 overdue seats are freed in one call, and told, so that the caller comes again."""
    await hot.open(max_users=200)
    for number in range(101):
        user = f"u{number}"
        await hot.join(user, name=user, connection=user)
        await hot.leave(user, "lost", connection=user)
    await hot.pass_time(GRACE)
    assert [await hot.reap() for _ in range(3)] == [100, 1, 0]


async def test_summary_presence(hot: Hot) -> None:
    """Under summary presence the channel gets numbers only."""
    await hot.open(presence="summary")
    await hot.join(ANA, gateway="dead")
    await hot.join(BEN, gateway="dead")
    await lease(hot, "dead", 1)
    await hot.heard()
    assert await hot.reap() == 2
    assert await hot.heard() == ["0 p -\n1", "0 p -\n0"]
    assert [event["data"].get("reason") for event in await hot.recorded()] == [None, None, "lost", "lost"]
