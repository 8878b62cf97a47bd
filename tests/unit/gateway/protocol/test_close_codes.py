"""The close codes of the wire contract."""

import pytest

from gateway.protocol import close_codes
from gateway.protocol.close_codes import Ending

# Code → name, and whether the client should reconnect.
CONTRACT = {
    1000: ("left", False),
    1012: ("restart", True),
    4000: ("slow_consumer", True),
    4001: ("heartbeat_lost", True),
    4002: ("unavailable", True),
    4003: ("resync", True),
    4004: ("rate_limited", True),
    4500: ("bad_join", False),
    4501: ("unauthorized", False),
    4502: ("forbidden", False),
    4503: ("session_not_found", False),
    4504: ("session_closed", False),
    4505: ("session_full", False),
    4506: ("name_taken", False),
    4507: ("removed", False),
    4508: ("replaced", False),
    4509: ("abuse", False),
}


def test_codes_and_names_are_those_of_the_contract() -> None:
    """Codes, names and retryability are those of the contract; 1011 is RFC 6455's."""
    table = {ending.code: (ending.name, ending.is_retryable) for ending in close_codes.ALL}
    assert {code: entry for code, entry in table.items() if code != 1011} == CONTRACT
    assert len(table) == len(close_codes.ALL)


def test_all_lists_every_ending() -> None:
    """Every ending of the module is in `ALL`."""
    assert set(close_codes.ALL) == {value for value in vars(close_codes).values() if isinstance(value, Ending)}


@pytest.mark.parametrize("ending", close_codes.ALL, ids=lambda ending: ending.name)
def test_every_name_fits_a_close_frame(ending: Ending) -> None:
    """Every name fits a close frame and is an identifier, and every ending has a message."""
    assert ending.name.replace("_", "").isalpha()
    assert ending.name.islower()
    assert len(ending.name) <= 123
    assert ending.message


@pytest.mark.parametrize(
    ("code", "is_retryable"), [(3999, False), (4000, True), (4499, True), (4500, False), (4999, False), (1012, True)]
)
def test_only_4000_to_4499_and_1012_are_retryable(code: int, is_retryable: bool) -> None:
    """4000-4499 and 1012 mean reconnect, all other codes do not."""
    assert Ending(code, "name", "message").is_retryable == is_retryable


def test_saying_changes_only_the_message() -> None:
    """`saying` changes the message, and keeps code and name."""
    ending = close_codes.BAD_JOIN.saying("no name")
    assert ending == Ending(4500, "bad_join", "no name")
    assert close_codes.BAD_JOIN.message != "no name"
