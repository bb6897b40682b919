"""Claim where jobs have limits: the line is walked in rounds, each a transaction of its own.

A round picks jobs, locks their gates, and writes what the walk came to. When so many were parked that slots are left,
the next one goes on behind them. It may need other gates, and must not wait for those while it holds the first ones:
hence the transactions. What the rounds before the last leave open is looked at in the end, or, if this process dies,
by the next sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from tidewheel._model.flow import EXPIRED, Flow, readable
from tidewheel._model.job import Claimed, ErrorInfo
from tidewheel._model.usher import Candidate, Walk, walk
from tidewheel._model.worker import Wakeup, Want
from tidewheel._store.postgres import gates
from tidewheel._store.postgres.call import Call
from tidewheel._store.postgres.connect import BROKEN, ERRORS
from tidewheel._store.postgres.graphs import tell
from tidewheel._store.postgres.rows import claimed

if TYPE_CHECKING:
    from tidewheel._store.postgres.connect import Record

_GROWS: Final = 4
_MOST: Final = 4096
_PARKED: Final = 10_000
"""Jobs that one call parks at most, about; the next one goes on."""
_DAMAGED: Final = ErrorInfo(
    "tidewheel.Unreadable", "The limits of this job cannot be read: its row was changed or damaged."
)


class _Line(msgspec.Struct):
    """What a want still needs, and how far the last look into its line went."""

    queue: str
    missing: int
    looked: int = 0

    def next(self) -> int:
        """How many jobs to look at."""
        self.looked = max(self.missing, min(self.looked * _GROWS, _MOST))
        return self.looked


class Rounds:
    """One call."""

    def __init__(
        self,
        call: Call,
        wants: Sequence[Want],
        *,
        kinds: Sequence[str],
        worker: str,
        lease: int,
        last_life: bool,
        now: int | None,
    ) -> None:
        self._call = call
        self._lines = [_Line(want.queue, want.slots) for want in wants if want.slots > 0]
        self._kinds = kinds
        self._worker = worker
        self._lease = lease
        self._suspects = int(last_life)
        """How many jobs on their last lives to look at in each queue; none when the call has one, or wants none."""
        self._now = now
        self._moment = 0
        self._parked = 0
        self._open = set[str]()
        """Gates to look at in the end."""
        self._taken: list[Claimed] = []
        self.limited: bool | None = None
        """Whether any job with limits was met; None: no job was."""

    async def run(self) -> list[Claimed]:
        """See `WorkStore.claim`."""
        try:
            while self._lines and await self._round():
                if self._parked >= _PARKED:
                    self._call.hints.add(Wakeup.WORK)
                    break
            if self._open:
                await gates.look_again(self._call, self._open, self._moment)
        except ERRORS as error:
            # What was taken is ours; if the claim failed it would be left to the end of its leases.
            if not self._taken:
                raise
            if isinstance(error, BROKEN):
                self._call.connection.terminate()
        return self._taken

    async def _round(self) -> bool:
        """Go on in the lines; says whether there is more to see."""
        async with self._call.connection.transaction():
            asked = [line.next() for line in self._lines]
            queues = [line.queue for line in self._lines]
            found = await self._call.connection.fetch(
                self._call.sql("gates_pick"), self._now, queues, asked, self._kinds, self._suspects
            )
            if not found:
                return False
            self._moment = found[0][-1]
            pieces = _Pieces.of(found, len(asked))
            if pieces.damaged:
                awaited = await self._call.connection.fetch(
                    self._call.sql("gates_damaged"), self._moment, pieces.damaged, _DAMAGED.type, _DAMAGED.message
                )
                self._call.hints.add(Wakeup.SETTLED)
                await tell(self._call, [row[0] for row in awaited], self._moment)
            keys = pieces.keys()
            self.limited = bool(self.limited or pieces.limited)
            locked = await gates.lock(self._call, keys)
            walked, more = self._walk(pieces, asked, locked)
            taken = await self._write(walked, locked, last=not more)
        self._taken += taken
        return more

    def _walk(self, pieces: _Pieces, asked: Sequence[int], locked: gates.Locked) -> tuple[Walk, bool]:
        """Walk the lines in their order until one needs more jobs to be looked at than were picked: those behind it are
        not judged in this round, so it comes to the same as if each line had been walked to its end.
        """
        total = Walk([], [], set(pieces.wake))

        def go(piece: list[Candidate], slots: int) -> int:
            one = walk(piece, locked.gates, locked.rules, slots, self._moment)
            total.take += one.take
            total.park += one.park
            total.touched |= one.touched
            return len(one.take)

        for number, line in enumerate(self._lines):
            suspects, others = pieces.found[2 * number : 2 * number + 2]
            if self._suspects and line.missing:
                if go(suspects, 1):
                    self._suspects = 0
                    line.missing -= 1
                elif pieces.counts[2 * number] >= self._suspects:
                    self._suspects *= _GROWS
                    del self._lines[:number]
                    return total, True
            line.missing -= go(others, line.missing)
            if line.missing and pieces.counts[2 * number + 1] >= asked[number]:
                del self._lines[:number]
                return total, True
        return total, False

    async def _write(self, walked: Walk, locked: gates.Locked, *, last: bool) -> list[Claimed]:
        call, now = self._call, self._moment
        rooms = locked.look(walked.touched, now)
        only = last and not self._open
        if not only:
            for key in rooms:
                locked.gates[key].opens_at = now
            self._open |= rooms.keys()
        if locked.due():
            call.hints.add(Wakeup.DUE)
        self._parked += len(walked.park)
        if any(gate == EXPIRED for _, gate in walked.park):
            call.hints.add(Wakeup.DUE)
        refused = [list(column) for column in zip(*walked.park, strict=True)] or [[], []]
        found = await call.connection.fetch(
            call.sql("gates_take"), now, self._worker, self._lease, walked.take, *refused,
            *locked.changed(rooms if only else {}),
        )  # fmt: skip
        if only:
            await gates.release(call, rooms, now)
        place = {seq: number for number, seq in enumerate(walked.take)}
        return [claimed(row) for row in sorted(found, key=lambda row: place[row[-1]])]


class _Pieces(msgspec.Struct):
    """What a look into some lines found, in their order: of each its jobs on their last lives, then the others."""

    found: list[list[Candidate]]
    counts: list[int]
    """How many there are, with the damaged ones."""
    damaged: list[int] = []
    """Jobs whose flow cannot be read."""
    wake: set[str] = set()
    """Gates that let damaged ones into the line."""
    limited: bool = False
    """Whether there is any with a flow."""

    @classmethod
    def of(cls, rows: Sequence[Record], lines: int) -> _Pieces:
        """Sort what `gates_pick.sql` gives."""
        pieces = cls([[] for _ in range(2 * lines)], [0] * (2 * lines))
        flows = dict[str | None, Flow | None]()  # many jobs have the same
        for seq, place, suspect, text, parked_by, expires_at, behind, _ in rows:
            number = 2 * place - 2 + (not suspect)
            pieces.counts[number] += 1
            if text not in flows:
                flows[text] = readable(text)
                pieces.limited = pieces.limited or text is not None
            flow = flows[text]
            if flow is not None or text is None:
                pieces.found[number].append(Candidate(seq, flow, parked_by, expires_at, behind))
            else:
                pieces.damaged.append(seq)
                if parked_by is not None:
                    pieces.wake.add(parked_by)
        return pieces

    def keys(self) -> set[str]:
        """The gates to lock; none when there are no limits in sight."""
        met = [one for piece in self.found for one in piece]
        keys = {step.key for one in met if one.flow is not None for step in one.flow.passes}
        return keys | self.wake | {one.parked_by for one in met if one.parked_by is not None}
