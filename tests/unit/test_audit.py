"""What `make audit` makes of the words of pip-audit."""

import json
from pathlib import Path
from runpy import run_path

import pytest

AUDIT = run_path(str(Path(__file__).parents[2] / "deploy" / "audit.py"))
GOOD = {"name": "anyio", "version": "4.0", "vulns": []}
FAULTY = {"name": "jinja2", "version": "3.0", "vulns": [{"id": "CVE-2099-1", "fix_versions": ["3.1"]}]}
SKIPPED = {"name": "uvloop", "skip_reason": "not found"}
AWAY = 'Traceback\nrequests.exceptions.ConnectionError: HTTPSConnectionPool(host="osv"): Failed to resolve'


@pytest.mark.parametrize(
    ("packages", "errors", "code", "said"),
    [
        ([GOOD], "", 0, "no known fault in the 1 packages"),
        ([GOOD, FAULTY], "", 1, "jinja2 3.0: CVE-2099-1, mended in 3.1"),
        ([GOOD, SKIPPED], "", 1, "does not know uvloop"),
        (None, AWAY, 0, "not run: no database reachable"),
        (None, "pip-audit: error: unrecognized arguments", 1, "failed"),
    ],
)
def test_only_faults_and_failures_fail(
    capsys: pytest.CaptureFixture[str], packages: list[dict[str, object]] | None, errors: str, code: int, said: str
) -> None:
    """A machine without a network passes, and says that nothing was audited; every other failure fails."""
    output = "" if packages is None else json.dumps({"dependencies": packages})
    assert AUDIT["judged"](output, errors) == code
    assert said in capsys.readouterr().out
