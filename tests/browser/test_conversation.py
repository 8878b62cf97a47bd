"""People who talk on the chat page, on different gateways."""

import re

from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.gateways import Gateway
from tests.rest import call, create_session

HOSTILE = (
    '<img src=x onerror="document.title = 1">',
    "<script>document.title = 2</script>",
    "</p></li><b>bold</b> &lt;i&gt; {{1+1}} ${1+1}",
    "zero\u200bwidth\u2060joined",
    "\u202eoverride to the left\u202c",
    "Ze\u0301ro " + "a" * 100 + " " + "👩‍👩‍👧‍👦" * 20,
    "السلام عليكم، كيف حالك؟",
    "x" * 500,
)


async def test_three_people_on_three_gateways_see_the_same_conversation(gateways: list[Gateway], visit: Visit) -> None:
    """One person shares the link; all three see the same messages in the same order, and who is here."""
    ana, ben, cleo = [await visit(gateway.url) for gateway in gateways]
    session = await ana.create("An evening", "Ana", seats=4)
    await ben.join(session, "Ben")
    await cleo.join(session, "Cleo")
    await ana.say("hello both", "how are you?")
    await expect(ben.texts).to_have_count(2)
    await ben.say("fine")
    await expect(cleo.texts).to_have_count(3)
    await cleo.say("me too")
    for visitor in (ana, ben, cleo):
        await visitor.sees("hello both", "how are you?", "fine", "me too")
        await expect(visitor.page.locator("#users .name")).to_have_text(["Ana", "Ben", "Cleo"])
        await expect(visitor.page.locator("#seats")).to_have_text("3 of 4, 1 seat left")
        await expect(visitor.page).to_have_title("An evening · Séance")
    await cleo.page.get_by_role("button", name="Leave").click()
    await expect(cleo.page.locator("#create")).to_be_visible()
    await expect(ana.page.locator("#users .name")).to_have_text(["Ana", "Ben"])
    await expect(ben.page.locator("#transcript .notice").last).to_have_text(re.compile("Cleo left"))


async def test_others_see_who_types_and_that_the_spirit_thinks(gateways: list[Gateway], visit: Visit) -> None:
    """The line below the conversation names a person who types, and the spirit until its answer."""
    ana, ben = await visit(gateways[0].url), await visit(gateways[1].url)
    session = await ana.create("An evening", "Ana", spirit=True)
    await ben.join(session, "Ben")
    await ana.page.get_by_label("Message", exact=True).press_sequentially("Hm")
    await expect(ben.page.locator("#typing")).to_have_text("Ana is typing")
    # Isolated, so that a name from right to left does not reorder the words around it.
    await expect(ben.page.locator("#typing bdi")).to_have_text("Ana")
    await ana.page.keyboard.press("Enter")
    await expect(ben.page.locator("#typing")).to_have_text("The spirit is thinking")
    token = await ana.page.evaluate("id => JSON.parse(sessionStorage.getItem('seance:host:' + id))", session)
    body = {"text": "I am here", "is_spirit": True}
    await call(ana.url, "POST", f"/api/sessions/{session}/messages", token=token, body=body)
    await ben.sees("Hm", "I am here")
    await expect(ben.page.locator("#typing")).to_have_text("")
    await expect(ben.page.locator(".message.spirit .name")).to_have_text("Spirit")


async def test_hostile_texts_are_only_texts(gateways: list[Gateway], visit: Visit) -> None:
    """A message, a name of a person and a name of a session are shown as typed, and do nothing."""
    name = "<i onclick=alert(1)>Eve</i>"
    ana, eve = await visit(gateways[0].url), await visit(gateways[1].url)
    session = await ana.create('<svg onload="document.title = 0">', "Ana")
    await eve.join(session, name)
    for count, text in enumerate(HOSTILE, 1):
        await eve.say(text)
        await expect(ana.texts).to_have_count(count)
    for visitor in (ana, eve):
        assert await visitor.texts.all_text_contents() == list(HOSTILE)
        await expect(visitor.page.locator("#users .name").last).to_have_text(name)
        await expect(visitor.page).to_have_title('<svg onload="document.title = 0"> · Séance')
        made = "document.querySelectorAll('#transcript :is(img, script, b, i, svg)').length"
        assert await visitor.page.evaluate(made) == 0
        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await visitor.page.evaluate(width) == 0
        overflow = "document.querySelector('#scroller').scrollWidth - document.querySelector('#scroller').clientWidth"
        assert await visitor.page.evaluate(overflow) == 0
    assert await ana.texts.nth(6).evaluate("one => getComputedStyle(one).direction") == "rtl"


