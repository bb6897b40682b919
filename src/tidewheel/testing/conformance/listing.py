"""Promises of `get` and `list`."""

from __future__ import annotations

import pytest

from tidewheel._model.duration import SECOND
from tidewheel._model.job import ErrorInfo
from tidewheel._model.outcome import Discarded
from tidewheel._model.query import Action, JobFilter
from tidewheel._model.state import JobState
from tidewheel._store.base import MAX_BATCH
from tidewheel.testing.conformance.kit import Kit, Suite


class TestList(Suite):
    async def test_get_answers_in_the_order_of_the_questions(self, kit: Kit) -> None:
        one, two = await kit.put(), await kit.put()
        jobs = await kit.store.get([two, "nobody", one, two])
        assert [job and job.id for job in jobs] == [two, None, one, two]
        assert await kit.store.get([]) == []

    async def test_get_takes_a_full_batch_and_no_more(self, kit: Kit) -> None:
        job_id = await kit.put()
        answers = await kit.store.get([job_id] * MAX_BATCH)
        assert len(answers) == MAX_BATCH
        assert all(job is not None and job.id == job_id for job in answers)
        with pytest.raises(ValueError, match="10,000"):
            await kit.store.get([job_id] * (MAX_BATCH + 1))

    async def test_the_newest_enqueued_comes_first(self, kit: Kit) -> None:
        ids = [await kit.put(id=name, priority=priority) for name, priority in (("c", 3), ("a", 1), ("b", 2))]
        assert await kit.listed() == ids[::-1]

    async def test_newest_is_what_the_store_took_last_whatever_the_clock_said(self, kit: Kit) -> None:
        first = await kit.put()
        kit.clock.set(kit.clock() - 10 * SECOND)
        second = await kit.put()
        assert await kit.listed() == [second, first]

    async def test_the_order_stays_when_jobs_change(self, kit: Kit) -> None:
        first = await kit.at(JobState.DISCARDED)
        second = await kit.put(delay=5)
        kit.clock.advance("1m")
        await kit.alter(Action.RETRY, first.id)
        assert await kit.listed() == [second, first.id]

    async def test_a_listed_job_is_the_whole_row(self, kit: Kit) -> None:
        row = await kit.at(JobState.DISCARDED, tags=("a",), meta="{}", unique_key="k", on_dead="alert")
        page = await kit.store.list(JobFilter(kinds=("work",)))
        assert page.jobs == (row,)

    async def test_pages_bring_every_job_once(self, kit: Kit) -> None:
        ids = [await kit.put() for _ in range(7)]
        seen: list[str] = []
        sizes = []
        cursor = None
        while True:
            page = await kit.store.list(JobFilter(), limit=3, cursor=cursor)
            seen += [job.id for job in page.jobs]
            sizes.append(len(page.jobs))
            cursor = page.next
            if cursor is None:
                break
        assert seen == ids[::-1]
        assert sizes == [3, 3, 1]

    async def test_the_last_page_says_so_when_it_is_full_too(self, kit: Kit) -> None:
        for _ in range(4):
            await kit.put()
        page = await kit.store.list(JobFilter(), limit=2)
        assert page.next is not None
        assert (await kit.store.list(JobFilter(), limit=2, cursor=page.next)).next is None
        assert (await kit.store.list(JobFilter(), limit=4)).next is None

    async def test_only_jobs_that_match_make_a_next_page(self, kit: Kit) -> None:
        await kit.put(queue="other")
        wanted = [await kit.put() for _ in range(2)]
        page = await kit.store.list(JobFilter(queues=("default",)), limit=2)
        assert [job.id for job in page.jobs] == wanted[::-1]
        assert page.next is None

    async def test_the_cursor_stays_valid_while_jobs_come_and_go(self, kit: Kit) -> None:
        ids = [await kit.put() for _ in range(6)]
        page = await kit.store.list(JobFilter(), limit=2)
        await kit.alter(Action.DELETE, ids[5], ids[4], ids[2])
        await kit.put()
        rest = await kit.store.list(JobFilter(), limit=2, cursor=page.next)
        assert [job.id for job in rest.jobs] == [ids[3], ids[1]]
        assert rest.next is not None
        last = await kit.store.list(JobFilter(), limit=2, cursor=rest.next)
        assert [job.id for job in last.jobs] == [ids[0]]

    async def test_the_page_has_fifty_jobs_unless_told(self, kit: Kit) -> None:
        await kit.enqueue(*(kit.new() for _ in range(51)))
        assert len((await kit.store.list(JobFilter())).jobs) == 50

    @pytest.mark.parametrize("limit", [-1, 0, 1001])
    async def test_a_limit_out_of_range_is_refused(self, kit: Kit, limit: int) -> None:
        with pytest.raises(ValueError, match=str(limit)):
            await kit.store.list(JobFilter(), limit=limit)

    async def test_the_ends_of_the_range_are_in_it(self, kit: Kit) -> None:
        await kit.put()
        assert len((await kit.store.list(JobFilter(), limit=1)).jobs) == 1
        assert len((await kit.store.list(JobFilter(), limit=1000)).jobs) == 1

    @pytest.mark.parametrize("cursor", ["", "nonsense", "-1", "1' OR 1=1", "ünïcödé", "0x10", "\x00"])
    async def test_a_cursor_that_the_store_did_not_make_is_refused(self, kit: Kit, cursor: str) -> None:
        await kit.put()
        with pytest.raises(ValueError, match="cursor"):
            await kit.store.list(JobFilter(), cursor=cursor)

    async def test_a_cursor_that_was_changed_is_refused(self, kit: Kit) -> None:
        await kit.enqueue(kit.new(), kit.new())
        cursor = (await kit.store.list(JobFilter(), limit=1)).next
        assert cursor is not None
        for changed in (f"{cursor}x", f"x{cursor}"):
            with pytest.raises(ValueError, match="cursor"):
                await kit.store.list(JobFilter(), limit=1, cursor=changed)

    async def test_by_state(self, kit: Kit) -> None:
        rows = {state: await kit.at(state, queue=state.value) for state in JobState}
        for state in JobState:
            assert await kit.listed(states=(state,)) == [rows[state].id]
        assert await kit.listed(states=(JobState.SCHEDULED, JobState.RUNNING)) == [
            rows[JobState.RUNNING].id,
            rows[JobState.SCHEDULED].id,
        ]

    async def test_by_queue_and_by_kind(self, kit: Kit) -> None:
        ids = {(queue, kind): await kit.put(queue=queue, kind=kind) for queue in "ab" for kind in "xyz"}
        assert await kit.listed(queues=("a",)) == [ids["a", "z"], ids["a", "y"], ids["a", "x"]]
        assert await kit.listed(kinds=("x", "z"), queues=("b",)) == [ids["b", "z"], ids["b", "x"]]
        assert await kit.listed(queues=("nowhere",)) == []

    async def test_by_tag(self, kit: Kit) -> None:
        tagged = await kit.put(tags=("red", "x_y", 'q"t'))
        await kit.put(tags=("redder", "xzy"))
        await kit.put()
        for tag in ("red", "x_y", 'q"t'):
            assert await kit.listed(tag=tag) == [tagged]
        assert await kit.listed(tag="re") == []
        assert await kit.listed(tag="Red") == []

    async def test_by_text_in_id_kind_arguments_or_error_message(self, kit: Kit) -> None:
        by_id = await kit.put(id="has-needle-in-it")
        by_kind = await kit.put(kind="needlework")
        by_args = await kit.put(args='{"args":["a needle"]}')
        failed = (await kit.run(queue="q")).lease
        await kit.settle(failed, Discarded(ErrorInfo("E", "needle broke", "…")))
        await kit.put(args='["Needle"]', meta='"needle"', tags=("needle",), queue="needle")
        assert await kit.listed(text="needle") == [failed.job_id, by_args, by_kind, by_id]

    @pytest.mark.parametrize("text", ["100%", "a_b", "a\\b", "a'b", "ünï", "*", "[x]"])
    async def test_text_means_just_what_it_says(self, kit: Kit, text: str) -> None:
        literal = await kit.put(kind=f"-{text}-")
        await kit.put(kind="100 axb abÜNÏ x")
        assert await kit.listed(text=text) == [literal]

    async def test_by_time(self, kit: Kit) -> None:
        ids, times = [], []
        for _ in range(3):
            times.append(kit.clock())
            ids.append((await kit.at(JobState.COMPLETED)).id)
            kit.clock.advance("1s")
        live = await kit.put()
        assert await kit.listed(enqueued_after=times[1]) == [live, ids[2], ids[1]]
        assert await kit.listed(enqueued_before=times[1]) == [ids[0]]
        assert await kit.listed(enqueued_after=times[1], enqueued_before=times[2]) == [ids[1]]
        assert await kit.listed(finished_before=times[2]) == [ids[1], ids[0]]
        assert await kit.listed(finished_before=kit.clock() + SECOND) == ids[::-1]

    async def test_fields_are_joined_by_and(self, kit: Kit) -> None:
        wanted = await kit.put(queue="a", kind="x", tags=("t",))
        await kit.put(queue="a", kind="x")
        await kit.put(queue="a", kind="y", tags=("t",))
        await kit.put(queue="b", kind="x", tags=("t",))
        where = {"queues": ("a",), "kinds": ("x",), "tag": "t", "states": (JobState.AVAILABLE,), "text": wanted}
        assert await kit.listed(**where) == [wanted]
