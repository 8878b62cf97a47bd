"""A limiter that refuses nobody, for tests of other things."""

from broker.keys import Keys
from broker.limits.buckets import SharedBuckets
from broker.redis.scripts import Scripts
from gateway.limits.limiter import Limiter
from gateway.limits.rate import UNLIMITED

LIMITS = ("joins", "resumes", "creates", "password_creates", "attempts", "attempts_session", "reads", "writes")


def limiter_without_limits(scripts: Scripts, keys: Keys) -> Limiter:
    """A limiter as with `LIMITS=off`."""
    return Limiter(SharedBuckets(scripts, keys=keys), dict.fromkeys(LIMITS, UNLIMITED))
