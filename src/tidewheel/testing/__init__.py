"""Help for tests of code that uses Tidewheel: a clock that stands still until it is told to move."""

from tidewheel.testing._clock import CountingIds, FakeClock, fake_env

__all__ = ["CountingIds", "FakeClock", "fake_env"]
