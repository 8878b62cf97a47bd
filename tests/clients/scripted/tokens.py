"""Scripts: tokens that are renewed, that are about to end, that have ended, and that a gateway refuses."""

from tests.clients.scripted.building import (
    CONNECTED,
    CUT,
    JOIN,
    TOKEN,
    WELCOME,
    Json,
    back,
    lost,
    recovered,
    resume,
    script,
)

_NEW, _NEWER = "second-token-of-ana", "third-token-of-ana"
_EXPIRING: Json = {"send": {"type": "token_expiring", "data": {"in_seconds": 60}}}
_REFUSED: Json = {"error": {"code": "unauthorized"}, "id": None}


def scripts() -> list[Json]:
    """All of them."""
    return [*_renewals(), *_first_tokens(), *_ended()]


def _renewal(token: str, **rest: object) -> Json:
    return {"renew": {"token": token, "expires_in_seconds": 3600}, **rest}


def _refresh(token: str) -> Json:
    return {"expect": {"type": "refresh", "token": token}}


def _joins(token: str | None) -> Json:
    return {"expect": {"type": "join", "name": "Ana", "token": token, "resume": None}}


def _renewals() -> list[Json]:
    told: Json = {"token_expiring": 60}
    retry: Json = {"code": "unavailable", "retryable": True, "retry_after_ms": 40}
    cut: Json = {"cut": True}
    answered: Json = {"renew": {"token": _NEW, "expires_in_seconds": 3600}, "of": -1}
    renewed: Json = {"token_renewed": _NEW}
    return [
        script(
            "renewed-by-the-gateway",
            [JOIN, WELCOME, _renewal(_NEW), _renewal(_NEWER), cut],
            [resume(1, token=_NEWER), back(1)],
            events=[CONNECTED, renewed, {"token_renewed": _NEWER}, lost(CUT), *recovered()],
        ),
        script(
            "expiring-without-a-provider",
            [JOIN, WELCOME, _EXPIRING, {"message": [2, "on"]}, _REFUSED, {"close": 4501}],
            events=[CONNECTED, told, {"message": "on", "seq": 2}, {"error": "unauthorized"}, lost(4501, retry=False)],
            ends=4501,
        ),
        script(
            "expiring-with-a-provider",
            [_joins("first"), WELCOME, _EXPIRING, _refresh("second"), answered, cut],
            [resume(1, token=_NEW), back(1)],
            events=[CONNECTED, told, renewed, lost(CUT), *recovered()],
            tokens=["first", "second"],
        ),
        script(
            "refresh-refused-for-now",
            [
                _joins("first"),
                WELCOME,
                _EXPIRING,
                _refresh("second"),
                {"error": retry},
                _refresh("third"),
                {"told_to_wait_ms": 40},
                answered,
            ],
            events=[CONNECTED, told, {"error": "unavailable"}, renewed],
            tokens=["first", "second", "third"],
        ),
        script(
            "refresh-refused",
            [
                _joins("first"),
                WELCOME,
                _EXPIRING,
                _refresh("second"),
                {"error": {"code": "unauthorized"}},
                _REFUSED,
                {"close": 4501},
            ],
            [resume(1, token="third"), back(1)],
            events=[CONNECTED, told, *[{"error": "unauthorized"}] * 2, lost(4501), *recovered()],
            tokens=["first", "second", "third"],
        ),
        script(
            "nothing-to-refresh-with",
            [_joins("first"), WELCOME, _EXPIRING, {"message": [2, "on"]}],
            events=[CONNECTED, told, {"message": "on", "seq": 2}],
            tokens=["first", None],
        ),
    ]


def _first_tokens() -> list[Json]:
    return [
        script("no-token-at-all", events=[lost(4501, retry=False)], ends=4501, tokens=[None]),
        script(
            "no-token-for-now",
            [_joins("first"), WELCOME],
            events=[lost(CUT), CONNECTED],
            tokens=[{"fails": "the identity provider is away"}, "first"],
        ),
        script(
            "first-token-refused",
            [_joins("first"), _REFUSED, {"close": 4501}],
            events=[{"error": "unauthorized"}, lost(4501, retry=False)],
            ends=4501,
            tokens=["first", "never asked for"],
        ),
    ]


def _ended() -> list[Json]:
    """The token ends while the client is away."""
    brief: Json = {"welcome": {"token_expires_in_seconds": 0}}
    return [
        script(
            "ended-with-a-provider",
            [_joins("first"), brief, {"cut": True}],
            [resume(1, token="second"), back(1)],
            events=[CONNECTED, lost(CUT), *recovered()],
            tokens=["first", "second"],
        ),
        script(
            "ended-without-a-provider",
            [JOIN, brief, {"cut": True}],
            [resume(1), _REFUSED, {"close": 4501}],
            events=[CONNECTED, lost(CUT), {"error": "unauthorized"}, lost(4501, retry=False)],
            ends=4501,
        ),
        script(
            "ended-and-no-token-any-more",
            [_joins("first"), brief, {"cut": True}],
            events=[CONNECTED, lost(CUT), lost(4501, retry=False)],
            ends=4501,
            tokens=["first", None],
        ),
        script(
            "ended-while-connected",
            [_joins("first"), WELCOME, _REFUSED, {"close": 4501}],
            [resume(1, token="second"), back(1)],
            events=[CONNECTED, {"error": "unauthorized"}, lost(4501), *recovered()],
            tokens=["first", "second"],
        ),
        script(
            "kept-with-a-provider",
            [_joins("first"), WELCOME, {"cut": True}],
            [resume(1, token=TOKEN), back(1)],
            events=[CONNECTED, lost(CUT), *recovered()],
            tokens=["first", "never asked for"],
        ),
    ]
