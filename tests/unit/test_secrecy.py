"""What is printed ends up in logs: no struct prints a token, a password, a secret or a URL that may hold one."""

import importlib
import pkgutil
import re

import msgspec
import pytest
import seance_client

import broker
import cluster
import gateway
import metrics
import persistence
from gateway.configuration import load

PACKAGES = (broker, cluster, gateway, metrics, persistence, seance_client)
_is_secret = re.compile(r"^(?!has_)(.*_)?(token|password|password_hash|secret)$|^(redis|database)_url$").match
SECRET = "S3CR3T"


def structs() -> list[type[msgspec.Struct]]:
    """Every struct of the product with a field of such a name."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    names = {package.__name__ for package in PACKAGES}
    found, waiting = set(), [msgspec.Struct]
    while waiting:
        for struct in waiting.pop().__subclasses__():
            waiting.append(struct)
            if struct.__module__.partition(".")[0] in names and any(map(_is_secret, struct.__struct_fields__)):
                found.add(struct)
    return sorted(found, key=lambda struct: (struct.__module__, struct.__qualname__))


@pytest.mark.parametrize("struct", structs(), ids=lambda struct: f"{struct.__module__}.{struct.__qualname__}")
def test_a_struct_prints_no_secret(struct: type[msgspec.Struct]) -> None:
    """The repr has the struct's other fields, and `***` for a secret."""
    # Structs check no types when they are made in Python.
    made = struct(**{name: SECRET if _is_secret(name) else f"<{name}>" for name in struct.__struct_fields__})
    shown = repr(made)
    assert SECRET not in shown
    assert "***" in shown
    for name in struct.__struct_fields__:
        assert f"{name}=" in shown


def test_the_source_of_a_secret_setting_prints_no_value() -> None:
    """The list of settings with their origins can be printed too."""
    _, sources = load({"JWT_SECRET": SECRET * 6, "REDIS_URL": f"redis://:{SECRET}@redis/0", "GATEWAYS": "7"})
    assert SECRET not in repr(sources)
    assert "Source(variable='GATEWAYS', value=7, origin='environment')" in repr(sources)
