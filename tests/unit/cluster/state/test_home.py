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


def test_only_the_owner_may_read_the_folders(home: Home) -> None:
    """Others may at most pass through to the data of PostgreSQL."""
    modes = [folder.stat().st_mode & 0o777 for folder in (home.root, home.data, home.logs, home.run)]
    assert modes == [0o711, 0o711, 0o700, 0o700]


def test_a_second_supervisor_is_refused(home: Home) -> None:
    """While a supervisor holds the lock, a second one is refused, and `is_running` leaves the lock in place."""
    assert not is_running(home)
    with Lock(home):
        assert is_running(home)
        with pytest.raises(AlreadyRunningError), Lock(home):
            pass
        assert is_running(home)
    assert not is_running(home)


def test_a_home_that_does_not_exist_is_not_running(tmp_path: Path) -> None:
    """Where no cluster was ever started, none runs, and the question creates no file."""
    assert not is_running(Home(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_is_running_does_not_keep_a_supervisor_out(home: Home) -> None:
    """`is_running` at the moment of a start does not make the start fail."""
    has_ended = threading.Event()

    def look() -> None:
        while not has_ended.is_set():
            is_running(home)

    looker = threading.Thread(target=look)
    with Lock(home):
        looker.start()
    # The patience of the command may be too short for a busy machine, which is not what is tested here.
    for _ in range(50):
        with Lock(home, patience_seconds=30):
            pass
    has_ended.set()
    looker.join()
