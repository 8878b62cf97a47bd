# ruff: noqa: INP001 - a script beside the files that it checks
"""Complains of services in compose.yaml that have more rights than they need; reads `docker-compose config` as JSON."""

import json
import sys
from typing import Any

# The only service that other machines may reach.
_PUBLISHED = "haproxy"


def complaints(services: dict[str, dict[str, Any]]) -> list[str]:
    """A line for each rule that a service breaks."""
    return [f"{name}: {rule}" for name, service in sorted(services.items()) for rule in _broken(name, service)]


def _broken(name: str, service: dict[str, Any]) -> list[str]:
    ports = service.get("ports", ())
    rules = {
        "drop every capability (cap_drop: ALL)": service.get("cap_drop") == ["ALL"] and "cap_add" not in service,
        "set no-new-privileges": "no-new-privileges:true" in service.get("security_opt", ()),
        "make the root file system read-only": service.get("read_only") is True,
        "limit the memory (mem_limit)": "mem_limit" in service,
        "do not run privileged": not service.get("privileged", False),
        "publish ports on 127.0.0.1 only": name == _PUBLISHED
        or all(port.get("host_ip") == "127.0.0.1" for port in ports),
    }
    return [rule for rule, is_kept in rules.items() if not is_kept]


if __name__ == "__main__":
    print(*complaints(json.load(sys.stdin)["services"]), sep="\n", end="")  # noqa: T201 - the output of the check
