"""Settings of workers and apps, and `app.check()`: all problems at once, and the name that was meant."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from tidewheel import App, ConfigError, Limit, Retention, RetryPolicy, WorkerOptions, keep


def problems(call: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as told:
        call()
    return told.value.problems


# --- worker options ---


def test_the_defaults() -> None:
    options = WorkerOptions.of()

    assert options.queues is None
    assert (options.concurrency, options.threads, options.processes >= 1) == (100, 16, True)
    assert (options.lease, options.grace, options.poll) == (30_000_000, 30_000_000, 1_000_000)
    assert options.wait == 60_000_000
    assert (options.max_jobs, options.max_memory, options.drain_and_exit, options.signals) == (None, None, False, True)


def test_values_as_people_write_them() -> None:
    options = WorkerOptions.of(queues=["a", "b", "a"], lease="1m", grace=0, poll=0.5, max_memory="1.5 GB", threads=None)

    assert options.queues == ("a", "b")
    assert (options.lease, options.grace, options.poll) == (60_000_000, 0, 500_000)
    assert options.max_memory == 3 << 29
    assert options.threads == 16


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "queues": ({"queues": "mail"}, "Give a list of names: ['mail']"),
    "no queues": ({"queues": []}, "Leave it out"),
    "queue name": ({"queues": [5]}, "must be text"),
    "concurrency": ({"concurrency": 0}, "1 to 10000"),
    "threads": ({"threads": True}, "no whole number"),
    "processes": ({"processes": 1000}, "1 to 256"),
    "short lease": ({"lease": 0.5}, "1 to 3600 seconds"),
    "lease": ({"lease": "soon"}, "Write a number and a unit"),
    "grace": ({"grace": -1}, "zero or more"),
    "poll": ({"poll": 0}, "0.01 to 60 seconds"),
    "wait": ({"wait": "2d"}, "0 to 86400 seconds"),
    "poll and lease": ({"poll": 10, "lease": 5}, "poll must not be longer than lease"),
    "max_jobs": ({"max_jobs": "many"}, "no whole number"),
    "max_memory": ({"max_memory": "lots"}, '"512MB" or "2GB"'),
    "no memory": ({"max_memory": 0}, "no size"),
    "drain_and_exit": ({"drain_and_exit": 1}, "True or False"),
    "signals": ({"signals": "no"}, "True or False"),
    "order": ({"order": "random"}, '"weighted" or "strict"'),
    "strict without queues": ({"order": "strict"}, "needs the queues, the first one first"),
    "strict weights": ({"order": "strict", "queues": {"a": 5, "b": 1}}, "queues=['a', 'b']"),
    "no weight": ({"queues": {"a": 0}}, "'a' has the weight 0; it must be a whole number from 1 to 1000"),
    "true weight": ({"queues": {"a": True}}, "'a' has the weight True"),
    "heavy": ({"queues": {"a": 1001, "b": 1000}}, "'a' has the weight 1001"),
    "weight as text": ({"queues": {"a": "5"}}, "'a' has the weight '5'"),
    "no queues with weights": ({"queues": {}}, "Leave it out"),
    "misspelt": ({"concurency": 5}, "Did you mean 'concurrency'?"),
    "unknown": ({"colour": 5}, "There are: queues, concurrency"),
}


@pytest.mark.parametrize(("options", "words"), BAD.values(), ids=BAD.keys())
def test_a_bad_worker_option_says_what_would_be_good(options: dict[str, Any], words: str) -> None:
    (problem,) = problems(lambda: WorkerOptions.of(**options))

    assert next(iter(options)) in problem
    assert words in problem


def test_queues_with_weights_and_in_strict_order() -> None:
    options = WorkerOptions.of(queues={"high": 5, "low": 1})
    assert (options.queues, options.weights, options.order) == (("high", "low"), (5, 1), "weighted")

    options = WorkerOptions.of(queues=["high", "low"], order="strict")
    assert (options.queues, options.weights, options.order) == (("high", "low"), (), "strict")


def test_bad_names_bad_weights_and_a_bad_order_are_told_at_once() -> None:
    told = problems(lambda: WorkerOptions.of(queues={"": 1, "a": 0, "b": -3, "c": 4}, order="best"))
    assert len(told) == 4
    assert [one for one in told if "weight" in one and "order" not in one] == [
        "worker option queues: 'a' has the weight 0; it must be a whole number from 1 to 1000.",
        "worker option queues: 'b' has the weight -3; it must be a whole number from 1 to 1000.",
    ]


def test_every_bad_worker_option_is_told_at_once(app: App) -> None:
    told = problems(lambda: app.worker(concurency=5, threads=0, lease=2, poll=5, grace="x"))

    assert len(told) == 4
    assert any("poll must not be longer" in one for one in told)


# --- the app ---


def test_every_bad_setting_of_an_app_is_told_at_once() -> None:
    bad: dict[str, Any] = {
        "url": "sqlte:///x.db",
        "max_payload": 0,
        "max_traceback": -1,
        "retry": "often",
        "retention": 5,
        "queues": {"": Retention(), "mail": 5},
    }

    told = problems(lambda: App(**bad))

    assert len(told) == 7
    assert any("Did you mean sqlite?" in one for one in told)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_payload": True}, "positive number of bytes"),
        ({"max_traceback": 1.5}, "must be a number of characters"),
        ({"retry": 0}, "Give 1 (no retry) to 1000"),
        ({"retention": keep(5)}, "must be a Retention"),
        ({"queues": ["mail"]}, "must be a mapping"),
    ],
)
def test_a_bad_setting_of_an_app(settings: dict[str, Any], words: str) -> None:
    (problem,) = problems(lambda: App("memory://", **settings))
    assert words in problem


def test_retention_is_the_tasks_the_queues_or_the_apps(app: App) -> None:
    mine, mail, general = Retention(keep(1)), Retention(keep(2)), Retention(keep(3))
    app = App("memory://", retention=general, queues={"mail": mail})

    def fn() -> None: ...

    own, other = app.task(name="own", retention=mine)(fn), app.task(name="other")(fn)

    assert app.retention_of(own, "mail") is mine
    assert app.retention_of(other, "mail") is mail
    assert app.retention_of(other, "default") is general


# --- per_worker ---


@pytest.mark.parametrize("per_worker", [0, -1, True, 1.5, "4"])
def test_a_bad_per_worker(app: App, per_worker: Any) -> None:
    (problem,) = problems(lambda: app.task(per_worker=per_worker)(fine))
    assert "per_worker" in problem
    assert "1 or more" in problem


@pytest.mark.parametrize(("run_in", "most"), [("thread", 1_000), ("process", 256)])
def test_a_per_worker_that_no_worker_reaches(app: App, run_in: Any, most: int) -> None:
    (problem,) = problems(lambda: app.task(name="much", run_in=run_in, per_worker=most)(fine))
    assert problem == (
        f"much: per_worker={most} has no effect: no worker runs more than {most} jobs at a time with "
        f'run_in="{run_in}". Give less, or leave it out.'
    )
    assert app.task(name="less", run_in=run_in, per_worker=most - 1)(fine).settings.per_worker == most - 1


def test_a_bad_per_worker_is_told_with_the_rest(app: App) -> None:
    told = problems(lambda: app.task(per_worker=5_000, priority=0, rate=5)(fine))  # type: ignore[call-overload]
    assert len(told) == 3


def test_a_per_worker_that_the_tasks_own_limit_makes_needless_is_doubtful(app: App) -> None:
    app.task(name="needless", concurrency=4, per_worker=4)(fine)
    app.task(name="useful", concurrency=5, per_worker=4)(fine)
    app.task(name="by key", concurrency=Limit(2, key="args.a"), per_worker=4)(fine)
    assert [where for level, where in found(app) if where != "store"] == ["task needless"]


# --- check ---


def found(app: App) -> list[tuple[str, str]]:
    return [(problem.level, problem.where) for problem in app.check()]


def test_a_sound_app_has_no_problems(tmp_path: Any) -> None:
    app = App(f"sqlite:///{tmp_path}/jobs.db")
    app.task(fine)

    assert app.check() == []
    assert not (tmp_path / "jobs.db").exists()


def fine(a: int) -> int:
    return a


def test_everything_that_is_wrong_or_doubtful_errors_first() -> None:
    app = App("memory://", queues={"mial": Retention()})

    def nested() -> None: ...

    def bad_type(sock: socket.socket) -> None: ...

    def bad_hint(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821 -- on purpose

    app.task(run_in="process")(nested)
    app.task(bad_type)
    app.task(bad_hint)
    app.task(name="one", retry=RetryPolicy(1, within="1h"))(fine)
    app.task(name="slow", timeout="1m")(fine)

    assert found(app) == [
        ("error", "task nested"),
        ("error", "task bad_type"),
        ("error", "task bad_hint"),
        ("warning", "store"),
        ("warning", "queues['mial']"),
        ("warning", "task one"),
        ("warning", "task slow"),
    ]
    assert all(problem.message and problem.remedy for problem in app.check())


def test_an_app_without_tasks_is_doubtful(app: App) -> None:
    assert ("warning", "app") in found(app)


async def test_a_worker_refuses_what_check_calls_an_error(app: App) -> None:
    def nested() -> None: ...

    def bad_type(sock: socket.socket) -> None: ...

    app.task(run_in="process")(nested)
    app.task(bad_type)

    with pytest.raises(ConfigError) as told:
        await app.worker(signals=False).run()
    assert len(told.value.problems) == 2
    assert "top level of a module" in told.value.problems[0]
    assert "socket" in told.value.problems[1]


async def test_a_worker_without_tasks_has_nothing_to_do(app: App) -> None:
    with pytest.raises(ConfigError, match="no tasks"):
        await app.worker(signals=False).run()
