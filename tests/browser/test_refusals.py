"""A person can't join, or can't stay: the page says why, and what the person can do."""

from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.visitor import CUT_OFF, NETWORK, refuse
from tests.gateways import Gateway

# A browser whose user lets no site store anything.
WITHOUT_SITE_DATA = """Object.defineProperty(window, "sessionStorage", {
  get() { throw new DOMException("access is denied for this document", "SecurityError"); },
});"""
NOBODY = "00000000-0000-4000-8000-000000000000"


async def test_a_taken_name_and_a_full_session_can_be_tried_again(gateways: list[Gateway], visit: Visit) -> None:
    """At the door a person changes a taken name, and tries a full session again."""
    ana, ben, cleo = [await visit(gateway.url) for gateway in gateways]
    session = await ana.create("A small one", "Ana", seats=2)
    await ben.open(session)
    await expect(ben.page.get_by_role("heading", name="A small one")).to_be_visible()
    await expect(ben.page.locator("#door .facts")).to_have_text("1 of 2, 1 seat left")
    await ben.knock("ana")
    await expect(ben.alert).to_contain_text("has that name already")
    await expect(ben.page.locator("#door").get_by_label("Your name")).to_be_focused()
    await ben.knock("Ben")
    await ben.is_connected()
    await cleo.open(session)
    await cleo.knock("Cleo")
    await expect(cleo.alert).to_contain_text("Every seat is taken")
    await ben.page.get_by_role("button", name="Leave").click()
    await expect(ana.page.locator("#users .name")).to_have_text(["Ana"])
    await cleo.knock("Cleo")
    await cleo.is_connected()


async def test_a_wrong_password_is_told_and_the_host_needs_none(gateways: list[Gateway], visit: Visit) -> None:
    """The door asks for the password and says when the password is wrong; the host needs none after a reload."""
    ana, ben = await visit(gateways[0].url), await visit(gateways[1].url)
    session = await ana.create("Locked", "Ana", password="open sesame")
    await ben.open(session)
    await ben.knock("Ben", "close sesame")
    await expect(ben.alert).to_have_text("That is not the password of this session.")
    await expect(ben.page.locator("#door").get_by_label("Password")).to_be_focused()
    await ben.knock("Ben", "open sesame")
    await ben.is_connected()
    await ana.page.reload()
    await ana.is_connected()
    await ana.say("still here")
    await ben.sees("still here")
    for visitor in (ana, ben):
        stored = await visitor.page.evaluate("JSON.stringify(sessionStorage)")
        assert "sesame" not in stored
        assert not any("sesame" in url for url in visitor.requests)


async def test_only_the_host_removes_people_and_closes_the_session(gateways: list[Gateway], visit: Visit) -> None:
    """The host removes a person and closes the session, on whatever gateway the others are; guests can do neither."""
    ana, ben, cleo = [await visit(gateway.url) for gateway in gateways]
    session = await ana.create("An evening", "Ana")
    await ben.join(session, "Ben")
    await cleo.join(session, "Cleo")
    await expect(ben.page.get_by_role("button", name="Remove")).to_have_count(0)
    await expect(ben.page.get_by_role("button", name="Close the session")).to_be_hidden()
    await ana.page.get_by_role("button", name="Remove Ben").click()
    await ana.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await ana.page.get_by_role("button", name="Remove Ben").click()
    await ana.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    await expect(ben.over).to_have_text("The host has removed you from this session.")
    await expect(ben.page.get_by_label("Message", exact=True)).to_be_hidden()
    await expect(cleo.page.locator("#users .name")).to_have_text(["Ana", "Cleo"])
    await ana.page.get_by_role("button", name="Close the session").click()
    await ana.page.get_by_role("dialog").get_by_role("button", name="Close it").click()
    for visitor in (ana, cleo):
        await expect(visitor.over).to_have_text("This session is closed.")
        await expect(visitor.state).to_have_text("Session closed")
        assert await visitor.controls() == ["Start another session"]
    assert await ben.controls() == ["Copy link", "Start another session"]
    await ben.page.reload()
    await expect(ben.alert).to_have_text("This session is closed.")
    await cleo.page.get_by_role("link", name="Start another session").click()
    await expect(cleo.page.locator("#create")).to_be_visible()


