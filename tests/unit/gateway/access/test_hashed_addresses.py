"""Hashes of addresses."""

from gateway.access.hashed_addresses import HashedAddresses

ADDRESSES = HashedAddresses("s" * 32)


def test_one_address_has_one_hash_in_a_session() -> None:
    """The same address, however it is written, has the same hash; an IPv6 client has a whole /64."""
    for one, other in (("203.0.113.7", "::ffff:203.0.113.7"), ("2001:db8::1", "2001:db8:0:0:ffff::2")):
        assert ADDRESSES.hashed("s-1", one) == ADDRESSES.hashed("s-1", other)
        assert len(ADDRESSES.hashed("s-1", one)) == 20


def test_nothing_else_has_that_hash() -> None:
    """Another address, another session and another secret give another hash; no address has none."""
    hashes = {ADDRESSES.hashed(session, address) for session in ("s-1", "s-2") for address in ("10.0.0.1", "10.0.0.2")}
    assert len(hashes | {HashedAddresses("t" * 32).hashed("s-1", "10.0.0.1")}) == 5
    assert ADDRESSES.hashed("s-1", "") == ""
