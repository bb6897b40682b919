"""Graphs in code: chains, groups, what a job waits for; and what a parent sees of its children."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest
from tests.engine._kit import row

from tidewheel import (
    App,
    Backlog,
    Child,
    ConfigError,
    Group,
    JobFailed,
    JobHandle,
    JobNotFound,
    JobState,
    QueueFull,
    chain,
    current_job,
    group,
)
from tidewheel._prepared import PreparedJob, in_order
from tidewheel._task import AsyncTask


@pytest.fixture
def ran() -> list[str]:
    """What ran, in order."""
    return []


@pytest.fixture
def step(app: App, ran: list[str]) -> AsyncTask[[str], str]:
    @app.task(retry=1)
    async def step(name: str) -> str:
        ran.append(name)
        if name.startswith("bad"):
            raise ValueError(name)
        return name.upper()

    return step


@pytest.fixture
def total(app: App, ran: list[str]) -> AsyncTask[[], list[Any]]:
    @app.task(retry=1)
    async def total() -> list[Any]:
        children = await current_job().children()
        ran.append("total")
        return [one.result if one.completed else one.state for one in children]

    return total


def names(jobs: list[Any]) -> list[str]:
    return [one.args.removeprefix('{"name":"').removesuffix('"}') for one in jobs]


def edges(jobs: list[Any]) -> dict[str, list[str]]:
    """What each job waits for, by the names they were given."""
    known = dict(zip([one.id for one in jobs], names(jobs), strict=True))
    return {known[one.id]: [known[after.id] for after in one.after] for one in jobs}


async def drain(app: App) -> None:
    await app.worker(drain_and_exit=True).run()


# --- made ---


def test_a_chain_is_its_last_job(step: AsyncTask[[str], str]) -> None:
    last = chain(step.job("a"), step.job("b"), step.job("c"))

    assert isinstance(last, PreparedJob)
    assert edges(in_order([last])) == {"a": [], "b": ["a"], "c": ["b"]}
    assert repr(last) == f"<PreparedJob step {last.id}>"
    alone = step.job("a")
    assert chain(alone) is alone


def test_behind_a_group_all_of_it_is_waited_for(step: AsyncTask[[str], str]) -> None:
    last = chain(step.job("a"), group([step.job("b"), step.job("c")]), step.job("d"))

    assert edges(in_order([last])) == {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


def test_a_chain_of_chains_begins_with_the_first_of_each(step: AsyncTask[[str], str]) -> None:
    left = chain(step.job("b"), step.job("c"))
    right = group([step.job("d"), step.job("e")], then=step.job("f"))
    last = chain(step.job("a"), group([left, right]), step.job("g"))

    assert edges(in_order([last])) == {
        "a": [], "b": ["a"], "c": ["b"], "d": ["a"], "e": ["a"], "f": ["d", "e"], "g": ["c", "f"],
    }  # fmt: skip


def test_what_waits_already_is_led_in_once(step: AsyncTask[[str], str]) -> None:
    first = step.job("a")
    second = step.job("b").after(first)

    assert edges(in_order([chain(first, second)])) == {"a": [], "b": ["a"]}
    shared = step.job("s")
    last = chain(step.job("a"), group([step.job("x").after(shared), step.job("y").after(shared)]))
    assert edges(in_order(last.jobs)) == {"a": [], "s": ["a"], "x": ["s"], "y": ["s"]}


def test_after_takes_jobs_groups_handles_and_ids(app: App, step: AsyncTask[[str], str]) -> None:
    handle = JobHandle[str](app, "there", "step", "default", created=True)
    child = step.job("b")
    job = step.job("a").after(child, handle, "elsewhere").after(group([child, step.job("c")]), on_failure="ignore")

    assert [(one.id, one.on_failure) for one in job.new.after] == [
        (child.id, "fail"), ("there", "fail"), ("elsewhere", "fail"), (job.children[1].id, "ignore"),
    ]  # fmt: skip
    assert [one.kind for one in in_order([job])] == ["step"] * 3


def test_a_group_waits_with_each_of_its_jobs(step: AsyncTask[[str], str]) -> None:
    both = group([step.job("a"), step.job("b")]).after(step.job("c"), on_failure="remove")

    assert isinstance(both, Group)
    assert repr(both) == "<Group of 2 jobs>"
    assert edges(in_order(both.jobs)) == {"c": [], "a": ["c"], "b": ["c"]}


def test_a_long_chain_is_no_deep_one(step: AsyncTask[[str], str]) -> None:
    last = chain(*[step.job(str(number)) for number in range(5000)])

    assert names(in_order([last])) == [str(number) for number in range(5000)]


def test_circles_are_refused(step: AsyncTask[[str], str]) -> None:
    a, b = step.job("a"), step.job("b")

    with pytest.raises(ConfigError, match=f"step: the job {a.id} cannot wait for itself"):
        a.after(a)
    with pytest.raises(ConfigError, match=r"These jobs wait for one another: step .* waits for step .* waits for step"):
        in_order([a.after(b), b.after(a)])


async def test_what_is_no_job_is_named(step: AsyncTask[[str], str]) -> None:
    wrong: Any = step.enqueue("a")
    with pytest.raises(
        TypeError, match=r"chain\(\) got <coroutine .*, which is no prepared job\. Make jobs with task\.job"
    ):
        chain(step.job("b"), wrong)
    with pytest.raises(TypeError, match=r"after\(\) got 5, .* or give the handle or the id of one that is enqueued"):
        step.job("a").after(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"group\(\) got None"):
        group([None])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"group\(\) got no jobs"):
        group([])
    with pytest.raises(ConfigError, match=r"chain\(\) got no jobs"):
        chain()
    with pytest.raises(
        ConfigError, match="step: on_failure='stop' must be one of 'fail', 'continue', 'ignore', 'remove'"
    ):
        step.job("a").after("b", on_failure="stop")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'' is not a job id"):
        step.job("a").after("")


# --- run ---


async def test_a_chain_runs_one_after_the_other(app: App, ran: list[str], step: AsyncTask[[str], str]) -> None:
    job = await app.enqueue_graph(chain(step.job("a"), step.job("b"), step.job("c")))
    assert await job.state() is JobState.PARKED

    await drain(app)
    assert ran == ["a", "b", "c"]
    assert await job.result() == "C"


async def test_a_parent_finds_the_results_in_the_order_they_were_named(
    app: App, ran: list[str], step: AsyncTask[[str], str], total: AsyncTask[[], list[Any]]
) -> None:
    parts = [step.options(delay=delay).job(name) for name, delay in (("a", 0.05), ("b", 0), ("c", 0.02))]
    job = await app.enqueue_graph(group(parts, then=total.job()))

    await drain(app)
    assert await job.result() == ["A", "B", "C"]
    assert ran[-1] == "total"
    children = await job.children()
    assert [(one.id, one.state, one.result) for one in children] == [
        (part.id, JobState.COMPLETED, name) for part, name in zip(parts, "ABC", strict=True)
    ]
    assert await app.jobs.children(job.id) == children


async def test_a_failed_child_fails_its_parents(app: App, ran: list[str], step: AsyncTask[[str], str]) -> None:
    job = await app.enqueue_graph(chain(step.job("bad"), step.job("b"), step.job("c")))

    await drain(app)
    assert ran == ["bad"]
    with pytest.raises(
        JobFailed, match=r"tidewheel\.ChildFailed: It waited for .*, which was discarded: ValueError: bad$"
    ):
        await job.result()


@pytest.mark.parametrize(
    ("on_failure", "result"),
    [("ignore", ["discarded", "OK"]), ("remove", ["OK"])],
)
async def test_a_failed_child_may_be_ignored(
    app: App, step: AsyncTask[[str], str], total: AsyncTask[[], list[Any]], on_failure: Any, result: list[Any]
) -> None:
    job = await app.enqueue_graph(group([step.job("bad"), step.job("ok")], then=total.job(), on_failure=on_failure))

    await drain(app)
    assert await job.result() == result


async def test_continue_starts_at_once(
    app: App, ran: list[str], step: AsyncTask[[str], str], total: AsyncTask[[], list[Any]]
) -> None:
    @app.task
    async def late() -> None:
        await job.result()
        ran.append("late")

    job = await app.enqueue_graph(group([step.job("bad"), late.job()], then=total.job(), on_failure="continue"))

    await drain(app)
    assert await job.result() == ["discarded", None]
    assert ran == ["bad", "total", "late"]


async def test_a_plain_function_asks_for_its_children(app: App, step: AsyncTask[[str], str]) -> None:
    @app.task
    def first() -> str:
        (child,) = app.run_sync(current_job().children())
        return str(child.result)

    job = await app.enqueue_graph(chain(step.job("a"), first.job()))
    await drain(app)
    assert await job.result() == "A"


GRAPHED = """
from tidewheel import App, current_job

