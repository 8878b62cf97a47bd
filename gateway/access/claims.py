"""The claims of an access token: what its holder is allowed (scope), in which session, as whom."""

import uuid
from typing import Annotated, Literal, Self, get_args

import msgspec
from msgspec import Meta

Scope = Literal["sessions:create", "sessions:join", "user", "host", "publish", "spirit", "admin"]
SCOPES: frozenset[str] = frozenset(get_args(Scope))
# 9999-12-31T23:59:59Z, the last second that Postgres and Python can write as a date.
LAST_INSTANT = 253_402_300_799

Text = Annotated[str, Meta(min_length=1, max_length=255)]
Instant = Annotated[int, Meta(ge=0, le=LAST_INSTANT)]


class Claims(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "session_id": "sid",
        "subject": "sub",
        "token_id": "jti",
        "issued_at": "iat",
        "expires_at": "exp",
        "issuer": "iss",
        "application_subject": "app_sub",
    },
):
    """The claims of a token.

    Minting adds `issued_at` and `expires_at` (seconds since the epoch), `issuer`, and a `token_id` unless there is one:
    a token that renews another one has the same, so that both are revoked together.

    `session_id` binds the token to a session; None: the token is good for every session. What `subject` names depends
    on the scope: `user`: the user's id in the session; `sessions:join`: the application's own id of the person;
    `sessions:create`: the tenant. `name` is the user's name (scopes `user` and `sessions:join`).

    `application_subject` is in the `user` tokens that a gateway made for the token of an application or of an identity
    provider: what `sub` was there, or an empty text.
    """

    scope: Scope
    session_id: Text | None = None
    subject: Text | None = None
    name: Text | None = None
    token_id: Text | None = None
    issued_at: Instant | None = None
    expires_at: Instant | None = None
    issuer: Text | None = None
    application_subject: Annotated[str, Meta(max_length=255)] | None = None

    def __post_init__(self) -> None:
        if self.session_id is None and self.scope in {"user", "host"}:
            raise ValueError(f"a token with scope `{self.scope}` needs `sid`")
        if self.session_id is not None and not _is_uuid(self.session_id):
            raise ValueError("`sid` must be a UUID, the id of the session")
        if self.scope == "user":
            if self.subject is None or self.name is None:
                raise ValueError("a token with scope `user` needs `sub` and `name`")
            if not _is_uuid(self.subject):
                raise ValueError("`sub` of a token with scope `user` must be a UUID, the user's id in the session")
        if self.scope == "sessions:join" and self.name is None:
            raise ValueError("a token with scope `sessions:join` needs `name`")

    @classmethod
    def user(cls, session_id: str, user_id: str, name: str) -> Self:
        """The claims of a user of the session."""
        return cls(scope="user", session_id=session_id, subject=user_id, name=name)

    @classmethod
    def host(cls, session_id: str) -> Self:
        """The claims of the host of the session."""
        return cls(scope="host", session_id=session_id)

    @classmethod
    def publish(cls, session_id: str | None = None) -> Self:
        """The claims of a server that publishes into the session, or into every session."""
        return cls(scope="publish", session_id=session_id)

    def user_id_in(self, session_id: str) -> str | None:
        """The id of the user as whom the holder joins this session, the same at each join; None: a new user each time.

        For scope `sessions:join` a name-based UUID (RFC 9562, version 5) of session, issuer and subject: the same
        person is the same user of a session, and different users of two sessions.
        """
        if self.scope == "user":
            return self.subject
        if self.scope == "sessions:join" and self.subject is not None:
            return str(uuid.uuid5(uuid.UUID(session_id), f"{self.issuer}\n{self.subject}"))
        return None


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
