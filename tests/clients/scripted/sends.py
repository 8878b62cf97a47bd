"""Scripts: what becomes of messages when the gateway refuses, forgets, repeats itself or goes away."""

from tests.clients.scripted.building import (
    CONNECTED,
    CUT,
    EPOCH,
    JOIN,
    OTHER_EPOCH,
    SAYS,
    TOKEN,
    WELCOME,
    Json,
    back,
    lost,
    recovered,
    resume,
    script,
)

_SEND: list[Json] = [{"send": "hi"}]
_THREE: list[Json] = [{"send": text} for text in "abc"]
_LATER: Json = {"code": "unavailable", "retryable": True, "retry_after_ms": 20}


def scripts() -> list[Json]:
    """All of them."""
    return [*_answers(), *_retries(), *_limited(), *_reconnects()]


def _said(text: str) -> Json:
    return {"expect": {"type": "message", "text": text}}


def _keyed(text: str) -> Json:
    return {"expect": {"type": "message", "text": text, "key": f"key-{text}"}}


def _answers() -> list[Json]:
    refusals = {
        "validation_error": "invalid",
        "session_closed": "refused",
        "unavailable": "not_stored",
        "something_new": "refused",
    }
    acks: list[Json] = [{"ack": {"seq": 4}, "of": 2}, {"ack": {"seq": 2}, "of": 0}, {"ack": {"seq": 3}, "of": 1}]
    return [
        *(
            script(
                f"{code}-is-final",
                [JOIN, WELCOME, SAYS, {"error": {"code": code}}],
                do=_SEND,
                sends=[{"error": error}],
                events=[CONNECTED],
            )
            for code, error in refusals.items()
        ),
        script(
            "answers-out-of-order",
            [JOIN, WELCOME, *map(_said, "abc"), *acks],
            do=_THREE,
            sends=[{"ack": 2}, {"ack": 3}, {"ack": 4}],
            events=[CONNECTED],
        ),
        script(
            "answers-twice",
            [JOIN, WELCOME, SAYS, {"ack": {"seq": 2}}, {"ack": {"seq": 9}}, {"error": {"code": "unavailable"}}],
            do=_SEND,
            sends=[{"ack": 2}],
            events=[CONNECTED, {"error": "unavailable"}],
        ),
        script(
            "persisted",
            [
                JOIN,
                WELCOME,
                {"expect": {"type": "message", "text": "hi", "ack": "persisted"}},
                {"ack": {"seq": 2, "level": "persisted"}},
            ],
            do=[{"send": "hi", "ack": "persisted"}],
            sends=[{"ack": 2}],
            events=[CONNECTED],
        ),
        script(
            "key-of-the-caller",
            [JOIN, WELCOME, {"expect": {"type": "message", "key": "mine"}}, {"cut": True}],
            [resume(1), back(1), {"expect": {"type": "message", "key": "mine"}}, {"ack": {"seq": 2}}],
            do=[{"send": "hi", "key": "mine"}],
            sends=[{"ack": 2}],
            events=[CONNECTED, lost(CUT), *recovered()],
        ),
        script(
            "too-long-to-be-sent",
            [JOIN, WELCOME],
            do=[{"send": "x" * 501}, {"send": "  "}, {"send": "x", "key": "k" * 65}],
            sends=[{"error": "invalid"}] * 3,
            events=[CONNECTED],
        ),
    ]


def _retries() -> list[Json]:
    limited: Json = {"code": "rate_limited", "retryable": True, "retry_after_ms": 20}
    return [
        script(
            "refused-for-now",
            [JOIN, WELCOME, SAYS, {"error": _LATER}, SAYS, {"error": limited}, SAYS, {"ack": {"seq": 2}}],
            do=_SEND,
            sends=[{"ack": 2}],
            events=[CONNECTED],
        ),
        script(
            "refused-for-now-in-order",
            [
                JOIN,
                WELCOME,
                *map(_said, "abc"),
                *({"error": {**_LATER, "retry_after_ms": 500}, "of": number} for number in (2, 1, 0)),
                *map(_said, "abc"),
                *({"ack": {"seq": 2 + number}, "of": 3 + number} for number in range(3)),
            ],
            do=_THREE,
            sends=[{"ack": 2}, {"ack": 3}, {"ack": 4}],
            events=[CONNECTED],
        ),
        script(
            "refused-for-now-then-cut",
            [JOIN, WELCOME, SAYS, {"error": {**_LATER, "retry_after_ms": 60_000}}, {"cut": True}],
            [resume(1), back(1), SAYS, {"ack": {"seq": 2}}],
            do=_SEND,
            sends=[{"ack": 2}],
            events=[CONNECTED, lost(CUT), *recovered()],
        ),
    ]


