"""A limit in time: after it no retry starts, however many attempts are left."""

from random import Random

from tidewheel import RetryPolicy, exponential

policy = RetryPolicy(100, exponential("1m", cap="1h"), within="1 day")

HOUR = 3_600_000_000  # microseconds
early = policy.decide(9, OSError("down"), elapsed=5 * HOUR, random=Random())
assert str(early) == "RetryIn(delay=3600000000)"

late = policy.decide(30, OSError("down"), elapsed=23 * HOUR + HOUR // 2, random=Random())
assert "the next attempt would start 1d30m after the enqueue, over the budget of 1d" in str(late)
