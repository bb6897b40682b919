"""Chance in the delays, so that jobs that failed together do not come back together."""

from random import Random

from tidewheel import exponential, fixed

SECOND = 1_000_000  # inside, durations are microseconds

for jitter, least, most in [
    (None, 10, 10),
    (0.1, 9, 10),  # up to a tenth off
    ("equal", 5, 10),  # up to half off
    ("full", 0, 10),  # anything up to the delay
    ("1s", 10, 11),  # up to a second on top
]:
    delay = fixed("10s", jitter=jitter).delay(1, random=Random())
    assert delay is not None
    assert least * SECOND <= delay <= most * SECOND

# One second, doubling, at most 30 minutes, plus up to one second:
exponential("1s", cap="30m", jitter="1s")
