"""How queues share the slots of a claim: by weight, or strictly one after the other.

The queues lie side by side, each as long as its weight, and the slots of a claim fall on them at equal distances: so each
queue gets its part, to one slot exactly. Where the first slot falls moves on by the golden ratio from claim to claim,
which spreads claims of few slots, or of one, as evenly as can be: shares come out soon, and no queue waits much longer
than its turn. A queue that has less than its part leaves the rest to the others, and saves up nothing for later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from random import Random
from typing import Final

from tidewheel._model.job import Claimed
from tidewheel._model.worker import Want

_GOLDEN: Final = 0.618033988749895


class Shares:
    """The queues of a claimer and the parts they get.

    Args:
        random: where the first claim begins, and who gets what others leave.
        queues: their names.
        weights: the weight of each; empty: all alike.
        strict: look at no weights: a queue gets what those before it leave.
    """

    def __init__(
        self, random: Random, queues: Sequence[str], weights: Sequence[int] = (), *, strict: bool = False
    ) -> None:
        self.lines: Sequence[Sequence[str]] = [(queue,) for queue in queues] if strict else [tuple(queues)]
        """The queues that share slots with one another; a later line gets what an earlier one leaves."""
        self._random = random
        self._count = len(queues)
        self._weights = dict(zip(queues, weights, strict=True)) if weights else {}
        self._place = 0.0 if len(queues) == 1 else random.random()

    def deal(self, slots: int, line: Sequence[str]) -> list[Want]:
        """Share out the slots among queues of a line. With fewer slots than queues some get none."""
        if len(line) == 1:
            return [Want(line[0], slots)]
        ends: Sequence[int] = range(1, len(line) + 1)
        if self._weights:
            ends = list(accumulate(map(self._weights.__getitem__, line)))
        total = ends[-1]
        first = int(self._next_place(len(line)) * total)
        parts = Counter(bisect_right(ends, (first + slot * total) // slots) for slot in range(slots))
        wants = [Want(line[index], part) for index, part in parts.items()]
        if len(wants) == 1:
            return wants
        turn = self._random.randrange(len(wants))  # the first one is asked first for jobs on their last life
        return wants[turn:] + wants[:turn]

    def _next_place(self, count: int) -> float:
        if count < self._count:
            return self._random.random()  # steps that depend on what was found are not spread evenly
        self._place = (self._place + _GOLDEN) % 1
        return self._place


def remaining(line: Sequence[str], wants: Iterable[Want], claimed: Iterable[Claimed]) -> Sequence[str]:
    """The queues of a line that may have more: not those that gave less than was wanted."""
    came = Counter(job.queue for job in claimed)
    at_their_end = {want.queue for want in wants if came[want.queue] < want.slots}
    return [queue for queue in line if queue not in at_their_end]
