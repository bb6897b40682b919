"""The enqueue as a function of a transaction.

Plain jobs are inserted many at a time. Those with a rule, a backlog, children or a turn come to the desk one by one, in their order,
for each must see what those before it did. What a rule makes of them says `_model/desk.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from msgspec.structs import replace

from tidewheel._model.desk import WAITING, Change, Holder, KeyRow, Verdict, comes_to_the_desk, judge, turn
from tidewheel._model.enqueue_rule import Backlog
from tidewheel._model.flow import order_key_of
from tidewheel._model.graph import Edge
from tidewheel._model.job import NewJob
from tidewheel._model.query import Enqueued
from tidewheel._model.state import JobState
from tidewheel._model.transition import dropped_for, replaced_by
from tidewheel._model.worker import Wakeup
from tidewheel._store.children import check_after
from tidewheel._store.sqlite.endings import ask_to_stop, cancel, step_down
from tidewheel._store.sqlite.graphs import Family
from tidewheel._store.sqlite.insert import clash, insert
from tidewheel._store.sqlite.rows import lines_up, state_of, text
from tidewheel._store.sqlite.sql import statement
from tidewheel._store.sqlite.writer import Transaction

_NOTHING: Final = Verdict(insert=True)


def enqueue(tx: Transaction, jobs: Sequence[NewJob], new_id: Callable[[], str], now: int) -> list[Enqueued]:
    """See `WorkStore.enqueue`."""
    special = [*map(comes_to_the_desk, jobs)]
    if not any(special):
        return insert(tx, jobs, now)
    desk = _Desk(tx, new_id, now)
    for one_by_one, alike in groupby(zip(special, jobs, strict=True), itemgetter(0)):
        desk.serve([job for _, job in alike], special=one_by_one)
    desk.close()
    return desk.answers


class _Found:
    """The job that took a key last, and is there still."""

    def __init__(self, id: str, row: Sequence[Any]) -> None:
        self.id = id
        self.seq, word, flow, self.parked_by, expires_at, self.keep_failed, self.backlog, self.awaited = row
        self.state, _ = state_of(word)
        # Its flow is only compared, so a damaged one may be anything.
        passes = None if flow is None else flow.decode(errors="replace")
        self.holder = Holder(self.state, passes, self.parked_by, expires_at)


class _Desk:
    """Serves the jobs of one call."""

    def __init__(self, tx: Transaction, new_id: Callable[[], str], now: int) -> None:
        self._tx = tx
        self._now = now
        self._family = Family(tx, new_id, now)
        self._waiting: dict[str, int] = {}
        """How many jobs of a backlog wait, as far as this call has counted them."""
        self._others: dict[str, str] = {}
        """Jobs of this call that were answered with another's id."""
        self.answers: list[Enqueued] = []

    def serve(self, jobs: Sequence[NewJob], *, special: bool) -> None:
        """Insert jobs, or say why not."""
        if special:
            for job in jobs:
                self._answer([job], [self._serve(job)])
        else:
            self._answer(jobs, insert(self._tx, jobs, self._now))

    def _answer(self, jobs: Sequence[NewJob], answers: Sequence[Enqueued]) -> None:
        for job, answer in zip(jobs, answers, strict=True):
            if answer.id != job.id:
                self._others[job.id] = answer.id
        self.answers += answers

    def close(self) -> None:
        """All are served."""
        self._family.tell()

    def _serve(self, job: NewJob) -> Enqueued:
        if answer := clash(self._tx, job):
            return answer
        verdict, found = _NOTHING, None
        if job.rule is not None:
            row, found = self._look_up(job.rule.key)
            verdict = judge(job.rule, job, row, found.holder if found else None, self._now)
            if not verdict.insert:
                return self._refused(job, verdict, row, found)
        stopped = found if verdict.cancel else None
        most = job.backlog
        if most is not None and not most.drop_oldest and self._count(most, stopped) >= most.most:
            return Enqueued(job.id, inserted=False, did="full")
        cancelled = self._make_way(job, stopped)
        self._insert(job)
        if job.rule is not None and verdict.row is not None:
            self._take(job.rule.key, verdict.row)
        return Enqueued(
            job.id, inserted=True, cancelled=cancelled, remaining=verdict.remaining, reset_at=verdict.reset_at
        )

    def _make_way(self, job: NewJob, stopped: _Found | None) -> str | None:
        """Cancel whom its rule and its backlog do not suffer beside it; gives the first of them."""
        gone = [] if stopped is None else [self._stop(stopped, job)]
        if job.backlog is not None and job.backlog.drop_oldest:
            gone += self._drop(job.backlog, job)
        return gone[0] if gone else None

    def _insert(self, job: NewJob) -> None:
        if job.after:
            self._family.insert(job, self._named(job))
            self._waiting.clear()  # it may have been given up at once
        else:
            insert(self._tx, [job], self._now)
            self._counted(job.backlog.key if job.backlog else None, 1)
        if lines_up(job):
            self._line_up(job)

    def _named(self, job: NewJob) -> list[Edge]:
        """Whom it waits for, each once."""
        check_after(job)
        edges: dict[str, Edge] = {}
        for place, one in enumerate(job.after):
            child = self._others.get(one.id, one.id)
            edges.setdefault(child, Edge(job.id, child, one.on_failure, place=place))
        return list(edges.values())

    # -- the key

    def _look_up(self, key: str) -> tuple[KeyRow | None, _Found | None]:
        """The key's row, and the job that it names."""
        row = self._tx.connection.execute(statement("desk_key"), (key,)).fetchone()
        if row is None:
            return None, None
        known = KeyRow(*row[:4])
        return known, None if row[4] is None else _Found(known.job_id, row[4:])

    def _refused(self, job: NewJob, verdict: Verdict, row: KeyRow | None, found: _Found | None) -> Enqueued:
        """The answer for a job that its rule does not let in: it names the one that took the key."""
        holder = row.job_id if row else job.id
        answer = Enqueued(
            holder,
            inserted=False,
            state=found.state if found else None,
            did="dropped" if verdict.dropped else "",
            remaining=verdict.remaining,
            reset_at=verdict.reset_at,
        )
        if found is None or verdict.change is None:
            return answer
        self._change(found, verdict.change, job)
        return replace(answer, state=verdict.change.state, did="replaced")

    def _change(self, found: _Found, change: Change, job: NewJob) -> None:
        expires_at = None if job.expires_in is None else self._now + job.expires_in
        tags = text(change.tags) if change.tags else None
        self._tx.connection.execute(
            statement("desk_change"),
            (
                change.state, change.run_at, change.priority, change.args, change.flow, expires_at, change.meta,
                change.tags is not None, tags, found.seq,
            ),
        )  # fmt: skip
        if change.args is not None:
            step_down(self._tx, found.seq, self._now, order_key_of(change.flow))
        if change.state is JobState.AVAILABLE and found.state is not JobState.AVAILABLE:
            self._tx.hints.add(Wakeup.WORK)
        if (change.run_at is not None and change.state is not JobState.AVAILABLE) or (change.args and expires_at):
            self._tx.hints.add(Wakeup.DUE)

    def _take(self, key: str, row: KeyRow) -> None:
        look_at = max(row.until, self._now)
        self._tx.connection.execute(statement("desk_take"), (key, row.job_id, row.since, row.until, row.used, look_at))

    def _stop(self, found: _Found, job: NewJob) -> str:
        """The job that took the key makes way for this one."""
        if found.state in WAITING:
            row = (found.seq, found.id, found.state, found.keep_failed, found.parked_by, found.awaited)
            cancel(self._family, row, replaced_by(job.id))
            self._counted(found.backlog, -1)
        else:
            ask_to_stop(self._tx, found.seq)
        return found.id

    # -- its place

    def _line_up(self, job: NewJob) -> None:
        """Give a new job that may run at once its place in the line."""
        execute = self._tx.connection.execute
        seq, state, run_at = execute("SELECT seq, state, run_at FROM tidewheel_jobs WHERE id = ?", (job.id,)).fetchone()
        if state != JobState.AVAILABLE:
            return
        place = run_at - job.lead
        if job.fair is not None and not job.lifo:
            head = execute(statement("desk_head"), (job.queue, job.priority, seq)).fetchone()[0]
            row, _ = self._look_up(job.fair.key)
            place, taken = turn(job, job.fair, row, head, self._now)
            self._take(job.fair.key, taken)
        execute(statement("desk_place"), (place, seq))

    # -- the backlog

    def _count(self, backlog: Backlog, stopped: _Found | None) -> int:
        """How many wait, without the one that makes way."""
        goes = stopped is not None and stopped.state in WAITING and stopped.backlog == backlog.key
        if backlog.key not in self._waiting:
            row = self._tx.connection.execute(statement("desk_waiting"), (backlog.key,)).fetchone()
            self._waiting[backlog.key] = row[0]
        return self._waiting[backlog.key] - goes

    def _counted(self, backlog: str | None, change: int) -> None:
        if backlog in self._waiting:
            self._waiting[backlog] += change

    def _drop(self, backlog: Backlog, job: NewJob) -> list[str]:
        """Cancel the first enqueued of those that wait, until there is room for one more."""
        too_many = self._count(backlog, None) - backlog.most + 1
        if too_many < 1:
            return []
        rows = self._tx.connection.execute(statement("desk_oldest"), (backlog.key, too_many)).fetchall()
        for row in rows:
            cancel(self._family, row, dropped_for(job.id, backlog))
        self._counted(backlog.key, -len(rows))
        return [row[1] for row in rows]
