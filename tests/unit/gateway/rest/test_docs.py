"""The documentation pages: every file that they load comes from the gateway."""

import re
from urllib.parse import urljoin

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route


async def test_root_leads_to_docs(client: httpx.AsyncClient) -> None:
    """The root redirects to the documentation."""
    response = await client.get("/")
    assert (response.status_code, response.headers["Location"]) == (307, "docs")


PAGES = {"/docs": 9, "/docs/rest": 5, "/docs/websocket": 5}


@pytest.mark.parametrize(("path", "count"), PAGES.items())
async def test_docs_pages_link_only_to_the_gateway(client: httpx.AsyncClient, path: str, count: int) -> None:
    """Every address in a page is relative and routed by the gateway, and no page has an inline script or style."""
    page = (await client.get(path)).text
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(addresses) >= count
    for address in addresses:
        assert re.fullmatch(r"[\w.][\w./-]*", address)
        if address not in {"health", "ready", "live", "metrics"}:  # they need parts that these tests do not have
            assert (await client.get(urljoin(path, address))).status_code == 200
    assert "".join(re.findall(r"<script[^>]*>([^<]*)</script>", page)) == ""
    assert "style" not in re.sub(r'rel="stylesheet"', "", page)
    assert "//" not in page


@pytest.mark.parametrize("name", ["rest.js", "websocket.js", "docs.css"])
async def test_the_gateways_files_name_no_other_host(client: httpx.AsyncClient, name: str) -> None:
    """The gateway's scripts and styles name no other host."""
    assert "//" not in re.sub(r"^\s*// .*", "", (await client.get(f"/docs/{name}")).text, flags=re.MULTILINE)


@pytest.mark.parametrize("path", PAGES)
async def test_policy_blocks_other_origins(client: httpx.AsyncClient, path: str) -> None:
    """The policy forbids other origins, inline scripts, and frames."""
    header = (await client.get(path)).headers["Content-Security-Policy"]
    policy = dict(part.strip().split(" ", 1) for part in header.split(";"))
    assert policy.pop("require-trusted-types-for") == "'script'"
    assert policy.pop("trusted-types") == ("default dompurify" if path == "/docs/rest" else "'none'")
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    sources = {source for value in policy.values() for source in value.split()}
    assert sources - {"'unsafe-inline'", "data:"} == {"'none'", "'self'"}
    # Only Swagger UI needs a wider policy.
    assert (sources == {"'none'", "'self'"}) is (path != "/docs/rest")


async def test_stylesheet_loads_nothing(client: httpx.AsyncClient) -> None:
    """The stylesheet refers only to data that it contains."""
    sheet = (await client.get("/docs/swagger-ui.css")).text
    assert "@import" not in sheet
    assert all(target.strip("'\"").startswith("data:") for target in re.findall(r"url\(([^)]*)\)", sheet))


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("swagger-ui-bundle.js", "text/javascript"), ("swagger-ui.css", "text/css"), ("favicon-32x32.png", "image/png")],
)
async def test_swagger_files_have_their_types_and_are_cached(
    client: httpx.AsyncClient, name: str, media_type: str
) -> None:
    """Swagger UI's files have their media types, and browsers may cache them."""
    response = await client.get(f"/docs/{name}")
    assert response.headers["Content-Type"].startswith(media_type)
    assert response.headers["Cache-Control"] == "public, max-age=86400"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/docs/index.html", "/docs/..%2fgateway", "/docs/swagger-ui.css.map"])
async def test_other_files_are_not_served(client: httpx.AsyncClient, path: str) -> None:
    """Other files are not served."""
    assert (await client.get(path)).json()["error"]["code"] == "not_found"


async def test_every_page_has_head(client: httpx.AsyncClient, app: Starlette) -> None:
    """HEAD answers like GET."""
    for route in app.routes:
        assert isinstance(route, Route)
        if "{" not in route.path and "GET" in (route.methods or ()):
            get, head = await client.get(route.path), await client.head(route.path)
            assert head.status_code == get.status_code
            assert head.headers.get("Content-Type") == get.headers.get("Content-Type")
