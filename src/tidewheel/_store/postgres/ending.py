"""Ends of jobs, other than plain completion: written in bulk, by whoever ends them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tidewheel._model.flow import NO_GATES
from tidewheel._model.job import ErrorInfo
from tidewheel._model.state import JobState
from tidewheel._model.transition import Ending, on_dead_job, wakeup_for
from tidewheel._model.worker import Wakeup
from tidewheel._store.postgres.call import Call
from tidewheel._store.postgres.insert import add
from tidewheel._store.postgres.rows import columns, error_of, error_row

if TYPE_CHECKING:
    from tidewheel._store.postgres.connect import Record

_ENDED: Final = 13


class Row(msgspec.Struct):
    """A job as those see it who change or end it while it waits. It changes as their decisions go on."""

    id: str
    seq: int
    """Its place in the order of the enqueue; 0 of a job that is not in yet."""
    state: JobState
    queue: str = ""
    attempt: int = 0
    run_at: int = 0
    keep_failed: int | None = None
    on_dead: str | None = None
    unique_key: str | None = None
    parked_by: str | None = None
    flow: str | None = None
    expires_at: int | None = None
    backlog: str | None = None
    awaited: bool | None = None
    cancel_requested: bool = False
    priority: int = 0
    lifo: bool = False
    lead: int | None = None
    error: ErrorInfo | None = None

    @classmethod
    def of(cls, record: Record | Sequence[Any]) -> Row:
        """From the columns of `sql.ROW`."""
        id, seq, state, *rest = record
        *plain, kind, message, traceback = rest
        columns: list[Any] = [*plain, error_of(kind, message, traceback)]
        return cls(id, seq, JobState(state), *columns)

    @property
    def let_in_by(self) -> str | None:
        """The gate that let it into the line, where it is now."""
        return self.parked_by if self.state is JobState.AVAILABLE and self.parked_by not in NO_GATES else None

    def end(self, state: JobState, error: ErrorInfo | None) -> End:
        """End it before an attempt of it does: the row of the job as it is written."""
        self.state, self.parked_by, self.error = state, None, error
        ending = Ending(state=state, attempt=self.attempt, run_at=self.run_at, error=error)
        return End(ending, self.id, self.seq, self.queue, self.keep_failed, self.on_dead)


async def hold(call: Call, ids: Iterable[str]) -> list[Row]:
    """Lock jobs, in the order of their ids: from now on they stay as they are. Gives those that are there."""
    return [Row.of(record) for record in await call.connection.fetch(call.sql("desk_hold"), sorted(ids))]


class End(msgspec.Struct, frozen=True, gc=False):
    """How an attempt, or a job that waited, ended, and of which row."""

    ending: Ending
    id: str
    seq: int
    queue: str
    keep_failed: int | None
    on_dead: str | None
    progress: str | None = None

    def row(self) -> tuple[Any, ...]:
        """The columns of `end_rows.sql`."""
        one = self.ending
        why = error_row(one.record_error)
        kept = (self.keep_failed, *error_row(one.error), self.progress, one.record, *why)
        return (self.seq, one.state.value, one.attempt, one.run_at, *kept)


async def write_ends(call: Call, ends: Sequence[End], *, rescue: bool = False, now: int) -> None:
    """Write endings that are not plain completion, their records, and the jobs that tell of dead letters."""
    if not ends:
        return
    rows = columns([end.row() for end in ends], _ENDED)
    await call.connection.execute(call.sql("end_rows"), now, int(rescue), *rows)
    call.hints |= {hint for end in ends if (hint := wakeup_for(end.ending.state))}
    tell = [
        on_dead_job(new_id=call.new_id(), kind=end.on_dead, dead_id=end.id, queue=end.queue)
        for end in ends
        if end.ending.state is JobState.DISCARDED and end.on_dead is not None
    ]
    if tell:
        await add(call, tell, now)


async def wake(call: Call, gates: Iterable[str], now: int | None, turns: Mapping[int, str]) -> None:
    """Jobs are gone that these gates had let into the line, or that may have their turn at a gate: `turns`, by their seqs.
    The last step of a transaction, and all gates at once: nobody waits for a job while he holds a gate.
    """
    keys, seqs = sorted(set(gates)), sorted(turns)
    asked = now, keys, seqs, [turns[seq] for seq in seqs]
    if (keys or seqs) and await call.connection.fetchval(call.sql("gates_wake"), *asked):
        call.hints.add(Wakeup.DUE)