async def test_a_link_without_a_session_says_so(gateways: list[Gateway], visit: Visit) -> None:
    """A link whose session does not exist, and an address that is no link, say so and what to do."""
    ana = await visit(gateways[0].url)
    ana.allowed = NETWORK
    await ana.open(NOBODY)
    await expect(ana.alert).to_have_text("There is no such session. Is the link complete?")
    await expect(ana.page.get_by_role("heading", level=1)).to_have_text("Session not found")
    await expect(ana.page.get_by_text("You are invited to")).to_be_hidden()
    assert await ana.controls() == ["Start another session"]
    await ana.page.get_by_role("link", name="Start another session").click()
    await expect(ana.page.locator("#create")).to_be_visible()
    # An address that names no session at all.
    await ana.page.goto(f"{ana.url}/chat#an%20evening")
    await expect(ana.page.locator("#find .alert")).to_contain_text("The address of this page leads to no session.")
    await expect(ana.page.get_by_label("Have you got a link?")).to_have_value("an evening")
    await expect(ana.page.get_by_label("Have you got a link?")).to_be_focused()


async def test_a_duplicated_tab_takes_the_user_over_and_gives_the_user_back(
    gateways: list[Gateway], visit: Visit
) -> None:
    """The duplicated tab takes the user over; the first tab says so, and can take the user back."""
    ana = await visit(gateways[0].url)
    session = await ana.create("An evening", "Ana")
    await ana.say("from here")
    await ana.sees("from here")
    await ana.page.wait_for_function("id => sessionStorage.getItem(`seance:${id}`)?.includes('from here')", arg=session)
    memory = await ana.page.evaluate("JSON.stringify({...sessionStorage})")
    other = await visit(gateways[1].url)
    await other.page.add_init_script(f"Object.assign(sessionStorage, {memory})")
    await other.open(session)
    await other.is_connected()
    await other.sees("from here")
    await expect(ana.over).to_have_text("You have joined from another tab or device.")
    await ana.page.get_by_role("button", name="Use it here").click()
    await ana.is_connected()
    await ana.sees("from here")
    await expect(other.over).to_be_visible()


