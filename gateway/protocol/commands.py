"""The client's commands as tagged structs, decoded and checked. Unknown extra fields are ignored."""

import json
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from broker.secrecy import concealed
from gateway.names.validator import MAX_USER_NAME, InvalidNameError, normalized_user
from gateway.violations import choices_of, in_words

MAX_TEXT = 500
MAX_KEY = 64
MAX_TOKEN = 4096
# Many clients lose precision above 2^53; the decoder can check bounds of 64 bits.
Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
CommandId = Integer | Annotated[str, Meta(max_length=64)] | None
# For the schemas only: `decode` trims the text and the name, and then checks their lengths.
_TEXT = {"minLength": 1, "maxLength": MAX_TEXT}
_NAME = {"minLength": 1, "maxLength": MAX_USER_NAME}


class Resume(msgspec.Struct, frozen=True):
    """The last event that a returning client has seen."""

    epoch: Annotated[str, Meta(max_length=64)]
    seq: Integer


class Join(msgspec.Struct, frozen=True, tag="join"):
    """The first command: the user's name or token, the password, and the event to resume after."""

    id: CommandId = None
    name: Annotated[
        Annotated[str, Meta(extra_json_schema=_NAME)] | None,
        Meta(description="Unique in the session, also by its looks; ignored with a token that gives a name."),
    ] = None
    token: Annotated[
        Annotated[str, Meta(max_length=MAX_TOKEN)] | None,
        Meta(
            description="The token of an earlier `welcome`, one of the application (`sessions:join`), or a host token."
        ),
    ] = None
    password: Annotated[
        Annotated[str, Meta(max_length=128)] | None, Meta(description="The session's password, if it has one.")
    ] = None
    resume: Annotated[Resume | None, Meta(description="Asks for the events after this one.")] = None

    def __repr__(self) -> str:
        return concealed(self, "token", "password")


class Message(msgspec.Struct, frozen=True, tag="message"):
    """Send a message to the session."""

    text: Annotated[str, Meta(extra_json_schema=_TEXT, description="Length counts in code points, after trimming.")]
    id: CommandId = None
    key: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_KEY)] | None,
        Meta(description="For 5 minutes the same key of the same user delivers the message once."),
    ] = None
    ack: Annotated[
        Literal["accepted", "persisted"],
        Meta(description="When the `ack` comes: once the message is in Redis, or once it is committed in Postgres."),
    ] = "accepted"


class Typing(msgspec.Struct, frozen=True, tag="typing"):
    """Tell the session's other users that this user is typing."""

    id: CommandId = None


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Ask for a pong."""

    id: CommandId = None


class Refresh(msgspec.Struct, frozen=True, tag="refresh"):
    """Go on with another token of the same user, before the connection's token ends."""

    token: Annotated[str, Meta(max_length=MAX_TOKEN, description="A token that admits the same user to the session.")]
    id: CommandId = None

    def __repr__(self) -> str:
        return concealed(self, "token")


class Leave(msgspec.Struct, frozen=True, tag="leave"):
    """Give up the seat."""

    id: CommandId = None


Command = Join | Message | Typing | Ping | Refresh | Leave


class CommandError(Exception):
    """The client's command is invalid. The gateway answers with an `error` event; the connection goes on."""

    def __init__(self, code: str, message: str, *, field: str | None = None, command_id: CommandId = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.command_id = command_id


class _Answerable(msgspec.Struct):
    id: CommandId = None


_decode = msgspec.json.Decoder(Command).decode
_decode_answerable = msgspec.json.Decoder(_Answerable).decode
_AT = re.compile(r"^(?P<what>.*) - at `\$\.?(?P<path>[^`]*)`$", re.DOTALL)  # `what` may have line breaks
_CHOICES = {
    field.name: choices_of(field.type) for struct in Command.__args__ for field in msgspec.structs.fields(struct)
}
_MISSING = re.compile(r"^Object missing required field `(?P<field>\w+)`")


def decode(payload: bytes) -> Command:
    """Decode a text frame to a command, with the text trimmed, the name in its one form, and all limits checked.

    Raises CommandError.
    """
    try:
        command: Command = _decode(payload)
    except msgspec.ValidationError as error:
        raise _explain(payload, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = "the frame is not JSON, or nested too deeply"
        raise CommandError("malformed", problem, command_id=_readable_id(payload)) from error
    match command:
        case Message():
            return _checked_message(command)
        case Join(name=str(name)):
            return msgspec.structs.replace(command, name=_checked_name(name, command.id))
        case _:
            return command


def _checked_message(command: Message) -> Message:
    text = command.text.strip()
    if not 1 <= len(text) <= MAX_TEXT:
        raise CommandError(
            "validation_error",
            f"text must have 1 to {MAX_TEXT} characters after trimming; this one has {len(text)}",
            field="text",
            command_id=command.id,
        )
    field = "text" if "\0" in text else "key" if command.key is not None and "\0" in command.key else None
    if field is not None:
        problem = f"{field} must not contain the character U+0000"
        raise CommandError("validation_error", problem, field=field, command_id=command.id)
    return command if text == command.text else msgspec.structs.replace(command, text=text)


def _checked_name(name: str, command_id: CommandId) -> str:
    try:
        return normalized_user(name)
    except InvalidNameError as error:
        raise CommandError("validation_error", f"name {error}", field="name", command_id=command_id) from error


def _readable_id(payload: bytes) -> CommandId:
    """The id of a frame that this decoder refuses, where Python's own reads it: with half of a surrogate pair, or NaN.

    A client that waits for an answer to its id must get one.
    """
    try:
        raw = json.loads(payload)
        return _to_id(raw.get("id")) if isinstance(raw, dict) else None
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeError are ValueErrors
        return None


def _to_id(raw: object) -> CommandId:
    """Raises ValueError."""
    if isinstance(raw, str):
        raw.encode()  # half of a surrogate pair could not be sent back
    command_id: CommandId = msgspec.convert(raw, CommandId)
    return command_id


def _explain(payload: bytes, problem: str) -> CommandError:
    """Translate the decoder's error message to an error of the wire contract."""
    try:
        command_id = _decode_answerable(payload).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        command_id = None
    located, missing = _AT.match(problem), _MISSING.match(problem)
    path = located["path"] if located else ""
    if missing:
        field, what = f"{path}.{missing['field']}".lstrip("."), "is required"
    elif located:
        field, what = path, in_words(located["what"], _CHOICES.get(path, ()))
    else:
        return CommandError("malformed", "a frame must hold one JSON object")
    if field == "type":
        known = ", ".join(sorted(struct.__struct_config__.tag for struct in Command.__args__))
        return CommandError("unknown_command", f"type must be one of {known}", field="type", command_id=command_id)
    return CommandError("validation_error", f"{field} {what}", field=field, command_id=command_id)
