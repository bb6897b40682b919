"""Tasks and their options: what cannot work is said when it is given, all of it at once, with the remedy."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tidewheel import FOREVER, App, ConfigError, Retention, RetryPolicy, custom, keep
from tidewheel._model.duration import LONGEST
from tidewheel._model.job import NewJob
from tidewheel._task import AsyncTask, SyncTask, Task


def plain(a: int = 1) -> int:
    return a


async def working(a: int = 1) -> int:
    return a


@pytest.fixture
def task(app: App) -> Task[..., Any]:
    return app.task(working)


def problems(call: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as told:
        call()
    return told.value.problems


# --- registering ---


def test_a_task_is_the_function_and_more(app: App) -> None:
    @app.task
    def add(a: int, b: int = 2) -> int:
        """Adds."""
        return a + b

    assert isinstance(add, SyncTask)
    assert (add.name, add.run_in, add.settings.queue, add.__doc__) == ("add", "thread", "default", "Adds.")
    assert add(1) == add.fn(1) == 3
    assert app.tasks == {"add": add}


async def test_an_async_task_may_be_called_without_a_queue(app: App) -> None:
    task = app.task(working)

    assert isinstance(task, AsyncTask)
    assert task.run_in == "loop"
    assert await task(5) == 5


def test_the_name_is_what_jobs_call_it(app: App) -> None:
    task = app.task(name="shop.send", queue="mail", priority=5, tags=["a", "b"], timeout="30s", soft_timeout=20)(plain)

    new = task.job().new
    assert (new.kind, new.queue, new.priority, new.tags) == ("shop.send", "mail", 5, ("a", "b"))
    assert (task.settings.timeout, task.settings.soft_timeout) == (30_000_000, 20_000_000)


def test_two_tasks_of_one_name_are_refused_and_both_are_named(app: App) -> None:
    app.task(plain)

    (problem,) = problems(lambda: app.task(name="plain")(working))
    assert "two tasks named 'plain'" in problem
    assert f"{plain.__module__}.plain" in problem
    assert f"{working.__module__}.working" in problem
    assert "@app.task(name=...)" in problem


class Callable_:  # noqa: N801 -- it is what it says
    def __call__(self) -> None: ...


@pytest.mark.parametrize("thing", [5, "plain", Callable_, Callable_(), functools.partial(plain, 1)])
def test_only_functions_can_be_tasks(app: App, thing: Any) -> None:
    assert "put @app.task on a function" in problems(lambda: app.task(thing))[0]


def test_a_task_is_no_function_to_make_a_task_of(app: App, task: Any) -> None:
    assert "put @app.task on a function" in problems(lambda: app.task(name="again")(task))[0]


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("fn", [generator, async_generator])
def test_a_generator_would_never_run(app: App, fn: Any) -> None:
    assert "is a generator" in problems(lambda: app.task(fn))[0]


@pytest.mark.parametrize(
    ("fn", "run_in", "words"),
    [
        (working, "thread", "is async, so it runs on the event loop"),
        (working, "process", "is async, so it runs on the event loop"),
        (plain, "loop", 'use run_in="thread"'),
        (plain, "fiber", '"loop", "thread" or "process"'),
    ],
)
def test_where_a_function_can_run(app: App, fn: Any, run_in: Any, words: str) -> None:
    assert words in problems(lambda: app.task(run_in=run_in)(fn))[0]


def test_every_bad_setting_of_a_task_is_told_at_once(app: App) -> None:
    bad: dict[str, Any] = {
        "name": " x",
        "run_in": "fiber",
        "queue": "",
        "priority": 0,
        "retry": 0,
        "timeout": 0,
        "soft_timeout": "soon",
        "unique": 5,
        "tags": "urgent",
        "retention": 1000,
        "max_crashes": 0,
        "per_worker": 0,
    }

    told = problems(lambda: app.task(**bad)(plain))

    assert len(told) == len(bad)
    for name, words in {
        "queue": "1 to 200 characters",
        "priority": "Give 1 (first) to 1000 (last)",
        "retry": "Give 1 (no retry) to 1000",
        "timeout": "Leave it out for no limit",
        "soft_timeout": "Write a number and a unit",
        "unique": "True (by arguments)",
        "tags": "Give a list of tags: ['urgent']",
        "retention": "must be a Retention",
        "max_crashes": "from 1 to 100",
        "per_worker": "1 or more",
    }.items():
        assert any(f": {name}: " in one and words in one for one in told), (name, told)
    assert not app.tasks


def test_an_unknown_setting_is_pythons_error(app: App) -> None:
    with pytest.raises(TypeError, match="colour"):
        app.task(colour="red")(plain)  # type: ignore[call-overload]


# --- options of a job ---

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
GOOD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "id": ({"id": "my-1"}, {"id": "my-1"}),
    "queue": ({"queue": "mail"}, {"queue": "mail"}),
    "priority": ({"priority": 1000}, {"priority": 1000}),
    "delay": ({"delay": "10m"}, {"delay": 600_000_000}),
    "run_at": ({"run_at": NOON}, {"run_at": 1_768_478_400_000_000}),
    "run_at elsewhere": (
        {"run_at": NOON.astimezone(timezone(timedelta(hours=9)))},
        {"run_at": 1_768_478_400_000_000},
    ),
    "retry": ({"retry": 7}, {"max_attempts": 7}),
    "unique": ({"unique": "key"}, {"unique_key": "working:key"}),
    "tags": ({"tags": ("a",)}, {"tags": ("a",)}),
    "meta": ({"meta": {"a": [1]}}, {"meta": '{"a":[1]}'}),
    "lifo": ({"lifo": True}, {"lifo": True}),
    "timeout": ({"timeout": 1.5}, {"options": '{"timeout":1500000}'}),
    "keep a time": ({"retention": Retention(keep(age="1h"), keep(age=1))}, {"keep_completed": 3_600_000_000, "keep_failed": 1_000_000}),
    "keep nothing": ({"retention": Retention(keep(0), keep(0))}, {"keep_completed": 0, "keep_failed": 0}),
    "keep forever": ({"retention": Retention(FOREVER, FOREVER)}, {"keep_completed": LONGEST, "keep_failed": LONGEST}),
    "keep one sort": ({"retention": Retention(completed=keep(age=5))}, {"keep_completed": 5_000_000, "keep_failed": None}),
    "none of it": ({"id": None, "delay": None}, {"delay": 0, "run_at": None, "options": None, "meta": None}),
}  # fmt: skip


@pytest.mark.parametrize(("options", "fields"), GOOD.values(), ids=GOOD.keys())
def test_an_option_becomes_part_of_the_job(task: Task[..., Any], options: Any, fields: dict[str, Any]) -> None:
    new: NewJob = task.options(**options).job(1).new

    assert {name: getattr(new, name) for name in fields} == fields
    assert new.args == '{"a":1}'


def test_a_unique_key_of_the_arguments_is_the_same_for_the_same_arguments(task: Task[..., Any]) -> None:
    by_arguments = task.options(unique=True)

    assert by_arguments.job(1).new.unique_key == by_arguments.job(a=1).new.unique_key
    assert by_arguments.job(1).new.unique_key != by_arguments.job(2).new.unique_key
    assert task.options(unique=False).job(1).new.unique_key is None


def test_ids_are_made_where_none_is_given(task: Task[..., Any]) -> None:
    assert task.job().new.id != task.job().new.id


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "empty id": ({"id": ""}, "1 to 200 characters"),
    "long id": ({"id": "x" * 201}, "1 to 200 characters"),
    "id with control characters": ({"id": "a\nb"}, "no control characters"),
    "id of another type": ({"id": 5}, "must be text"),
    "queue": ({"queue": " mail"}, "no spaces at its ends"),
    "priority too small": ({"priority": 0}, "Give 1 (first) to 1000 (last)"),
    "priority too big": ({"priority": 1001}, "Give 1 (first) to 1000 (last)"),
    "priority no number": ({"priority": "high"}, "no whole number"),
    "priority bool": ({"priority": True}, "no whole number"),
    "negative delay": ({"delay": -1}, "zero or more"),
    "endless delay": ({"delay": float("inf")}, "not finite"),
    "naive datetime": ({"run_at": datetime(2026, 1, 15)}, "has no time zone"),  # noqa: DTZ001 -- on purpose
    "run_at no datetime": ({"run_at": 1_768_478_400}, "Give one with a time zone"),
    "delay and run_at": ({"delay": 1, "run_at": NOON}, "Keep the one you mean"),
    "retry": ({"retry": "often"}, "no whole number"),
    "zero timeout": ({"timeout": 0}, "Leave it out"),
    "soft not before hard": ({"timeout": 5, "soft_timeout": 5}, "must be shorter than timeout"),
    "unique": ({"unique": ""}, "a text of 1 to 200 characters"),
    "unique surrogate": ({"unique": "\udce9"}, "surrogates"),
    "tags one text": ({"tags": "urgent"}, "Give a list of tags: ['urgent']"),
    "tags no text": ({"tags": [1]}, "must be text"),
    "tags nothing": ({"tags": 5}, "not iterable"),
    "empty tag": ({"tags": [""]}, "1 to 200 characters"),
    "meta no object": ({"meta": [1]}, "must be an object"),
    "meta unencodable": ({"meta": {"a": object()}}, "meta of working cannot be encoded"),
    "meta too large": ({"meta": {"a": "x" * 300_000}}, "meta of working has 300008 bytes"),
    "retention no retention": ({"retention": keep(5)}, "must be a Retention"),
    "retention by count": ({"retention": Retention(keep(5))}, "a time, not a number of jobs"),
    "lifo no bool": ({"lifo": 1}, "must be a bool"),
    "code in a backoff": ({"retry": RetryPolicy(3, custom(lambda attempt, error: 1))}, "cannot be stored with a job"),
}


@pytest.mark.parametrize(("options", "words"), BAD.values(), ids=BAD.keys())
def test_a_bad_option_says_what_would_be_good(task: Task[..., Any], options: Any, words: str) -> None:
    (problem,) = problems(lambda: task.options(**options))

    assert problem.startswith("working: ")
    assert words in problem


def test_every_bad_option_is_told_at_once(task: Task[..., Any]) -> None:
    told = problems(lambda: task.options(id="", queue="", priority=-1, delay=-1, tags="x", timeout=1, soft_timeout=2))

    assert len(told) == 6
    assert [one.split(": ")[1] for one in told[:5]] == ["id", "queue", "priority", "delay", "tags"]


def test_an_unknown_option_is_pythons_error(task: Task[..., Any]) -> None:
    with pytest.raises(TypeError, match="colour"):
        task.options(colour="red")  # type: ignore[call-arg]


def test_soft_and_hard_timeouts_are_compared_with_the_tasks_own(app: App) -> None:
    task = app.task(timeout=10, soft_timeout=5)(working)

    assert "shorter than timeout" in problems(lambda: task.options(timeout=5))[0]
    assert "shorter than timeout" in problems(lambda: task.options(soft_timeout=10))[0]
    assert task.options(timeout=20, soft_timeout=15)


def test_a_code_backoff_in_the_tasks_own_policy_is_fine(app: App) -> None:
    policy = RetryPolicy(3, custom(lambda attempt, error: 1))

    assert app.task(retry=policy)(working).settings.retry is policy