async def test_scrolling_up_loads_older_messages_and_keeps_the_place(gateways: list[Gateway], visit: Visit) -> None:
    """A person who joins later reads the older messages page by page, and the message in view stays in place."""
    url = gateways[0].url
    session = await create_session(url, name="Long")
    path = f"/api/sessions/{session['id']}/messages"
    for number in range(120):
        ack = "?ack=persisted" if number == 119 else ""
        await call(url, "POST", path + ack, token=session["host_token"], body={"text": f"message {number}"})
    ben = await visit(gateways[1].url)
    await ben.join(session["id"], "Ben")
    await expect(ben.texts.last).to_have_text("message 119")
    await expect(ben.texts.last).to_be_in_viewport()
    await expect(ben.texts).to_have_count(50)
    scroller = ben.page.locator("#scroller")
    for first, count in ((70, 100), (20, 120)):
        top = ben.page.get_by_text(f"message {first}", exact=True)
        await scroller.evaluate("one => { one.scrollTop = 0; }")
        await expect(ben.texts).to_have_count(count)
        await expect(top).to_be_in_viewport()
    assert await ben.texts.all_text_contents() == [f"message {number}" for number in range(120)]
    await expect(ben.page.locator("#beginning")).to_have_text("This is the beginning.")
    # What is new is announced, and does not take one away from what one reads.
    await call(url, "POST", path, token=session["host_token"], body={"text": "news"})
    await ben.page.get_by_role("button", name="New messages").click()
    await expect(ben.page.get_by_text("news", exact=True)).to_be_in_viewport()


async def test_the_copied_link_leads_into_the_session(gateways: list[Gateway], visit: Visit) -> None:
    """The button puts the session's link on the clipboard, and the link can be pasted at the start."""
    ana, ben = (
        await visit(gateways[0].url, permissions=["clipboard-read", "clipboard-write"]),
        await visit(gateways[0].url),
    )
    session = await ana.create("An evening", "Ana")
    share = ana.page.get_by_role("button", name="Copy link")
    await share.click()
    await expect(ana.page.get_by_role("button", name="Copied")).to_be_visible()
    link = await ana.page.evaluate("navigator.clipboard.readText()")
    assert link == f"{ana.url}/chat#{session}"
    await ben.page.goto(f"{ben.url}/chat")
    await ben.page.get_by_label("Have you got a link?").fill("nonsense")
    await ben.page.get_by_role("button", name="Open").click()
    await expect(ben.page.locator("#find .alert")).to_contain_text("That is no link of a session.")
    await ben.page.get_by_label("Have you got a link?").fill(link)
    await ben.page.get_by_role("button", name="Open").click()
    await ben.knock("Ben")
    await ben.is_connected()
    assert ben.page.url == link


async def test_long_texts_can_not_be_sent(gateways: list[Gateway], visit: Visit) -> None:
    """The page counts what is left, as the gateway counts, and keeps a text that is too long."""
    ana = await visit(gateways[0].url)
    await ana.create("An evening", "Ana")
    box = ana.page.get_by_label("Message", exact=True)
    await box.fill("😀" * 490)
    await expect(ana.page.locator("#left")).to_have_text("10 left")
    await box.fill("😀" * 501)
    await expect(ana.page.locator("#left")).to_have_text("1 too many")
    await box.press("Enter")
    await expect(box).to_have_value("😀" * 501)
    await box.fill("two\nlines")
    await box.press("Shift+Enter")
    await box.press_sequentially("three")
    await box.press("Enter")
    await ana.sees("two\nlines\nthree")
