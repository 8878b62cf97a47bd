"""The chat page's files: all served by the gateway, under a strict policy, small, and cached with an ETag."""

import re
from importlib import resources

import httpx
import pytest

from gateway.rest.chat import without_comments

PAGES = resources.files("gateway") / "pages"


async def test_the_chat_page_loads_only_the_gateways_files(client: httpx.AsyncClient) -> None:
    """Every address in the page is relative and answered by the gateway; the page has no inline script or style."""
    page = (await client.get("/chat")).text
    addresses = set(re.findall(r'(?:src|href)="([^"]*)"', page))
    assert all(re.fullmatch(r"[\w.][\w./-]*", address) for address in addresses)
    for address in addresses:
        assert (await client.get(f"/{address}")).status_code == 200, address
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == [""]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|https?:", page)


async def test_every_module_is_preloaded(client: httpx.AsyncClient) -> None:
    """The page preloads every module that its modules import, directly or indirectly."""
    announced = {
        f"/{one}" for one in re.findall(r'rel="modulepreload" href="([^"]*)"', (await client.get("/chat")).text)
    }
    found: set[str] = set()
    waiting = {"/chat/app.js"}
    while waiting:
        path = waiting.pop()
        found.add(path)
        source = (await client.get(path)).text
        targets = re.findall(r'^(?:import|export|\}).*?"([./][^"]*\.js)";$', source, re.MULTILINE)
        waiting |= {str(httpx.URL(f"http://x{path}").join(target).path) for target in targets} - found
    assert announced == found


async def test_the_chat_policy_forbids_other_origins_and_inline_code(client: httpx.AsyncClient) -> None:
    """The policy forbids other origins, inline scripts and styles, and markup from strings."""
    header = (await client.get("/chat")).headers["Content-Security-Policy"]
    policy = dict(part.strip().split(" ", 1) for part in header.split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src", "img-src")} == {"'self'"}
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in header


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/chat", "text/html"),
        ("/chat/style.css", "text/css"),
        ("/chat/icon.svg", "image/svg+xml"),
        ("/chat/client/index.js", "text/javascript"),
    ],
)
async def test_chat_files_are_compressed_and_revalidated(client: httpx.AsyncClient, path: str, media_type: str) -> None:
    """Files have their media types, come compressed, and are sent again only when they changed."""
    answer = await client.get(path)
    assert answer.headers["Content-Type"].startswith(media_type)
    assert answer.headers["Content-Encoding"] == "gzip"
    plain = await client.get(path, headers={"Accept-Encoding": "identity"})
    assert plain.content == answer.content
    assert plain.headers["ETag"] != answer.headers["ETag"]
    again = await client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await client.get(path, headers={"If-None-Match": '"another"'})).status_code == 200


async def test_every_module_of_the_browser_client_is_served(client: httpx.AsyncClient) -> None:
    """Every module of the browser client is served, for other pages too."""
    modules = [file.name for file in (PAGES / "client").iterdir() if file.name.endswith(".js")]
    assert len(modules) > 10
    for name in modules:
        assert (await client.get(f"/chat/client/{name}", headers={"Origin": "https://chat.example"})).status_code == 200


def test_modules_are_served_without_comments() -> None:
    """Comments that fill whole lines are left out, and every other line stays where it is."""
    module = b"""// What it is.
  // More.
/**
 * A function.
 */
export function f() { // here
  /** One line. */
  /* Another. */ g();
  return "// no comment"; /* the
  end */
}
"""
    assert without_comments(module).splitlines() == [
        *[b""] * 5,
        b"export function f() { // here",
        b"",
        b"  /* Another. */ g();",
        b'  return "// no comment"; /* the',
        b"  end */",
        b"}",
    ]


def test_no_text_of_a_module_could_be_taken_for_a_comment() -> None:
    """A text in backticks ends on its line, so that a line that looks like a comment is one."""
    modules = [
        file for folder in ("chat", "client") for file in (PAGES / folder).iterdir() if file.name.endswith(".js")
    ]
    for module in modules:
        code = without_comments(module.read_bytes()).decode()
        assert [line for line in code.splitlines() if line.count("`") % 2] == [], module.name


@pytest.mark.parametrize("path", ["/chat/", "/chat/index.html", "/chat/client/index.d.ts", "/chat/..%2f..%2fserve.py"])
async def test_other_files_are_not_served(client: httpx.AsyncClient, path: str) -> None:
    """Other files are not served."""
    assert (await client.get(path)).json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("folder", ["chat", "docs"])
def test_no_script_of_a_page_names_an_absolute_path(folder: str) -> None:
    """A path from the root would lead out of the path below which a proxy may serve the gateway."""
    scripts = {file.name: file.read_text() for file in (PAGES / folder).iterdir() if file.name.endswith(".js")}
    assert scripts
    assert {name for name, source in scripts.items() if re.search(r"""["'`]/[a-z]""", source)} == set()
