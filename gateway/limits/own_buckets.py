"""The token buckets that one gateway keeps for one limit, in bounded memory. Pure: the caller gives the time."""

from gateway.limits.rate import Rate

# Above this number of subjects the one that spent longest ago is forgotten, which gives it its burst again.
MAX_KEPT = 8192


class OwnBuckets:
    """Buckets with a rate. Times are seconds of one clock."""

    def __init__(self, rate: Rate, *, max_kept: int = MAX_KEPT) -> None:
        self._rate = rate
        self._max_kept = max_kept
        # Subject → theoretical arrival time (see Rate), in the order in which they spent last.
        self._arrivals: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._arrivals)

    def wait(self, subject: str, now: float) -> float:
        """For how many seconds the subject must wait until it has a token; 0.0 or less: not at all."""
        if not self._rate.is_limit:
            return 0.0
        return self._rate.wait(self._rate.after(self._arrivals.get(subject, 0.0), now), now)

    def spend(self, subject: str, now: float) -> None:
        """Take a token from the subject's bucket."""
        if self._rate.is_limit:
            self._keep(subject, self._rate.after(self._arrivals.pop(subject, 0.0), now), now)

    def hold(self, subject: str, seconds: float, now: float) -> None:
        """Leave the subject without a token for that long, because the bucket that all gateways share is empty."""
        if self._rate.is_limit:
            arrival = now + seconds + self._rate.span - self._rate.interval
            self._keep(subject, max(self._arrivals.pop(subject, 0.0), arrival), now)

    def _keep(self, subject: str, arrival: float, now: float) -> None:
        self._arrivals[subject] = arrival
        # A full bucket is the same as one that was never used. Who spent last has the fullest bucket only by and large;
        # so an emptier bucket at the front may keep full ones behind it, until it is full itself.
        while (oldest := next(iter(self._arrivals))) != subject and (
            self._arrivals[oldest] <= now or len(self._arrivals) > self._max_kept
        ):
            del self._arrivals[oldest]
