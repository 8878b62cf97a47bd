"""Logging: one line per event, the same for structlog and for the libraries, without secrets."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from gateway.settings import Settings
from gateway.telemetry import logs

LOGGERS = ("", "uvicorn", "uvicorn.access")
JSON = Settings(log_format="json")
CONSOLE = Settings(log_format="console")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Restore logging at the end."""
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    handlers = logging.getLogger().handlers[:]
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.getLogger().handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


Capture = pytest.CaptureFixture[str]


def lines(capsys: Capture) -> list[dict[str, Any]]:
    """The JSON lines on standard error since the last call."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def fail_with_secrets() -> None:
    """Raise an error while local variables hold secrets."""
    password = "hunter2"
    raise ValueError(f"it went wrong with {len(password)} characters")


def test_a_json_line_has_event_keys_level_and_time(capsys: Capture) -> None:
    """A line is one JSON object: the event, its keys, the level, the time and the fixed keys."""
    logs.configure(JSON, gateway_id="gw-1")
    structlog.get_logger().info("connection.closed", session_id="s1", code=1000)
    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "connection.closed",
        "session_id": "s1",
        "code": 1000,
        "level": "info",
        "gateway_id": "gw-1",
    }


def test_a_fixed_key_does_not_overwrite_an_events_key(capsys: Capture) -> None:
    """A fixed key does not overwrite the same key of an event."""
    logs.configure(JSON, gateway_id="gw-1")
    structlog.get_logger().info("gateway.reaped", gateway_id="gw-2")
    assert lines(capsys)[0]["gateway_id"] == "gw-2"


def test_context_keys_are_in_every_line(capsys: Capture) -> None:
    """Keys bound to the context, such as a request's id, are in every line, those of libraries too."""
    logs.configure(JSON)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger().info("one")
        logging.getLogger("library").warning("two")
    structlog.get_logger().info("three")
    assert [line.get("request_id") for line in lines(capsys)] == ["r1", "r1", None]


def test_the_libraries_log_the_same_way(capsys: Capture) -> None:
    """A line of the standard library has the same shape, with its arguments filled in and its extra keys."""
    logs.configure(JSON, gateway_id="gw-1")
    logging.getLogger("uvicorn.error").warning("lost %d of %s", 3, "x", extra={"port": 8000})
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["gateway_id"]) == ("lost 3 of x", "warning", "gw-1")
    assert line["port"] == 8000


def test_a_json_traceback_has_no_local_variables(capsys: Capture) -> None:
    """An exception is logged with its place, as data, and without local variables."""
    logs.configure(JSON)
    try:
        fail_with_secrets()
    except ValueError:
        structlog.get_logger().exception("task.failed", task="t")
        logging.getLogger("library").exception("failed too")
    told = lines(capsys)
    assert [line["event"] for line in told] == ["task.failed", "failed too"]
    assert "hunter2" not in str(told)
    for line in told:
        (error,) = line["exception"]
        assert (error["exc_type"], error["exc_value"]) == ("ValueError", "it went wrong with 7 characters")
        assert error["frames"][-1]["name"] == "fail_with_secrets"
        assert "locals" not in error["frames"][-1]


def test_a_console_traceback_has_no_local_variables(capsys: Capture) -> None:
    """On the console a plain traceback follows the line, without local variables."""
    logs.configure(CONSOLE)
    try:
        fail_with_secrets()
    except ValueError as error:
        structlog.get_logger().error("task.failed", exc_info=error)
    text = capsys.readouterr().err
    assert text.startswith("20")
    assert "task.failed" in text.splitlines()[0]
    assert text.splitlines()[-1] == "ValueError: it went wrong with 7 characters"
    assert text.count("hunter2") == 0


def test_a_line_without_a_terminal_is_plain(capsys: Capture) -> None:
    """Without a terminal a line is plain text."""
    logs.configure(CONSOLE, gateway_id="gw-1")
    structlog.get_logger().info("connection.opened", session_id="s1")
    (line,) = capsys.readouterr().err.splitlines()
    assert "\x1b" not in line
    assert line.split()[1:] == ["[info", "]", "connection.opened", "gateway_id=gw-1", "session_id=s1"]


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """This is a terminal."""
        return True


def test_a_line_on_a_terminal_is_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a line is coloured."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logs.configure(CONSOLE)
    structlog.get_logger().info("connection.opened")
    assert "\x1b[" in terminal.getvalue()


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_not_logged(capsys: Capture, level: str, expected: list[str]) -> None:
    """Lines below the level are not logged, neither the gateway's nor a library's."""
    logs.configure(Settings(log_format="json", log_level=level))  # type: ignore[arg-type]
    for logger in (structlog.get_logger(), logging.getLogger("library")):
        for name in ("debug", "info", "warning", "error"):
            getattr(logger, name)("an event")
    assert [line["level"] for line in lines(capsys)] == expected * 2


@pytest.mark.parametrize("level", ["debug", "info", "error"])
def test_uvicorns_info_lines_are_not_logged(capsys: Capture, level: str) -> None:
    """Of uvicorn's lines the warnings are logged, the requests only at level debug."""
    logs.configure(Settings(log_format="json", log_level=level))  # type: ignore[arg-type]
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").error("bad")
    logging.getLogger("uvicorn.access").info("GET /live")
    expected = {"debug": ["bad", "GET /live"], "info": ["bad"], "error": ["bad"]}[level]
    assert [line["event"] for line in lines(capsys)] == expected


def test_configuring_twice_logs_each_line_once(capsys: Capture) -> None:
    """When logging is configured several times, a line is still logged once."""
    logs.configure(JSON)
    logs.configure(JSON)
    logging.getLogger("library").warning("once")
    assert len(lines(capsys)) == 1


def test_a_value_that_is_no_json_keeps_its_line(capsys: Capture) -> None:
    """A value that JSON can't encode does not lose the line."""
    logs.configure(JSON)
    structlog.get_logger().info("odd", value={1, 2}.__class__, raw=b"\xff")
    assert lines(capsys)[0]["event"] == "odd"
