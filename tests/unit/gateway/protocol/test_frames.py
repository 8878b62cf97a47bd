"""The server's own frames: lengths, limits and codes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.frames import Opcode, close_frame, is_close_code, ping_frame, pong_frame, text_frame
from tests.frames import server_frames

SIZES = st.sampled_from([0, 125, 126, 127, 65_535, 65_536, 100_000])


@settings(deadline=None)
@given(
    st.one_of(
        st.text(max_size=300).map(str.encode),
        st.sampled_from([0, 125, 126, 127, 65_535, 65_536, 100_000]).map(lambda size: b"x" * size),
    )
)
def test_text_frames_read_back(payload: bytes) -> None:
    """A text frame is one whole unmasked frame with its length in the shortest form."""
    frame = text_frame(payload)
    assert list(server_frames(frame)) == [(Opcode.TEXT, payload, len(frame))]
    assert len(frame) - len(payload) == (2 if len(payload) < 126 else 4 if len(payload) < 65_536 else 10)


def test_control_frames_are_those_of_the_rfc() -> None:
    """Control frames are those of RFC 6455's examples, and empty by default."""
    assert ping_frame(b"Hello") == bytes.fromhex("89 05 48 65 6c 6c 6f")
    assert pong_frame(b"Hello") == bytes.fromhex("8a 05 48 65 6c 6c 6f")
    assert (ping_frame(), pong_frame(), close_frame()) == (b"\x89\x00", b"\x8a\x00", b"\x88\x00")
    assert close_frame(1000) == b"\x88\x02\x03\xe8"
    assert close_frame(4505, "session_full") == b"\x88\x0e\x11\x99session_full"


@pytest.mark.parametrize("frame", [ping_frame, pong_frame])
def test_control_frames_are_bounded(frame: type[bytes]) -> None:
    """A control payload over 125 bytes is refused, not sent."""
    with pytest.raises(ValueError, match="at most 125 bytes, not 126"):
        frame(b"x" * 126)


@given(st.text(max_size=200))
def test_close_reason_is_cut_between_characters(reason: str) -> None:
    """A long reason loses whole characters only, and no more of them than it must."""
    ((opcode, payload, _end),) = server_frames(close_frame(1000, reason))
    kept = payload[2:].decode()
    assert opcode == Opcode.CLOSE
    assert reason.startswith(kept)
    assert len(payload) <= 125
    assert kept == reason or len((kept + reason[len(kept)]).encode()) > 123


@pytest.mark.parametrize("code", [0, 999, 1005, 1006, 1015, 2999, 5000])
def test_a_reserved_close_code_raises(code: int) -> None:
    """A code that must not be sent in a close frame raises ValueError."""
    assert not is_close_code(code)
    with pytest.raises(ValueError, match=f"can't carry code {code}"):
        close_frame(code)
