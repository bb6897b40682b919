"""The slots of one executor. Its claimer fills them with jobs; a batch takes one for all of its jobs.

Jobs of batches are claimed by claimers of their own, while there is a slot that a batch could begin in. Where slots are
scarce these and the claimer of single jobs take turns: else whoever is told first of a free slot would have them all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Slots:
    """So many calls of handlers at once. What a claim is under way for is spoken for, but not taken yet."""

    def __init__(self, count: int) -> None:
        self.all = count
        self.free = count
        self.tell_claimer: Callable[[], None] | None = None
        """Tells the claimer of single jobs to look again, if there is one."""
        self._asked = 0
        self._borrowers: deque[Callable[[], None]] = deque()
        self._waiting: deque[Turn] = deque()
        self._kept: set[Turn] = set()
        self._owed = False
        """The next turn is that of the claimer of single jobs."""

    @property
    def open(self) -> int:
        """How many single jobs may be claimed now."""
        return max(0, self.free - len(self._kept))

    def ask(self, count: int) -> None:
        """A claim for so many jobs begins; 0: it is over."""
        self._asked = count
        if not count:
            self._owed = False
            self._lend()

    def take(self) -> None:
        """A job starts."""
        self.free -= 1

    def give_back(self) -> None:
        """A slot is free again."""
        self.free += 1
        if self.tell_claimer is not None:
            self.tell_claimer()
        if self._borrowers or self._waiting:
            self._lend()

    def borrow(self, begin: Callable[[], None]) -> None:
        """Have `begin` called with a slot taken: at once, or as soon as there is one, before all claims."""
        self._borrowers.append(begin)
        self._lend()

    def _lend(self) -> None:
        while self._borrowers and self.free > self._asked:
            self.free -= 1
            self._borrowers.popleft()()
        while self._waiting and not self._owed and self._spare():
            turn = self._waiting.popleft()
            self._kept.add(turn)
            turn.look()

    def _spare(self) -> bool:
        return self.free > self._asked + len(self._borrowers) + len(self._kept)

    def may_look(self, turn: Turn) -> bool:
        """See `Turn.mine`."""
        if turn in self._kept:
            return True
        if turn in self._waiting:
            return False
        if self._spare():
            return True
        self._waiting.append(turn)
        return False

    def looked(self, turn: Turn) -> None:
        """See `Turn.over`."""
        if turn in self._kept:
            self._kept.remove(turn)
            if self.tell_claimer is not None:
                self._owed = True
                self.tell_claimer()
            self._lend()


class Turn:
    """The right of one claimer to look for the jobs of a batch while a slot is kept for it. `look` tells it to."""

    def __init__(self, slots: Slots, look: Callable[[], None]) -> None:
        self._slots = slots
        self.look = look

    def mine(self) -> bool:
        """Whether there is a slot; if not, one is kept when it comes, until this turn is `over`."""
        return self._slots.may_look(self)

    def over(self) -> None:
        """It has looked."""
        self._slots.looked(self)
