"""What really happened, written outside the store, and the judge who compares it with what the store recorded.

Job bodies append one line for each start and end to a file (`write`), the harness adds which processes died or
were paused. An `Audit` keeps every change of state the store made: triggers write it in the same transaction,
so a crash cannot part the two. `judge` reads both and names every broken promise.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

HISTORY: Final = "TIDEWHEEL_TEST_HISTORY"
"""Environment variable that tells job bodies where the history file lies."""

BODY_ENDS: Final = frozenset({"end", "fail", "cut", "dies"})
"""`end`: the body came to its end. `fail`: it raises. `cut`: it winds up as asked. `dies`: it kills its process."""

PROMISES: Final = {
    "lost": "a job that was answered as enqueued is not there any more",
    "unfinished": "a job is in no final state at the end",
    "completed twice": "a completion was recorded although one was recorded before",
    "changed after its end": "a job left a final state",
    "run after completion": "a body started under a later epoch than the one that was recorded as completed",
    "overlap": "two bodies of one job ran at once, and the older one's worker neither stood still nor was without its "
    "store, or had gone on for longer than it takes to hear of that",
    "lease used twice": "two bodies ran under one epoch",
    "run without a claim": "a body ran under an epoch, or with an attempt number, that the store never gave out",
    "completed without a run": "a completion was recorded under an epoch whose body did not come to its end",
    "late write accepted": "what a body returned under one epoch was recorded as the result of another",
    "miscounted": "epoch, attempt or crashes did not change as the move says, or are not what the records add up to",
    "end not recorded": "a body ran under an epoch, and the store has no word of how that ended",
    "gave up": "a worker that had run jobs ended by an error of its own",
    "not told once": "a job was given up, and the job that tells of it is missing, or there are two",
    "doubled": "an order that its caller repeated after a lost reply made two jobs",
    "over its limit": "more attempts of one key held a slot at once than its limit has",
    "before its children": "a job started before one of the jobs it waits for had ended",
}
"""The kinds of findings, and what each means."""

KILLABLE: Final = frozenset({"crunch"})
"""Kinds whose bodies run in a process of their own."""
LONGEST_PAUSE: Final = 3.0
"""Seconds between two tries of a worker whose store is away, at most (`tidewheel._engine.patience`)."""
_FINAL: Final = frozenset({"completed", "cancelled", "discarded"})
_TIME_OF_DAY: Final = 1_500_000_000_000_000
"""In microseconds, long ago."""


def write(path: str | Path, **line: Any) -> None:
    """Append one line, whole: a single write to a file opened for appending."""
    data = json.dumps({"at": time.monotonic(), "wall": time.time(), **line}).encode() + b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)


def read(path: Path) -> list[dict[str, Any]]:
    """All lines so far."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


class Change(NamedTuple):
    """A change of state that the store made. `before` is None for an insert, `after` for a deletion."""

    job: str
    before: str | None
    after: str | None
    epoch: int
    attempt: int
    crashes: int
    result: str | None = None


class Recorder(Protocol):
    """Keeps every change of state, inside the store or beside it, in the transaction that makes it."""

    def changes(self) -> list[Change]:
        """Everything so far; the changes of one job are in order."""
        ...

    def moments(self) -> list[float]:
        """When each of the changes was made, in seconds since 1970, in the same order."""
        ...


