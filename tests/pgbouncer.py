"""PgBouncer in front of a test's Postgres, where the machine has it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from sqlalchemy import make_url

from cluster.process.ports import free_port, is_listening
from tests.waiting import until

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="pgbouncer is not installed (Debian: `apt install pgbouncer`)"
)


@contextlib.contextmanager
def pgbouncer(
    folder: Path,
    database_url: str,
    mode: Literal["session", "transaction"],
    *,
    ignored: str = "",
    pool_size: int = 2,
    certificate: tuple[Path, Path] | None = None,
) -> Iterator[str]:
    """A pooler before that server; yields the URL that leads through it, to any database and without a password.

    `ignored` are the startup parameters that it takes and drops; it refuses others. More clients than `pool_size`
    share its connections. With `certificate` (and its key) it offers TLS.
    """
    assert PROGRAM is not None
    server = make_url(database_url)
    port = free_port()
    configuration = folder / f"pgbouncer-{port}.ini"
    configuration.write_text(
        f"""[databases]
* = host={server.host} port={server.port} user={server.username} password={server.password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {pool_size}
max_client_conn = 200
ignore_startup_parameters = {ignored}
{_tls(*certificate) if certificate else ""}
"""
    )
    # It refuses to run as root, and reads its files before it becomes somebody else.
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    log = folder / f"pgbouncer-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen([PROGRAM, *user, str(configuration)], stdout=output, stderr=subprocess.STDOUT)
    try:
        until(lambda: process.poll() is not None or is_listening("127.0.0.1", port), seconds=10, what=f"{log}")
        assert process.poll() is None, log.read_text()
        yield f"postgresql://{server.username}@127.0.0.1:{port}/{server.database}"
    finally:
        process.kill()
        process.wait()


def _tls(certificate: Path, key: Path) -> str:
    return f"client_tls_sslmode = allow\nclient_tls_cert_file = {certificate}\nclient_tls_key_file = {key}"
