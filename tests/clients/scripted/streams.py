"""Scripts: what comes down the connection is repeated, missing, out of place, garbage, unknown, batched or silent."""

from tests.clients.scripted.building import (
    CONNECTED,
    CUT,
    EPOCH,
    JOIN,
    OTHER_EPOCH,
    WELCOME,
    Json,
    back,
    lost,
    recovered,
    resume,
    says,
    script,
)

_TS = "2026-11-22T21:05:00.123Z"
_GARBAGE: dict[str, Json] = {
    "no-json": {"text": "{'type': 'message_received'}"},
    "nothing": {"text": ""},
    "a-number": {"text": "5"},
    "null": {"text": "null"},
    "a-text": {"text": '"welcome"'},
    "no-type": {"text": "{}"},
    "a-batch-of-numbers": {"text": "[1, 2]"},
    "nested-too-deeply": {"text": '{"type":"x","data":' + "[" * 5000 + "]" * 5000 + "}"},
    "wrong-data": {"send": {"type": "message_received", "seq": 2, "ts": _TS, "data": {"text": 5}}},
    "no-seq": {"send": {"type": "session_closed", "ts": _TS, "data": {}}},
    "a-text-as-seq": {"send": {"type": "session_closed", "seq": "2", "ts": _TS, "data": {}}},
    "binary": {"binary": "\x00\x01"},
    "a-second-welcome": {"welcome": {"seq": 9}},
}


def scripts() -> list[Json]:
    """All of them."""
    return [*_order(), *_resumes(), *_garbage(), *_kinds(), *_silence()]


def _order() -> list[Json]:
    two: Json = {"message": [2, "two"]}
    gap: Json = {"send": {"type": "gap", "data": {"from": 2, "to": 4}}}
    hole: list[Json] = [back(2, 2), {"message": [3, "three"]}, {"message": [4, "four"]}]
    mended = [lost(CUT), *recovered(), says(3, "three"), says(4, "four")]
    return [
        script(
            "duplicates",
            [JOIN, WELCOME, two, two, {"message": [1, "one"]}, {"message": [3, "three"]}, two],
            events=[CONNECTED, says(2, "two"), says(3, "three")],
        ),
        script(
            "hole",
            [JOIN, WELCOME, two, {"message": [4, "four"]}],
            [resume(2), *hole],
            events=[CONNECTED, says(2, "two"), *mended],
        ),
        script(
            "hole-again-and-again",
            [JOIN, WELCOME, two, {"message": [4, "four"]}],
            *[[resume(2), back(2, 2), {"message": [4, "four"]}]] * 3,
            [resume(2), *hole],
            events=[CONNECTED, says(2, "two"), *[lost(CUT), *recovered()] * 3, *mended],
        ),
        script(
            "gap",
            [JOIN, WELCOME, gap, {"message": [5, "five"]}],
            events=[CONNECTED, {"gap": [2, 4]}, says(5, "five")],
        ),
        script(
            "gap-of-what-is-known",
            [JOIN, {"welcome": {"seq": 4}}, gap, {"message": [5, "five"]}],
            events=[CONNECTED, says(5, "five")],
        ),
        script(
            "gap-beyond-a-hole",
            [JOIN, WELCOME, {"send": {"type": "gap", "data": {"from": 3, "to": 4}}}],
            [resume(1), back(1, 1), two],
            events=[CONNECTED, lost(CUT), *recovered(), says(2, "two")],
        ),
    ]


def _resumes() -> list[Json]:
    first: list[Json] = [JOIN, WELCOME, {"message": [2, "two"]}, {"cut": True}]
    begun: list[Json] = [CONNECTED, says(2, "two"), lost(CUT)]
    forgotten: Json = {"welcome": {"seq": 1000001, "epoch": OTHER_EPOCH}}
    elsewhere = [CONNECTED, {"not_recovered": [EPOCH, 2]}]
    countless: Json = {"recovered": True, "source": "history", "missed": None}
    liar: Json = {"recovered": True, "source": "log", "missed": 0}
    return [
        script(
            "not-recovered",
            first,
            [resume(2), {"welcome": {"seq": 900}}, {"message": [901, "on"]}],
            events=[*begun, *elsewhere, says(901, "on")],
        ),
        script(
            "new-epoch",
            first,
            [resume(2), forgotten, {"message": [1000002, "on"]}, {"cut": True}],
            [resume(1000002, OTHER_EPOCH), {"welcome": {"seq": 1000002, "epoch": OTHER_EPOCH, "resumed": liar}}],
            events=[*begun, *elsewhere, says(1000002, "on"), lost(CUT), *recovered()],
        ),
        script(
            "known-message-in-a-new-epoch",
            first,
            [resume(2), forgotten, {"message": [1000002, "two"], "id": "m2"}, {"message": [1000003, "three"]}],
            events=[*begun, *elsewhere, says(1000003, "three")],
        ),
        script(
            "recovered-with-a-wrong-epoch",
            first,
            [resume(2), {"welcome": {"seq": 2, "epoch": OTHER_EPOCH, "resumed": liar}}, {"message": [3, "on"]}],
            events=[*begun, *elsewhere, says(3, "on")],
        ),
        script(
            "recovered-with-a-wrong-seq",
            first,
            [resume(2), {"welcome": {"seq": 5, "resumed": liar}}, {"message": [6, "on"]}],
            events=[*begun, *elsewhere, says(6, "on")],
        ),
        script(
            "history",
            first,
            [resume(2), back(2, 2, "history"), *({"message": [seq, f"{seq}"]} for seq in (10, 20, 31, 32))],
            events=[*begun, *recovered("history"), *(says(seq, f"{seq}") for seq in (10, 20, 31, 32))],
        ),
        script(
            "history-too-long-to-count",
            first,
            [
                resume(2),
                {"welcome": {"seq": 2, "resumed": {**countless, "missed_at_least": 10_001}}},
                *({"message": [seq, f"{seq}"]} for seq in (10, 20, 31, 33)),
            ],
            events=[*begun, *recovered("history"), *(says(seq, f"{seq}") for seq in (10, 20, 31, 33))],
        ),
        script(
            "hole-after-history",
            first,
            [resume(2), back(2, 1, "history"), *({"message": [seq, f"{seq}"]} for seq in (10, 20, 22))],
            [resume(20), back(20, 2), {"message": [21, "21"]}, {"message": [22, "22"]}],
            events=[
                *begun,
                *recovered("history"),
                *(says(seq, f"{seq}") for seq in (10, 20)),
                lost(CUT),
                *recovered(),
                *(says(seq, f"{seq}") for seq in (21, 22)),
            ],
        ),
    ]


