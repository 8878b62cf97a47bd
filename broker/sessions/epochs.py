"""Epochs of a session: whenever Redis was found to have lost some of its events, it goes on in another one.

The seqs of an epoch begin far above everything that was ever given, so that no number stands for two events.
"""

import secrets

import msgspec

SEQ_LEAP = 1_000_000


class Mark(msgspec.Struct, frozen=True):
    """How far a session had come for certain (messages, joins, leaves): in `epoch` to `seq`."""

    session_id: str
    epoch: str
    seq: int


def new_epoch() -> str:
    """A name that no other epoch has."""
    return secrets.token_urlsafe(6)


def seq_above(highest: int) -> int:
    """Where an epoch begins that follows one which came to `highest`: at a multiple of a million, one more above it.

    A million events of one partition never wait for Postgres (MAX_BACKLOG), so it is also above what nobody knows of.
    """
    return (highest // SEQ_LEAP + 2) * SEQ_LEAP


def first_seq(seq: int) -> int:
    """The first seq of an epoch that `seq` is among the first million of."""
    return (seq - 1) // SEQ_LEAP * SEQ_LEAP + 1
