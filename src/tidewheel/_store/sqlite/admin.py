"""The admin side as functions of a connection: questions (reader) and orders (writer)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from tidewheel._model.flow import CHILDREN
from tidewheel._model.job import History, Job, LogLine
from tidewheel._model.query import Action, Altered, JobFilter, Page
from tidewheel._model.queue import QueueSettings, QueueStats
from tidewheel._model.state import JobState
from tidewheel._model.transition import alterable, alters
from tidewheel._model.worker import Wakeup, WorkerInfo, WorkerRow
from tidewheel._store.sqlite import rows
from tidewheel._store.sqlite.endings import ask_to_stop, cancel, leave
from tidewheel._store.sqlite.graphs import Family
from tidewheel._store.sqlite.sql import statement
from tidewheel._store.sqlite.upkeep import delete
from tidewheel._store.sqlite.writer import Transaction

_ALTER_COLUMNS: Final = "id, seq, state, unique_key, keep_failed, parked_by, awaited"
_info: Final = msgspec.json.Decoder(WorkerInfo)


def get(connection: sqlite3.Connection, ids: Sequence[str]) -> list[Job | None]:
    """See `AdminStore.get`."""
    found = connection.execute(
        f"SELECT {rows.COLUMNS} FROM tidewheel_jobs WHERE id IN (SELECT value FROM json_each(?))", (rows.text(ids),)
    )
    jobs = {row[0]: rows.job(row) for row in found}
    return [jobs.get(id) for id in ids]


def list_jobs(connection: sqlite3.Connection, where: JobFilter, limit: int, cursor: str | None) -> Page:
    """See `AdminStore.list`."""
    if not 1 <= limit <= 1000:
        raise ValueError(f"limit={limit}: a page has 1 to 1000 jobs.")
    if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
        raise ValueError(f"{cursor!r} is no cursor of this store. Pass on what `Page.next` gave, or None to start.")
    condition, parameters = _condition(where)
    if cursor is not None:
        condition, parameters = f"{condition} AND seq < ?", [*parameters, int(cursor)]
    index = ""
    # SQLite would rather go through all jobs, newest first, than look up and sort the few that run or are parked.
    if set(where.states) == {JobState.RUNNING}:
        index = "INDEXED BY tidewheel_jobs_leased"
    elif set(where.states) == {JobState.PARKED}:
        condition, index = f"{condition} AND parked_by IS NOT NULL", "INDEXED BY tidewheel_jobs_parked"
    found = connection.execute(
        f"SELECT {rows.COLUMNS}, seq FROM tidewheel_jobs {index} WHERE {condition} ORDER BY seq DESC LIMIT ?",
        (*parameters, limit + 1),
    ).fetchall()
    jobs = tuple(rows.job(row[:-1]) for row in found[:limit])
    return Page(jobs=jobs, next=str(found[limit - 1][-1]) if len(found) > limit else None)


def _condition(where: JobFilter) -> tuple[str, list[Any]]:
    """A filter as SQL. Values are always parameters."""
    parts, parameters = ["TRUE"], list[Any]()
    if where.states:  # our own words, and in the text: so SQLite sees which partial index holds them
        words = [f"'{state}'" for state in sorted(set(where.states))]
        parts.append(f"state = {words[0]}" if len(words) == 1 else f"state IN ({','.join(words)})")
    for column, values in (("queue", where.queues), ("kind", where.kinds)):
        if values:
            parts.append(f"{column} IN ({','.join('?' * len(values))})")
            parameters += values
    if where.tag is not None:
        parts.append("EXISTS (SELECT 1 FROM json_each(iif(json_valid(tags), tags, '[]')) WHERE value = ?)")
        parameters.append(where.tag)
    if where.text is not None:
        message = "coalesce(iif(json_valid(error), error ->> 'message', error), '')"
        parts.append(f"(instr(id, ?) OR instr(kind, ?) OR instr(args, ?) OR instr({message}, ?))")
        parameters += [where.text] * 4
    for column, sign, moment in (
        ("enqueued_at", ">=", where.enqueued_after),
        ("enqueued_at", "<", where.enqueued_before),
        ("finished_at", "<", where.finished_before),
    ):
        if moment is not None:
            parts.append(f"{column} {sign} ?")
            parameters.append(moment)
    return " AND ".join(parts), parameters


def history(connection: sqlite3.Connection, job_id: str) -> History | None:
    """See `AdminStore.history`."""
    row = connection.execute(f"SELECT {rows.COLUMNS}, seq FROM tidewheel_jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        return None
    attempts = connection.execute(
        "SELECT epoch, attempt, worker, started_at, ended_at, outcome, error FROM tidewheel_attempts "
        "WHERE job = ? ORDER BY epoch",
        (row[-1],),
    )
    logs = connection.execute("SELECT at, level, message FROM tidewheel_logs WHERE job = ? ORDER BY seq", (row[-1],))
    return History(
        job=rows.job(row[:-1]),
        attempts=tuple(rows.attempt(job_id, attempt) for attempt in attempts),
        logs=tuple(LogLine(*line) for line in logs),
    )


def alter(
    tx: Transaction,
    ids: Sequence[str] | JobFilter,
    action: Action,
    *,
    limit: int,
    new_id: Callable[[], str],
    now: int,
) -> list[Altered]:
    """See `AdminStore.alter`."""
    family = Family(tx, new_id, now)
    if isinstance(ids, JobFilter):
        if ids.empty:
            raise ValueError(f"An empty filter would {action} every job. Name a state, queue, kind, tag, text or time.")
        answers = _alter_matching(family, ids, action, limit)
        family.tell()
        return answers
    answers = []
    for id in ids:
        row = tx.connection.execute(f"SELECT {_ALTER_COLUMNS} FROM tidewheel_jobs WHERE id = ?", (id,)).fetchone()
        answers.append(Altered(id, None, None) if row is None else _alter_row(family, row, action))
    family.tell()
    return answers


def _alter_matching(family: Family, where: JobFilter, action: Action, limit: int) -> list[Altered]:
    """Rows that refuse (a retry whose unique key is taken) do not count, so look on until there are enough."""
    condition, parameters = _condition(where)
    fitting = ",".join(f"'{state}'" for state in sorted(alterable(action)))
    answers: list[Altered] = []
    last = 0
    while len(answers) < limit:
        found = family.tx.connection.execute(
            f"SELECT {_ALTER_COLUMNS} FROM tidewheel_jobs WHERE {condition} AND state IN ({fitting}) "
            "AND NOT cancel_requested AND seq > ? ORDER BY seq LIMIT ?",
            (*parameters, last, limit - len(answers)),
        ).fetchall()
        if not found:
            break
        last = found[-1][1]
        altered = [_alter_row(family, row, action) for row in found]
        answers += [one for one in altered if one.before != one.after or one.cancel_requested]
    return answers


def _alter_row(family: Family, row: Sequence[Any], action: Action) -> Altered:
    tx, now = family.tx, family.now
    id, seq, word, unique_key, keep_failed, parked_by, awaited = row
    before, _ = rows.state_of(word)
    unchanged = Altered(id, before, before)
    if before not in alterable(action):
        return unchanged
    if action is Action.DELETE:
        leave(tx, seq, before, parked_by, now)
        delete(tx, [seq])
        if awaited and not before.final:
            family.ended(id)
        return Altered(id, before, None)
    after = alters(before, action)
    if after is None:
        return unchanged
    if after is JobState.RUNNING:
        ask_to_stop(tx, seq)
        return Altered(id, before, before, cancel_requested=True)
    if action is Action.CANCEL:
        cancel(family, (seq, id, before, keep_failed, parked_by, awaited), None)
    elif action is Action.RETRY:
        if unique_key is not None and tx.connection.execute(statement("enqueue_holder"), (unique_key,)).fetchone():
            return unchanged
        after = JobState.PARKED if family.waits(id) else JobState.AVAILABLE
        parked_by = CHILDREN if after is JobState.PARKED else None
        tx.connection.execute(statement("alter_retry"), (after, parked_by, now, seq))
        family.reopen(id, seq)
        if after is JobState.AVAILABLE:
            tx.hints.add(Wakeup.WORK)
    else:
        tx.connection.execute(statement("alter_run_now"), (now, seq))
        tx.hints.add(Wakeup.WORK)
    return Altered(id, before, after)


def put_queues(tx: Transaction, settings: Sequence[QueueSettings]) -> list[QueueSettings]:
    """See `AdminStore.put_queues`."""
    for one in settings:
        tx.connection.execute(
            "INSERT INTO tidewheel_queues (name, paused) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET paused = excluded.paused",
            (one.name, int(one.paused)),
        )
    tx.hints |= {Wakeup.CONTROL, Wakeup.WORK}
    return list(settings)


def queues(connection: sqlite3.Connection) -> list[QueueStats]:
    """See `AdminStore.queues`."""
    counts: dict[str, dict[JobState, int]] = {}
    oldest: dict[str, int] = {}
    for name, state, count, first in connection.execute(statement("queues")):
        counts.setdefault(name, dict.fromkeys(JobState, 0))[JobState(state)] = count
        if first is not None:
            oldest[name] = first
    paused = {name: bool(flag) for name, flag in connection.execute("SELECT name, paused FROM tidewheel_queues")}
    return [
        QueueStats(
            name=name,
            paused=paused.get(name, False),
            counts=counts.get(name) or dict.fromkeys(JobState, 0),
            oldest_available=oldest.get(name),
        )
        for name in sorted(counts.keys() | paused.keys())
    ]


def workers(connection: sqlite3.Connection) -> list[WorkerRow]:
    """See `AdminStore.workers`."""
    found = connection.execute("SELECT id, info, seen_at FROM tidewheel_workers").fetchall()
    listed = [WorkerRow(info=_worker(id, info), seen_at=seen_at) for id, info, seen_at in found]
    return sorted(listed, key=lambda row: (row.info.started_at, row.info.id))


def _worker(id: str, info: str) -> WorkerInfo:
    """What a worker says of itself; of one that cannot be read only the id is known."""
    unknown = WorkerInfo(id=id, host="", pid=0, queues=(), kinds=(), concurrency=0)
    return rows.decoded(_info, info) or unknown
