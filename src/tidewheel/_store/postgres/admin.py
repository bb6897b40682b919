"""The admin side as functions of a connection: questions and orders."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg
import msgspec

from tidewheel._model.desk import WAITING
from tidewheel._model.job import History, Job, LogLine
from tidewheel._model.query import Action, Altered, JobFilter, Page
from tidewheel._model.queue import QueueSettings, QueueStats
from tidewheel._model.state import JobState
from tidewheel._model.transition import alterable, alters
from tidewheel._model.worker import Wakeup, WorkerInfo, WorkerRow
from tidewheel._store.postgres import rows
from tidewheel._store.postgres.call import Call, clock
from tidewheel._store.postgres.ending import wake
from tidewheel._store.postgres.graphs import tell
from tidewheel._store.postgres.sql import CLOCK, with_schema, words
from tidewheel._store.postgres.upkeep import delete

_info: Final = msgspec.json.Decoder(WorkerInfo)
_TEXT: Final = (
    "(strpos(id, {0}) > 0 OR strpos(kind, {0}) > 0 OR strpos(args, {0}) > 0 "
    "OR strpos(coalesce(error_message, ''), {0}) > 0)"
)
_LAST_CURSOR: Final = 2**63 - 1


def _jobs(call: Call, rest: str) -> str:
    return with_schema(f"SELECT {rows.COLUMNS} FROM {{schema}}.jobs WHERE {rest}", call.schema)


async def get(call: Call, ids: Sequence[str]) -> list[Job | None]:
    """See `AdminStore.get`."""
    found = await call.connection.fetch(_jobs(call, "id = ANY ($1::text[])"), storable(ids))
    jobs = {row[0]: rows.job(row) for row in found}
    return [jobs.get(id) for id in ids]


def storable(texts: Sequence[str]) -> list[str]:
    """Those that the server can hold at all; the others are in no row."""
    return [text for text in texts if text == rows.said(text)]


async def list_jobs(call: Call, where: JobFilter, limit: int, cursor: str | None) -> Page:
    """See `AdminStore.list`."""
    parameters: list[Any] = [limit + 1]
    condition = _condition(where, parameters)
    if cursor is not None:
        parameters.append(min(int(cursor), _LAST_CURSOR))
        condition += f" AND seq < ${len(parameters)}"
    found = await call.connection.fetch(_jobs(call, f"{condition} ORDER BY seq DESC LIMIT $1"), *parameters)
    jobs = tuple(rows.job(row) for row in found[:limit])
    return Page(jobs=jobs, next=str(found[limit - 1][-1]) if len(found) > limit else None)


def check_page(limit: int, cursor: str | None) -> None:
    """Refuse what is no page.

    Raises:
        ValueError: `limit` not in 1..1000, or a cursor this store did not make.
    """
    if not 1 <= limit <= 1000:
        raise ValueError(f"limit={limit}: a page has 1 to 1000 jobs.")
    if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
        raise ValueError(f"{cursor!r} is no cursor of this store. Pass on what `Page.next` gave, or None to start.")


def _condition(where: JobFilter, parameters: list[Any]) -> str:
    """A filter as SQL; its values are added to the parameters."""

    def parameter(value: Any) -> str:
        parameters.append(value)
        return f"${len(parameters)}"

    parts = ["TRUE"]
    if where.states:  # our own words, and in the text: so the planner sees which partial index holds them
        parts.append(f"state IN ({words(sorted(where.states))})")
    for column, values in (("queue", where.queues), ("kind", where.kinds)):
        if values:
            parts.append(f"{column} = ANY ({parameter(storable(values))}::text[])")
    for text, condition in ((where.tag, "{} = ANY (tags)"), (where.text, _TEXT)):
        if text is not None:
            known = storable([text])
            parts.append(condition.format(f"{parameter(text)}::text") if known else "FALSE")
    for column, sign, moment in (
        ("enqueued_at", ">=", where.enqueued_after),
        ("enqueued_at", "<", where.enqueued_before),
        ("finished_at", "<", where.finished_before),
    ):
        if moment is not None:
            parts.append(f"{column} {sign} {parameter(moment)}")
    return " AND ".join(parts)


async def history(call: Call, job_id: str) -> History | None:
    """See `AdminStore.history`."""
    if not storable([job_id]):
        return None
    fetch = call.connection.fetch
    async with call.connection.transaction(isolation="repeatable_read", readonly=True):
        found = await fetch(_jobs(call, "id = $1"), job_id)
        if not found:
            return None
        seq = found[0][-1]
        attempts = await fetch(
            with_schema(
                "SELECT epoch, attempt, worker, started_at, ended_at, outcome, error_type, error_message, "
                "error_traceback FROM {schema}.attempts WHERE job = $1 ORDER BY epoch",
                call.schema,
            ),
            seq,
        )
        logs = await fetch(
            with_schema("SELECT at, level, message FROM {schema}.logs WHERE job = $1 ORDER BY seq", call.schema), seq
        )
    return History(
        job=rows.job(found[0]),
        attempts=tuple(rows.attempt(job_id, attempt) for attempt in attempts),
        logs=tuple(LogLine(*line) for line in logs),
    )


class _Row(msgspec.Struct):
    """A job as an order sees it, changing while the order goes through its list."""

    id: str
    seq: int
    state: JobState | None
    unique_key: str | None
    cancel_requested: bool
    parked_by: str | None
    awaited: bool | None
    order_key: str | None


class _Gone(msgspec.Struct):
    """Who hears, in the end, of jobs that are gone."""

    wake: set[str] = set()
    """Gates that had let them into the line."""
    turns: dict[int, str] = {}
    """Those that may have their turn at a gate."""
    told: list[str] = []
    """Those that others wait for."""


class _Order:
    """An `alter` of locked rows: decided one after the other, written at once."""

    def __init__(self, call: Call, action: Action, now: int, held: set[str], gone: _Gone) -> None:
        self._call = call
        self._action = action
        self._now = now
        self._held = held
        self._wake, self._turns, self._told = gone.wake, gone.turns, gone.told
        self._seqs: dict[str, list[int]] = {}
        self._back: list[str] = []
        """Jobs that come back, for whom others may wait."""
        self._open: defaultdict[str, set[str]] = defaultdict(set)
        """By parents, the children that have not ended."""
        self._parents: defaultdict[str, set[str]] = defaultdict(set)

    def decide(self, row: _Row) -> tuple[Altered, bool]:
        """The answer, and whether anything changes."""
        before = row.state
        unchanged = Altered(row.id, before, before), False
        if before is None or before not in alterable(self._action):
            return unchanged
        if self._action in (Action.CANCEL, Action.DELETE):
            self._note(row)
        if self._action is Action.DELETE:
            row.state = None
            return self._changes(row, "delete", Altered(row.id, before, None))
        after = alters(before, self._action)
        if after is JobState.RUNNING:
            new, row.cancel_requested = not row.cancel_requested, True
            answer = Altered(row.id, before, before, cancel_requested=True)
            return self._changes(row, "alter_ask", answer) if new else (answer, False)
        if self._action is Action.RETRY and row.unique_key is not None:
            if row.unique_key in self._held:
                return unchanged
            self._held.add(row.unique_key)
        if self._action is Action.RETRY:
            after = self._retry(row.id)
        row.state = after
        name = "alter_park" if after is JobState.PARKED else f"alter_{self._action}"
        return self._changes(row, name, Altered(row.id, before, after))

    def _note(self, row: _Row) -> None:
        """Note who has to hear that a waiting job is gone."""
        if row.state is JobState.AVAILABLE and row.parked_by is not None:
            self._wake.add(row.parked_by)
        if row.state in WAITING and row.order_key is not None:
            self._turns[row.seq] = row.order_key
        if row.state in WAITING and row.awaited:
            self._told.append(row.id)

    def know(self, edges: Iterable[tuple[str, str, bool]]) -> None:
        """Who waits for whom, among the jobs to retry and those next to them."""
        for parent, child, still in edges:
            self._parents[child].add(parent)
            if still:
                self._open[parent].add(child)

    def _retry(self, id: str) -> JobState:
        """The state of a job that comes back. Whoever waits for it waits on."""
        self._back.append(id)
        for parent in self._parents[id]:
            self._open[parent].add(id)
        return JobState.PARKED if self._open[id] else JobState.AVAILABLE

    def _changes(self, row: _Row, statement: str, answer: Altered) -> tuple[Altered, bool]:
        self._seqs.setdefault(statement, []).append(row.seq)
        return answer, True

    async def write(self) -> None:
        """Write what was decided."""
        hints = self._call.hints
        for name, seqs in self._seqs.items():
            if name == "delete":
                await delete(self._call, seqs)
            elif name == "alter_ask":
                await self._call.connection.execute(self._call.sql(name), seqs)
                hints.add(Wakeup.CONTROL)
            else:
                await self._call.connection.execute(self._call.sql(name), self._now, seqs)
                hints.add(Wakeup.SETTLED if name == "alter_cancel" else Wakeup.WORK)
        if any(self._parents[id] for id in self._back):
            await self._call.connection.execute(self._call.sql("edges_reopen"), sorted(self._back))


async def alter(
    call: Call, ids: Sequence[str] | JobFilter, action: Action, limit: int, now: int | None
) -> list[Altered]:
    """See `AdminStore.alter`."""
    gone = _Gone()
    async with call.connection.transaction():
        if isinstance(ids, JobFilter):
            answers = await _alter_where(call, ids, action, limit=limit, now=now, gone=gone)
        else:
            locked, order = await _locked(call, action, "id = ANY ($1::text[])", [storable(ids), now], gone)
            found = {row.id: row for row in locked}
            answers = [order.decide(found[id])[0] if id in found else Altered(id, None, None) for id in ids]
            await order.write()
        if gone.told:
            await tell(call, gone.told, await clock(call, now))
        await wake(call, gone.wake, now, gone.turns)
    return answers


async def _alter_where(
    call: Call, where: JobFilter, action: Action, *, limit: int, now: int | None, gone: _Gone
) -> list[Altered]:
    parameters: list[Any] = [0, 0]
    condition = (
        f"{_condition(where, parameters)} AND state IN ({words(sorted(alterable(action)))}) AND NOT cancel_requested"
    )
    find = with_schema(
        f"SELECT seq FROM {{schema}}.jobs WHERE {condition} AND seq > $1 ORDER BY seq LIMIT $2", call.schema
    )
    answers: list[Altered] = []
    while len(answers) < limit:  # those that are refused do not count, so there may have to be a second look
        parameters[1] = limit - len(answers)
        found = [row[0] for row in await call.connection.fetch(find, *parameters)]
        if not found:
            break
        parameters[0] = found[-1]
        # Asked again under the lock: a row may have changed since the look.
        which = f"seq = ANY ($1::bigint[]) AND {condition}"
        locked, order = await _locked(call, action, which, [found, now, *parameters[2:]], gone)
        decided = [order.decide(row) for row in sorted(locked, key=lambda row: row.seq)]
        answers += [answer for answer, changed in decided if changed]
        await order.write()
    return answers


async def _locked(
    call: Call, action: Action, which: str, parameters: Sequence[Any], gone: _Gone
) -> tuple[list[_Row], _Order]:
    """Lock rows in the order of their ids; gives them, and the order that can be given to them. The second
    parameter is now, or None.
    """
    found = await call.connection.fetch(
        with_schema(
            f"SELECT id, seq, state, unique_key, cancel_requested, parked_by, awaited, order_key, coalesce($2::bigint, {CLOCK}) "
            f"FROM {{schema}}.jobs WHERE {which} ORDER BY id FOR UPDATE",
            call.schema,
        ),
        *parameters,
    )
    keys = {row[3] for row in found if row[3] is not None} if action is Action.RETRY else None
    held = {row[0] for row in await call.connection.fetch(call.sql("alter_holders"), list(keys))} if keys else set()
    locked = [_Row(row[0], row[1], JobState(row[2]), *row[3:8]) for row in found]
    order = _Order(call, action, found[0][8] if found else 0, held, gone)
    if locked and action is Action.RETRY:  # asked behind the lock: ends that are being written come to us after it
        around = await call.connection.fetch(call.sql("edges_around"), [row.id for row in locked])
        order.know((parent, child, still) for parent, child, still in around)
    return locked, order


async def put_queues(call: Call, settings: Sequence[QueueSettings]) -> list[QueueSettings]:
    """See `AdminStore.put_queues`."""
    last = {one.name: one for one in settings}
    ordered = sorted((one.name, one.paused) for one in last.values())
    await call.connection.execute(call.sql("queues_put"), *rows.columns(ordered, 2))
    call.hints |= {Wakeup.CONTROL, Wakeup.WORK}
    return [last[one.name] for one in settings]


async def queues(call: Call) -> list[QueueStats]:
    """See `AdminStore.queues`."""
    counts: dict[str, dict[JobState, int]] = {}
    oldest: dict[str, int] = {}
    paused: dict[str, bool] = {}
    async with call.connection.transaction():
        # It reads every job: the one statement for which going through the table is the best plan.
        await call.connection.execute("SET LOCAL enable_seqscan = on")
        found = await call.connection.fetch(call.sql("queues"))
    for name, state, count, first in found:
        if state is None:
            paused[name] = bool(count)
            continue
        counts.setdefault(name, dict.fromkeys(JobState, 0))[JobState(state)] = count
        if first is not None:
            oldest[name] = first
    return [
        QueueStats(
            name=name,
            paused=paused.get(name, False),
            counts=counts.get(name) or dict.fromkeys(JobState, 0),
            oldest_available=oldest.get(name),
        )
        for name in sorted(counts.keys() | paused.keys())
    ]


async def workers(call: Call) -> list[WorkerRow]:
    """See `AdminStore.workers`."""
    found = await call.connection.fetch(with_schema("SELECT info, seen_at FROM {schema}.workers", call.schema))
    listed = []
    for info, seen_at in found:
        with contextlib.suppress(msgspec.MsgspecError):  # a worker of another version that presents itself otherwise
            listed.append(WorkerRow(info=_info.decode(info), seen_at=seen_at))
    return sorted(listed, key=lambda row: (row.info.started_at, row.info.id))


REFUSED: Final = asyncpg.UniqueViolationError
"""A retry met a job that took the unique key this very moment: worth another look."""