def _garbage() -> list[Json]:
    """What can't be understood may have been an event: a new connection brings it again."""
    return [
        script(
            f"garbage-{name}",
            [JOIN, WELCOME, step],
            [resume(1), back(1, 1), {"message": [2, "two"]}],
            events=[CONNECTED, lost(CUT), *recovered(), says(2, "two")],
        )
        for name, step in _GARBAGE.items()
    ] + [
        script(
            "event-before-the-welcome",
            [JOIN, {"message": [2, "two"]}],
            [JOIN, WELCOME],
            events=[lost(CUT), CONNECTED],
        )
    ]


def _kinds() -> list[Json]:
    ben: Json = {"user": {"id": "u-ben", "name": "Ben"}}
    sequenced: list[Json] = [
        {"type": "user_joined", "seq": 2, "ts": _TS, "data": {**ben, "user_count": 2}},
        {"type": "user_left", "seq": 3, "ts": _TS, "data": {**ben, "user_count": 1, "reason": "lost"}},
        {"type": "dance", "seq": 4, "ts": _TS, "data": {"steps": [1, 2]}},
    ]
    ephemeral: list[Json] = [
        {"type": "user_typing", "ts": _TS, "data": ben},
        {"type": "spirit_thinking", "ts": _TS, "data": {}},
        {"type": "presence_changed", "ts": _TS, "data": {"user_count": 7}},
        {"type": "persisted", "data": {"seq": 3}},
        {"type": "weather"},
        {"type": "pong", "id": 99, "data": {}},
        {"type": "ack", "id": 99, "data": {"seq": 3, "message_id": "x", "level": "accepted"}},
    ]
    closed: Json = {"type": "session_closed", "seq": 5, "ts": _TS, "data": {}}
    told: list[Json] = [
        CONNECTED,
        {"joined": "Ben"},
        {"left": "Ben"},
        {"unknown": "dance"},
        {"typing": "Ben"},
        {"thinking": True},
        {"count": 7},
        {"persisted": 3},
        {"unknown": "weather"},
        {"closed": 5},
        lost(4504, retry=False),
    ]
    every = [*sequenced, *ephemeral, closed]
    plain: list[Json] = [JOIN, WELCOME, *({"send": event} for event in every), {"close": 4504}]
    batched: list[Json] = [
        JOIN,
        WELCOME,
        {"send": sequenced},
        {"send": []},
        {"send": [*ephemeral, closed]},
        {"close": 4504},
    ]
    return [
        script("every-kind", plain, events=told, ends=4504),
        script("every-kind-in-batches", batched, events=told, ends=4504, wants_batches=True),
        script("batches-not-asked-for", batched, events=told, ends=4504),
        script(
            "slow-fragments",
            [
                JOIN,
                WELCOME,
                {"fragments": ['{"type":"user_typing","ts":"x",', '"data":{"user":{"id":null,', '"name":"Ben"}}}']},
            ],
            events=[CONNECTED, {"typing": "Ben"}],
        ),
    ]


def _silence() -> list[Json]:
    ping: Json = {"expect": {"type": "ping"}}
    quick: Json = {"welcome": {"heartbeat_seconds": 0.1}}
    # A client that is late by less than this, on a busy machine, is not silent for too long.
    calm: Json = {"welcome": {"heartbeat_seconds": 0.4}}
    return [
        script(
            "silent",
            [JOIN, quick, ping],
            [resume(1), back(1)],
            events=[CONNECTED, lost(CUT), *recovered()],
        ),
        script(
            "quiet-but-alive",
            [JOIN, calm, *[ping, {"pong": True}] * 4, {"message": [2, "still here"]}, {"close": 4504}],
            events=[CONNECTED, says(2, "still here"), lost(4504, retry=False)],
            ends=4504,
        ),
        script(
            "silent-before-the-welcome",
            [JOIN],
            [JOIN, WELCOME],
            events=[lost(CUT), CONNECTED],
            join_timeout_ms=200,
        ),
    ]
