"""Promises of `enqueue`."""

from __future__ import annotations

import asyncio

import pytest

from tidewheel._model.duration import SECOND
from tidewheel._model.job import Job
from tidewheel._model.query import Action, Enqueued
from tidewheel._model.state import FINAL_STATES, LIVE_STATES, JobState
from tidewheel._store.base import MAX_BATCH
from tidewheel.testing.conformance.kit import HOUR, Kit, Suite, each_state


class TestEnqueue(Suite):
    async def test_a_new_job_is_answered_with_its_id(self, kit: Kit) -> None:
        job = kit.new()
        assert await kit.enqueue(job) == [Enqueued(job.id, inserted=True)]

    async def test_answers_come_in_the_order_of_the_questions(self, kit: Kit) -> None:
        held = await kit.put()
        first, last = kit.new(), kit.new()
        answers = await kit.enqueue(first, kit.new(id=held), last)
        assert [(answer.id, answer.inserted) for answer in answers] == [
            (first.id, True),
            (held, False),
            (last.id, True),
        ]

    async def test_no_jobs_are_no_trouble(self, kit: Kit) -> None:
        assert await kit.enqueue() == []

    async def test_every_field_is_kept(self, kit: Kit) -> None:
        job = kit.new(
            kind="report",
            args='{"args":["ünïcödé 漢字 \\u0000"],"kwargs":{"n":1}}',
            queue="slow lane",
            priority=7,
            run_at=kit.clock() + HOUR,
            lifo=True,
            max_attempts=4,
            max_crashes=2,
            unique_key="the only one",
            tags=("red", "x,y", 'quo"te'),
            meta='{"user":"ada"}',
            options='{"timeout":30}',
            keep_completed=0,
            keep_failed=5 * HOUR,
            on_dead="alert",
        )
        await kit.enqueue(job)
        assert await kit.row(job.id) == Job(
            id=job.id,
            kind="report",
            queue="slow lane",
            state=JobState.SCHEDULED,
            args=job.args,
            priority=7,
            run_at=kit.clock() + HOUR,
            lifo=True,
            attempt=0,
            max_attempts=4,
            epoch=0,
            crashes=0,
            max_crashes=2,
            enqueued_at=kit.clock(),
            unique_key="the only one",
            tags=("red", "x,y", 'quo"te'),
            meta='{"user":"ada"}',
            options='{"timeout":30}',
            keep_completed=0,
            keep_failed=5 * HOUR,
            on_dead="alert",
        )

    async def test_what_is_not_given_stays_at_its_default(self, kit: Kit) -> None:
        job = kit.new()
        await kit.enqueue(job)
        assert await kit.row(job.id) == Job(
            id=job.id,
            kind="work",
            queue="default",
            state=JobState.AVAILABLE,
            args=job.args,
            priority=100,
            run_at=kit.clock(),
            lifo=False,
            attempt=0,
            max_attempts=1,
            epoch=0,
            crashes=0,
            max_crashes=3,
            enqueued_at=kit.clock(),
        )

    async def test_a_large_payload_is_kept(self, kit: Kit) -> None:
        args = '{"args":["' + "x" * 250_000 + '"]}'
        assert (await kit.row(await kit.put(args=args))).args == args

    async def test_a_delayed_job_is_scheduled(self, kit: Kit) -> None:
        row = await kit.row(await kit.put(delay=SECOND))
        assert (row.state, row.run_at) == (JobState.SCHEDULED, kit.clock() + SECOND)

    async def test_a_job_for_later_is_scheduled(self, kit: Kit) -> None:
        row = await kit.row(await kit.put(run_at=kit.clock() + 1))
        assert (row.state, row.run_at) == (JobState.SCHEDULED, kit.clock() + 1)

    async def test_a_job_for_now_is_available(self, kit: Kit) -> None:
        row = await kit.row(await kit.put(run_at=kit.clock()))
        assert (row.state, row.run_at) == (JobState.AVAILABLE, kit.clock())

    async def test_a_job_for_the_past_is_available_and_keeps_its_time(self, kit: Kit) -> None:
        row = await kit.row(await kit.put(run_at=kit.clock() - HOUR))
        assert (row.state, row.run_at) == (JobState.AVAILABLE, kit.clock() - HOUR)

    async def test_run_at_wins_over_delay(self, kit: Kit) -> None:
        row = await kit.row(await kit.put(run_at=kit.clock(), delay=HOUR))
        assert (row.state, row.run_at) == (JobState.AVAILABLE, kit.clock())

    async def test_without_now_the_time_is_the_stores_own(self, kit: Kit) -> None:
        before = (await kit.store.info()).now
        job, delayed = kit.new(), kit.new(delay=HOUR)
        await kit.store.enqueue([job, delayed])
        after = (await kit.store.info()).now
        row, later = await kit.row(job.id), await kit.row(delayed.id)
        assert before <= row.enqueued_at <= after
        assert row.run_at == row.enqueued_at
        assert later.run_at == later.enqueued_at + HOUR
        assert later.state is JobState.SCHEDULED

    @each_state
    async def test_an_id_that_exists_is_answered_with_its_job(self, kit: Kit, state: JobState) -> None:
        row = await kit.at(state)
        (answer,) = await kit.enqueue(kit.new(id=row.id, kind="other", queue="other", args="[1]"))
        assert answer == Enqueued(row.id, inserted=False, state=state)
        assert await kit.row(row.id) == row
        assert await kit.listed() == [row.id]

    @pytest.mark.parametrize("state", sorted(LIVE_STATES))
    async def test_a_unique_key_is_answered_with_the_live_job_that_holds_it(self, kit: Kit, state: JobState) -> None:
        row = await kit.at(state, unique_key="k")
        (answer,) = await kit.enqueue(kit.new(unique_key="k", kind="other", queue="other"))
        assert answer == Enqueued(row.id, inserted=False, state=state)
        assert await kit.row(row.id) == row
        assert await kit.listed() == [row.id]

    @pytest.mark.parametrize("state", sorted(FINAL_STATES))
    async def test_a_final_job_holds_no_unique_key_but_shows_it(self, kit: Kit, state: JobState) -> None:
        row = await kit.at(state, unique_key="k")
        (answer,) = await kit.enqueue(kit.new(unique_key="k"))
        assert answer.inserted
        assert (await kit.row(row.id)).unique_key == "k"
        (again,) = await kit.enqueue(kit.new(unique_key="k"))
        assert (again.id, again.inserted) == (answer.id, False)

    async def test_a_deleted_job_holds_no_unique_key(self, kit: Kit) -> None:
        held = await kit.put(unique_key="k")
        await kit.alter(Action.DELETE, held)
        assert await kit.put(unique_key="k")

    async def test_the_id_wins_when_both_clash(self, kit: Kit) -> None:
        same_id = await kit.put()
        same_key = await kit.put(unique_key="k")
        (answer,) = await kit.enqueue(kit.new(id=same_id, unique_key="k"))
        assert (answer.id, answer.inserted) == (same_id, False)
        assert same_key != same_id

    async def test_jobs_of_one_call_see_one_another(self, kit: Kit) -> None:
        first = kit.new(unique_key="k", delay=HOUR)
        answers = await kit.enqueue(first, kit.new(id=first.id), kit.new(unique_key="k"), kit.new(unique_key="other"))
        assert [answer.inserted for answer in answers] == [True, False, False, True]
        assert answers[1:3] == [Enqueued(first.id, inserted=False, state=JobState.SCHEDULED)] * 2
        assert len(await kit.listed()) == 2

    async def test_a_refused_job_holds_nothing(self, kit: Kit) -> None:
        """A job that is not inserted for its id does not take its unique key either, nor the other way round."""
        held, taken = await kit.put(), await kit.put(unique_key="taken")
        refused = kit.new(unique_key="taken")
        answers = await kit.enqueue(
            kit.new(id=held, unique_key="free"), kit.new(unique_key="free"), refused, kit.new(id=refused.id)
        )
        assert [answer.inserted for answer in answers] == [False, True, False, True]
        assert answers[2].id == taken

    async def test_a_conflict_concerns_its_own_job_only(self, kit: Kit) -> None:
        await kit.put(unique_key="k")
        jobs = [kit.new(), kit.new(unique_key="k"), kit.new()]
        assert [answer.inserted for answer in await kit.enqueue(*jobs)] == [True, False, True]
        assert await kit.exists(jobs[0].id)
        assert not await kit.exists(jobs[1].id)
        assert await kit.exists(jobs[2].id)

    async def test_a_repeat_after_a_lost_reply_inserts_nothing(self, kit: Kit) -> None:
        jobs = [kit.new(), kit.new(unique_key="k"), kit.new(delay=HOUR)]
        await kit.enqueue(*jobs)
        before = await kit.everything()
        answers = await kit.enqueue(*jobs)
        assert [(answer.id, answer.inserted) for answer in answers] == [(job.id, False) for job in jobs]
        assert await kit.everything() == before

    async def test_jobs_without_a_unique_key_do_not_clash(self, kit: Kit) -> None:
        answers = await kit.enqueue(kit.new(), kit.new(), kit.new(unique_key=""))
        assert all(answer.inserted for answer in answers)
        assert not (await kit.enqueue(kit.new(unique_key="")))[0].inserted

    async def test_of_callers_at_once_one_wins_the_unique_key(self, kit: Kit) -> None:
        answers = await asyncio.gather(*(kit.enqueue(kit.new(unique_key="k")) for _ in range(8)))
        assert sum(answer.inserted for (answer,) in answers) == 1
        assert len({answer.id for (answer,) in answers}) == 1

    async def test_a_call_takes_a_full_batch(self, kit: Kit) -> None:
        jobs = [kit.new(delay=HOUR) for _ in range(MAX_BATCH)]
        answers = await kit.enqueue(*jobs)
        assert [answer.id for answer in answers] == [job.id for job in jobs]
        assert all(answer.inserted for answer in answers)

    async def test_a_call_refuses_more_than_a_full_batch_and_does_nothing(self, kit: Kit) -> None:
        jobs = [kit.new()] * (MAX_BATCH + 1)
        with pytest.raises(ValueError, match="10,000"):
            await kit.enqueue(*jobs)
        assert await kit.listed() == []
