"""Killed gateways, a network that is away, reloads: the page loses nothing and shows nothing twice."""

import asyncio
import signal
from pathlib import Path

import httpx
from playwright.async_api import expect

from tests.browser.balanced import balanced
from tests.browser.conftest import Visit
from tests.browser.visitor import CUT_OFF, NETWORK, refuse
from tests.gateways import Gateway, running_gateways, running_workers
from tests.rest import call
from tests.services import Services

# Keeps every word about the connection, however short it stands there.
LISTEN = """() => {
  const words = document.querySelector("#state [role=status]");
  window.said = [];
  new MutationObserver(() => window.said.push(words.textContent)).observe(words, { childList: true });
}"""


async def test_pages_of_a_killed_gateway_go_on_at_another_one(services: Services, tmp_path: Path, visit: Visit) -> None:
    """When the gateway of two pages is killed, the pages come back on the other gateway, with every message once."""
    with (
        running_gateways(services, tmp_path, 2, log_level="warning") as gateways,
        running_workers(services, tmp_path),
    ):
        async with balanced(gateways, tmp_path) as url:
            ana, ben = await visit(url), await visit(url)
            for visitor in (ana, ben):
                visitor.allowed = NETWORK
            session = await ana.create("An evening", "Ana")
            await ben.join(session, "Ben")
            await ana.say("before")
            await ben.sees("before")
            [held] = [gateway for gateway in gateways if sockets(gateway)]
            held.signal(signal.SIGKILL)
            await asyncio.to_thread(held.wait)
            await ana.say(*(f"meanwhile {number}" for number in range(5)))
            expected = ["before", *(f"meanwhile {number}" for number in range(5))]
            await ana.sees(*expected)
            await ben.sees(*expected)
            await ben.say("we are back")
            for visitor in (ana, ben):
                await visitor.sees(*expected, "we are back")
                await expect(visitor.page.locator("#users .name")).to_have_text(["Ana", "Ben"])
                # Nobody was seen to go or come: Ben's arrival is all that Ana was told, and Ben nothing.
                count = 1 if visitor is ana else 0
                await expect(visitor.page.locator("#transcript .notice")).to_have_count(count)


def sockets(gateway: Gateway) -> int:
    """How many WebSockets a gateway holds."""
    count: int = httpx.get(f"{gateway.url}/health").json()["sockets"]
    return count


async def test_a_page_waits_for_a_restarted_gateway_and_loses_nothing(
    services: Services, tmp_path: Path, visit: Visit
) -> None:
    """A gateway that is stopped in good order says so; the page waits, comes back, and has lost nothing."""
    with running_gateways(services, tmp_path, 1, log_level="warning", drain_window_seconds=1) as [gateway]:
        ana = await visit(gateway.url)
        ana.allowed = NETWORK
        await ana.create("An evening", "Ana")
        await ana.say("before")
        await ana.sees("before")
        await ana.page.evaluate(LISTEN)
        await asyncio.to_thread(gateway.stop)
        await expect(ana.page.locator("#state")).to_have_attribute("data-kind", "waiting")
        assert await ana.page.evaluate("window.said[0]") == "The server is restarting"
        await ana.say("said while it was away")
        await expect(ana.pending).to_have_text(["said while it was awayWaiting for the connection"])
        gateway.start()
        await asyncio.to_thread(gateway.wait_ready)
        await ana.is_connected()
        await ana.sees("before", "said while it was away")


async def test_messages_written_offline_arrive_once_and_in_order(gateways: list[Gateway], visit: Visit) -> None:
    """Without a network the page says so and keeps the messages; later all of them arrive."""
    ana, ben = await visit(gateways[0].url), await visit(gateways[1].url)
    ana.allowed = NETWORK
    session = await ana.create("An evening", "Ana")
    await ben.join(session, "Ben")
    await ana.context.set_offline(True)
    await expect(ana.state).to_have_text("You are offline")
    await expect(ana.page.get_by_role("button", name="Close the session")).to_be_disabled()
    await ana.say("written offline 1", "written offline 2")
    await expect(ana.pending.locator(".sending")).to_have_text(["Waiting for the connection"] * 2)
    await ben.say("said meanwhile 1", "said meanwhile 2")
    await expect(ben.texts).to_have_count(2)
    await ana.context.set_offline(False)
    expected = ["said meanwhile 1", "said meanwhile 2", "written offline 1", "written offline 2"]
    for visitor in (ana, ben):
        await visitor.sees(*expected)
        await expect(visitor.page.locator("#users .name")).to_have_text(["Ana", "Ben"])
    await ana.is_connected()


async def test_a_network_that_seems_away_is_said_at_once(gateways: list[Gateway], visit: Visit) -> None:
    """The page does not say "Connected" until a lost connection is noticed; an answer makes it say so again."""
    ana = await visit(gateways[0].url)
    await ana.create("An evening", "Ana")
    await ana.page.evaluate(LISTEN)
    await ana.page.evaluate("() => dispatchEvent(new Event('offline'))")
    assert await ana.page.evaluate("window.said[0]") == "You are offline"
    await expect(ana.state).to_have_text("Connected")
    await expect(ana.page.get_by_role("button", name="Close the session")).to_be_enabled()


