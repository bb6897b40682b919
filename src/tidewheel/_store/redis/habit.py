"""Which script a claim asks first: as it was the last time. The other one is slower, and as good."""

from __future__ import annotations

from typing import Final

_AGAIN: Final = 50
"""After so many claims the quick script is given another try."""


class Habit:
    """What the claims of a store were like."""

    def __init__(self) -> None:
        self._careful = 0

    def plain(self) -> bool:
        """Only plain jobs were met of late, or it is time to see whether it is so again."""
        self._careful = max(0, self._careful - 1)
        return self._careful == 0

    def unusual(self) -> None:
        """Others were met, or nobody knows."""
        self._careful = self._careful or _AGAIN
