"""schemathesis reads the OpenAPI document of a real gateway, and sends it what the document allows and forbids."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.access.claims import Claims
from gateway.access.tokens import Tokens
from gateway.rest.routes import OPERATIONS
from tests.gateways import SECRET, Gateway, inherited, running_gateways, running_workers
from tests.rest import create_session
from tests.services import Services

Json = dict[str, Any]
# It takes 13 s of CPU, on a machine that may do other things too.
DEADLINE_SECONDS = 600.0
EXAMPLES = 25
# Both bounds of a page at once are refused, which a document can't say of query parameters.
CONFIGURATION = """
seed = 20261122
request-timeout = 10.0

[generation]
deterministic = true
database = "none"
max-examples = {examples}

[phases.stateful]
enabled = false

[parameters]
"path.id" = "{open[id]}"

[headers]
Authorization = "Bearer {open[host_token]}"

[[operations]]
include-name = "DELETE /api/sessions/{{id}}"
parameters = {{ "path.id" = "{closed[id]}" }}
headers = {{ Authorization = "Bearer {closed[host_token]}" }}

[[operations]]
include-name = "POST /api/sessions"
headers = {{ Authorization = "Bearer {creator}" }}

[[operations]]
include-name = "GET /api/sessions/{{id}}/messages"
checks.positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 422, "5xx"]

# No schema says which characters a name may have.
[[operations]]
include-name = "POST /api/sessions"
checks.positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 409, 422, "5xx"]

[[operations]]
include-name = "POST /api/sessions/{{id}}/messages"
checks.positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422, "5xx"]

[[operations]]
include-name = "POST /api/sessions/{{id}}/events"
checks.positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422, "5xx"]
"""


@pytest.fixture(scope="module")
def gateway(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One with a worker."""
    folder = tmp_path_factory.mktemp("schemathesis")
    with running_gateways(services, folder) as [gateway], running_workers(services, folder):
        yield gateway


def test_the_gateway_does_what_its_openapi_document_says(gateway: Gateway, tmp_path: Path) -> None:
    """No server error, statuses, headers and bodies as described, what is forbidden is refused and the rest taken."""
    opened, closed = asyncio.run(_sessions(gateway.url))
    creator = Tokens(SECRET, 3600).create_access_token(Claims(scope="sessions:create"))
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(
        CONFIGURATION.format(examples=EXAMPLES, open=opened, closed=closed, creator=creator), encoding="utf-8"
    )
    command = Path(sys.executable).with_name("schemathesis")
    document = f"{gateway.url}/openapi.json"
    run = subprocess.run(
        [command, "--config-file", configuration, "--no-color", "run", document, "--checks", "all"],
        check=False,
        cwd=tmp_path,
        env={**inherited(is_measured=False), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"Tested: {len(OPERATIONS)}\n" in run.stdout
    generated = re.search(r"(\d+) generated", run.stdout)
    assert generated is not None
    assert int(generated[1]) > 300, run.stdout


async def _sessions(url: str) -> list[Json]:
    return [await create_session(url, max_users=10_000) for _ in range(2)]
