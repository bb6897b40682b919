"""What a campaign showed, as figures."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e._harness import Site
from tests.e2e._history import PROMISES, Change, executions, read


@dataclass(frozen=True, kw_only=True)
class Card:
    """The figures of one campaign. Times in seconds."""

    store: str
    seed: int
    seconds: float
    workers: int
    lease: float
    jobs: int
    executions: int
    kills: int
    pauses: int
    stops: int
    worker_starts: int
    broken_promises: dict[str, int]
    """Each promise the judge knows, and how often it was broken."""
    executions_lost_to_kills: int
    """Executions that a killed worker took along; their jobs ran again."""
    executions_per_kill: float
    fenced_writes_refused: int
    handed_back: int
    """Executions that a stopping worker gave back, without burning an attempt."""
    recovery_p50: float
    """From the death of a worker until a job it held is available again."""
    recovery_p99: float
    longest_wait: float
    """The longest time without a completion while jobs were waiting."""
    machine: str
    findings: list[str]

    def show(self) -> None:
        """Print it as a table."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title=f"Chaos campaign, {self.store}, seed {self.seed}", show_header=False)
        for name, value in self.rows():
            table.add_row(name, value)
        Console().print(table)
        for finding in self.findings[:20]:
            Console().print(f"BROKEN: {finding}", style="red", highlight=False, markup=False)

    def rows(self) -> list[tuple[str, str]]:
        """The figures in words."""
        broken = self.broken_promises
        others = {name: count for name, count in broken.items() if name not in ("lost", "completed twice")}
        return [
            ("length", f"{self.seconds:.0f} s, {self.workers} workers, leases of {self.lease:g} s"),
            ("jobs run", f"{self.jobs:,} in {self.executions:,} executions"),
            ("workers killed (SIGKILL)", f"{self.kills:,}"),
            ("workers frozen (SIGSTOP, 0.5 to 3 leases)", f"{self.pauses:,}"),
            ("workers stopped (SIGTERM)", f"{self.stops:,}"),
            ("jobs lost", f"{broken['lost'] + broken['unfinished']:,}"),
            ("completions recorded twice", f"{broken['completed twice']:,}"),
            ("other broken promises", ", ".join(f"{count} {name}" for name, count in others.items() if count) or "0"),
            ("executions lost to a kill, on average", f"{self.executions_per_kill:.2f}"),
            ("late writes refused by the fence", f"{self.fenced_writes_refused:,}"),
            ("executions handed back by a stop", f"{self.handed_back:,}"),
            ("recovery after a kill, p50 / p99", f"{self.recovery_p50:.2f} s / {self.recovery_p99:.2f} s"),
            ("longest time without a completion while work waited", f"{self.longest_wait:.2f} s"),
            ("machine", self.machine),
        ]


def make_card(site: Site, done: Mapping[str, int], *, lease: float, seconds: float, seed: int, workers: int) -> Card:
    """Judge a campaign that is over."""
    verdict = site.verdict(lease=lease)
    lines = read(site.history)
    changes = site.audit.changes()
    killed = {line["worker"] for line in lines if line["what"] == "gone" and line["code"] == -9}
    moments = site.audit.moments()
    recoveries = _recoveries(lines, killed, changes, moments)
    taken_along = sum(1 for runs in executions(lines).values() for run in runs if not run.how and run.worker in killed)
    kills = done["kill"]
    return Card(
        store="sqlite",
        seed=seed,
        seconds=round(seconds, 1),
        workers=workers,
        lease=lease,
        jobs=verdict.jobs,
        executions=verdict.executions,
        kills=kills,
        pauses=done["pause"],
        stops=done["stop"] + done["stop at once"],
        worker_starts=len(site.processes),
        broken_promises={promise: verdict.count(promise) for promise in PROMISES},
        executions_lost_to_kills=taken_along,
        executions_per_kill=round(taken_along / kills, 2) if kills else 0.0,
        fenced_writes_refused=site.logs().count("was refused: its lease"),
        handed_back=_handed_back(changes),
        recovery_p50=_percentile(recoveries, 0.5),
        recovery_p99=_percentile(recoveries, 0.99),
        longest_wait=longest_wait(changes, moments),
        machine=machine(),
        findings=[f"{what}: {job}: {detail}" for what, job, detail in verdict.findings],
    )


def _recoveries(
    lines: Sequence[Mapping[str, Any]], killed: set[int], changes: Sequence[Change], moments: Sequence[float]
) -> list[float]:
    """For each execution that a kill ended: the time until its job was taken away from the dead worker."""
    rescued = {
        (change.job, change.epoch - 1): at
        for change, at in zip(changes, moments, strict=True)
        if change.before == "running" and change.after != "running"
    }
    deaths = {line["worker"]: line["wall"] for line in lines if line["what"] == "gone"}
    lost = [run for runs in executions(lines).values() for run in runs if not run.how and run.worker in killed]
    return [rescued[run.job, run.epoch] - deaths[run.worker] for run in lost if (run.job, run.epoch) in rescued]


def _handed_back(changes: Sequence[Change]) -> int:
    epochs: dict[str, int] = {}
    count = 0
    for change in changes:
        if change.before == "running" and change.after == "available" and change.epoch == epochs.get(change.job):
            count += 1
        epochs[change.job] = change.epoch
    return count


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


def machine() -> str:
    """Processor, cores and versions; nothing that names this computer."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text("utf-8").splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )
