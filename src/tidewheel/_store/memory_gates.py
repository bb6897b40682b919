"""Limits in the memory store: `LimitStore` over the rows, and what claim, settle and sweep do with gates."""

from __future__ import annotations

import builtins
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec import DecodeError
from msgspec.structs import replace

from tidewheel._env import Env
from tidewheel._model.flow import EXPIRED, Flow, flow_of, order_key_of
from tidewheel._model.gate import Gate, idle
from tidewheel._model.job import ErrorInfo, Job
from tidewheel._model.limit import Allowance, GateRow, Hit, LimitRow, Rule, gate_key, merged
from tidewheel._model.outcome import Outcome, RetryLater
from tidewheel._model.state import JobState
from tidewheel._model.usher import (
    Candidate,
    emptied,
    ended_by,
    gate_row,
    give_back,
    leave,
    limit_of,
    look,
    rate_of,
    start_by_hand,
    walk,
)
from tidewheel._model.worker import Wakeup
from tidewheel._store.base import check_gates
from tidewheel._store.memory_graphs import MemoryGraphs


class MemoryGates(MemoryGraphs):
    """Rules by name, gates by key."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._limits: dict[str, LimitRow] = {}
        self._gates: dict[str, Gate] = {}
        self._opened = 0

    # LimitStore

    async def put_limits(
        self, rows: Sequence[LimitRow], *, declared: bool, now: int | None = None
    ) -> builtins.list[LimitRow]:
        """Store rules, new or changed."""
        with self._atom(now, len(rows)) as at:
            stored = []
            for row in rows:
                before = self._rule(row.name)
                stored.append(self._put_limit(row, declared=declared))
                if limit_of(row.name) != row.name or self._rule(row.name) != before:
                    self._look_at_all(row.name, at)
            self._news |= {Wakeup.DUE, Wakeup.CONTROL}
            return stored

    def _put_limit(self, row: LimitRow, *, declared: bool) -> LimitRow:
        stored = self._limits.pop(row.name, LimitRow(name=row.name))
        stored = replace(stored, declared=row.declared) if declared else replace(stored, operator=row.operator)
        if stored.declared is not None or stored.operator is not None:
            self._limits[row.name] = stored
        return stored

    def _look_at_all(self, name: str, now: int) -> None:
        """The rule of a limit, or of one gate, has changed: the next sweep looks at what waits."""
        for key, gate in self._gates.items():
            if gate.waiting and name in (key, limit_of(key)):
                gate.opens_at = now

    def _holder(self, key: str) -> Job | None:
        """The job that has its turn at a gate."""
        place = self._gates[key].holder
        return next((row.job for row in self._rows.values() if row.place == place), None)

    def _rule(self, key: str) -> Rule | None:
        """The rule that holds for a gate."""
        limit = limit_of(key)
        named, own = self._limits.get(limit), self._limits.get(key)
        if named is None:
            return None
        return merged(named.declared, named.operator, own.operator if own else None)

    async def limits(self) -> builtins.list[LimitRow]:
        """All limits that have a rule, by name."""
        with self._atom():
            return sorted(self._limits.values(), key=lambda row: row.name)

    async def gates(
        self, *, limits: Sequence[str] = (), keys: Sequence[str] = (), limit: int = 100, now: int | None = None
    ) -> builtins.list[GateRow]:
        """Gates by their keys' order."""
        check_gates(limit)
        with self._atom(now) as at:
            found = [
                key for key in sorted(self._gates) if not (limits or keys) or key in keys or limit_of(key) in limits
            ]
            return [self._gate_row(key, at) for key in found[:limit]]

    def _gate_row(self, key: str, now: int) -> GateRow:
        holder = self._holder(key)
        # `room` may change a gate; who only looks may not
        return gate_row(key, self._rule(key), replace(self._gates[key]), now, holder.id if holder else None)

    async def hit(self, hits: Sequence[Hit], *, now: int | None = None) -> builtins.list[Allowance]:
        """Ask for starts by hand, one after the other."""
        with self._atom(now, len(hits)) as at:
            rules = [rate_of(hit, self._rule(gate_key(hit.limit, hit.value))) for hit in hits]
            return [self._hit(hit, rule, at) for hit, rule in zip(hits, rules, strict=True)]

    def _hit(self, hit: Hit, rule: Rule, now: int) -> Allowance:
        gate = self._gates.setdefault(gate_key(hit.limit, hit.value), Gate())
        return start_by_hand(rule, gate, hit.cost, now)

    # for WorkStore and UpkeepStore

    def _walk(self, line: Sequence[Job], slots: int, touched: set[str], now: int) -> builtins.list[Job]:
        """The jobs of a line that may start, until the slots are filled; parks those that may not."""
        candidates = []
        jobs = {self._rows[job.id].place: job for job in line} if slots > 0 else {}
        for place, job in jobs.items():
            try:
                flow = self._flow(job)
            except DecodeError as error:
                self._set_aside(job, error, now)
            else:
                candidates.append(Candidate(place, flow, job.parked_by, job.expires_at))
        keys = {one.key for candidate in candidates if candidate.flow for one in candidate.flow.passes}
        done = walk(candidates, self._gates, {key: self._rule(key) for key in keys}, slots, now)
        for place, key in done.park:
            self._put(replace(jobs[place], state=JobState.PARKED, parked_by=key))
            if key == EXPIRED:
                self._news.add(Wakeup.DUE)
        touched |= done.touched
        return [jobs[place] for place in done.take]

    def _flow(self, job: Job) -> Flow | None:
        return None if job.flow is None else flow_of(job.flow)

    def _set_aside(self, job: Job, error: DecodeError, now: int) -> None:
        broken = ErrorInfo("tidewheel.Unreadable", f"Its limits cannot be read: {error}")
        self._put(replace(job, state=JobState.DISCARDED, finished_at=now, error=broken, parked_by=None))

    def _give_back(self, job: Job, outcome: Outcome | None, now: int) -> set[str]:
        """Free what an attempt of a job, as it is now, held, and shut what it wants shut; gives the gates. No outcome: it was
        rescued.
        """
        flow = self._flow(job)
        if flow is None:
            return set()
        return give_back(
            flow,
            self._gates,
            job=self._rows[job.id].place,
            final=job.state.final,
            hold=outcome.hold if isinstance(outcome, RetryLater) else (),
            until=now + outcome.after if isinstance(outcome, RetryLater) else 0,
            ended=ended_by(outcome),
            rules={one.key: self._rule(one.key) for one in flow.passes},
            now=now,
        )

    def _leave(self, job: Job, now: int, flow: str | None = None) -> None:
        """A job that waits ends, or must pass other gates from now on: it gives up the place where it has its turn."""
        key = order_key_of(job.flow)
        gate = self._gates.get(key or "")
        if gate is not None and key != order_key_of(flow) and leave(gate, self._rows[job.id].place):
            self._look_soon(key, now)

    @contextmanager
    def _watched(self, now: int) -> Iterator[set[str]]:
        """Collects the gates that are touched; at its end they let in as many as they have room for."""
        touched: set[str] = set()
        before = set(self._gates)
        yield touched
        for key in sorted(touched):
            gate = self._gates[key]
            if free := look(self._rule(key), gate, now):
                self._release(key, gate, free)
            if key not in before and gate == Gate():
                del self._gates[key]
            if gate.opens_at is not None:
                self._news.add(Wakeup.DUE)

    def _release(self, key: str, gate: Gate, free: int) -> None:
        marked = [row.job for row in self._rows.values() if row.job.parked_by == key]
        let_in = Counter((job.queue, job.kind) for job in marked if job.state is JobState.AVAILABLE)
        parked = sorted((job for job in marked if job.state is JobState.PARKED), key=self._turn)
        for job in parked:
            if let_in[job.queue, job.kind] < free:
                let_in[job.queue, job.kind] += 1
                self._opened += 1
                self._put(replace(job, state=JobState.AVAILABLE))
        if not any(row.job.state is JobState.PARKED and row.job.parked_by == key for row in self._rows.values()):
            emptied(gate)

    def _open_gates(self, limit: int, now: int) -> int:
        """Look at the gates whose time has come; gives how many."""
        self._opened = 0
        due = sorted((gate.opens_at, key) for key, gate in self._gates.items() if gate.opens_at is not None)
        with self._watched(now) as touched:
            touched |= {key for at, key in due[:limit] if at <= now}
        return len(touched)

    def _look_soon(self, key: str | None, now: int) -> None:
        """A job goes that this gate had let in: its room is for another."""
        gate = self._gates.get(key or "")
        if gate is not None and gate.waiting:
            gate.opens_at = now
            self._news.add(Wakeup.DUE)

    def _give_up(self, job: Job, now: int) -> None:
        """Somebody else may have what this job has at gates while it waits."""
        self._leave(job, now)
        if job.state is JobState.AVAILABLE:
            self._look_soon(job.parked_by, now)

    def _withdraw(self, job: Job, now: int, error: ErrorInfo | None = None) -> Job:
        """End a job that waits: nobody starts it any more."""
        self._give_up(job, now)
        gone = replace(job, state=JobState.CANCELLED, finished_at=now, parked_by=None, error=error or job.error)
        self._put(gone)
        return gone

    def _tidy_gates(self, now: int) -> None:
        """Count the slots in use anew, and forget gates that nobody would miss."""
        used: defaultdict[str, int] = defaultdict(int)
        for job in self._jobs(JobState.RUNNING):
            flow = self._flow(job)
            for one in flow.passes if flow else ():
                used[one.key] += one.holds
        with self._watched(now) as touched:
            for key, gate in self._gates.items():
                holder = self._holder(key)
                stays = holder is not None and not holder.state.final and order_key_of(holder.flow) == key
                if gate.used != used[key] or (gate.holder is not None and not stays):
                    gate.used, gate.holder = used[key], gate.holder if stays else None
                    touched.add(key)
        for key in [key for key, gate in self._gates.items() if idle(self._rule(key), gate, now)]:
            del self._gates[key]
