"""The map from error replies and drivers' exceptions to errors of ours."""

import ssl

import hiredis
import pytest

from broker.errors import BrokerError, BrokerUnavailableError, NotPrimaryError, translate

OF_A_SCRIPT = "ERR Error running script (call to f_da39a3): @user_script:1: @user_script: 1: -"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionRefusedError("refused"), "Redis is not reachable: refused"),
        (TimeoutError(), "Redis is not reachable: no answer in time"),
        (ssl.SSLCertVerificationError(1, "self-signed"), "Redis is not reachable: self-signed"),
        (hiredis.ReplyError("LOADING dataset"), "Redis refuses to work: LOADING dataset"),
        (hiredis.ReplyError("BUSY a script runs"), "Redis refuses to work: BUSY a script runs"),
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


@pytest.mark.parametrize("code", ["READONLY", "MASTERDOWN", "UNBLOCKED"])
def test_the_refusals_of_a_replica_say_that_it_is_not_the_primary(code: str) -> None:
    """A replica can be told from a primary that refuses for now: waiting does not help, another connection may."""
    assert type(translate(hiredis.ReplyError(f"{code} it is a replica"))) is NotPrimaryError


@pytest.mark.parametrize(
    ("reply", "kind"),
    [("OOM no memory", BrokerUnavailableError), ("READONLY no", NotPrimaryError), ("WRONGTYPE no", BrokerError)],
)
def test_an_error_in_a_script_of_redis_6_counts_as_the_error_that_it_quotes(reply: str, kind: type[Exception]) -> None:
    """Redis 6 wraps the error of a command in a script; later versions pass the error on."""
    assert type(translate(hiredis.ReplyError(OF_A_SCRIPT + reply))) is kind


@pytest.mark.parametrize("reply", ["WRONGTYPE it is no stream", "ERR unknown command", "LOADINGS"])
def test_an_error_that_no_retry_mends_is_a_broker_error(reply: str) -> None:
    """A wrong command is no outage: nobody may wait for it to pass."""
    found = translate(hiredis.ReplyError(reply))
    assert type(found) is BrokerError
    assert str(found) == reply
