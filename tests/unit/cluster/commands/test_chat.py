"""`seance chat`: which session the command line names, and what the command says about a missing package."""

import pytest

from cluster.commands.chat import _place

ID = "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("target", "url", "place"),
    [
        (ID, None, (None, ID)),
        (ID, "http://one", ("http://one", ID)),
        (None, "http://one", ("http://one", None)),
        (f"ws://one:1/ws/{ID}", None, ("http://one:1", ID)),
        (f"https://one/chat#{ID}", None, ("https://one", ID)),
        ("http://one", None, ("http://one", None)),
        (f"https://one/realtime/chat#{ID}", None, ("https://one/realtime", ID)),
        (f"wss://one/a/realtime/ws/{ID}", None, ("https://one/a/realtime", ID)),
        (f"https://one/realtime/api/sessions/{ID}/users", None, ("https://one/realtime", ID)),
        ("https://one/realtime/", None, ("https://one/realtime", None)),
    ],
)
def test_the_session_is_found_in_an_id_or_a_url(
    target: str | None, url: str | None, place: tuple[str | None, str | None]
) -> None:
    """A session is named by its id, or by a URL that holds it anywhere."""
    assert _place(target, url) == place
