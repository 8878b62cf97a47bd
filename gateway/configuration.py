"""Reads the settings from the environment and `.env`, once at the start; nothing else reads the environment."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from broker.secrecy import concealed
from gateway import env_file as env_files
from gateway.limits.rate import UNLIMITED, Rate
from gateway.secret_strength import REMEDY, flaw_of
from gateway.settings import DEFAULT_SECRET, MIN_SECRET, SECRETS, Settings
from gateway.violations import choices_of, in_words
from persistence.address import AddressError, parse

# No braces, which would be the hash tag instead of the partition's; nothing that a pattern of an ACL reads; and no "@",
# behind which the number of the database follows.
_PREFIX = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,62}[A-Za-z0-9])?")
_UNSHOWN = SECRETS | {"database_url", "redis_url"}  # a URL may hold a password, an invalid URL too


class Source(msgspec.Struct, frozen=True):
    """The value of one setting, and where the value came from."""

    variable: str
    value: Any
    origin: Literal["environment", ".env", "default"]

    def __repr__(self) -> str:
        return concealed(self, "value") if self.variable.lower() in _UNSHOWN else super().__repr__()


class SettingsError(ValueError):
    """One or more settings are wrong; the message has a line for each. Correct the environment or `.env`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("wrong configuration:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = problems


def load(environ: Mapping[str, str], env_file: Path | None = None) -> tuple[Settings, list[Source]]:
    """Load settings from `environ`, then `env_file`, then the defaults; returns them and the source of each.

    An empty variable counts as not set. Raises SettingsError with every problem found.
    """
    file = env_files.read(env_file)
    from_file = file.variables
    values: dict[str, Any] = {}
    sources: list[Source] = []
    problems = list(file.problems)
    for field in msgspec.structs.fields(Settings):
        source = Source(field.name.upper(), field.default, "default")
        try:
            source = _given(field, environ, from_file) or source
        except ValueError as error:
            problems.append(str(error))
        values[field.name] = source.value
        sources.append(source)
    if not _PREFIX.fullmatch(values["redis_prefix"]):
        problems.append(
            f"REDIS_PREFIX: {values['redis_prefix']!r} is wrong: write 1 to 64 letters, digits, dots, colons, hyphens "
            "and underscores, with a letter or a digit first and last"
        )
    if values["admin_port"] and values["admin_port"] == values["port"]:
        problems.append(f"ADMIN_PORT: {values['admin_port']} is PORT too; choose another port for one of them")
    problems += _problems_with_keys(values)
    problems += _flaws_of_secrets(values)
    if problems:
        raise SettingsError(problems)
    if values["limits"] == "off":
        values |= {name: UNLIMITED for name, value in values.items() if isinstance(value, Rate)}
    return Settings(**values), sources


def _problems_with_keys(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with the keys that verify tokens."""
    problems = []
    if any(len(secret.strip()) < MIN_SECRET for secret in values["jwt_secrets_old"].split(",") if secret.strip()):
        problems.append(
            f"JWT_SECRETS_OLD: every secret has at least {MIN_SECRET} characters; separate several by commas"
        )
    if values["jwks_url"] and values["jwks_file"]:
        problems.append("JWKS_FILE: the keys can't come from JWKS_URL too; set one of them")
    if values["jwks_url"] and not values["jwt_audience"]:
        problems.append(
            "JWT_AUDIENCE: JWKS_URL needs it, or tokens for the provider's other services would be taken; "
            "set it to the `aud` of this service"
        )
    if values["jwks_file"] and not Path(values["jwks_file"]).is_file():
        problems.append(f"JWKS_FILE: there is no file {values['jwks_file']!r}")
    return problems


def _flaws_of_secrets(values: Mapping[str, Any]) -> Iterator[str]:
    """A problem for each secret that can't be used. Old secrets still admit, so they must be as good as the new one."""
    old = [secret.strip() for secret in values["jwt_secrets_old"].split(",") if secret.strip()]
    for variable, secret in (("JWT_SECRET", values["jwt_secret"]), *(("JWT_SECRETS_OLD", secret) for secret in old)):
        flaw = flaw_of(secret, default=DEFAULT_SECRET, environment=values["environment"], host=values["host"])
        if flaw is not None:
            yield f"{variable}: {flaw}; {REMEDY if variable == 'JWT_SECRET' else 'remove that one'}"


def _given(field: msgspec.structs.FieldInfo, environ: Mapping[str, str], from_file: Mapping[str, str]) -> Source | None:
    """The value that the environment or `.env` gives the setting, or None. Raises ValueError with the problem."""
    variable = field.name.upper()
    if text := environ.get(variable):
        return Source(variable, _converted(field, text, "environment"), "environment")
    if text := from_file.get(variable):
        return Source(variable, _converted(field, text, ".env"), ".env")
    return None


def _converted(field: msgspec.structs.FieldInfo, text: str, origin: str) -> Any:
    """The value of a setting. Raises ValueError with the problem."""
    try:
        value = msgspec.convert(text, field.type, strict=False, dec_hook=_decode)
        if field.name == "database_url":
            parse(text)
    except msgspec.ValidationError as error:
        shown = "the value" if field.name in _UNSHOWN else repr(text)
        words = in_words(str(error), choices_of(field.type), example=_example(field), names_given=False)
        raise ValueError(f"{field.name.upper()}: {shown} ({origin}) {words}") from error
    except AddressError as error:
        raise ValueError(f"{field.name.upper()}: the value ({origin}) {error}") from error
    return value


def misspelt(environ: Mapping[str, str], env_file: Path | None = None) -> list[str]:
    """A hint for each variable in `environ` or `env_file` whose name is almost that of a setting."""
    return env_files.misspelt([field.name.upper() for field in msgspec.structs.fields(Settings)], environ, env_file)


def _decode(kind: type, text: str) -> Rate:
    """Convert what msgspec does not know by itself. Raises ValueError, which msgspec turns into its own error."""
    assert kind is Rate
    return Rate.parse(text)


def _example(field: msgspec.structs.FieldInfo) -> str:
    """A right value: the first example of the setting, else its default."""
    given = (example for meta in getattr(field.type, "__metadata__", ()) for example in meta.examples or ())
    return str(next(given, field.default))