async def test_a_field_that_is_wrong_is_named_and_focused(gateways: list[Gateway], visit: Visit) -> None:
    """A field that can't be sent is named beside the form, and gets the focus."""
    ana = await visit(gateways[0].url)
    ana.allowed = NETWORK
    await ana.page.goto(f"{ana.url}/chat")
    form = ana.page.locator("#create")
    start = form.get_by_role("button", name="Start the session")
    await start.click()
    await expect(form.get_by_label("What is it about?")).to_be_focused()
    await form.get_by_label("What is it about?").fill("An evening")
    await start.click()
    await expect(form.get_by_label("Your name")).to_be_focused()
    await form.get_by_label("Your name").fill("Ana")
    await form.get_by_label("Password").fill("short")
    await start.click()
    await expect(form.get_by_label("Password")).to_be_focused()
    await expect(form.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    await form.get_by_label("Password").fill("")
    await form.get_by_label("Seats").fill("0")
    await start.click()
    await expect(form.get_by_label("Seats")).to_be_focused()
    await form.get_by_label("Seats").fill("2")
    await start.click()
    await ana.is_connected()


async def test_without_site_data_the_page_works_until_it_is_left(gateways: list[Gateway], visit: Visit) -> None:
    """The host has the host's buttons, a reload frees the name at once, and Leave and the end of the session work."""
    ana, ben, cleo = [await visit(gateway.url) for gateway in gateways]
    for visitor in (ana, ben, cleo):
        await visitor.page.add_init_script(WITHOUT_SITE_DATA)
    session = await ana.create("An evening", "Ana")
    await expect(ana.page.locator("#host")).to_contain_text("This browser stores nothing for this page")
    await ben.join(session, "Ben")
    await ben.page.reload()
    await ben.knock("Ben")
    await ben.is_connected()
    await cleo.join(session, "Cleo")
    await cleo.page.get_by_role("button", name="Leave").click()
    await expect(cleo.page.locator("#create")).to_be_visible()
    await expect(ana.page.locator("#users .name")).to_have_text(["Ana", "Ben"])
    await ana.page.get_by_role("button", name="Close the session").click()
    await ana.page.get_by_role("dialog").get_by_role("button", name="Close it").click()
    for visitor in (ana, ben):
        await expect(visitor.over).to_have_text("This session is closed.")


async def test_a_text_that_was_not_sent_stays_in_view_when_the_session_ends(
    gateways: list[Gateway], visit: Visit
) -> None:
    """The person reads that the text was not sent, and nothing sends the text later."""
    ana, ben = await visit(gateways[0].url), await visit(gateways[1].url)
    session = await ana.create("An evening", "Ana")
    await ben.join(session, "Ben")
    await ben.page.get_by_label("Message", exact=True).fill("half a thou")
    await ana.page.get_by_role("button", name="Remove Ben").click()
    await ana.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    await expect(ben.state).to_have_text("Removed by the host")
    await expect(ben.pending).to_contain_text("half a thouYou had not sent this.")
    assert await ben.controls() == ["Copy link", "Discard", "Start another session"]


async def test_what_the_host_could_not_do_is_said_beside_the_list(gateways: list[Gateway], visit: Visit) -> None:
    """A refused removal is an alert, and the state of the connection stays what it is."""
    ana, ben = await visit(gateways[0].url), await visit(gateways[1].url)
    ana.allowed = NETWORK
    session = await ana.create("An evening", "Ana")
    await ben.join(session, "Ben")
    await ana.page.route("**/users/*", refuse)
    await ana.page.get_by_role("button", name="Remove Ben").click()
    await ana.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    await expect(ana.page.get_by_role("complementary").get_by_role("alert")).to_contain_text("not available right now")
    await expect(ana.state).to_have_text("Connected")


async def test_a_door_that_can_not_be_asked_now_offers_another_try(gateways: list[Gateway], visit: Visit) -> None:
    """While the service is away the door says so; the next try shows the session; then the door tells of lost tries."""
    ana, ben = await visit(gateways[0].url), await visit(gateways[1].url)
    ben.allowed = NETWORK
    session = await ana.create("An evening", "Ana")
    await ben.page.route("**/api/sessions/*", refuse)
    await ben.open(session)
    await expect(ben.page.get_by_role("heading", level=1)).to_have_text("The session can't be opened now")
    await expect(ben.alert).to_contain_text("not available right now")
    assert await ben.controls() == ["Try again", "Start another session"]
    await ben.page.unroute("**/api/sessions/*")
    await ben.page.get_by_role("button", name="Try again").click()
    await expect(ben.page.get_by_role("heading", level=1)).to_have_text("An evening")
    await ben.page.evaluate(f"() => {{ window.kept = WebSocket; {CUT_OFF} }}")
    await ben.knock("Ben")
    await expect(ben.alert).to_have_text("Connection lost. Trying again…")
    await expect(ben.page.get_by_role("button", name="Joining…")).to_be_visible()
    await ben.page.evaluate("() => { WebSocket = window.kept; }")
    await ben.is_connected()


async def test_limits_count_characters_and_not_utf_16_units(gateways: list[Gateway], visit: Visit) -> None:
    """A field takes as many emoji as the gateway does, cuts nothing off, and names the limit and the length."""
    ana = await visit(gateways[0].url)
    await ana.page.goto(f"{ana.url}/chat")
    form = ana.page.locator("#create")
    start = form.get_by_role("button", name="Start the session")
    alert = form.get_by_role("alert")
    fields = {"What is it about?": ("🕯", 100), "Your name": ("👻", 50), "Password": ("🗝", 128)}
    for label, (character, _) in fields.items():
        await form.get_by_label(label).fill(character * 129)
    for label, (character, most) in fields.items():
        await start.click()
        await expect(alert).to_contain_text(f"at most {most} characters. This one has 129.")
        await expect(form.get_by_label(label)).to_be_focused()
        await form.get_by_label(label).fill(character * most)
    await form.get_by_label("Password").fill("🗝" * 7)
    await start.click()
    await expect(alert).to_have_text("A password needs at least 8 characters. This one has 7.")
    await form.get_by_label("Password").fill("🗝" * 8)
    await start.click()
    await ana.is_connected()
    await expect(ana.page.locator("#users .name")).to_have_text("👻" * 50)


async def test_back_leads_to_the_start_and_forward_into_the_session(gateways: list[Gateway], visit: Visit) -> None:
    """The tab that starts a session can go back to the page before, and forward as the same user."""
    ana = await visit(gateways[0].url)
    session = await ana.create("An evening", "Ana")
    await ana.say("one")
    await ana.sees("one")
    await ana.page.go_back()
    await expect(ana.page.locator("#create")).to_be_visible()
    assert ana.page.url == f"{ana.url}/chat"
    await ana.page.go_forward()
    await ana.is_connected()
    assert ana.page.url == f"{ana.url}/chat#{session}"
    await ana.sees("one")
    await expect(ana.page.locator("#transcript .notice")).to_have_count(0)
