from uuid import RFC_4122, UUID

from broker.pubsub.message_ids import POOL_IDS, MessageIds


def test_ids_are_uuids_of_version_4() -> None:
    """Every id is what Python itself reads as a UUID4, in its usual form."""
    ids = MessageIds()
    for text in (ids.next() for _ in range(POOL_IDS)):
        found = UUID(text)
        assert (found.version, found.variant, str(found)) == (4, RFC_4122, text)


def test_no_id_comes_twice() -> None:
    """The random bytes of one id are not used again, across many fetches."""
    ids = MessageIds()
    count = 10 * POOL_IDS
    assert len({ids.next() for _ in range(count)}) == count
