"""`seance chat`: take part in a session, from a terminal or a pipe."""

import asyncio
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import click

from cluster.commands.context import FailedError, NotRunningError, home_option

# The end of an address that people copy: of the chat page, of a session's WebSocket, or of a session over REST.
_OWN_PATH = re.compile(r"/(?:chat|docs|(?:ws|api/sessions)(?:/.*)?)/?$")
_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@click.command()
@click.argument("target", required=False, metavar="[SESSION_ID|URL]")
@click.option("--url", help="Address of a gateway or balancer.  [default: the local cluster's]")
@click.option("--name", help="Your name in the session.")
@click.option("--password", envvar="SEANCE_PASSWORD", help="The session's password, or the one to --create it with.")
@click.option(
    "--token", envvar="SEANCE_TOKEN", help="Come as the user of this token, or as host; with --create: to create."
)
@click.option("--proxy", help="URL of a proxy.  [default: https_proxy, http_proxy and no_proxy; none for loopback]")
@click.option("--create", "create_name", metavar="NAME", help="Make a session of this name first, and print its id.")
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    help="Seconds that the first connection, and each message, may take.",
)
@home_option
def chat(
    *,
    target: str | None,
    url: str | None,
    name: str | None,
    password: str | None,
    token: str | None,
    proxy: str | None,
    create_name: str | None,
    timeout_seconds: float,
    home: Path,
) -> None:
    """Talk in a session; it reconnects and resumes by itself. /quit, Ctrl-D or Ctrl-C leaves.

    The URL may hold the session's id: http://localhost:8000/ws/ID. With pipes every line read is a message and events
    are printed; it ends with the input, once all is acknowledged. Exit code 1: something was not said, or the session
    ended.
    """
    base, session_id = _place(target, url)
    if (session_id is None) == (create_name is None):
        raise click.UsageError("say which session: its id, a URL that holds it, or --create NAME")
    if name is None and (token is None or session_id is None):
        name = _ask_name()
    base = base or _local_url(home)
    if session_id is None:
        session_id, host_token = asyncio.run(_created(base, create_name or "", password, token, proxy))
        click.echo(session_id)
        # A token that may create sessions need not admit to them; the host's does.
        token = host_token if token is not None else None
    options = {"name": name, "token": token, "password": password, "proxy": proxy}
    has_succeeded = asyncio.run(_converse(base, session_id, options, timeout_seconds))
    if not has_succeeded:
        raise SystemExit(1)


def _place(target: str | None, url: str | None) -> tuple[str | None, str | None]:
    """The gateway's address and the session's id, each None when the command line does not hold it."""
    if target is None or _ID.fullmatch(target):
        return url, target
    parts = urlsplit(target)
    if parts.scheme not in {"http", "https", "ws", "wss"} or not parts.hostname:
        raise click.UsageError(f"{target!r} is neither a session's id (a UUID) nor a URL such as http://localhost:8000")
    if url is not None:
        raise click.UsageError("there are two URLs; leave --url out")
    found = _ID.search(target)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    # What remains may be a path below which a proxy serves the gateways.
    path = _OWN_PATH.sub("", parts.path).rstrip("/")
    return urlunsplit((scheme, parts.netloc, path, "", "")), found.group() if found else None


def _ask_name() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError("who are you? Say --name, or --token without --create")
    name: str = click.prompt("Your name")
    return name


def _local_url(home: Path) -> str:
    from cluster.control.local import status_of
    from cluster.control.protocol import ControlError
    from cluster.state.home import Home

    try:
        status = status_of(Home(home.resolve()))
    except ControlError as error:
        raise FailedError(str(error)) from error
    if status is None or status.url is None:
        raise NotRunningError
    return status.url


async def _created(
    url: str, name: str, password: str | None, token: str | None, proxy: str | None
) -> tuple[str, str | None]:
    """The id and the host token of a new session."""
    from seance_client import UsageError
    from seance_client.rest import Rest, RestError

    try:
        async with Rest(url, token=token, proxy=proxy) as rest:
            session = await rest.create_session(name, password=password)
            return session.id, session.host_token
    except RestError as error:
        details = "".join(f"; {problem.message}" for problem in error.details)
        raise FailedError(f"no session was made: {error}{details}") from error
    except UsageError as error:
        raise FailedError(str(error)) from error


async def _converse(url: str, session_id: str, options: dict[str, str | None], timeout_seconds: float) -> bool:
    from seance_client import Client

    from cluster.chat.conversation import Conversation
    from cluster.chat.terminal import open_terminal

    try:
        client = Client(
            url,
            session_id,
            name=options["name"],
            token=options["token"],
            password=options["password"],
            proxy=options["proxy"],
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with open_terminal() as terminal:
        return await Conversation(client, terminal, timeout_seconds).run()
