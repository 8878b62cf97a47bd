"""Scripts: a connection ends in every way, at every moment."""

from tests.clients.scripted.building import (
    CONNECTED,
    CUT,
    JOIN,
    SAYS,
    WELCOME,
    Json,
    back,
    ending,
    lost,
    recovered,
    resume,
    says,
    script,
)

RETRIED = (1001, 1002, 1011, 1012, 3000, 4000, 4001, 4002, 4003, 4499, CUT)
FINAL = (1000, 1009, 4500, 4501, 4502, 4503, 4504, 4505, 4506, 4507, 4508, 4509, 4999)


def scripts() -> list[Json]:
    """Every way to end a connection, at every moment."""
    return [script for code in RETRIED for script in _retried(code)] + [
        script for code in FINAL for script in _final(code)
    ]


def _retried(code: int) -> list[Json]:
    end, gone = ending(code), lost(code)
    send: list[Json] = [{"send": "hi"}]
    again = [gone, *recovered()]
    return [
        script(f"{code}-before-the-join", [end], [JOIN, WELCOME], events=[gone, CONNECTED]),
        script(f"{code}-before-the-welcome", [JOIN, end], [JOIN, WELCOME], events=[gone, CONNECTED]),
        script(
            f"{code}-after-the-welcome",
            [JOIN, WELCOME, end],
            [resume(1), back(1, 1), {"message": [2, "missed"]}],
            events=[CONNECTED, *again, says(2, "missed")],
        ),
        script(
            f"{code}-between-send-and-ack",
            [JOIN, WELCOME, SAYS, end],
            [resume(1), back(1, 1), {"message": [2, "hi"]}, SAYS, {"ack": {"seq": 2}}],
            do=send,
            sends=[{"ack": 2}],
            events=[CONNECTED, *again, says(2, "hi")],
        ),
        script(
            f"{code}-after-the-ack-before-the-event",
            [JOIN, WELCOME, SAYS, {"ack": {"seq": 2}}, end],
            [resume(1), back(1, 1), {"message": [2, "hi"]}],
            do=send,
            sends=[{"ack": 2}],
            events=[CONNECTED, *again, says(2, "hi")],
        ),
        script(
            f"{code}-after-the-event-before-the-ack",
            [JOIN, WELCOME, SAYS, {"message": [2, "hi"]}, end],
            [resume(2), back(2), SAYS, {"ack": {"seq": 2}}],
            do=send,
            sends=[{"ack": 2}],
            events=[CONNECTED, says(2, "hi"), *again],
        ),
    ]


def _final(code: int) -> list[Json]:
    end, gone = ending(code), lost(code, retry=False)
    send: list[Json] = [{"send": "hi"}]
    failed: list[Json] = [{"error": "ended"}]
    return [
        script(f"{code}-before-the-join", [end], events=[gone], ends=code),
        script(f"{code}-before-the-welcome", [JOIN, end], events=[gone], ends=code),
        script(f"{code}-after-the-welcome", [JOIN, WELCOME, end], events=[CONNECTED, gone], ends=code),
        script(
            f"{code}-between-send-and-ack",
            [JOIN, WELCOME, SAYS, end],
            do=send,
            sends=failed,
            events=[CONNECTED, gone],
            ends=code,
        ),
        script(
            f"{code}-after-the-ack-before-the-event",
            [JOIN, WELCOME, SAYS, {"ack": {"seq": 2}}, end],
            do=send,
            sends=[{"ack": 2}],
            events=[CONNECTED, gone],
            ends=code,
        ),
    ]
