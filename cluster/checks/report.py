"""`seance check`: every setting in force, and the findings about the settings, Redis and Postgres."""

import asyncio
from collections.abc import Mapping

import msgspec

from cluster.checks import identity_provider, installation, postgres, redis, round_trip
from cluster.checks import settings as own
from cluster.checks.finding import Finding
from gateway.settings import SECRETS, Settings
from persistence.address import parse


async def examine(settings: Settings) -> list[Finding]:
    """All findings, good and bad; the checks leave nothing behind."""
    found = await asyncio.gather(
        own.examine(settings),
        identity_provider.examine(settings),
        redis.examine(settings),
        round_trip.examine(settings),
        postgres.examine(settings),
        installation.examine(settings),
    )
    return [finding for findings in found for finding in findings]


def values(settings: Settings, origins: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Variable, value in force and origin of every setting; secrets and passwords are masked."""
    rows = []
    for name, value in msgspec.structs.asdict(settings).items():
        shown = "(secret)" if name in SECRETS else masked(str(value))
        if name == "database_url":
            shown = parse(value).shown
        rows.append((name.upper(), shown, origins[name.upper()]))
    return rows


def masked(url: str) -> str:
    """A URL without its password; other text unchanged."""
    scheme, separator, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}{separator}{user}{':***' if colon else ''}{at}{host}" if separator and at else url
