"""The home of a cluster and its lock."""

import threading
from pathlib import Path

import pytest

from cluster.state.home import AlreadyRunningError, Home, Lock, is_running


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.make()
    return made


def test_folders_are_private(home: Home) -> None:
    """Others may at most pass through to where PostgreSQL keeps its own."""
    modes = [folder.stat().st_mode & 0o777 for folder in (home.root, home.data, home.logs, home.run)]
    assert modes == [0o711, 0o711, 0o700, 0o700]


def test_one_lock_at_a_time(home: Home) -> None:
    """A second supervisor is refused while the first lives, and looking disturbs nobody."""
    assert not is_running(home)
    with Lock(home):
        assert is_running(home)
        with pytest.raises(AlreadyRunningError), Lock(home):
            pass
        assert is_running(home)
    assert not is_running(home)


def test_no_home_is_not_running(tmp_path: Path) -> None:
    """Where nothing was ever started, nothing runs, and looking leaves no trace."""
    assert not is_running(Home(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_a_look_does_not_keep_a_supervisor_out(home: Home) -> None:
    """Whoever looks at the very moment of a start does not make it fail."""
    has_ended = threading.Event()

    def look() -> None:
        while not has_ended.is_set():
            is_running(home)

    looker = threading.Thread(target=look)
    with Lock(home):
        looker.start()
    for _ in range(50):
        with Lock(home):
            pass
    has_ended.set()
    looker.join()
