"""Whether the settings fit each other and this machine; the range of each setting was checked when it was read."""

import asyncio
import http.client
import ipaddress
import resource

from cluster.checks.finding import Finding
from cluster.console.counted import counted
from cluster.process.addresses import reachable
from cluster.process.ports import is_free, is_listening
from gateway.access.door import FILES_RESERVED
from gateway.access.hosts import is_entry
from gateway.access.origins import parse_origin
from gateway.lifecycle.drain import RESERVE_SECONDS
from gateway.secret_strength import LEAST_BITS, REMEDY, entropy_bits, flaw_of
from gateway.settings import DEFAULT_SECRET, Settings, is_loopback

_LIVE_SECONDS = 2.0


async def examine(settings: Settings) -> list[Finding]:
    """All findings that need neither Redis nor Postgres."""
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [
        secret(settings),
        origins(settings),
        hosts(settings),
        proxies(settings),
        sockets(settings, open_files),
        limits(settings),
        drain(settings),
        commits(settings),
        metrics(settings),
        admin(settings),
        await asyncio.to_thread(address, settings),
    ]


def secret(settings: Settings) -> Finding:
    """Whether the secret that signs tokens is known to others, or can be guessed."""
    flaw = flaw_of(settings.jwt_secret, default=DEFAULT_SECRET, environment=settings.environment, host=settings.host)
    if flaw is not None:
        return Finding("JWT_SECRET", flaw, REMEDY)
    if settings.jwt_secret == DEFAULT_SECRET:
        return Finding("JWT_SECRET", "the public default; production refuses it, and so does HOST off loopback")
    bits = entropy_bits(settings.jwt_secret)
    if bits < LEAST_BITS:
        return Finding("JWT_SECRET", f"about {bits:.0f} bits of entropy; production refuses it")
    return Finding("JWT_SECRET", f"{len(settings.jwt_secret)} characters of your own; the same on every replica?")


def origins(settings: Settings) -> Finding:
    """Whether each configured origin has the form that browsers and web views send."""
    subject = "CORS_ORIGINS"
    if "*" in settings.origins:
        return Finding(subject, "pages of any site may come")
    wrong = [origin for origin in settings.origins if parse_origin(origin) is None]
    if wrong:
        remedy = "write scheme and host, with a port if it is not the usual one, as in https://chat.example"
        return Finding(subject, f"no origins: {' '.join(wrong)}", remedy)
    more = f", and of {counted(len(settings.origins), 'other site')}" if settings.origins else ""
    if "null" in settings.origins:
        more += "; `null` stands for every sandboxed page and local file, wherever it comes from"
    return Finding(subject, f"pages of the gateway's own host and port may come{more}")


def hosts(settings: Settings) -> Finding:
    """Whether each allowed host can be a Host, and whether there are any where a page could choose one."""
    subject = "ALLOWED_HOSTS"
    wrong = [entry for entry in settings.hosts if not is_entry(entry)]
    if wrong:
        remedy = "write names without scheme and port, as in chat.example or *.chat.example"
        return Finding(subject, f"no hosts: {' '.join(wrong)}", remedy)
    if settings.hosts and "*" not in settings.hosts:
        return Finding(subject, f"{counted(len(settings.hosts), 'name')}; others get 421")
    if settings.serves_only_this_machine and not settings.hosts:
        return Finding(subject, "none: this machine's names and addresses only, since HOST is loopback in development")
    return Finding(subject, "any name: set the names of this installation, against DNS rebinding")


def proxies(settings: Settings) -> Finding:
    """Whether the trusted proxies are given as addresses."""
    subject = "TRUSTED_PROXIES"
    given = [one.strip() for one in settings.trusted_proxies.split(",") if one.strip()]
    if "*" in given:
        return Finding(subject, "everybody's X-Forwarded-For is believed; only the balancer may reach a gateway then")
    wrong = [one for one in given if not _is_network(one)]
    if wrong:
        return Finding(subject, f"no addresses: {' '.join(wrong)}", "write IP addresses or networks, not names")
    return Finding(subject, f"the X-Forwarded-For of {counted(len(given), 'proxy', 'proxies')} is believed")


def sockets(settings: Settings, open_files: int) -> Finding:
    """Whether a gateway may open as many sockets as it is configured to hold."""
    allowed = max(1, open_files - FILES_RESERVED)
    wanted = settings.max_connections
    if wanted > allowed:
        remedy = f"allow {wanted + FILES_RESERVED} open files (`ulimit -n`), or set MAX_CONNECTIONS={allowed}"
        return Finding("MAX_CONNECTIONS", f"{wanted}, but {open_files} open files allow {allowed}", remedy)
    return Finding(
        "MAX_CONNECTIONS", f"{counted(wanted or allowed, 'socket')} on each gateway ({open_files} open files)"
    )


