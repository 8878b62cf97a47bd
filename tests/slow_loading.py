"""Lets a Redis (Valkey) that a test starts again load its file for as long as the test wants: meanwhile it refuses."""

import os
from pathlib import Path

from redis import Redis

from tests.waiting import until

# Valkey pauses after each key that it loads, and answers clients after each KiB that it has read.
_KEYS = 4000
_PAUSE_MICROSECONDS = 10_000
_LINES = f"key-load-delay {_PAUSE_MICROSECONDS}\nloading-process-events-interval-bytes 1024\n"
_NAMES = [f"filler:{number}" for number in range(_KEYS)]


def prepare(url: str, config: Path) -> None:
    """Before the server is killed: its next start takes 40 s, unless `finish` is called."""
    with Redis.from_url(url) as redis:
        # Random, so that the file does not get smaller by compression.
        redis.mset(dict.fromkeys(_NAMES, os.urandom(500)))
        redis.bgrewriteaof()
        until(lambda: not _is_rewriting(redis), what="a file that is written again")
    config.write_text(config.read_text() + _LINES)


def is_loading(url: str) -> bool:
    """Whether the server answers that it loads its file."""
    with Redis.from_url(url) as redis:
        return bool(redis.info("persistence")["loading"])


def finish(url: str, config: Path) -> None:
    """Let the server load the rest at once; it serves now, and its next start is quick again."""
    config.write_text(config.read_text().replace(_LINES, ""))
    with Redis.from_url(url) as redis:
        redis.config_set("key-load-delay", 0)
        until(lambda: not redis.info("persistence")["loading"], what="the end of loading")
        redis.delete(*_NAMES)


def _is_rewriting(redis: Redis) -> bool:
    found = redis.info("persistence")
    return bool(found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"])
