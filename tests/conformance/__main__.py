"""`make conformance`: run the Autobahn suite against the codec. Exit code 1: a case failed; 0 without Python 2.7."""

import contextlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from tests.certificates import self_signed
from tests.conformance import environment
from tests.conformance.verdict import GROUPS, Case, summarize, table

RUN_SECONDS = 900.0  # it takes about 30
FOLDER = environment.ROOT / ".seance" / "conformance"
_TOTAL = re.compile(r"will run (\d+) test cases")
_CASE = re.compile(r"Running test case ID (\d+)\.\S+ for agent (\S+)")


def main() -> int:
    """Make the environment, run the cases, print the table and keep it as JSON."""
    try:
        python = environment.find_python()
    except environment.NoPythonError as error:
        _say(f"skipped: {error}")
        return 0
    try:
        wstest = environment.make(FOLDER / "environment", python)
    except subprocess.SubprocessError as error:
        _say(f"error: the environment of the Autobahn suite could not be made: {error}")
        return 1
    reports = FOLDER / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    certificate, key = self_signed(FOLDER)
    with _echo_server() as plain, _echo_server(str(certificate), str(key)) as encrypted:
        servers = {"plain": f"ws://127.0.0.1:{plain}/", "TLS": f"wss://127.0.0.1:{encrypted}/"}
        expected = _run(wstest, _specification(reports, servers))
    index = reports / "index.json"
    if not index.exists():
        _say(f"error: the suite left no report; its words are in {FOLDER / 'wstest.log'}")
        return 1
    found = msgspec.json.decode(index.read_bytes(), type=dict[str, dict[str, Case]])
    summaries = {name: summarize(found.get(name, {}), expected) for name in servers}
    kept = FOLDER / "summary.json"
    kept.write_bytes(msgspec.json.format(msgspec.json.encode(summaries), indent=2))
    root = environment.ROOT
    for name, summary in summaries.items():
        _say(f"\n{name}:\n\n{table(summary)}")
    _say(f"\nkept in {kept.relative_to(root)}; each case: {reports.relative_to(root)}/index.html")
    return 0 if all(summary.is_good for summary in summaries.values()) else 1


@contextlib.contextmanager
def _echo_server(*certificate: str) -> Iterator[int]:
    """The echo server in a process of its own, and its port; it ends with our end of its standard input."""
    command = [sys.executable, "-m", "tests.conformance.echo", *certificate]
    with subprocess.Popen(
        command, cwd=environment.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.stdin.close()


def _specification(reports: Path, servers: Mapping[str, str]) -> Path:
    """The suite's own configuration: our servers, all groups but compression (12 and 13), which is never offered."""
    path = FOLDER / "fuzzingclient.json"
    specification = {
        "outdir": str(reports),
        "servers": [{"agent": name, "url": url} for name, url in servers.items()],
        "cases": [f"{group}.*" for group in GROUPS],
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    path.write_bytes(msgspec.json.encode(specification))
    return path


def _run(wstest: Path, specification: Path) -> int:
    """Run the suite, a line of progress for each group; returns how many cases it announced for each server."""
    total, done, group = 0, 0, ("", "")
    command = [str(wstest), "--mode", "fuzzingclient", "--spec", str(specification)]
    with (
        (FOLDER / "wstest.log").open("w", encoding="utf-8") as log,
        subprocess.Popen(command, cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as suite,
    ):
        assert suite.stdout is not None
        watchdog = threading.Timer(RUN_SECONDS, suite.kill)
        watchdog.start()
        for line in suite.stdout:
            log.write(line)
            if announced := _TOTAL.search(line):
                total = int(announced[1])
            elif case := _CASE.search(line):
                if case.group(1, 2) != group:
                    done = done if case[2] == group[1] else 0
                    group = case[1], case[2]
                    _say(f"conformance: {case[2]:5} [{done:3}/{total}] cases {case[1]}.*: {GROUPS.get(case[1], '')}")
                done += 1
        watchdog.cancel()
    _say(f"conformance: {group[1]:5} [{done:3}/{total}] done")
    return total


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
