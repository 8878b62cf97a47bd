"""`seance token`: mints access tokens."""

import uuid

import click

from cluster.commands.context import settings_in_force

_SCOPES = ("sessions:create", "sessions:join", "user", "host", "publish", "spirit", "admin")
# The options that a scope needs, and those that mean nothing with it.
_NEEDS = {"sessions:join": ("--name",), "user": ("--session", "--name"), "host": ("--session",)}
_TAKES_NOT = {
    "sessions:create": ("--session", "--name"),
    "host": ("--name",),
    "publish": ("--name",),
    "spirit": ("--name",),
    "admin": ("--session", "--name"),
}


@click.command()
@click.option("--scope", type=click.Choice(_SCOPES), required=True, help="What the token allows.")
@click.option("--session", "session_id", type=click.UUID, help="The session to which it is bound.  [default: all]")
@click.option("--name", help="The user's name (scopes `user` and `sessions:join`).")
@click.option(
    "--sub",
    "subject",
    help="Whose token this is: the application's id of the person or tenant; scope `user`: the user's id, a UUID.",
)
@click.option(
    "--expires",
    "expires_seconds",
    type=click.IntRange(min=1),
    help="Seconds for which the token is valid.  [default: JWT_EXPIRES_SECONDS]",
)
def token(
    scope: str, session_id: uuid.UUID | None, name: str | None, subject: str | None, expires_seconds: int | None
) -> None:
    """Mint an access token, signed with JWT_SECRET, and print it."""
    import msgspec

    from gateway.access.claims import Claims
    from gateway.access.tokens import Tokens
    from gateway.names.validator import InvalidNameError, normalized_user

    session = None if session_id is None else str(session_id)
    given = {option for option, value in (("--session", session), ("--name", name)) if value is not None}
    if missing := [option for option in _NEEDS.get(scope, ()) if option not in given]:
        raise click.UsageError(f"a token with scope `{scope}` needs {' and '.join(missing)}")
    if idle := [option for option in _TAKES_NOT.get(scope, ()) if option in given]:
        raise click.UsageError(f"a token with scope `{scope}` takes no {' and no '.join(idle)}")
    if scope == "user" and subject is None:
        subject = str(uuid.uuid4())
    try:
        name = None if name is None else normalized_user(name)
    except InvalidNameError as error:
        raise click.BadParameter(str(error), param_hint="--name") from error
    stated = {"scope": scope, "sid": session, "sub": subject, "name": name}
    try:
        claims = msgspec.convert({claim: value for claim, value in stated.items() if value is not None}, Claims)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from error
    settings, _ = settings_in_force()
    minted = Tokens(settings.jwt_secret, settings.jwt_expires_seconds)
    click.echo(minted.create_access_token(claims, expires_seconds=expires_seconds))