async def test_after_a_reload_the_user_and_the_place_are_the_same(gateways: list[Gateway], visit: Visit) -> None:
    """After a reload no message is missing, and nobody saw the user leave."""
    ana, ben = await visit(gateways[0].url), await visit(gateways[1].url)
    session = await ana.create("An evening", "Ana")
    await ben.join(session, "Ben")
    await ana.say("one")
    await ben.sees("one")
    # Away from the page, as long as nobody else takes it for gone.
    await ana.page.goto("about:blank")
    await ben.say("two", "three")
    await expect(ben.texts).to_have_count(3)
    await ana.page.goto(f"{ana.url}/chat#{session}")
    await ana.is_connected()
    await ana.sees("one", "two", "three")
    await ana.page.reload()
    await ana.say("four")
    for visitor in (ana, ben):
        await visitor.sees("one", "two", "three", "four")
    await expect(ben.page.locator("#transcript .notice")).to_have_count(0)
    await expect(ben.page.locator("#users .name")).to_have_text(["Ana", "Ben"])
    await expect(ana.page.get_by_role("button", name="Close the session")).to_be_visible()


async def test_an_unsent_message_survives_reloads_and_arrives_once(gateways: list[Gateway], visit: Visit) -> None:
    """A message that was not acknowledged before a reload is delivered after it, once."""
    ana = await visit(gateways[0].url)
    ana.allowed = NETWORK
    await ana.create("An evening", "Ana")
    await ana.say("first")
    await ana.sees("first")
    await ana.context.set_offline(True)
    await expect(ana.page.locator("#state")).to_contain_text("You are offline · reconnecting")
    await ana.say("second")
    await expect(ana.pending).to_have_count(1)
    # Reloaded twice, the first time into a network that carries no WebSocket.
    await ana.page.evaluate(f"() => {{ {CUT_OFF} }}")
    await ana.page.evaluate("sessionStorage.setItem('cut', 1)")
    await ana.page.add_init_script(f"if (sessionStorage.getItem('cut')) {{ {CUT_OFF} }}")
    await ana.context.set_offline(False)
    await ana.page.reload()
    await expect(ana.state).to_have_text("Connection lost")
    await expect(ana.texts).to_have_text(["first"])
    await ana.say("third")
    await expect(ana.pending.locator(".text")).to_have_text(["second", "third"])
    await ana.page.evaluate("sessionStorage.removeItem('cut')")
    await ana.page.reload()
    await ana.is_connected()
    await ana.sees("first", "second", "third")


async def test_messages_of_a_lost_epoch_are_fetched_from_the_history(gateways: list[Gateway], visit: Visit) -> None:
    """After lost data the page fetches the messages that may be missing from the history."""
    ana, ben = await visit(gateways[0].url), await visit(gateways[1].url)
    ana.allowed = NETWORK
    session = await ana.create("An evening", "Ana")
    await ben.join(session, "Ben")
    await ana.say("one")
    await ana.sees("one")
    token = await ana.page.evaluate("id => JSON.parse(sessionStorage.getItem('seance:host:' + id))", session)
    await ana.page.goto("about:blank")
    path = f"/api/sessions/{session}/messages?ack=persisted"
    for text in ("two", "three"):
        await call(ben.url, "POST", path, token=token, body={"text": text})
    await ana.page.add_init_script(
        f"""const key = "seance:{session}";
        const kept = JSON.parse(sessionStorage.getItem(key));
        kept.position.epoch = "another1";
        sessionStorage.setItem(key, JSON.stringify(kept));"""
    )
    # At first the history can't be read. The page says so, and tries again with the next connection.
    await ana.page.route("**/messages*", refuse)
    await ana.page.goto(f"{ana.url}/chat#{session}")
    await ana.is_connected()
    await expect(ana.page.locator("#transcript .notice").last).to_contain_text("Earlier messages may be missing here.")
    await ana.sees("one")
    await ana.page.unroute("**/messages*")
    await ana.page.reload()
    await ana.is_connected()
    await ana.sees("one", "two", "three")
    await expect(ana.page.get_by_text("Earlier messages may be missing here.")).to_have_count(0)


async def test_history_that_can_not_be_read_now_can_be_asked_for_again(gateways: list[Gateway], visit: Visit) -> None:
    """Also when nothing is in the conversation that could be scrolled."""
    ana, ben = await visit(gateways[0].url), await visit(gateways[1].url)
    ben.allowed = NETWORK
    session = await ana.create("An evening", "Ana")
    await ana.say("one")
    await ana.sees("one")
    await ben.page.route("**/messages*", refuse)
    await ben.join(session, "Ben")
    again = ben.page.get_by_role("log").get_by_role("button", name="Try again")
    await expect(again).to_be_visible()
    await ben.page.unroute("**/messages*")
    await again.click()
    await ben.sees("one")
    await expect(ben.page.locator("#beginning")).to_have_text("This is the beginning.")


async def test_uncertain_messages_are_not_repeated(gateways: list[Gateway], visit: Visit) -> None:
    """The page does not repeat an old unsent message by itself: the page says so, and the person decides."""
    ana = await visit(gateways[0].url)
    session = await ana.create("An evening", "Ana")
    await ana.say("first")
    await ana.sees("first")
    await ana.page.goto("about:blank")
    old = '[{"key": "old", "text": "second", "at": 0, "epoch": "x"}, {"key": "older", "text": "third", "at": 0}]'
    await ana.page.add_init_script(
        f"""const key = "seance:{session}";
        const kept = JSON.parse(sessionStorage.getItem(key));
        kept.pending = {old};
        sessionStorage.setItem(key, JSON.stringify(kept));"""
    )
    await ana.page.goto(f"{ana.url}/chat#{session}")
    await ana.is_connected()
    await expect(ana.pending).to_contain_text(["It may have been delivered, or not."] * 2)
    await ana.pending.last.get_by_role("button", name="Discard").click()
    await ana.pending.get_by_role("button", name="Send again").click()
    await ana.sees("first", "second")
