"""Scripts: upgrades that are refused, joins that leave a ghost, closes whose frame is lost, and when to come back."""

from tests.clients.scripted.building import (
    CONNECTED,
    CUT,
    JOIN,
    WELCOME,
    Json,
    back,
    lost,
    recovered,
    resume,
    script,
)


def scripts() -> list[Json]:
    """All of them."""
    return [*_refused(), *_ghosts(), *_announced(), *_told(), *_limited()]


def _refused() -> list[Json]:
    retried = [
        script(
            f"refused-with-{status}",
            [{"refuse": status, "retry_after": 0}],
            [{"refuse": status}],
            [JOIN, WELCOME],
            events=[lost(status), lost(status), CONNECTED],
        )
        for status in (429, 500, 502, 503, 504)
    ]
    final = [
        script(f"refused-with-{status}", [{"refuse": status}], events=[lost(status, retry=False)], ends=status)
        for status in (400, 401, 403, 404, 426)
    ]
    patient = script(
        "refused-with-a-time",
        [{"refuse": 503, "retry_after": 1}],
        [{"told_to_wait_ms": 1000}, JOIN, WELCOME],
        events=[lost(503), CONNECTED],
    )
    later = script(
        "refused-after-the-welcome",
        [JOIN, WELCOME, {"cut": True}],
        [{"refuse": 503}],
        [resume(1), back(1)],
        events=[CONNECTED, lost(CUT), lost(503), *recovered()],
    )
    return [*retried, *final, patient, later]


def _ghosts() -> list[Json]:
    """A join that was not answered may have taken the name or the seat; it is given up soon."""
    return [
        script(
            f"{code}-because-of-an-own-join",
            [JOIN, {"cut": True}],
            [JOIN, {"close": code}],
            [JOIN, WELCOME],
            events=[lost(CUT), lost(code), CONNECTED],
        )
        for code in (4505, 4506, 4508)
    ] + [
        script(
            "4508-because-of-an-own-join-elsewhere",
            [JOIN, {"cut": True}],
            [JOIN, WELCOME, {"close": 4508}],
            [resume(1), back(1)],
            events=[lost(CUT), CONNECTED, lost(4508), *recovered()],
        ),
        script(
            "4501-after-an-own-join",
            [JOIN, {"cut": True}],
            [JOIN, {"close": 4501}],
            events=[lost(CUT), lost(4501, retry=False)],
            ends=4501,
        ),
    ]


def _announced() -> list[Json]:
    """The error before a close says as much as the close itself, which may be lost."""
    error: Json = {"error": {"code": "session_full"}, "id": None}
    told: Json = {"error": "session_full"}
    complaint: Json = {"send": {"type": "error", "data": {"code": "malformed", "message": "no", "retryable": False}}}
    return [
        script("error-then-cut", [JOIN, error, {"cut": True}], events=[told, lost(4505, retry=False)], ends=4505),
        script("error-then-close", [JOIN, error, {"close": 4505}], events=[told, lost(4505, retry=False)], ends=4505),
        script(
            "resync-announced-then-cut",
            [JOIN, WELCOME, {"error": {"code": "resync"}, "id": None}, {"cut": True}],
            [resume(1), back(1)],
            events=[CONNECTED, {"error": "resync"}, lost(4003), *recovered()],
        ),
        script(
            "error-of-no-command",
            [JOIN, WELCOME, complaint, {"message": [2, "on"]}],
            events=[CONNECTED, {"error": "malformed"}, {"message": "on", "seq": 2}],
        ),
    ]


def _limited() -> list[Json]:
    """A join beyond a limit: the error names the least wait, whatever close follows."""
    error: Json = {"error": {"code": "rate_limited", "retryable": True, "retry_after_ms": 300}, "id": None}
    unavailable: Json = {"error": {"code": "unavailable", "retryable": True}, "id": None}
    told: Json = {"error": "rate_limited"}
    waits: Json = {"told_to_wait_ms": 300}
    return [
        script(
            f"join-limited-then-{name}",
            [JOIN, error, *steps],
            [waits, JOIN, WELCOME],
            events=[told, *events, CONNECTED],
        )
        for name, steps, events in (
            ("4004", [{"close": 4004}], [lost(4004)]),
            ("cut", [{"cut": True}], [lost(4004)]),
            ("another-error", [unavailable, {"close": 4002}], [{"error": "unavailable"}, lost(4002)]),
        )
    ] + [
        script(
            "resume-limited",
            [JOIN, WELCOME, {"cut": True}],
            [resume(1), error, {"close": 4004}],
            [waits, resume(1), back(1)],
            events=[CONNECTED, lost(CUT), told, lost(4004), *recovered()],
        ),
        script(
            "abuse-announced-then-cut",
            [JOIN, WELCOME, {"error": {"code": "abuse"}, "id": None}, {"cut": True}],
            events=[CONNECTED, {"error": "abuse"}, lost(4509, retry=False)],
            ends=4509,
        ),
    ]


def _told() -> list[Json]:
    """`reconnect` names the time to come back."""
    hint: Json = {"send": {"type": "reconnect", "data": {"reason": "restart", "after_ms": 300}}}
    return [
        script(
            f"reconnect-then-{name}",
            [JOIN, WELCOME, hint, step],
            [{"told_to_wait_ms": 300}, resume(1), back(1)],
            events=[CONNECTED, lost(code), *recovered()],
        )
        for name, step, code in (
            ("1012", {"close": 1012}, 1012),
            ("4003", {"close": 4003}, 4003),
            ("cut", {"cut": True}, CUT),
        )
    ] + [
        script(
            "reconnect-only-once",
            [JOIN, WELCOME, {"send": {"type": "reconnect", "data": {"reason": "x", "after_ms": 0}}}, {"close": 1012}],
            [{"refuse": 503}],
            [resume(1), {"cut": True}],
            [resume(1), back(1)],
            events=[CONNECTED, lost(1012), lost(503), lost(CUT), *recovered()],
        )
    ]
