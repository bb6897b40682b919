"""Rules for enqueuing in code: what cannot work is said where it stands, and what a rule did is on the handle."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tidewheel import (
    App,
    Backlog,
    ConfigError,
    Debounce,
    DuplicateJob,
    JobCancelled,
    JobState,
    KeepLast,
    LimitKeyError,
    NotEnqueued,
    QueueFull,
    Throttle,
    Unique,
)
from tidewheel._model.duration import SECOND
from tidewheel._model.enqueue_rule import EnqueueRule
from tidewheel._model.flow import flow_of
from tidewheel._task import Task
from tidewheel.testing import FakeClock, fake_env

HOUR = 3600 * SECOND


async def send(tenant: Any, page: int = 1) -> str:
    return f"{tenant} {page}"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def timed(clock: FakeClock) -> AsyncIterator[App]:
    """An app whose time stands still."""
    made = App("memory://", env=fake_env(clock))
    yield made
    await made.close()


def problems(call: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as told:
        call()
    return told.value.problems


def task(app: App, **options: Any) -> Task[..., str]:
    made: Task[..., str] = app.task(name="send", **options)(send)
    return made


def key(made: Task[..., Any], *args: Any, **kwargs: Any) -> str:
    rule = made.job(*args, **kwargs).new.rule
    assert rule is not None
    return rule.key


# --- what a job carries ---


def test_a_task_without_rules_carries_none(app: App) -> None:
    new = task(app).job("acme").new

    assert (new.rule, new.backlog, new.expires_in, new.after) == (None, None, None, ())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"unique": Unique(key="args.tenant")}, "unique:send:acme"),
        ({"unique": Unique(key="args.page")}, "unique:send:1"),
        ({"unique": Unique(key=lambda tenant, page: f"{tenant}/{page}")}, "unique:send:acme/1"),
        ({"unique": Unique(key=lambda: "all")}, "unique:send:all"),
        ({"unique": Unique(key=lambda tenant, page: (tenant, page))}, 'unique:send:["acme","1"]'),
        ({"unique": Unique(key="args.tenant", scope="queue"), "queue": "mail"}, "unique.queue:mail:acme"),
        ({"throttle": Throttle(1, per="10s")}, "throttle:send:"),
        ({"throttle": Throttle(1, per="10s", key="args.tenant")}, "throttle:send:acme"),
        ({"debounce": Debounce("30s", key="args.tenant")}, "debounce:send:acme"),
        ({"keep_last": True}, "last:send:"),
        ({"keep_last": KeepLast(key="args.tenant")}, "last:send:acme"),
    ],
)
def test_a_key_has_its_sort_its_owner_and_its_value(app: App, options: dict[str, Any], expected: str) -> None:
    assert key(task(app, **options), "acme") == expected


def test_all_arguments_make_a_key_however_they_are_given(app: App) -> None:
    made = task(app, unique=Unique())

    assert key(made, tenant="acme", page=2) == key(made, page=2, tenant="acme") == key(made, "acme", 2)
    assert key(made, "acme", 1) == key(made, "acme")
    assert key(made, "acme", 3) != key(made, "acme", 2)
    assert len(key(made, "x" * 5000)) < 100
    plain = app.task(name="plain", unique=True)(send)
    assert plain.job("acme", 1).new.unique_key == plain.job(tenant="acme").new.unique_key


def test_names_with_colons_are_no_other_names(app: App) -> None:
    one = app.task(name="a", unique=Unique(key="args.tenant"))(send)
    other = app.task(name="a:b", unique=Unique(key="args.tenant"))(send)

    assert key(one, "b:c") != key(other, "c")


def test_a_long_value_is_kept_by_its_digest(app: App) -> None:
    made = task(app, unique=Unique(key="args.tenant"))

    assert len(key(made, "x" * 201)) == len("unique:send:") + 64


def test_what_the_store_is_told() -> None:
    words = ("args", "meta", "tags", "priority")
    over: Any = {"scheduled": (*words, "run_at"), "available": words, "retryable": words}

    assert Unique(period="1h", on_conflict="raise").rule == EnqueueRule(key="", period=HOUR)
    assert Unique(holds="any", on_conflict="cancel").rule == EnqueueRule(key="", holds="any", on_conflict="cancel")
    assert Unique(on_conflict="replace").rule == EnqueueRule(key="", on_conflict="replace", replace=over)
    assert Unique(on_conflict="replace", replace={"scheduled": ["args"]}).rule.replace == {"scheduled": ("args",)}
    assert Unique(on_conflict="reschedule").rule.replace == {"scheduled": ("run_at",), "retryable": ("run_at",)}
    assert Throttle(3, per="1h").rule == EnqueueRule(key="", holds="none", period=HOUR, count=3)
    assert Debounce("1s", max_wait="1h").rule == EnqueueRule(
        key="", holds="waiting", on_conflict="replace", replace=over, max_wait=HOUR
    )
    assert KeepLast().rule == EnqueueRule(key="", holds="waiting", on_conflict="replace", replace=over)


def test_a_debounce_waits_and_keep_last_runs_one_at_a_time(app: App) -> None:
    assert task(app, debounce=Debounce("30s")).job("acme").new.delay == 30 * SECOND

    last = app.task(name="last", keep_last=KeepLast(key="args.tenant"), concurrency=5)(send)
    flow = last.job("acme").new.flow
    assert flow is not None
    assert [one.key for one in flow_of(flow).passes] == ["last.keep_last:acme", "last.concurrency"]


@pytest.mark.parametrize(
    ("given", "name", "drop"),
    [
        (5, "task:send", False),
        (Backlog(5), "task:send", False),
        (Backlog(5, on_full="drop_oldest", of="queue"), "queue:mail", True),
    ],
)
def test_a_backlog_counts_a_task_or_a_queue(app: App, given: Any, name: str, drop: bool) -> None:
    backlog = task(app, backlog=given, queue="mail").job("acme").new.backlog

    assert backlog is not None
    assert (backlog.key, backlog.most, backlog.drop_oldest) == (name, 5, drop)


def test_a_job_may_say_otherwise(app: App) -> None:
    made = task(app, unique=Unique(key="args.tenant"), expires="1h", queue="mail")

    assert made.options(unique=False).job("acme").new.rule is None
    by_page = made.options(unique=Unique(key="args.page"), expires="1m").job("acme", 7).new
    assert by_page.rule is not None
    assert (by_page.rule.key, by_page.expires_in) == ("unique:send:7", 60 * SECOND)
    plain = made.options(unique="mine").job("acme").new
    assert (plain.rule, plain.unique_key) == (None, "send:mine")


def test_several_values_make_a_key_that_no_others_make(app: App) -> None:
    made = task(app, unique=Unique(key=lambda tenant: (*tenant,)))

    assert len({key(made, parts) for parts in (["a", "b"], ['a","b'], ["a,b"], ["ab"], ["b", "a"])}) == 5
    assert key(made, ["a", 1]) == key(made, ["a", "1"])
    assert len(key(made, ["x" * 150] * 3)) == len("unique:send:") + 64


# --- what cannot work ---


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Unique(key="tenant"), "Unique: key: 'tenant' is no path over the arguments."),
        (lambda: Unique(holds="ever"), "Unique: holds='ever' must be 'waiting', 'live' or 'any'."),  # type: ignore[arg-type]
        (lambda: Unique(scope="app"), "Unique: scope='app' must be 'task' or 'queue'."),  # type: ignore[arg-type]
        (lambda: Unique(period=0), "Unique: period=0 is no time at all."),
        (lambda: Unique(period="1h", on_conflict="cancel"), "Unique: period means nothing with on_conflict='cancel'"),
        (
            lambda: Unique(replace={"scheduled": ["args"]}),
            "Unique: replace= means something with on_conflict='replace'",
        ),
        (lambda: Unique(scope="queue", on_conflict="replace"), "Unique: scope='queue' with a replace of args"),
        (lambda: Throttle(0, per="1s"), "Throttle: count=0 is out of range."),
        (lambda: Throttle(1, per=0), "Throttle: per=0 is no time at all."),
        (lambda: Debounce(0), "Debounce: wait=0 is no time at all."),
        (lambda: Debounce("30s", max_wait="10s"), "Debounce: max_wait=10s is less than wait=30s."),
        (lambda: KeepLast(key="args."), "KeepLast: key: 'args.' is no path"),
        (lambda: Backlog(0), "Backlog: most=0 is out of range."),
        (lambda: Backlog(1, on_full="drop"), "Backlog: on_full='drop' must be 'reject' or 'drop_oldest'."),  # type: ignore[arg-type]
    ],
)
def test_a_rule_that_cannot_work_names_field_and_value(make: Callable[[], object], said: str) -> None:
    (problem,) = problems(make)

    assert problem.startswith(said)


def test_states_and_fields_of_a_replace_are_named() -> None:
    wrong: Any = {"running": ["args"], "available": ["run_at"], "retryable": "args", "scheduled": []}

    assert problems(lambda: Unique(on_conflict="replace", replace=wrong)) == (
        "Unique: replace: 'running' is no state in which a job can change. There are: scheduled, available, retryable.",
        "Unique: replace['available']: 'run_at' cannot change there. It takes: args, meta, tags, priority.",
        "Unique: replace['retryable']='args' must be a list of fields: ['args'].",
        "Unique: replace['scheduled']=[] changes nothing. Name fields, or leave the state out.",
    )


def test_all_problems_of_a_rule_at_once() -> None:
    wrong: Any = {"key": "x", "holds": "y", "period": -1, "on_conflict": "z"}

    assert len(problems(lambda: Unique(**wrong))) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"throttle": Throttle(1, per=1), "debounce": Debounce(1)}, "debounce and throttle were given"),
        ({"unique": Unique(), "keep_last": True}, "keep_last and unique were given"),
        ({"unique": True, "debounce": Debounce(1)}, "unique and a Debounce were given"),
        ({"debounce": Debounce("1m"), "expires": "1m"}, "expires=1m is over when its delay of 1m is"),
        ({"expires": 0}, "expires: 0 is no time at all."),
        ({"unique": "a\0"}, "unique: 'a\\x00' has a NUL in it"),
        ({"backlog": 0}, "backlog: Backlog: most=0 is out of range."),
        ({"backlog": True}, "backlog: True (bool) must be a Backlog."),
        ({"throttle": 5}, "throttle: 5 (int) must be a Throttle."),
        ({"unique": Unique(key="args.user")}, "unique: key: 'args.user' begins with no parameter of the function."),
        ({"throttle": Throttle(1, per=1, key=lambda user: user)}, "throttle: key: "),
    ],
)
def test_a_task_whose_rules_cannot_work(app: App, options: dict[str, Any], said: str) -> None:
    (problem,) = problems(lambda: task(app, **options))

    assert problem.startswith(f"send: {said}")
    assert "send" not in app.tasks


def test_an_unknown_option_is_named_with_the_nearest(app: App) -> None:
    with pytest.raises(TypeError, match=r"@app.task got 'debonce', which it does not know\. Did you mean 'debounce'\?"):
        task(app, debonce=Debounce(1))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"delay": 5}, "delay or run_at was given for a task with a debounce"),
        (
            {"idempotency_key": "k"},
            "idempotency_key: the task has a Debounce already, and a job has one rule. Give the job",
        ),
        ({"unique": Unique()}, "unique: the task has a Debounce already, and a job has one rule. Drop one."),
        ({"idempotency_ttl": "1h"}, "idempotency_ttl was given without an idempotency_key."),
        ({"idempotency_key": ""}, "idempotency_key: '' must be a text"),
        ({"expires": "30s"}, "expires=30s is over when its delay of 30s is"),
    ],
)
def test_a_job_whose_rules_cannot_work(app: App, options: dict[str, Any], said: str) -> None:
    made = task(app, debounce=Debounce("30s"))

    assert problems(lambda: made.options(**options))[0].startswith(f"send: {said}")


def test_a_job_without_a_key_is_refused(app: App) -> None:
    made = task(app, unique=Unique(key="args.tenant.id"))

    with pytest.raises(
        LimitKeyError, match=r"send: the key of Unique, args\.tenant\.id, found nothing: args\.tenant is"
    ):
        made.job("acme")
    with pytest.raises(LimitKeyError, match=r"found None; a key is a text"):
        made.job({"id": None})
    several = app.task(name="several", unique=Unique(key=lambda tenant, page: (tenant, page)))(send)
    with pytest.raises(LimitKeyError, match=r"several: the key of Unique, .*found None; a key is a text"):
        several.job(None)


def test_a_check_finds_keys_that_may_not_be_there(app: App) -> None:
    async def optional(tenant: str | None = None) -> None: ...

    app.task(name="optional", throttle=Throttle(1, per=1, key="args.tenant"))(optional)
    (problem,) = [one for one in app.check() if one.where == "task optional"]
    assert problem.message.startswith(
        "Throttle: key='args.tenant': args.tenant may be None, and then it finds nothing."
    )


# --- what an enqueue does ---


async def test_unique_answers_with_the_job_that_holds_the_key(app: App) -> None:
    made = task(app, unique=Unique(key="args.tenant"))

    first = await made.enqueue("acme", 1)
    second = await made.enqueue("acme", 2)
    assert (first.created, first.did, second.created, second.did) == (True, "created", False, "existing")
    assert second == first
    assert (await made.enqueue("bobs")).created

    await app.worker(drain_and_exit=True).run()
    assert await first.result() == "acme 1"
    assert (await made.enqueue("acme", 3)).created


async def test_unique_may_raise(app: App) -> None:
    made = task(app, unique=Unique(key="args.tenant", on_conflict="raise"))
    first = await made.enqueue("acme")

    with pytest.raises(DuplicateJob, match=f"send: the job {first.id} holds the key 'unique:send:acme'") as told:
        await made.enqueue("acme")
    assert told.value.existing_id == first.id
    assert isinstance(told.value, NotEnqueued)

    with pytest.raises(
        DuplicateJob, match=r"2 of the 3 jobs of the call were refused, the others are in\. Job 1, "
    ) as told:
        await app.enqueue_many([made.job("bobs"), made.job("acme"), made.job("bobs")])
    assert [handle.created for handle in told.value.handles] == [True, False, False]
    assert (await app.jobs.info(told.value.handles[0].id)) is not None


async def test_the_repeat_of_an_own_id_is_no_duplicate(app: App) -> None:
    made = task(app, unique=Unique(key="args.tenant", on_conflict="raise")).options(id="mine")

    assert (await made.enqueue("acme")).created
    again = await made.enqueue("acme")
    assert (again.id, again.did) == ("mine", "existing")


async def test_unique_may_replace_what_waits(app: App) -> None:
    made = task(app, unique=Unique(key="args.tenant", on_conflict="replace"))
    first = await made.options(delay="1h").enqueue("acme", 1)
    second = await made.options(priority=3).enqueue("acme", 2)

    assert (second.did, second.id) == ("replaced", first.id)
    info = await first.info()
    assert (info.state, info.priority, info.payload["page"]) == (JobState.AVAILABLE, 3, 2)


async def test_unique_may_cancel_what_waits(app: App) -> None:
    made = task(app, unique=Unique(key="args.tenant", on_conflict="cancel"))
    first = await made.enqueue("acme")
    second = await made.enqueue("acme")

    assert (second.created, second.cancelled) == (True, first.id)
    error = (await first.info()).error
    assert error is not None
    assert error.type == "tidewheel.Replaced"
    with pytest.raises(JobCancelled, match=f"tidewheel.Replaced: The job {second.id} took its place"):
        await first.result()


async def test_a_throttle_drops_what_is_too_much(timed: App, clock: FakeClock) -> None:
    made = task(timed, throttle=Throttle(2, per="10s"))
    handles = [await made.enqueue("acme", page) for page in range(3)]

    assert [(one.did, one.remaining) for one in handles] == [("created", 1), ("created", 0), ("dropped", 0)]
    assert handles[2].id == handles[1].id
    assert {one.reset_at for one in handles} == {clock() + 10 * SECOND}
    clock.advance("10s")
    assert (await made.enqueue("acme")).created


async def test_a_debounce_runs_the_last_word(timed: App, clock: FakeClock) -> None:
    made = task(timed, debounce=Debounce("30s", key="args.tenant", max_wait="1m"))
    first = await made.enqueue("acme", 1)
    began = clock()
    clock.advance("20s")
    assert (await made.enqueue("acme", 2)).did == "replaced"
    assert (await first.info()).run_at == began + 50 * SECOND
    clock.advance("20s")
    await made.enqueue("acme", 3)
    info = await first.info()
    assert (info.run_at, info.payload["page"]) == (began + 60 * SECOND, 3)


async def test_an_idempotency_key_is_taken_for_its_time(timed: App, clock: FakeClock) -> None:
    made = task(timed).options(idempotency_key="request-7")
    first = await made.enqueue("acme")
    await first.cancel()
    await first.delete()
    clock.advance("23h")
    again = await made.enqueue("acme")
    assert (again.id, again.created) == (first.id, False)
    clock.advance("1h")
    assert (await made.enqueue("acme")).created


async def test_idempotency_and_plain_unique_go_together(app: App) -> None:
    made = task(app, unique=True)

    first = await made.options(idempotency_key="a").enqueue("acme")
    assert (await made.options(idempotency_key="b").enqueue("acme")) == first
    assert (await made.options(idempotency_key="a").enqueue("other")) == first


async def test_a_backlog_rejects_or_drops(app: App) -> None:
    rejects = task(app, backlog=2)
    with pytest.raises(QueueFull, match=r"1 of the 3 jobs .* many jobs wait as may: 2 of 'task:send'") as told:
        await app.enqueue_many([rejects.job("acme") for _ in range(3)])
    assert [one.did for one in told.value.handles] == ["created", "created", "full"]
    with pytest.raises(QueueFull, match=r"^send: as many jobs wait"):
        await rejects.enqueue("acme")

    drops = app.task(name="drops", backlog=Backlog(2, on_full="drop_oldest"))(send)
    first, _, third = [await drops.enqueue("acme") for _ in range(3)]
    assert third.cancelled == first.id
    error = (await first.info()).error
    assert error is not None
    assert error.type == "tidewheel.Dropped"


async def test_what_has_not_started_in_time_is_cancelled(timed: App, clock: FakeClock) -> None:
    job = await task(timed, expires="1h").enqueue("acme")
    assert (await job.info()).expires_at == clock() + HOUR
    clock.advance("1h")
    await timed.worker(drain_and_exit=True).run()

    with pytest.raises(JobCancelled, match=r"tidewheel\.Expired"):
        await job.result()


async def test_keep_last_runs_the_first_and_the_newest(app: App) -> None:
    ran = list[int]()

    @app.task(keep_last=True)
    async def index(version: int) -> None:
        ran.append(version)
        if version == 1:
            handles = [await index.enqueue(number) for number in (2, 3, 4)]
            assert [one.did for one in handles] == ["created", "replaced", "replaced"]

    await index.enqueue(1)
    await app.worker(drain_and_exit=True).run()
    assert ran == [1, 4]
