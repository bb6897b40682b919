"""The bench itself: the enqueuing side runs here, workers are processes of their own.

* enqueue one by one: one caller, one job a call, each answered before the next
* enqueue in bulk: `enqueue_many`, 1024 jobs a round trip
* drain: all jobs enqueued before; from "go" until the last outcome is written, by one and by two processes
* with limits, when asked for: the same drain by one process, each job under a limit that never binds
* latency: an idle worker, a job every few milliseconds; from the call of `enqueue` to the handler's first line. It is taken
  before the bulk and the drains, so that the store has nothing to tidy up meanwhile
"""

from __future__ import annotations

import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from tidewheel import ConfigError, JobFilter, JobState
from tidewheel._bench.loop import run
from tidewheel._bench.tasks import QUEUE, Bench, spread

_ONE_BY_ONE: Final = 3000
_SAMPLES: Final = 500
_SPACING: Final = 0.004


class Figures(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one run measured: jobs per second, milliseconds, MiB."""

    store: str
    jobs: int
    enqueue_one_per_s: float
    enqueue_bulk_per_s: float
    drain_1_per_s: float
    drain_2_per_s: float
    latency_ms: dict[str, float]
    rss_mib: float
    drain_1_limited_per_s: dict[str, float] = {}
    """With limits, by which; the drain by one process."""


class Child:
    """A worker process and its lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, url: str, concurrency: int, *words: str) -> Child:
        """Start one and wait until it is ready."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tidewheel._bench.child", url, str(concurrency), *words,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        child = cls(process)
        await child.hear()
        return child

    async def hear(self) -> dict[str, Any]:
        """Its next line."""
        assert self._process.stdout is not None  # noqa: S101 -- piped
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"A bench worker ended with exit code {await self._process.wait()}; see its output above."
            )
        heard: dict[str, Any] = json.loads(line)
        return heard

    def say(self, word: str) -> None:
        """A line to it."""
        assert self._process.stdin is not None  # noqa: S101 -- piped
        self._process.stdin.write(f"{word}\n".encode())

    async def stop(self) -> dict[str, Any]:
        """End it; gives its last words."""
        self.say("stop")
        while "peak" not in (heard := await self.hear()):
            pass
        await self._process.wait()
        return heard


async def measure(
    url: str, jobs: int, concurrency: int, tell: Callable[[str], None], *, limits: bool = False
) -> Figures:
    """One run on the store at `url`; its bench queue is emptied before and after. `concurrency`: slots of a worker."""
    bench = Bench(url)
    async with bench.app:
        await bench.app.queues.empty(QUEUE)
        tell("enqueue one by one")
        count = min(jobs, _ONE_BY_ONE)
        start = time.perf_counter()
        for _ in range(count):
            await bench.noop.enqueue()
        one = count / (time.perf_counter() - start)
        await bench.app.queues.empty(QUEUE)
        tell("latency")
        latency = await _latency(bench, url, concurrency)
        await bench.app.queues.empty(QUEUE)
        tell("enqueue in bulk")
        start = time.perf_counter()
        await bench.app.enqueue_many(bench.noop.job() for _ in range(jobs))
        bulk = jobs / (time.perf_counter() - start)
        tell("drain with one process")
        drain_1, rss = await _drain(url, jobs, 1, concurrency)
        await bench.app.enqueue_many(bench.noop.job() for _ in range(jobs))
        tell("drain with two processes")
        drain_2, _ = await _drain(url, jobs, 2, concurrency)
        await _all_completed(bench, jobs * 2)
        await bench.app.queues.empty(QUEUE)
        limited = await _limited(bench, url, jobs, concurrency, tell) if limits else {}
        info = await bench.app.info()
    return Figures(
        store=f"{info.name} {info.version}",
        jobs=jobs,
        enqueue_one_per_s=round(one),
        enqueue_bulk_per_s=round(bulk),
        drain_1_per_s=round(drain_1),
        drain_2_per_s=round(drain_2),
        latency_ms=latency,
        rss_mib=round(rss / (1 << 20), 1),
        drain_1_limited_per_s=limited,
    )


async def _limited(
    bench: Bench, url: str, jobs: int, concurrency: int, tell: Callable[[str], None]
) -> dict[str, float]:
    """Drains under limits. What they leave in the store is taken away."""
    figures = dict[str, float]()
    for what, task in bench.limited().items():
        tell(f"drain with {what}")
        await bench.app.enqueue_many(spread(task, jobs))
        figures[what] = round((await _drain(url, jobs, 1, concurrency, "limits"))[0])
        await _all_completed(bench, jobs)
        await bench.app.queues.empty(QUEUE)
    await bench.forget_limits()
    return figures


async def _drain(url: str, jobs: int, processes: int, concurrency: int, *words: str) -> tuple[float, int]:
    children = [await Child.start(url, concurrency, *words) for _ in range(processes)]
    ran = dict.fromkeys(range(processes), 0)
    last = start = time.time()

    async def follow(number: int) -> None:
        nonlocal last
        while sum(ran.values()) < jobs:
            heard = await children[number].hear()
            ran[number], last = heard["ran"], max(last, heard["at"])

    for child in children:
        child.say("go")
    following = [asyncio.create_task(follow(number)) for number in range(processes)]
    await asyncio.wait(following, return_when=asyncio.FIRST_COMPLETED)
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    ends = [await child.stop() for child in children]
    total = sum(end["ran"] for end in ends)
    if total != jobs:
        raise RuntimeError(f"{jobs} jobs were enqueued and {total} were run: the figures would mean nothing.")
    return jobs / (last - start), max(end["peak"] for end in ends)


async def _all_completed(bench: Bench, jobs: int) -> None:
    """No figure without its results: every job must be there, completed."""
    for queue in await bench.app.queues.list():
        if queue.name == QUEUE and queue.counts[JobState.COMPLETED] != jobs:
            raise RuntimeError(f"{jobs} jobs should be completed; the store has {queue.counts}.")


async def _latency(bench: Bench, url: str, concurrency: int) -> dict[str, float]:
    child = await Child.start(url, concurrency)
    child.say("go")
    await (await bench.stamp.enqueue(time.time())).result("10s")
    await bench.app.queues.empty(QUEUE)
    for _ in range(_SAMPLES):
        await bench.stamp.enqueue(time.time())
        await asyncio.sleep(_SPACING)
    page = await bench.app.jobs.list(JobFilter(queues=(QUEUE,)), limit=1000)
    while any(not job.state.final for job in page.jobs):
        await asyncio.sleep(_SPACING)
        page = await bench.app.jobs.list(JobFilter(queues=(QUEUE,)), limit=1000)
    await child.stop()
    took = sorted(float(job.result or 0) * 1000 for job in page.jobs)
    return {f"p{part}": round(took[min(len(took) - 1, len(took) * part // 100)], 3) for part in (50, 95, 99)}


def median(runs: list[Figures]) -> Figures:
    """The median of each figure."""

    def middle(name: str) -> float:
        return float(statistics.median(getattr(run, name) for run in runs))

    return Figures(
        store=runs[0].store,
        jobs=runs[0].jobs,
        enqueue_one_per_s=middle("enqueue_one_per_s"),
        enqueue_bulk_per_s=middle("enqueue_bulk_per_s"),
        drain_1_per_s=middle("drain_1_per_s"),
        drain_2_per_s=middle("drain_2_per_s"),
        latency_ms={part: statistics.median(run.latency_ms[part] for run in runs) for part in runs[0].latency_ms},
        rss_mib=middle("rss_mib"),
        drain_1_limited_per_s={
            what: statistics.median(run.drain_1_limited_per_s[what] for run in runs)
            for what in runs[0].drain_1_limited_per_s
        },
    )


def main(
    store: str | None = None,
    jobs: int = 20_000,
    repeat: int = 3,
    concurrency: int = 500,
    *,
    limits: bool = False,
    as_json: bool = False,
) -> int:
    """Run the bench `repeat` times and print the medians.

    Raises:
        ConfigError: a store that worker processes of their own cannot see.
    """
    if store is not None and store.startswith("memory:"):
        raise ConfigError(
            f"{store} is seen by one process only; the bench's workers are others. Use sqlite:///bench.db."
        )
    with tempfile.TemporaryDirectory(prefix="tidewheel-bench-") as folder:
        url = store or f"sqlite:///{Path(folder, 'bench.db')}"
        runs = [run(measure(url, jobs, concurrency, _teller(one, repeat), limits=limits)) for one in range(repeat)]
        figures = median(runs)
    sys.stderr.write("\r\033[K" if sys.stderr.isatty() else "")
    if as_json:
        sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    else:
        _print(figures, repeat)
    return 0


def _teller(number: int, repeat: int) -> Callable[[str], None]:
    def tell(what: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[Krun {number + 1} of {repeat}: {what} ...")
            sys.stderr.flush()

    return tell


def _print(figures: Figures, repeat: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{figures.store}, {figures.jobs} no-op jobs, medians of {repeat}", title_justify="left")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for name, value in (
        ("enqueue, one by one", f"{figures.enqueue_one_per_s:,.0f} jobs/s"),
        ("enqueue, in bulk", f"{figures.enqueue_bulk_per_s:,.0f} jobs/s"),
        ("drain, one worker process", f"{figures.drain_1_per_s:,.0f} jobs/s"),
        ("drain, two worker processes", f"{figures.drain_2_per_s:,.0f} jobs/s"),
        *(
            (f"drain, one process, {what}", f"{speed:,.0f} jobs/s")
            for what, speed in figures.drain_1_limited_per_s.items()
        ),
        *((f"enqueue → start, {part}", f"{value:.2f} ms") for part, value in figures.latency_ms.items()),
        ("worker memory at most", f"{figures.rss_mib:,.0f} MiB"),
    ):
        table.add_row(name, value)
    console = Console()
    console.print(table)
    console.print(f"Python {platform.python_version()} on {platform.platform()}", style="dim")