def limits(settings: Settings) -> Finding:
    """Whether clients are held to rates."""
    subject = "LIMITS"
    if settings.limits == "off":
        if settings.is_production:
            return Finding(subject, "off: one client may stop the service", "set LIMITS=on, and raise single limits")
        return Finding(subject, "off: no rate holds, as for a load test on your own cluster")
    rates = {name: getattr(settings, name) for name in settings.__struct_fields__ if name.startswith("limit_")}
    without = [name.upper() for name, rate in rates.items() if not rate.is_limit]
    if without:
        return Finding(subject, f"on, but {', '.join(without)} {'is' if len(without) == 1 else 'are'} 0: no limit")
    return Finding(subject, f"{counted(len(rates), 'rate')} hold for sockets, users, sessions and addresses")


def drain(settings: Settings) -> Finding:
    """Whether the shutdown timeout leaves a drain enough time."""
    subject = "SHUTDOWN_TIMEOUT_SECONDS"
    needed = settings.drain_wait_seconds + settings.drain_window_seconds + round(RESERVE_SECONDS)
    said = f"{settings.shutdown_timeout_seconds} s; waiting, the drain's window and closing may take {needed} s"
    if needed <= settings.shutdown_timeout_seconds:
        return Finding(subject, f"{said}; whatever kills a gateway must wait longer")
    return Finding(subject, said, f"raise it to {needed}, or lower DRAIN_WINDOW_SECONDS: the drain is cut short now")


def commits(settings: Settings) -> Finding:
    """Whether a batch is written before the wait for its commit is over."""
    subject = "COMMIT_TIMEOUT_SECONDS"
    batch_seconds = settings.worker_batch_milliseconds / 1000
    said = f"{settings.commit_timeout_seconds} s, a batch waits up to {batch_seconds:g} s"
    if batch_seconds < settings.commit_timeout_seconds:
        return Finding(subject, said)
    remedy = "raise it, or lower WORKER_BATCH_MILLISECONDS: `ack=persisted` would give up before the commit"
    return Finding(subject, said, remedy)


def metrics(settings: Settings) -> Finding:
    """Whether a worker's metrics have a port of their own."""
    port = settings.worker_metrics_port
    if not port:
        return Finding("WORKER_METRICS_PORT", "none: workers show no metrics (those of `make up` choose ports)")
    if port == settings.port:
        remedy = "choose another port for one of them: a gateway and a worker can't share it"
        return Finding("WORKER_METRICS_PORT", f"{port}, as PORT", remedy)
    return Finding("WORKER_METRICS_PORT", f"{port}, on {settings.host}")


def admin(settings: Settings) -> Finding:
    """Whether operators have a port of their own, and who reaches that port."""
    subject = "ADMIN_PORT"
    port = settings.admin_port
    if not port:
        where = "only to tokens of scope `admin`" if settings.is_production else "on PORT too, outside production"
        return Finding(subject, f"none: /metrics, /docs and the details of /health answer {where}")
    if port == settings.worker_metrics_port:
        remedy = "choose another port for one of them, unless workers have machines or containers of their own"
        return Finding(subject, f"{port}, as WORKER_METRICS_PORT", remedy)
    reach = "this machine" if is_loopback(settings.host) else "every machine that a firewall lets through"
    return Finding(subject, f"{port}, on {settings.host}: {reach} reaches it without a token")


def address(settings: Settings, *, timeout_seconds: float = _LIVE_SECONDS) -> Finding:
    """Whether a server can listen on HOST and PORT, or a gateway already does. Blocks up to `timeout_seconds`."""
    host, port = settings.host, settings.port
    said = f"{host} port {port}"
    try:
        if not port or is_free(port, settings.bind_host):
            return Finding("HOST and PORT", f"{said} is free" if port else f"{host}, any free port")
        if _is_ours(reachable(host), port, timeout_seconds):
            return Finding("HOST and PORT", f"a gateway answers on {said}")
        if is_listening(host, port):
            return Finding("HOST and PORT", f"{said} is taken", "end what listens there, or choose another PORT")
    except OSError as error:
        return Finding("HOST and PORT", f"{said}: {error.strerror or error}", "set HOST to an address of this machine")
    remedy = "set HOST to an address of this machine and PORT to one that you may use"
    return Finding("HOST and PORT", f"{said} can't be listened on", remedy)


def _is_ours(host: str, port: int, timeout_seconds: float) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    try:
        connection.request("GET", "/live")
        return connection.getresponse().read() == b'{"status":"live"}'
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_network(written: str) -> bool:
    try:
        ipaddress.ip_network(written, strict=False)
    except ValueError:
        return False
    return True