app = App("sqlite:///graphed.db")

@app.task
async def part(n: int) -> int:
    return n * n

@app.task(run_in="process")
def total() -> int:
    return sum(child.result for child in app.run_sync(current_job().children()))
"""


async def test_so_does_one_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "graphed.py").write_text(GRAPHED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    graphed = importlib.import_module("graphed")

    async with graphed.app as app:
        job = await app.enqueue_graph(group([graphed.part.job(n) for n in range(4)], then=graphed.total.job()))
        await drain(app)
        assert await job.result() == 14


async def test_jobs_wait_for_what_is_enqueued_already(app: App, ran: list[str], step: AsyncTask[[str], str]) -> None:
    first = await step.enqueue("a")
    await app.enqueue_graph(step.options(priority=1).job("b").after(first))
    await drain(app)
    late = await app.enqueue_graph(step.job("c").after(first.id))
    assert await late.state() is JobState.AVAILABLE
    await drain(app)
    assert ran == ["a", "b", "c"]


async def test_a_child_that_does_not_exist_is_refused(app: App, step: AsyncTask[[str], str]) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        await app.enqueue_graph(chain(step.job("a"), step.job("b").after("nowhere")))
    assert (await app.jobs.list()).jobs == ()


async def test_many_jobs_bring_along_what_they_wait_for(app: App, ran: list[str], step: AsyncTask[[str], str]) -> None:
    shared = step.job("shared")
    jobs = [step.job("x"), *(step.job(f"{number}").after(shared) for number in range(5)), shared]
    handles = await app.enqueue_many(jobs, batch=2)

    assert [one.id for one in handles] == [one.id for one in jobs]
    assert [one.created for one in handles[:6]] == [True] * 6
    await drain(app)
    assert ran == ["x", "shared", "0", "1", "2", "3", "4"]


async def test_one_job_brings_along_what_it_waits_for(app: App, ran: list[str], step: AsyncTask[[str], str]) -> None:
    await app.enqueue_one(step.job("b").after(step.job("a")))
    await drain(app)
    assert ran == ["a", "b"]


async def test_a_group_alone_gives_a_handle_for_each(app: App, step: AsyncTask[[str], str]) -> None:
    handles = await app.enqueue_graph(group([step.job("a"), step.job("b")]).after(step.job("c")))

    await drain(app)
    assert [await one.result() for one in handles] == ["A", "B"]


async def test_a_unique_child_that_is_there_already_is_waited_for(app: App, ran: list[str]) -> None:
    @app.task(unique=True)
    async def once(name: str) -> str:
        ran.append(name)
        return name

    there = await once.enqueue("a")
    parent = await app.enqueue_graph(once.job("b").after(once.job("a")))
    assert [one.id for one in await parent.children()] == [there.id]
    await drain(app)
    assert ran == ["a", "b"]


async def test_a_rule_may_refuse_the_last_job(app: App, step: AsyncTask[[str], str]) -> None:
    @app.task(backlog=Backlog(1))
    async def rare() -> None: ...

    await rare.enqueue()
    with pytest.raises(QueueFull):
        await app.enqueue_graph(rare.job().after(step.job("a")))
    assert (await app.jobs.list()).jobs[0].kind == "step"


async def test_too_many_for_one_write_are_refused(app: App, step: AsyncTask[[str], str]) -> None:
    with pytest.raises(ValueError, match="10,001 items"):
        await app.enqueue_graph(group([step.job("a") for _ in range(10_001)]))


# --- cancelled and run again ---


async def test_cancel_graph_takes_the_children_along(app: App, ran: list[str], step: AsyncTask[[str], str]) -> None:
    shared, mine = step.job("shared"), step.job("mine")
    first = await app.enqueue_graph(chain(group([shared, mine]), step.job("a"), step.job("b")))
    other = await app.enqueue_graph(step.job("other").after(shared.id))

    answers = await app.jobs.cancel_graph(first.id)
    assert [one.after for one in answers] == [JobState.CANCELLED] * 3
    assert (await row(app, first.id)).error is None
    await drain(app)
    assert ran == ["shared", "other"]
    assert await other.result() == "OTHER"


async def test_retry_graph_runs_what_failed_and_nothing_twice(
    app: App, ran: list[str], total: AsyncTask[[], list[Any]]
) -> None:
    broken = asyncio.Event()
    broken.set()

    @app.task(retry=1)
    async def fetch(name: str) -> str:
        ran.append(name)
        if name == "b" and broken.is_set():
            raise ValueError("away")
        return name

    job = await app.enqueue_graph(chain(group([fetch.job("a"), fetch.job("b")], then=total.job()), fetch.job("end")))
    await drain(app)
    assert sorted(ran) == ["a", "b"]
    broken.clear()
    answers = await app.jobs.retry_graph(job.id)
    assert [one.after for one in answers] == [JobState.AVAILABLE, JobState.PARKED, JobState.PARKED]
    await drain(app)
    assert ran[2:] == ["b", "total", "end"]
    assert await job.result() == "end"


async def test_an_id_is_a_text(app: App, step: AsyncTask[[str], str]) -> None:
    job: Any = await step.enqueue("a")
    jobs = app.jobs
    for call in (jobs.info, jobs.history, jobs.why, jobs.children, jobs.cancel_graph, jobs.retry_graph):
        with pytest.raises(TypeError, match=r"is no job id\. Give its text: that of a handle is handle\.id"):
            await call(job)
    with pytest.raises(TypeError, match="None is no job id"):
        await app.jobs.cancel([None])  # type: ignore[list-item]


async def test_what_is_gone_cannot_run_again(app: App, step: AsyncTask[[str], str]) -> None:
    bad = step.job("bad")
    job = await app.enqueue_graph(chain(bad, step.job("b")))
    await drain(app)
    await app.jobs.delete([bad.id])

    with pytest.raises(JobNotFound, match=f"The job {bad.id} would have to run again, and it is gone"):
        await app.jobs.retry_graph(job.id)
    assert await job.state() is JobState.DISCARDED
    for call in (app.jobs.retry_graph, app.jobs.cancel_graph):
        with pytest.raises(JobNotFound, match="There is no job nowhere"):
            await call("nowhere")
    assert [(one.id, one.state) for one in await job.children()] == [(bad.id, JobState.DISCARDED)]
    assert isinstance((await job.children())[0], Child)
