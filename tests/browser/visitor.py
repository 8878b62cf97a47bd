"""A person at the chat page, who notes whatever the browser complains of."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, Request, Route, expect

DEADLINE_MS = 20_000
# What Chromium prints about a network that is away; nothing the page could do about it.
NETWORK = ("net::ERR_", "WebSocket connection to", "Failed to load resource")

# A script after which connections never come about.
CUT_OFF = """globalThis.WebSocket = class {
  constructor() { setTimeout(() => this.onclose?.({ code: 1006, reason: "" })); }
  close() {}
};"""
# Names of the buttons, links and fields that a person can use now.
CONTROLS = """() => [...document.querySelectorAll("button, a, input, textarea")]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled)
  .map((one) => (one.getAttribute("aria-label") ?? one.labels?.[0]?.innerText ?? one.innerText).trim())"""

expect.set_options(timeout=DEADLINE_MS)


async def refuse(route: Route) -> None:
    """Answer a request of the page as a gateway does whose stores are away."""
    await route.fulfill(status=503, json={"success": False, "error": {"code": "unavailable", "message": "no"}})


class Visitor:
    """One page in a browser context of its own. `problems` holds errors, violations of the policy, foreign requests."""

    def __init__(self, context: BrowserContext, page: Page, url: str) -> None:
        self.context = context
        self.page = page
        self.url = url
        self.problems: list[str] = []
        self.allowed: Sequence[str] = ()
        self.requests: list[str] = []
        context.set_default_timeout(DEADLINE_MS)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        context.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        self.requests.append(request.url)
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.problems.append(f"foreign request: {request.url}")

    @property
    def complaints(self) -> list[str]:
        """The problems that this test did not expect."""
        return [problem for problem in self.problems if not any(words in problem for words in self.allowed)]

    async def create(self, title: str, name: str, *, seats: int = 6, password: str = "", spirit: bool = False) -> str:
        """Start a session; its id. The visitor is in it as its host."""
        await self.page.goto(f"{self.url}/chat")
        form = self.page.locator("#create")
        await form.get_by_label("What is it about?").fill(title)
        await form.get_by_label("Your name").fill(name)
        await form.get_by_label("Seats").fill(str(seats))
        await form.get_by_label("Password").fill(password)
        await form.get_by_role("switch").set_checked(spirit)
        await form.get_by_role("button", name="Start the session").click()
        await self.is_connected()
        return urlsplit(self.page.url).fragment

    async def open(self, session_id: str) -> None:
        """Follow the link of a session."""
        await self.page.goto(f"{self.url}/chat#{session_id}")

    async def join(self, session_id: str, name: str, password: str | None = None) -> None:
        """Follow the link and join."""
        await self.open(session_id)
        await self.knock(name, password)
        await self.is_connected()

    async def knock(self, name: str, password: str | None = None) -> None:
        """Give a name, and a password, at the door."""
        door = self.page.locator("#door")
        await door.get_by_label("Your name").fill(name)
        if password is not None:
            await door.get_by_label("Password").fill(password)
        await door.get_by_role("button", name="Join").click()

    async def is_connected(self) -> None:
        """Return once the page says so."""
        await expect(self.state).to_have_text(re.compile("^Connected"))

    async def say(self, *texts: str) -> None:
        """Write and send, by the keyboard."""
        box = self.page.get_by_label("Message", exact=True)
        for text in texts:
            await box.fill(text)
            await box.press("Enter")

    async def sees(self, *texts: str) -> None:
        """Return once the conversation is exactly these texts, and nothing waits."""
        await expect(self.texts).to_have_text(list(texts), use_inner_text=False)
        await expect(self.pending).to_have_count(0)

    async def controls(self) -> list[str]:
        """The names of the controls that are in view and can be used, from top to bottom."""
        return await self.page.evaluate(CONTROLS)  # type: ignore[no-any-return]

    @property
    def state(self) -> Locator:
        """The state of the connection, in words."""
        return self.page.locator("#state [role=status]")

    @property
    def texts(self) -> Locator:
        """The texts in the conversation."""
        return self.page.locator("#transcript .text")

    @property
    def pending(self) -> Locator:
        """Messages that are not delivered."""
        return self.page.locator("#pending li")

    @property
    def over(self) -> Locator:
        """What is said when it is over."""
        return self.page.locator("#over p")

    @property
    def alert(self) -> Locator:
        """What is said at the door when one can't come in."""
        return self.page.locator("#door .alert")
