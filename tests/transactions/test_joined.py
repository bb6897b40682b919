"""Enqueue in the caller's own transaction: by every driver, the commit makes the jobs and the rollback makes none."""

from __future__ import annotations

import pytest
from tests.transactions._doors import Door

from tidewheel import App, JobState, Limit, StoreError, SyncTask


def mail(app: App) -> SyncTask[[str], str]:
    @app.task
    def send(to: str) -> str:
        return to

    return send


async def test_the_commit_makes_the_jobs_in_their_order(door: Door) -> None:
    send = mail(door.app)
    await door.run("INSERT INTO orders VALUES ('one')")
    handles = await door.enqueue([send.job("a"), send.options(delay="1h").job("b"), send.job("c")])
    assert await door.jobs() == []
    await door.commit()

    assert await door.jobs() == [handle.id for handle in handles]
    assert [handle.created for handle in handles] == [True, True, True]
    assert [await handle.state() for handle in handles] == [
        JobState.AVAILABLE,
        JobState.SCHEDULED,
        JobState.AVAILABLE,
    ]
    assert (await handles[0].info()).payload == {"to": "a"}


async def test_jobs_carry_their_limits(door: Door) -> None:
    @door.app.task(concurrency=Limit(2, key="args.to", name="mailbox"))
    def send(to: str) -> str:
        return to

    await door.run("INSERT INTO orders VALUES ('one')")
    (handle,) = await door.enqueue([send.job("ada")])
    await door.commit()

    assert [one.key for one in (await handle.info()).passes] == ["mailbox:ada"]


async def test_the_rollback_makes_none(door: Door) -> None:
    send = mail(door.app)
    await door.run("INSERT INTO orders VALUES ('one')")
    await door.enqueue([send.job("a"), send.job("b")])
    await door.rollback()

    assert await door.jobs() == []
    await door.enqueue([send.job("c")])
    await door.commit()
    assert len(await door.jobs()) == 1


async def test_duplicates_are_answered_as_ever(door: Door) -> None:
    send = mail(door.app)
    (old,) = await door.app.enqueue_many([send.options(unique="u").job("a")])
    (own,) = await door.app.enqueue_many([send.options(id="own").job("a")])

    answers = await door.enqueue(
        [
            send.options(unique="u").job("b"),
            send.job("new"),
            send.options(id="own", unique="u").job("c"),
            send.options(unique="v").job("d"),
            send.options(unique="v").job("e"),
        ]
    )
    await door.commit()

    assert [answer.created for answer in answers] == [False, True, False, True, False]
    assert (answers[0].id, answers[2].id, answers[4].id) == (old.id, own.id, answers[3].id)
    assert await door.jobs() == [old.id, own.id, answers[1].id, answers[3].id]


async def test_an_id_alone_is_answered_too(door: Door) -> None:
    send = mail(door.app)
    (old,) = await door.app.enqueue_many([send.options(id="own").job("a")])
    jobs = [send.options(id="own").job("b"), send.options(id="own", tags=('"a\\b"', "ä")).job("c")]
    answers = await door.enqueue(jobs)
    await door.commit()
    assert [(answer.id, answer.created) for answer in answers] == [("own", False), ("own", False)]
    assert (await old.info()).payload == {"to": "a"}


async def test_many_jobs_go_in_batches(door: Door) -> None:
    send = mail(door.app)
    jobs = [send.job(str(number)) for number in range(40)]
    if door.is_async:
        handles = await door.app.enqueue_many(jobs, batch=7, connection=door.connection)
    else:
        handles = door.app.enqueue_in(door.connection, jobs, batch=7)
    await door.commit()

    assert await door.jobs() == [handle.id for handle in handles] == [job.new.id for job in jobs]


async def test_options_take_the_connection(door: Door) -> None:
    send = mail(door.app)
    handle = await send.options(connection=door.connection, priority=3).enqueue("a")
    assert await door.jobs() == []
    await door.commit()

    assert (await handle.info()).priority == 3


async def test_a_failed_call_leaves_the_transaction_usable_and_nothing_half_written(door: Door) -> None:
    send = mail(door.app)
    await door.run(forbidding(door.app))
    await door.commit()
    await door.run("INSERT INTO orders VALUES ('one')")
    before = await door.enqueue([send.job("a")])
    with pytest.raises(StoreError, match="forbidden"):
        await door.enqueue([send.job("b"), send.options(queue="forbidden").job("c"), send.job("d")])
    after = await door.enqueue([send.job("e")])
    await door.commit()

    assert await door.jobs() == [before[0].id, after[0].id]


def forbidding(app: App) -> str:
    """A statement after which the database refuses jobs of the queue `forbidden`."""
    if app.url.startswith("sqlite"):
        return (
            "CREATE TRIGGER no BEFORE INSERT ON tidewheel_jobs WHEN NEW.queue = 'forbidden' "
            "BEGIN SELECT RAISE(ABORT, 'this queue is forbidden'); END"
        )
    schema = app.url.partition("schema=")[2]
    return f"ALTER TABLE {schema}.jobs ADD CONSTRAINT forbidden CHECK (queue <> 'forbidden')"


@pytest.mark.parametrize("times", [12])
async def test_one_connection_serves_many_transactions(door: Door, times: int) -> None:
    send = mail(door.app)
    for number in range(times):
        await door.run("INSERT INTO orders VALUES ('one')")
        await door.enqueue([send.job("a")])
        await (door.rollback() if number % 2 else door.commit())
    assert len(await door.jobs()) == times // 2
