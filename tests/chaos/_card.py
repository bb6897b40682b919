"""What a campaign showed, as figures."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.e2e._history import PROMISES, Change, executions, read
from tests.e2e._records import Records

from tidewheel import JobState

if TYPE_CHECKING:
    from tests.chaos.campaign import Campaign


@dataclass(frozen=True, kw_only=True)
class Card:
    """The figures of one campaign. Times in seconds."""

    store: str
    version: str
    seed: int
    seconds: float
    workers: int
    lease: float
    jobs: int
    executions: int
    limited: int
    """Jobs under two limits, one of them by key."""
    parents: int
    """Jobs that waited for others."""
    kills: int
    """Workers that were killed, at random or at a labelled point."""
    kills_at_points: int
    freezes: int
    stops: int
    restarts: int
    others: dict[str, int]
    """The other faults of the store's ground, and how often each struck."""
    calls_failed: dict[str, int]
    """Store calls that were refused, lost their reply, came late or came twice, and those at which a worker died."""
    orders_repeated: int
    """Orders that the caller gave again because no answer came."""
    worker_starts: int
    broken_promises: dict[str, int]
    """Each promise the judge knows, and how often it was broken."""
    executions_lost_to_kills: int
    """Executions that a killed worker took along; their jobs ran again."""
    executions_per_kill: float
    fenced_writes_refused: int
    dead_letters: int
    """Frail jobs that were given up after their second crash, and jobs whose children failed; each told of by a job of
    its own.
    """
    handed_back: int
    """Executions that a stopping worker gave back, without burning an attempt."""
    recovery_p50: float
    """From the death of a worker until a job it held is taken from it, by the attempt records."""
    recovery_p99: float
    longest_wait: float
    """The longest time without a completion while jobs were waiting, the store's outages included."""
    longest_idle_after_restart: float
    """The longest time until a worker which lived through a restart of the store started a job after it."""
    machine: str
    findings: list[str]

    def show(self) -> None:
        """Print it as a table."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title=f"Chaos campaign, {self.version}, seed {self.seed}", show_header=False)
        for name, value in self.rows():
            table.add_row(name, value)
        Console().print(table)
        for finding in self.findings[:20]:
            Console().print(f"BROKEN: {finding}", style="red", highlight=False, markup=False)

    def rows(self) -> list[tuple[str, str]]:
        """The figures in words."""
        broken = self.broken_promises
        others = {
            name: count for name, count in broken.items() if name not in ("lost", "unfinished", "completed twice")
        }
        return [
            ("length", f"{self.seconds:.0f} s, {self.workers} workers, leases of {self.lease:g} s"),
            ("jobs run", f"{self.jobs:,} in {self.executions:,} executions"),
            ("of them under limits, waiting for others", f"{self.limited:,}, {self.parents:,}"),
            ("workers killed (SIGKILL)", f"{self.kills:,}, {self.kills_at_points:,} of them at a labelled point"),
            ("workers frozen (SIGSTOP, 0.5 to 3 leases)", f"{self.freezes:,}"),
            ("workers stopped (SIGTERM)", f"{self.stops:,}"),
            ("restarts of the store's server", f"{self.restarts:,}" if self.store != "sqlite" else "-"),
            ("other faults", _listed(self.others)),
            (
                "calls of the store that went wrong",
                _listed({w: self.calls_failed.get(f, 0) for f, w in _CALLS.items()}),
            ),
            ("orders repeated by the caller", f"{self.orders_repeated:,}"),
            ("jobs lost", f"{broken['lost'] + broken['unfinished']:,}"),
            ("completions recorded twice", f"{broken['completed twice']:,}"),
            ("other broken promises", _listed(others)),
            ("executions lost to a kill, on average", f"{self.executions_per_kill:.2f}"),
            ("late writes refused by the fence", f"{self.fenced_writes_refused:,}"),
            ("dead letters, each told of once", f"{self.dead_letters:,}"),
            ("executions handed back by a stop", f"{self.handed_back:,}"),
            ("recovery after a kill, p50 / p99", f"{self.recovery_p50:.2f} s / {self.recovery_p99:.2f} s"),
            ("longest time without a completion while work waited", f"{self.longest_wait:.2f} s"),
            (
                "longest time until a live worker started a job after a restart",
                f"{self.longest_idle_after_restart:.2f} s" if self.store != "sqlite" else "-",
            ),
            ("machine", self.machine),
        ]


_HINDRANCES: Final = frozenset({"gone", "paused", "told to stop"})
_CALLS: Final = {"refuse": "refused", "forget": "lost their reply", "delay": "late", "repeat": "done twice"}


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "0"


def make_card(campaign: Campaign, *, seconds: float, seed: int) -> Card:
    """Judge a campaign that is over."""
    site, ground, records = campaign.site, campaign.ground, campaign.records
    verdict = campaign.verdict()
    lines = read(site.history)
    killed = {line["worker"] for line in lines if line["what"] == "gone" and line["code"] == -9}
    recoveries = _recoveries(lines, killed, records)
    taken_along = sum(1 for runs in executions(lines).values() for run in runs if not run.how and run.worker in killed)
    faults = [line["fault"] for line in lines if line["what"] == "fault"]
    done = dict(campaign.done)
    return Card(
        store=ground.store,
        version=ground.version,
        seed=seed,
        seconds=round(seconds, 1),
        workers=len(campaign.scene.slots),
        lease=campaign.lease,
        jobs=verdict.jobs,
        executions=verdict.executions,
        limited=sum(1 for row in records.rows.values() if row.passes),
        parents=sum(1 for line in lines if line.get("children")),
        kills=len(killed),
        kills_at_points=sum(1 for fault in faults if fault.startswith("die")),
        freezes=done.pop("freezes", 0),
        stops=done.pop("stops", 0),
        restarts=done.pop("restarts", 0),
        others={name: count for name, count in sorted(done.items()) if name != "kills"},
        calls_failed={fault: faults.count(fault) for fault in sorted(set(faults))},
        orders_repeated=campaign.repeats,
        worker_starts=len(site.processes),
        broken_promises={promise: verdict.count(promise) for promise in PROMISES},
        executions_lost_to_kills=taken_along,
        executions_per_kill=round(taken_along / len(killed), 2) if killed else 0.0,
        fenced_writes_refused=site.logs().count("was refused: its lease"),
        dead_letters=sum(1 for job in records.rows.values() if job.state is JobState.DISCARDED),
        handed_back=sum(1 for some in records.attempts.values() for one in some if one.outcome == "release"),
        recovery_p50=_percentile(recoveries, 0.5),
        recovery_p99=_percentile(recoveries, 0.99),
        longest_wait=longest_wait(ground.recorder.changes(), ground.recorder.moments()),
        longest_idle_after_restart=longest_idle(lines),
        machine=machine(ground.version),
        findings=[f"{what}: {job}: {detail}" for what, job, detail in verdict.findings],
    )


def _recoveries(lines: Sequence[Mapping[str, Any]], killed: set[int], records: Records) -> list[float]:
    """For each execution that a kill ended: the time until its job was taken away from the dead worker."""
    rescued = {
        (id, record.epoch): record.ended_at / 1e6
        for id, attempts in records.attempts.items()
        for record in attempts
        if record.outcome == "rescue"
    }
    deaths = {line["worker"]: line["wall"] for line in lines if line["what"] == "gone"}
    lost = [run for runs in executions(lines).values() for run in runs if not run.how and run.worker in killed]
    return [rescued[run.job, run.epoch] - deaths[run.worker] for run in lost if (run.job, run.epoch) in rescued]


def longest_idle(lines: Sequence[Mapping[str, Any]]) -> float:
    """The longest time from the return of the store until a worker that had run jobs before started one again.

    When it is killed, frozen or told to stop before that, or the store goes down again, the time until then counts. From
    then on it is not waited for: the process of a CPU-bound job may still write lines in its worker's name.
    """
    longest = 0.0
    waiting: dict[int, float] = {}
    at_work: set[int] = set()
    hindered: set[int] = set()
    for line in sorted(lines, key=lambda one: one["at"]):
        what, at, worker = line["what"], line["at"], line.get("worker")
        if what == "up":
            waiting = dict.fromkeys(at_work, at)
        elif what in ("down", "over"):
            longest = max([longest, *(at - since for since in waiting.values())])
            waiting = {}
            if what == "over":
                break
        elif worker is None:
            continue
        elif what in _HINDRANCES:
            longest = max(longest, at - waiting.pop(worker, at))
            at_work.discard(worker)
            hindered.add(worker)
        elif what == "resumed":
            hindered.discard(worker)
        elif what == "start" and worker not in hindered:
            longest = max(longest, at - waiting.pop(worker, at))
            at_work.add(worker)
    return round(longest, 3)


def longest_wait(changes: Sequence[Change], moments: Sequence[float]) -> float:
    """The longest time without a completion while at least one job was available."""
    waiting, since, longest = 0, 0.0, 0.0
    for change, at in zip(changes, moments, strict=True):
        if waiting:
            longest = max(longest, at - since)
        was = waiting
        waiting += (change.after == "available") - (change.before == "available")
        if change.after == "completed" or (waiting and not was):
            since = at
    return round(longest, 3)


def _percentile(values: Sequence[float], part: float) -> float:
    if not values:
        return 0.0
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(part * len(ordered)))], 3)


def machine(store: str) -> str:
    """Processor, cores and versions; nothing that names this computer."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text("utf-8").splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {store}"
