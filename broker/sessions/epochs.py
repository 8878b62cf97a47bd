"""Epochs of a session: after Redis was found to have lost some of its events, the session goes on in another epoch.

The seqs of an epoch begin far above every seq that was ever given, so that no seq stands for two events.
"""

import secrets

import msgspec

SEQ_LEAP = 1_000_000


class Mark(msgspec.Struct, frozen=True):
    """A session had come at least to `seq` of `epoch`, counting messages, joins and leaves."""

    session_id: str
    epoch: str
    seq: int


def new_epoch() -> str:
    """A name that no other epoch has, made at random."""
    return secrets.token_urlsafe(6)


def seq_above(highest: int) -> int:
    """The seq below the first one of an epoch, when the epoch before came to `highest`.

    A multiple of a million, more than a million above `highest`. A million events of one partition never wait for
    Postgres (MAX_BACKLOG), so this also lies above every seq that is not known here.
    """
    return (highest // SEQ_LEAP + 2) * SEQ_LEAP


def first_seq(seq: int) -> int:
    """The first seq of the epoch, when `seq` is among its first million."""
    return (seq - 1) // SEQ_LEAP * SEQ_LEAP + 1
