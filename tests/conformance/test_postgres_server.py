"""What only a store with a server can meet: loops that end, restarts, rivals, hints."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from tests.servers.postgres import Postgres, running

from tidewheel import App, ConfigError, StoreError, StoreUnavailable
from tidewheel._env import Env
from tidewheel._model.job import Claimed, NewJob
from tidewheel._model.outcome import Complete, RetryLater, Settlement
from tidewheel._model.query import Accepted, Action, JobFilter
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Wakeup, Want
from tidewheel._store.postgres import PostgresStore, listen
from tidewheel._store.postgres.schema import newest
from tidewheel._store.postgres.session import Session
from tidewheel._store.postgres.sql import with_schema
from tidewheel.testing.conformance.kit import BOOM, HOUR, worker_info


async def test_many_may_open_an_empty_database_at_once(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    url = f"{postgres.url}?schema={new_schema()}&pool_size=1"
    stores = [PostgresStore(url) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    assert [await store.migrate() for store in stores[:2]] == [(newest(), newest())] * 2
    for store in stores:
        await store.close()


def test_an_app_lives_through_several_event_loops(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    app = App(f"{postgres.url}?schema={new_schema()}")

    @app.task
    async def add(a: int, b: int) -> int:
        return a + b

    async def drain() -> str:
        await app.worker(drain_and_exit=True, signals=False, concurrency=4).run()
        job = await app.jobs.get("one")
        assert job is not None
        return str(await job.result())

    asyncio.run(_done(add.options(id="one").enqueue(1, 2)))  # nobody closes it
    asyncio.run(_done(add.options(id="two").enqueue(3, 4)))
    assert asyncio.run(drain()) == "3"
    assert app.run_sync(app.info()).name == "postgresql"
    app.run_sync(app.close())


async def _done(work: Coroutine[Any, Any, object]) -> None:
    await work


async def test_a_store_belongs_to_its_loop(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    store = PostgresStore(f"{postgres.url}?schema={new_schema()}")
    await store.open()
    with pytest.raises(StoreError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, store.info())
    with pytest.raises(StoreError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, store.open())
    await store.close()
    with pytest.raises(StoreError, match="not open"):
        await store.info()


async def test_text_that_postgres_cannot_hold(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    store = PostgresStore(f"{postgres.url}?schema={new_schema()}")
    await store.open()
    for wrong in ("\0", "\ud800"):
        with pytest.raises(StoreError) as caught:
            await store.enqueue([NewJob(id=wrong, kind="work", args="{}")])
        assert not caught.value.retriable
        assert await store.get([wrong]) == [None]
        assert (await store.list(JobFilter(text=wrong))).jobs == ()
        assert await store.history(wrong) is None
    await store.close()


async def test_a_taken_id_is_an_error_in_the_servers_log_once_and_a_taken_key_never(
    postgres: Postgres, new_schema: Callable[[], str]
) -> None:
    schema = new_schema()
    store = PostgresStore(f"{postgres.url}?schema={schema}", Env())
    await store.open()
    many = [NewJob(id=f"{schema}-{number}", kind="work", args="{}") for number in range(3)]
    for jobs in (many[:1], many, many[:1], many):
        answers = await store.enqueue(jobs)
        assert [answer.id for answer in answers] == [job.id for job in jobs]
    for number in range(3):
        (answer,) = await store.enqueue([NewJob(id=f"{schema}-key-{number}", kind="work", args="{}", unique_key="one")])
        assert answer.id == f"{schema}-key-0"
    await store.close()
    assert postgres.log.read_text().count(f"({schema}-") == 1


async def test_rivals_settle_beat_alter_and_sweep_without_a_deadlock(
    postgres: Postgres, new_schema: Callable[[], str]
) -> None:
    """Everything that locks many rows at once, in many orders, by several stores."""
    url = f"{postgres.url}?schema={new_schema()}"
    stores = [PostgresStore(url) for _ in range(3)]
    for store in stores:
        await store.open()
    first, second, third = stores
    ids = [f"job{(number * 37) % 200}" for number in range(200)]
    await first.enqueue([NewJob(id=id, kind="work", args="{}", max_attempts=100) for id in ids])
    before = await _deadlocks(first)
    settled = 0

    async def carry() -> None:
        nonlocal settled
        for _ in range(10):
            got = await first.claim([Want("default", 100)], kinds=["work"], worker="w1", lease=HOUR)
            done = asyncio.create_task(first.settle([_ends(job, number) for number, job in enumerate(got)]))
            beats = [LeaseBeat(job.lease, progress="1") for job in reversed(got)]
            answers, accepted = await asyncio.gather(second.beat(worker_info("w1"), beats, lease=HOUR), done)
            assert set(answers) <= set(BeatAnswer)
            assert set(accepted) <= {Accepted.ACCEPTED}
            settled += len(accepted)

    async def disturb() -> None:
        for _ in range(10):
            await third.sweep(limit=50)
            await third.alter(sorted(ids, reverse=True), Action.RUN_NOW)
            await third.alter(JobFilter(kinds=("work",)), Action.RETRY, limit=150)

    await asyncio.gather(carry(), disturb())
    assert settled
    assert await _deadlocks(first) == before
    for store in stores:
        await store.close()


def _ends(job: Claimed, number: int) -> Settlement:
    return Settlement(job.lease, RetryLater(0, BOOM) if number % 2 else Complete("1"))


async def _deadlocks(store: PostgresStore) -> int:
    connection = await asyncpg.connect(store.options.dsn)
    try:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        count: int = await connection.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        return count
    finally:
        await connection.close()


async def test_a_unique_key_goes_to_one_of_many_rivals(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    url = f"{postgres.url}?schema={new_schema()}"
    stores = [PostgresStore(url) for _ in range(4)]
    for store in stores:
        await store.open()
    for turn in range(10):
        keys = [f"key{turn}-{number}" for number in range(5)]

        async def add(store: PostgresStore, name: str, order: list[str]) -> set[str]:
            jobs = [NewJob(id=f"{name}-{key}", kind="work", args="{}", unique_key=key) for key in order]
            answers = await store.enqueue(jobs)
            assert all(answer.id.endswith(key) for answer, key in zip(answers, order, strict=True))
            return {key for answer, key in zip(answers, order, strict=True) if answer.inserted}

        won = await asyncio.gather(*(add(store, f"s{number}", keys) for number, store in enumerate(stores)))
        assert sorted(key for some in won for key in some) == keys
    for store in stores:
        await store.close()


@pytest.mark.timeout(90)
async def test_a_restart_of_the_server_is_survived(new_schema: Callable[[], str]) -> None:
    with running("wheel", durable=True) as server:
        store = PostgresStore(f"{server.url}?schema={new_schema()}", Env())
        await store.open()
        async with store.wakeups(frozenset({Wakeup.WORK})) as hints:
            await store.enqueue([NewJob(id="a", kind="work", args="{}")])
            assert await anext(hints) == {Wakeup.WORK}
            server.stop(signal.SIGKILL)
            await _refused(store)
            server.start()
            await _insist(store)
            other = PostgresStore(store.options)
            await other.open()
            await other.enqueue([NewJob(id="c", kind="work", args="{}")])
            assert await anext(hints) == {Wakeup.WORK}  # it listens again
            await other.close()
        assert {job.id for job in (await store.list(JobFilter())).jobs} >= {"b", "c"}
        await store.close()


async def _refused(store: PostgresStore) -> None:
    """The process that serves us outlives its killed parent by an answer or two."""
    with suppress(StoreUnavailable):
        while True:
            await store.enqueue([NewJob(id="b", kind="work", args="{}")])


async def _insist(store: PostgresStore) -> None:
    while True:
        try:
            await store.enqueue([NewJob(id="b", kind="work", args="{}")])
        except StoreUnavailable:
            await asyncio.sleep(0)
        else:
            return


async def test_a_cancelled_call_leaves_no_transaction_open(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    store = PostgresStore(f"{postgres.url}?schema={new_schema()}&pool_size=1")
    await store.open()
    seen = PostgresStore(store.options)
    await seen.open()
    for turn in range(60):
        batch = [NewJob(id=f"{turn}-{number}", kind="work", args="{}") for number in range(2)]
        call = asyncio.create_task(store.enqueue(batch))
        for _ in range(turn):
            await asyncio.sleep(0)
        await _rounds(turn % 6, seen)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        assert [answer.id for answer in await store.enqueue(batch)] == [job.id for job in batch]
        assert None not in await seen.get([job.id for job in batch])  # it is committed, not merely ours to see
    await store.close()
    await seen.close()


async def _rounds(count: int, store: PostgresStore) -> None:
    """Let some time pass: so many round trips to the server."""
    for _ in range(count):
        await store.get(["x"])


async def test_the_first_hint_after_a_silence_travels_with_its_job(
    postgres: Postgres, new_schema: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "_GATHER", 0.05)
    url = f"{postgres.url}?schema={new_schema()}"
    store, other = PostgresStore(url), PostgresStore(url)
    await store.open()
    await other.open()
    sent: list[list[Wakeup]] = []
    tell = Session._notify

    async def told(session: Session, kinds: Iterable[Wakeup], payload: str) -> None:
        if not payload.startswith("probe"):
            sent.append(list(kinds))
        await tell(session, kinds, payload)

    monkeypatch.setattr(Session, "_notify", told)
    async with other.wakeups(frozenset({Wakeup.WORK})) as hints:
        await store.enqueue([NewJob(id="a", kind="work", args="{}")])
        assert await anext(hints) == {Wakeup.WORK}
        assert sent == []
        await store.enqueue([NewJob(id="b", kind="work", args="{}")])
        assert sent == []  # it gathers behind the first
        await store.close()
        assert await anext(hints) == {Wakeup.WORK}
    assert sent == [[Wakeup.WORK]]
    await other.close()


async def test_a_job_that_is_there_already_is_no_news(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    url = f"{postgres.url}?schema={new_schema()}"
    store, other = PostgresStore(url), PostgresStore(url)
    await store.open()
    await other.open()
    job, later = NewJob(id="a", kind="work", args="{}"), NewJob(id="b", kind="work", args="{}", delay=HOUR)
    await store.enqueue([job])
    async with other.wakeups() as hints:
        await store.enqueue([job])
        await store.enqueue([later])
        assert await anext(hints) == {Wakeup.DUE}
    await store.close()
    await other.close()


async def test_hints_of_other_processes_can_be_turned_off(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    store = PostgresStore(f"{postgres.url}?schema={new_schema()}&listen=off")
    await store.open()
    assert not (await store.info()).listen
    async with store.wakeups() as hints:
        await store.enqueue([NewJob(id="a", kind="work", args="{}")])
        assert await anext(hints) == {Wakeup.WORK}
    await store.close()


async def test_a_pooler_that_swallows_notifications_is_noticed(
    postgres: Postgres,
    new_schema: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(listen, "_PROBE", 0.05)
    monkeypatch.setattr(listen.Ear, "_heard", lambda *_: None)
    store = PostgresStore(f"{postgres.url}?schema={new_schema()}")
    await store.open()
    async with store.wakeups() as hints:
        async with asyncio.timeout(5):
            while True:
                if not (await store.info()).listen:
                    break
        assert "by polling" in caplog.text
        await store.enqueue([NewJob(id="a", kind="work", args="{}")])
        assert await anext(hints) == {Wakeup.WORK}
    await store.close()


async def test_a_listener_hears_itself_and_says_nothing(
    postgres: Postgres, new_schema: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    store = PostgresStore(f"{postgres.url}?schema={new_schema()}")
    await store.open()
    async with store.wakeups():
        await store.put_queues([])
        session = store._session
        assert session is not None
        assert session.ear is not None
        async with asyncio.timeout(5):
            await session.ear._answered.wait()
        assert (await store.info()).listen
    assert caplog.text == ""
    await store.close()


async def test_without_cached_statements_everything_works(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    store = PostgresStore(f"{postgres.url}?schema={new_schema()}&statement_cache_size=0")
    await store.open()
    await store.enqueue([NewJob(id="a", kind="work", args="{}")])
    (job,) = await store.claim([Want("default", 5)], kinds=["work"], worker="w", lease=HOUR)
    assert await store.settle([Settlement(job.lease, Complete("1"))]) == [Accepted.ACCEPTED]
    await store.close()


def test_the_scheme_leads_here() -> None:
    with pytest.raises(ConfigError, match="pool_size=many"):
        App("postgres://localhost/jobs?pool_size=many")
    assert '"night".jobs' in with_schema("{schema}.jobs", "night")
