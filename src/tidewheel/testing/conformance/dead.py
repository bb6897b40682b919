"""Promises about dead letters: the `on_dead` job comes with the discard, once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidewheel._model.job import Job
from tidewheel._model.outcome import Discarded, Settlement
from tidewheel._model.state import JobState
from tidewheel.testing.conformance.kit import BOOM, OUTCOMES, Kit, Suite


class TestDeadLetters(Suite):
    async def only_alert(self, kit: Kit) -> Job:
        (alert,) = await kit.listed(kinds=("alert",))
        return await kit.row(alert)

    async def test_a_discard_enqueues_the_on_dead_job(self, kit: Kit) -> None:
        lease = (await kit.run(queue="q", priority=3, lifo=True, unique_key="k", on_dead="alert", tags=("t",))).lease
        kit.clock.advance("5s")
        await kit.settle(lease, Discarded(BOOM))
        alert = await self.only_alert(kit)
        assert json.loads(alert.args) == {"job_id": lease.job_id}
        assert alert == Job(
            id=alert.id,
            kind="alert",
            queue="q",
            state=JobState.AVAILABLE,
            args=alert.args,
            priority=100,
            run_at=kit.clock(),
            lifo=False,
            attempt=0,
            max_attempts=5,
            epoch=0,
            crashes=0,
            max_crashes=3,
            enqueued_at=kit.clock(),
        )

    async def test_the_on_dead_job_can_be_claimed(self, kit: Kit) -> None:
        lease = (await kit.run(on_dead="alert")).lease
        await kit.settle(lease, Discarded(BOOM))
        (claimed,) = await kit.claim(kind="alert")
        assert json.loads(claimed.args) == {"job_id": lease.job_id}

    async def test_the_chain_ends_there(self, kit: Kit) -> None:
        lease = (await kit.run(on_dead="alert")).lease
        await kit.settle(lease, Discarded(BOOM))
        (claimed,) = await kit.claim(kind="alert")
        await kit.settle(claimed.lease, Discarded(BOOM))
        assert len(await kit.listed()) == 2

    async def test_without_on_dead_nothing_is_enqueued(self, kit: Kit) -> None:
        row = await kit.at(JobState.DISCARDED)
        assert await kit.listed() == [row.id]

    @pytest.mark.parametrize("name", sorted(set(OUTCOMES) - {"discard"}))
    async def test_other_outcomes_enqueue_nothing(self, kit: Kit, name: str) -> None:
        lease = (await kit.run(on_dead="alert")).lease
        await kit.settle(lease, OUTCOMES[name])
        assert await kit.listed() == [lease.job_id]

    async def test_each_dead_letter_of_a_call_has_its_own(self, kit: Kit) -> None:
        leases = [(await kit.run(queue=f"q{number}", on_dead="alert")).lease for number in range(3)]
        await kit.store.settle([Settlement(lease, Discarded(BOOM)) for lease in leases], now=kit.clock())
        alerts = [await kit.row(job_id) for job_id in reversed(await kit.listed(kinds=("alert",)))]
        assert [json.loads(alert.args)["job_id"] for alert in alerts] == [lease.job_id for lease in leases]
        assert [alert.queue for alert in alerts] == ["q0", "q1", "q2"]

    @pytest.mark.parametrize("limits", [{"max_attempts": 1}, {"max_attempts": 5, "max_crashes": 1}])
    async def test_a_rescue_that_discards_enqueues_it_too(self, kit: Kit, limits: dict[str, Any]) -> None:
        lease = (await kit.run(queue="q", on_dead="alert", **limits)).lease
        kit.clock.advance("1m")
        await kit.sweep()
        alert = await self.only_alert(kit)
        assert json.loads(alert.args) == {"job_id": lease.job_id}
        assert (alert.queue, alert.run_at, alert.state) == ("q", kit.clock(), JobState.AVAILABLE)
        await kit.sweep()
        assert len(await kit.listed(kinds=("alert",))) == 1