def _limited() -> list[Json]:
    """Messages beyond a rate: each is sent again with its key, in order, and one at a time."""
    limited: Json = {"code": "rate_limited", "retryable": True, "retry_after_ms": 40}
    keyed: list[Json] = [{"send": text, "key": f"key-{text}"} for text in "abc"]

    def again(text: str, seq: int) -> list[Json]:
        return [_keyed(text), {"told_to_wait_ms": 40}, {"ack": {"seq": seq}}]

    return [
        script(
            "rate-limited-in-order",
            [
                JOIN,
                WELCOME,
                *map(_keyed, "abc"),
                *({"error": limited, "of": number} for number in range(3)),
                *again("a", 2),
                _keyed("b"),
                {"error": limited},
                *again("b", 3),
                _keyed("c"),
                {"ack": {"seq": 4}},
            ],
            do=keyed,
            sends=[{"ack": 2}, {"ack": 3}, {"ack": 4}],
            events=[CONNECTED],
        ),
        script(
            "rate-limited-then-cut",
            [
                JOIN,
                WELCOME,
                *map(_keyed, "ab"),
                {"error": limited, "of": 0},
                {"error": limited, "of": 1},
                {"cut": True},
            ],
            [resume(1), back(1), _keyed("a"), {"ack": {"seq": 2}}, _keyed("b"), {"ack": {"seq": 3}}],
            do=keyed[:2],
            sends=[{"ack": 2}, {"ack": 3}],
            events=[CONNECTED, lost(CUT), *recovered()],
        ),
    ]


def _reconnects() -> list[Json]:
    forgotten: Json = {"welcome": {"seq": 1000001, "epoch": OTHER_EPOCH}}
    return [
        script(
            "kept-in-order-over-reconnects",
            [JOIN, WELCOME, *map(_said, "abc"), {"ack": {"seq": 3}, "of": 1}, {"cut": True}],
            [resume(1), {"close": 4002}],
            [resume(1), back(1), _said("a"), _said("c"), {"cut": True}],
            [
                resume(1),
                back(1),
                _said("a"),
                {"ack": {"seq": 2}},
                _said("c"),
                {"ack": {"seq": 4}},
            ],
            do=_THREE,
            sends=[{"ack": 2}, {"ack": 3}, {"ack": 4}],
            events=[CONNECTED, lost(CUT), lost(4002), *recovered(), lost(CUT), *recovered()],
        ),
        script(
            "sent-while-away",
            [JOIN, WELCOME, {"close": 4002}],
            [{"refuse": 503, "retry_after": 1}],
            [resume(1), back(1), _said("hi"), {"ack": {"seq": 2}}],
            do=[{"until": {"disconnected": 503}}, {"send": "hi"}],
            sends=[{"ack": 2}],
            events=[CONNECTED, lost(4002), lost(503), *recovered()],
        ),
        script(
            "not-repeated-in-a-new-epoch",
            [JOIN, WELCOME, SAYS, {"cut": True}],
            [
                {"expect": {"type": "join", "token": TOKEN, "resume": {"epoch": EPOCH, "seq": 1}}},
                forgotten,
                _said("next"),
                {"ack": {"seq": 1000002}},
            ],
            do=[{"send": "hi"}, {"until": {"not_recovered": [EPOCH, 1]}}, {"send": "next"}],
            sends=[{"error": "unconfirmed"}, {"ack": 1000002}],
            events=[CONNECTED, lost(CUT), CONNECTED, {"not_recovered": [EPOCH, 1]}],
        ),
    ]
