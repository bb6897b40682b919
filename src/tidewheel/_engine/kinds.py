"""The kinds of jobs a claimer asks for, and how many more of each its worker may run (`per_worker`).

What a store is asked for is a number of jobs and a list of kinds, so a claim must not be for more than the tightest of
its kinds has room for. Most claims are for few slots, and one is enough for all kinds. A larger one goes in steps: all
kinds, as many as the tightest has room for; then the others, without it. So jobs start in the order of their line as
far as there is room, and a kind that has none holds back nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


class Kinds:
    """Kinds and their room; those that `per_worker` does not name have any."""

    def __init__(self, kinds: Sequence[str], per_worker: Mapping[str, int]) -> None:
        self.all = tuple(kinds)
        self._room = dict(per_worker)
        self.paused: frozenset[str] = frozenset()
        """Those that nobody should start now."""

    def open(self, kinds: Sequence[str]) -> Sequence[str]:
        """Those that have room and are not paused."""
        if not self._room and not self.paused:
            return kinds
        return [kind for kind in kinds if self._room.get(kind, 1) > 0 and kind not in self.paused]

    def room(self, kind: str, slots: int) -> int:
        """How many jobs of a kind may start, at most `slots`."""
        return max(0, min(slots, self._room.get(kind, slots)))

    def step(self, kinds: Sequence[str], slots: int) -> tuple[int, tuple[str, ...]]:
        """For how many jobs of these kinds one claim may ask, and the kinds that keep it below `slots`."""
        if not self._room:
            return slots, ()
        least = min((self.room(kind, slots) for kind in kinds), default=slots)
        return least, tuple(kind for kind in kinds if self.room(kind, slots) == least) if least < slots else ()

    def took(self, kinds: Iterable[str]) -> None:
        """Jobs of these kinds start."""
        for kind in kinds if self._room else ():
            if kind in self._room:
                self._room[kind] -= 1

    def freed(self, kind: str) -> None:
        """An attempt is over."""
        if kind in self._room:
            self._room[kind] += 1