class Audit:
    """Triggers in the store's file that keep every change."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def install(self) -> None:
        """Add the triggers; the store must have its tables by now."""
        columns = "epoch, attempt, crashes"
        with closing(sqlite3.connect(self._database, timeout=10)) as connection:
            connection.executescript(
                f"""
                CREATE TABLE IF NOT EXISTS audit (n INTEGER PRIMARY KEY, job, before, after, {columns}, result, at);
                CREATE TRIGGER audit_new AFTER INSERT ON tidewheel_jobs BEGIN
                    INSERT INTO audit (job, after, {columns}, at)
                    VALUES (NEW.id, NEW.state, NEW.epoch, NEW.attempt, NEW.crashes, julianday('now'));
                END;
                CREATE TRIGGER audit_change AFTER UPDATE OF state, epoch ON tidewheel_jobs
                WHEN OLD.state <> NEW.state OR OLD.epoch <> NEW.epoch BEGIN
                    INSERT INTO audit (job, before, after, {columns}, result, at) VALUES
                    (NEW.id, OLD.state, NEW.state, NEW.epoch, NEW.attempt, NEW.crashes, NEW.result, julianday('now'));
                END;
                CREATE TRIGGER audit_gone AFTER DELETE ON tidewheel_jobs BEGIN
                    INSERT INTO audit (job, before, {columns}, at)
                    VALUES (OLD.id, OLD.state, OLD.epoch, OLD.attempt, OLD.crashes, julianday('now'));
                END;
                """  # noqa: S608 -- our own constants
            )

    def changes(self) -> list[Change]:
        """Everything so far, in order."""
        with closing(sqlite3.connect(self._database, timeout=10)) as connection:
            found = connection.execute(
                "SELECT job, before, after, epoch, attempt, crashes, result FROM audit ORDER BY n"
            )
            return [Change(*row) for row in found]

    def moments(self) -> list[float]:
        """When each of the changes was made, in seconds since 1970, in the same order."""
        with closing(sqlite3.connect(self._database, timeout=10)) as connection:
            return [row[0] for row in connection.execute("SELECT (at - 2440587.5) * 86400.0 FROM audit ORDER BY n")]


@dataclass(slots=True)
class Execution:
    """One run of a body. `ended` is infinite while nobody saw its end."""

    job: str
    kind: str
    epoch: int
    attempt: int
    worker: int
    started: float
    ended: float = float("inf")
    how: str = ""


@dataclass(slots=True)
class Verdict:
    """What the judge found: `findings` has (promise, job, detail) for each broken promise."""

    findings: list[tuple[str, str, str]] = field(default_factory=list)
    jobs: int = 0
    executions: int = 0
    completions: int = 0

    def add(self, promise: str, job: str, detail: str) -> None:
        assert promise in PROMISES
        self.findings.append((promise, job, detail))

    def count(self, promise: str) -> int:
        assert promise in PROMISES
        return sum(1 for found, _, _ in self.findings if found == promise)

    def __str__(self) -> str:
        head = f"{self.jobs} jobs, {self.executions} executions, {self.completions} completions"
        return "\n".join([head, *(f"{what}: {job}: {detail}" for what, job, detail in self.findings[:20])])


def judge(
    lines: Sequence[Mapping[str, Any]],
    changes: Sequence[Change],
    *,
    lease: float,
    unfinished: Iterable[str] = (),
) -> Verdict:
    """Compare the history with the audit. `lease` in seconds; jobs of `unfinished` need not be final."""
    verdict = Verdict()
    moves: dict[str, list[Change]] = {}
    for change in changes:
        moves.setdefault(change.job, []).append(change)
    runs = executions(lines)
    verdict.jobs = len(moves)
    verdict.executions = sum(map(len, runs.values()))
    for line in lines:
        if line["what"] == "enqueued" and line["job"] not in moves:
            verdict.add("lost", line["job"], "it never was in the store")
    _end_with_their_settlement(runs, moves)
    excused = set(unfinished)
    for job, steps in moves.items():
        _judge_moves(verdict, job, steps)
        _judge_end(verdict, job, steps[-1], excused)
    pauses = _pauses(lines)
    for job, done in runs.items():
        _judge_runs(verdict, job, done, moves.get(job, []))
        _judge_overlaps(verdict, job, done, pauses, lease)
    for job, steps in moves.items():
        ended = {run.epoch for run in runs.get(job, ()) if run.how == "end"}
        for step in steps:
            if step.after == "completed" and step.epoch not in ended:
                verdict.add("completed without a run", job, f"epoch {step.epoch}")
            # Most bodies return their fence, "<job>:<epoch>".
            told = step.result or ""
            if step.after == "completed" and f"{job}:" in told and told != f'"{job}:{step.epoch}"':
                verdict.add("late write accepted", job, f"{step.result} in epoch {step.epoch}")
    return verdict


def executions(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Execution]]:
    """The runs of each job, by their start. A run ends by its own word, or with its worker."""
    runs: dict[str, list[Execution]] = {}
    for line in lines:
        if line["what"] == "start":
            run = Execution(line["job"], line["kind"], line["epoch"], line["attempt"], line["worker"], line["at"])
            runs.setdefault(run.job, []).append(run)
        elif line["what"] in BODY_ENDS:
            for run in reversed(runs.get(line["job"], [])):
                if run.epoch == line["epoch"] and run.worker == line["worker"] and not run.how:
                    run.how, run.ended = line["what"], line["at"]
                    break
    deaths = {line["worker"]: line["at"] for line in lines if line["what"] == "gone"}
    for done in runs.values():
        for run in done:
            run.ended = min(run.ended, deaths.get(run.worker, run.ended))
        done.sort(key=lambda run: run.started)
    return runs


def _end_with_their_settlement(runs: Mapping[str, list[Execution]], moves: Mapping[str, list[Change]]) -> None:
    """A worker kills the process of a body it gives up, which gets no chance to note its end."""
    for job, done in runs.items():
        for run in done:
            if run.kind in KILLABLE and not run.how:
                held = [step for step in moves.get(job, ()) if step.before == "running" and step.epoch == run.epoch]
                if held:
                    run.ended = run.started


def _pauses(lines: Sequence[Mapping[str, Any]]) -> dict[int | None, list[tuple[float, float]]]:
    """When which worker was frozen. Under None: when the store was down, which keeps everybody from extending leases."""
    pauses: dict[int | None, list[tuple[float, float]]] = {}
    for line in lines:
        who = line.get("worker")
        if line["what"] in ("paused", "down"):
            pauses.setdefault(who, []).append((line["at"], float("inf")))
        elif line["what"] in ("resumed", "up"):
            open_pauses = pauses.get(who, [])
            if open_pauses:
                open_pauses[-1] = (open_pauses[-1][0], line["at"])
    return pauses


def _judge_moves(verdict: Verdict, job: str, steps: list[Change]) -> None:
    completions = 0
    for before, after in zip([None, *steps], steps, strict=False):
        if after.after == "completed":
            completions += 1
            verdict.completions += 1
            if completions > 1:
                verdict.add("completed twice", job, f"epoch {after.epoch}")
        if after.before in _FINAL and after.after is not None:
            verdict.add("changed after its end", job, f"{after.before} became {after.after}")
        if before is not None and after.after is not None and not _counted_right(before, after):
            verdict.add("miscounted", job, f"{before} -> {after}")


def _judge_end(verdict: Verdict, job: str, last: Change, excused: set[str]) -> None:
    if last.after is None and last.before not in _FINAL:
        verdict.add("lost", job, f"it was removed while {last.before}")
    elif last.after is not None and last.after not in _FINAL and job not in excused:
        verdict.add("unfinished", job, f"it is {last.after}")


def same_count(epoch: int, count: int) -> bool:
    """Is it the epoch after so many claims and rescues? On Redis it has the time of day before its last three digits once
    the server may have forgotten claims (docs/adr/0010).
    """
    return epoch == count or (epoch >= _TIME_OF_DAY and (epoch - count) % 1000 == 0)


def _counted_right(one: Change, two: Change) -> bool:
    """Do the counters follow from the move?"""
    epochs, attempts, crashes = two.epoch - one.epoch, two.attempt - one.attempt, two.crashes - one.crashes
    if two.after == "running":  # a claim
        return two.epoch > one.epoch and same_count(two.epoch, one.epoch + 1) and (attempts, crashes) == (1, 0)
    if one.after == "running" and epochs == 1:  # a rescue
        return (attempts, crashes) == (0, 1) and two.after in ("available", "discarded", "cancelled")
    if one.after == "running" and two.after in ("available", "scheduled"):  # handed back, or snoozed
        return (epochs, attempts, crashes) == (0, -1, 0)
    return (epochs, attempts, crashes) == (0, 0, 0)


def _judge_runs(verdict: Verdict, job: str, done: list[Execution], steps: list[Change]) -> None:
    claims = {step.epoch: step.attempt for step in steps if step.after == "running"}
    completed = [step.epoch for step in steps if step.after == "completed"]
    seen: set[int] = set()
    for run in done:
        if run.epoch in seen:
            verdict.add("lease used twice", job, f"epoch {run.epoch}")
        seen.add(run.epoch)
        if claims.get(run.epoch) != run.attempt:
            verdict.add("run without a claim", job, f"epoch {run.epoch}, attempt {run.attempt}; given out: {claims}")
        if completed and run.epoch > min(completed):
            verdict.add("run after completion", job, f"epoch {run.epoch}, completed in {min(completed)}")


def _judge_overlaps(
    verdict: Verdict,
    job: str,
    done: list[Execution],
    pauses: Mapping[int | None, list[tuple[float, float]]],
    lease: float,
) -> None:
    """A worker that runs and reaches its store never has a body under way that runs elsewhere, too."""
    for stale, fresh in itertools.combinations(sorted(done, key=lambda run: run.epoch), 2):
        begun, ended = max(stale.started, fresh.started), min(stale.ended, fresh.ended)
        if ended <= begun:
            continue
        absences = [(begin, end, end + lease) for begin, end in pauses.get(stale.worker, ())]
        absences += [(begin, end, end + max(lease, LONGEST_PAUSE)) for begin, end in pauses.get(None, ())]
        until = _excused_until(begun, absences, lease)
        if until > begun and stale.kind in KILLABLE and not stale.how:
            continue  # its worker killed it when it heard; that is seen nowhere
        if ended > until:
            gap = ended - until
            verdict.add("overlap", job, f"epochs {stale.epoch} and {fresh.epoch}, {gap:.3f} s more than is excused")


def _excused_until(begun: float, absences: Iterable[tuple[float, float, float]], lease: float) -> float:
    """By when the old body must have ended when the new one started at `begun`: at once, unless its worker was away.

    An absence is a time during which the worker stood still or the store was down: nobody could extend the lease, or hear
    that it was lost. Each has its begin, its end, and the moment by which the worker has spoken with the store again and
    the body was ended. It excuses when the new body started during it, or when it had begun half a lease before: a shorter
    one costs nobody his lease, for leases are extended every third of their time. Who goes away again before he could
    hear of his loss is excused further.
    """
    until = begun
    for begin, end, heard in sorted(absences):
        if begin > until:
            break
        if begin > begun or begun <= end or begun - begin >= lease / 2:
            until = max(until, heard)
    return until
