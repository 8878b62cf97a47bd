"""The map from error replies and drivers' exceptions to errors of ours."""

import ssl

import hiredis
import pytest

from broker.errors import BrokerError, BrokerUnavailableError, translate


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionRefusedError("refused"), "Redis is not reachable: refused"),
        (TimeoutError(), "Redis is not reachable: no answer in time"),
        (ssl.SSLCertVerificationError(1, "self-signed"), "Redis is not reachable: self-signed"),
        (hiredis.ReplyError("LOADING dataset"), "Redis refuses to work: LOADING dataset"),
        (hiredis.ReplyError("READONLY a replica"), "Redis refuses to work: READONLY a replica"),
        (hiredis.ReplyError("OOM full"), "Redis refuses to work: OOM full"),
        (hiredis.ReplyError("MISCONF can't write to disk"), "Redis refuses to work: MISCONF can't write to disk"),
        (hiredis.ReplyError("NOGROUP no such group"), "a consumer group is gone: NOGROUP no such group"),
        (hiredis.ReplyError("WRONGPASS invalid"), "Redis refuses the password: WRONGPASS invalid"),
        (hiredis.ReplyError("NOAUTH required"), "Redis refuses the password: NOAUTH required"),
        (hiredis.ReplyError("NOPROTO unsupported"), "needs version 6 or newer: NOPROTO unsupported"),
    ],
    ids=str,
)
def test_an_error_that_a_retry_can_mend_is_unavailable(error: Exception, message: str) -> None:
    """An error that a retry or an operator can mend says that Redis is unavailable, and why."""
    found = translate(error)
    assert type(found) is BrokerUnavailableError
    assert str(found).endswith(message)


@pytest.mark.parametrize("reply", ["WRONGTYPE it is no stream", "ERR unknown command", "LOADINGS"])
def test_an_error_that_no_retry_mends_is_a_broker_error(reply: str) -> None:
    """A wrong command is no outage: nobody may wait for it to pass."""
    found = translate(hiredis.ReplyError(reply))
    assert type(found) is BrokerError
    assert str(found) == reply
