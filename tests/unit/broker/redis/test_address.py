"""Where a Redis URL leads."""

import ssl
from pathlib import Path

import pytest

from broker.redis.address import Address, parse
from tests.certificates import self_signed


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", Address("localhost", 6379)),
        ("redis://db:7000/3", Address("db", 7000, database=3)),
        ("redis://[::1]:7000", Address("::1", 7000)),
        ("redis://db?db=4", Address("db", database=4)),
        ("redis://:p%40ss@db", Address("db", password="p@ss")),
        ("redis://ana:secret@db", Address("db", username="ana", password="secret")),
        ("unix:///run/redis.sock?db=2", Address(path="/run/redis.sock", database=2)),
        ("unix://ana:secret@/run/redis.sock", Address(path="/run/redis.sock", username="ana", password="secret")),
    ],
)
def test_a_url_in_parts(url: str, expected: Address) -> None:
    """Host and port or socket, credentials and database come out of the URL, with redis-py's defaults."""
    assert parse(url) == expected


def test_a_secure_url_checks_the_certificate_and_the_host_name() -> None:
    """Without options TLS trusts only certificates of known authorities for this host."""
    tls = parse("rediss://db").tls
    assert tls is not None
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_the_options_of_tls_are_read(tmp_path: Path) -> None:
    """The options of redis-py choose the authorities and how much is checked."""
    certificate, _ = self_signed(tmp_path)
    trusting = parse(f"rediss://db?ssl_ca_certs={certificate}").tls
    careless = parse("rediss://db?ssl_cert_reqs=none").tls
    assert trusting is not None
    assert careless is not None
    assert "localhost" in str(trusting.get_ca_certs())
    assert (careless.verify_mode, careless.check_hostname) == (ssl.CERT_NONE, False)


def test_a_file_that_is_missing_is_an_os_error() -> None:
    """A certificate that can't be read is told as such."""
    with pytest.raises(OSError, match="No such file"):
        parse("rediss://db?ssl_ca_certs=/nowhere/ca.pem")


@pytest.mark.parametrize("url", ["http://db", "db:6379", "redis://db?db=x"])
def test_a_url_that_is_none_of_redis_is_refused(url: str) -> None:
    """Another scheme, or an option that is no number, raises ValueError."""
    with pytest.raises(ValueError, match="URL"):
        parse(url)
