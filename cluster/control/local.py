"""The status of the running local cluster, and its servers for commands that connect to them."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cluster.control.protocol import ControlError, Done, GetStatus, ask
from cluster.state import records
from cluster.state.home import Home, is_running
from cluster.state.status import Status
from gateway.configuration import Source
from gateway.settings import Settings

ORIGIN = "running cluster"
_OF_A_CLUSTER = ("redis_url", "database_url", "port", "gateways", "workers")
_ANSWER_SECONDS = 15.0


def status_of(home: Home) -> Status | None:
    """The status of the cluster of this home, None when none runs. Raises ControlError when it does not answer."""
    record = records.read(home.state)
    if record is None or not is_running(home):
        return None
    for reply in ask(record, GetStatus(record.token), _ANSWER_SECONDS):
        if isinstance(reply, Done) and reply.status is not None:
            return reply.status
    raise ControlError("the cluster's supervisor gave no status")


def settings_of(status: Status) -> dict[str, Any]:
    """The settings that the running cluster has, by name; None where that is not known."""
    return {
        "redis_url": status.redis_url,
        "database_url": status.database_url,
        "port": None if status.url is None else urlsplit(status.url).port,
        "gateways": len(status.gateways) or None,
        "workers": len(status.workers) or None,
    }


def adopt(settings: Settings, sources: Sequence[Source], home: Home) -> tuple[Settings, dict[str, str]]:
    """The settings and each variable's origin; what nobody set is as in a running cluster."""
    origins = {source.variable: str(source.origin) for source in sources}
    unset = {name for name in _OF_A_CLUSTER if origins[name.upper()] == "default"}
    if not unset:
        return settings, origins
    try:
        status = status_of(home)
    except ControlError:
        status = None
    known = {} if status is None else settings_of(status)
    adopted = {name: value for name, value in known.items() if name in unset and value is not None}
    origins |= {name.upper(): ORIGIN for name in adopted}
    return msgspec.structs.replace(settings, **adopted), origins
