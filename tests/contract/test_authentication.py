"""The page about authentication: its Python code mints tokens that a gateway takes, and its table names each scope."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gateway.access.claims import SCOPES
from tests.gateways import SECRET, Gateway
from tests.raw_client import connected
from tests.rest import create_session

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs/authentication.md").read_text(encoding="utf-8")
FASTAPI, DJANGO = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def _as_it_is(*_: object, **__: object) -> Any:
    """A decorator, or what makes one, that changes nothing."""
    return lambda function: function


@pytest.fixture
def frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page imports of its frameworks, as far as the page needs it: they are no dependencies of the tests."""
    same = _as_it_is()
    parts: dict[str, dict[str, Any]] = {
        "fastapi": {"FastAPI": lambda: SimpleNamespace(post=_as_it_is), "Depends": lambda function: function()},
        "django": {},
        "django.conf": {"settings": SimpleNamespace(SEANCE_JWT_SECRET=SECRET)},
        "django.contrib": {},
        "django.contrib.auth": {},
        "django.contrib.auth.decorators": {"login_required": same},
        "django.http": {"JsonResponse": dict},
        "django.views": {},
        "django.views.decorators": {},
        "django.views.decorators.http": {"require_POST": same},
    }
    for name, contents in parts.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(os.environ, "JWT_SECRET", SECRET)


@pytest.mark.usefixtures("frameworks")
async def test_the_recipes_mint_tokens_that_admit(gateways: list[Gateway]) -> None:
    """The tokens of both frameworks admit to a session with a password, under the name that the application knows."""
    session = await create_session(gateways[0].url, password="open sesame")
    request = SimpleNamespace(user=SimpleNamespace(pk=8, get_username=lambda: "Ben"))
    recipes: list[tuple[str, Callable[[Any], Any], str]] = [
        (FASTAPI, lambda view: view(session["id"], {"id": "customer-7", "name": "Ana"}), "Ana"),
        (DJANGO, lambda view: view(request, session["id"]), "Ben"),
    ]
    for source, ask, name in recipes:
        defined: dict[str, Any] = {}
        exec(source, defined)  # noqa: S102 - it is our own page
        async with connected(gateways[1].url, session["id"]) as client:
            welcome = await client.join("ignored", token=ask(defined["room_token"])["token"])
            assert welcome["data"]["you"]["name"] == name


def test_every_scope_is_explained() -> None:
    """The page's table has a row for each scope, and for no other."""
    rows = re.findall(r"(?m)^\| `([a-z:]+)` \|", PAGE.partition("## Tokens")[2].partition("## Your")[0])
    assert set(rows) - {"scope"} == SCOPES
