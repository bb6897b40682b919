"""Queue weights, strict order and `per_worker` in the claimer: what it asks a store for, and what comes of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine._kit import PATIENCE, until

from tidewheel import App
from tidewheel._engine.claimer import Claimer
from tidewheel._engine.isolation import Isolation
from tidewheel._engine.kinds import Kinds
from tidewheel._engine.patience import Patience
from tidewheel._engine.settler import Settler
from tidewheel._engine.shares import Shares
from tidewheel._model.duration import SECOND
from tidewheel._model.job import Claimed
from tidewheel._model.worker import Want
from tidewheel._store.base import Store

ENDLESS = 1 << 40


class Lines:
    """A store that has lines of jobs in memory: of a queue a list of kinds, or one kind for ever."""

    def __init__(self, **lines: list[str] | str) -> None:
        self.lines = lines
        self.asked: list[tuple[tuple[Want, ...], tuple[str, ...]]] = []

    async def claim(self, wants: Sequence[Want], *, kinds: Sequence[str], **_: Any) -> list[Claimed]:
        self.asked.append((tuple(wants), tuple(kinds)))
        return [job for want in wants for job in self._take(want, kinds)]

    def _take(self, want: Want, kinds: Sequence[str]) -> list[Claimed]:
        line = self.lines.get(want.queue, [])
        if isinstance(line, str):
            return [self._job(want.queue, line)] * (want.slots if line in kinds else 0)
        places = [place for place, kind in enumerate(line) if kind in kinds][: want.slots]
        taken = [self._job(want.queue, line[place]) for place in places]
        self.lines[want.queue] = [kind for place, kind in enumerate(line) if place not in set(places)]
        return taken

    def _job(self, queue: str, kind: str) -> Claimed:
        return Claimed("id", 1, kind, queue, "{}", 1, 3, 0, 0, 1)


class Scene:
    """A claimer at such a store. Its jobs run until the test ends them."""

    def __init__(
        self,
        store: Lines,
        queues: Sequence[str] = ("q",),
        *,
        weights: Sequence[int] = (),
        strict: bool = False,
        kinds: Sequence[str] = ("k",),
        per_worker: dict[str, int] | None = None,
        slots: int = 10,
        seed: int = 0,
    ) -> None:
        app = App("memory://")
        self.store = store
        self.running: list[Claimed] = []
        self.started = Counter[str]()
        self.limits = per_worker or {}
        self.claimer = Claimer(
            cast("Store", store),  # all of it that is used
            Patience(random.Random(0), app.telemetry),
            cast("Settler", None),
            Isolation(),
            random.Random(seed),
            shares=Shares(random.Random(seed), queues, weights, strict=strict),
            kinds=Kinds(kinds, self.limits),
            slots=slots,
            worker="w",
            lease=30 * SECOND,
            poll=SECOND,
            start=self._start,
        )

    def _start(self, job: Claimed) -> None:
        self.running.append(job)
        self.started[job.queue] += 1
        now = self.kinds()
        assert all(now[kind] <= most for kind, most in self.limits.items())
        assert self.claimer.free >= 0

    def kinds(self) -> Counter[str]:
        return Counter(job.kind for job in self.running)

    def end(self, place: int = 0) -> None:
        self.claimer.freed(self.running.pop(place).kind)

    async def fill(self) -> None:
        while self.claimer.free and await self.claimer.run_once():
            pass


# --- weights ---


@pytest.mark.parametrize("together", [1, 3, 10])
async def test_with_work_everywhere_queues_get_what_they_weigh(together: int) -> None:
    scene = Scene(Lines(high="k", mid="k", low="k"), ("high", "mid", "low"), weights=(6, 3, 1))
    source = random.Random(1)
    for _ in range(6_000 // together):
        await scene.fill()
        for _ in range(together):
            scene.end(source.randrange(len(scene.running)))
    total = scene.started.total()
    for queue, part in (("high", 0.6), ("mid", 0.3), ("low", 0.1)):
        assert scene.started[queue] / total == pytest.approx(part, abs=0.005)


@pytest.mark.parametrize(("weights", "part"), [((6, 3, 1), 0.75), ((5, 1, 1), 0.5), ((55, 34, 11), 34 / 45)])
async def test_what_one_has_no_work_for_the_others_get_by_their_weights(weights: tuple[int, ...], part: float) -> None:
    scene = Scene(Lines(high=[], mid="k", low="k"), ("high", "mid", "low"), weights=weights)
    for _ in range(5_000):
        await scene.fill()
        assert scene.claimer.free == 0
        scene.end()
    assert scene.started["mid"] / scene.started.total() == pytest.approx(part, abs=0.02)


async def test_a_queue_that_was_empty_for_long_has_saved_up_nothing() -> None:
    scene = Scene(Lines(high=[], low="k"), ("high", "low"), weights=(5, 1))
    for _ in range(1_000):
        await scene.fill()
        scene.end()
    scene.started.clear()
    scene.store.lines["high"] = "k"
    for _ in range(2_000):
        await scene.fill()
        scene.end()
    assert scene.started["low"] / 2_000 == pytest.approx(1 / 6, abs=0.005)


async def test_the_light_queue_waits_for_no_more_than_its_turn() -> None:
    scene = Scene(Lines(high="k", low="k"), ("high", "low"), weights=(20, 1), slots=1)
    longest = waited = 0
    for _ in range(5_000):
        before = scene.started["low"]
        await scene.fill()
        waited = 0 if scene.started["low"] > before else waited + 1
        longest = max(longest, waited)
        scene.end()
    assert longest < 42  # its turn is every 21st start


@pytest.mark.parametrize("weights", [(99, 1), (3, 1), (1, 1)])
async def test_an_empty_neighbour_costs_one_more_claim_not_many(weights: tuple[int, ...]) -> None:
    scene = Scene(Lines(high=[], low=["k"] * 100), ("high", "low"), weights=weights, slots=100)
    await scene.fill()
    assert scene.claimer.free == 0
    assert len(scene.store.asked) == 4  # two halves, for each of them the queue that has work is asked again


async def test_stop_between_the_claims_of_a_round_is_heard() -> None:
    for strict in (True, False):
        scene = Scene(Lines(), "abcd", strict=strict, slots=1)
        ask = scene.store.claim

        async def claim(*args: Any, **kwargs: Any) -> list[Claimed]:
            scene.claimer.stop()  # noqa: B023 -- called before the next one is made
            return await ask(*args, **kwargs)  # noqa: B023 -- the same

        scene.store.claim = claim  # type: ignore[method-assign]
        assert await scene.claimer.run_once() == 0
        assert len(scene.store.asked) == 1


async def test_one_queue_is_asked_as_ever() -> None:
    scene = Scene(Lines(q=["k"] * 7))
    await scene.fill()
    assert scene.store.asked == [((Want("q", 5),), ("k",)), ((Want("q", 5),), ("k",)), ((Want("q", 3),), ("k",))]


# --- strict order ---


async def test_strict_a_later_queue_gets_what_the_earlier_ones_leave() -> None:
    scene = Scene(Lines(a=["k"] * 3, b="k"), ("a", "b"), strict=True)
    assert await scene.claimer.run_once() == 5
    assert [wants for wants, _ in scene.store.asked] == [(Want("a", 5),), (Want("b", 2),)]


async def test_strict_nothing_of_a_later_one_while_an_earlier_one_has_work() -> None:
    scene = Scene(Lines(a="k", b="k"), ("a", "b"), strict=True, slots=3)
    for _ in range(100):
        await scene.fill()
        scene.end()
    assert set(scene.started) == {"a"}


async def test_strict_no_slot_is_idle() -> None:
    scene = Scene(Lines(a=[], b=["k"], c="k"), ("a", "b", "c"), strict=True)
    await scene.fill()
    assert (scene.claimer.free, scene.started["b"], scene.started["c"]) == (0, 1, 9)


async def test_strict_a_limited_kind_of_an_earlier_queue_goes_before_a_later_queue() -> None:
    lines = Lines(a=["slow"] * 9, b="k")
    scene = Scene(lines, ("a", "b"), strict=True, kinds=("k", "slow"), per_worker={"slow": 3}, slots=20)
    await scene.claimer.run_once()
    assert scene.kinds() == {"slow": 3, "k": 7}


# --- per_worker ---


async def test_no_more_of_a_kind_than_it_may_and_the_others_go_on() -> None:
    scene = Scene(Lines(q=["slow"] * 50 + ["k"] * 50), kinds=("k", "slow"), per_worker={"slow": 4})
    await scene.fill()
    assert scene.kinds() == {"slow": 4, "k": 6}


async def test_a_kind_without_room_is_not_asked_for_and_costs_no_claim() -> None:
    scene = Scene(Lines(q=["slow"] * 9 + ["k"] * 90), kinds=("k", "slow"), per_worker={"slow": 2})
    await scene.fill()
    scene.store.asked.clear()
    for _ in range(3):
        scene.end(scene.running.index(next(job for job in scene.running if job.kind == "k")))
    await scene.fill()
    assert scene.store.asked == [((Want("q", 3),), ("k",))]


async def test_few_slots_are_one_claim_for_all_kinds_in_the_order_of_their_line() -> None:
    scene = Scene(Lines(q=["k"] * 10), kinds=("k", "slow"), per_worker={"slow": 4})
    await scene.fill()
    scene.store.lines["q"] = ["slow", "k", "slow", "k"]
    scene.store.asked.clear()
    for _ in range(3):
        scene.end()
    await scene.fill()
    assert scene.store.asked == [((Want("q", 3),), ("k", "slow"))]
    assert [job.kind for job in scene.running[-3:]] == ["slow", "k", "slow"]


async def test_many_slots_are_two_claims_while_there_is_other_work() -> None:
    scene = Scene(Lines(q=["k"] * 500), kinds=("k", "slow"), per_worker={"slow": 4}, slots=100)
    await scene.claimer.run_once()
    assert scene.store.asked == [((Want("q", 4),), ("k", "slow")), ((Want("q", 46),), ("k",))]


async def test_a_kind_with_little_room_does_not_keep_back_one_with_more() -> None:
    line = ["wide"] * 60 + ["k"] * 500
    scene = Scene(Lines(q=line), kinds=("k", "one", "wide"), per_worker={"one": 1, "wide": 40}, slots=100)
    await scene.claimer.run_once()
    assert scene.kinds() == {"wide": 40, "k": 10}


async def test_with_nothing_else_to_do_limited_kinds_are_filled_at_once() -> None:
    kinds = [f"k{number}" for number in range(8)]
    scene = Scene(Lines(q=kinds * 20), kinds=kinds, per_worker=dict.fromkeys(kinds, 4), slots=100)
    await scene.fill()
    assert scene.kinds() == dict.fromkeys(kinds, 4)
    assert len(scene.store.asked) <= 32


async def test_an_idle_worker_with_limited_kinds_asks_one_queue_once() -> None:
    kinds = [f"k{number}" for number in range(8)]
    scene = Scene(Lines(q=[]), kinds=("k", *kinds), per_worker=dict.fromkeys(kinds, 2), slots=100)
    assert await scene.claimer.run_once() == 0
    assert len(scene.store.asked) == 1
    assert scene.claimer.idle


@pytest.mark.parametrize("seed", range(5))
async def test_a_limited_kind_is_found_in_any_queue_before_the_claimer_rests(seed: int) -> None:
    queues = [f"q{number}" for number in range(20)]
    lines = Lines(q13=["slow"])
    scene = Scene(lines, queues, kinds=("k", "slow", "other"), per_worker={"slow": 1, "other": 1}, slots=100, seed=seed)
    assert await scene.claimer.run_once() == 1


async def test_a_kind_that_has_all_it_may_leaves_nothing_to_ask() -> None:
    scene = Scene(Lines(q="slow"), kinds=("slow",), per_worker={"slow": 3})
    await scene.fill()
    asked = len(scene.store.asked)
    assert await scene.claimer.run_once() == 0
    assert (len(scene.store.asked), scene.claimer.free) == (asked, 7)


async def test_the_end_of_an_attempt_wakes_the_claim_for_its_kind() -> None:
    scene = Scene(Lines(q="slow"), kinds=("k", "slow"), per_worker={"slow": 3})
    scene.claimer._settler = cast("Settler", type("Quiet", (), {"full": False})())
    scene.claimer._poll = 3_600
    task = asyncio.create_task(scene.claimer.run())
    for ended in range(5):
        await until(lambda: scene.started["q"] == 3 + ended)  # noqa: B023 -- called at once
        scene.end()
    scene.claimer.stop()
    await asyncio.wait_for(task, PATIENCE)


@settings(deadline=None, max_examples=60)
@given(
    limits=st.lists(st.integers(1, 12), min_size=0, max_size=4),
    queues=st.integers(1, 4),
    jobs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=60),
    slots=st.integers(1, 20),
    order=st.sampled_from(("even", "weighted", "strict")),
)
async def test_slots_are_idle_only_when_nothing_may_start(
    limits: list[int], queues: int, jobs: list[tuple[int, int]], slots: int, order: str
) -> None:
    """Whatever waits where, and whatever ends when: after a round that found nothing, nothing was there to start."""
    per_worker = {f"k{number}": most for number, most in enumerate(limits)}
    kinds = [*per_worker, "plain"]
    names = [f"q{number}" for number in range(queues)]
    lines = Lines(**{name: [] for name in names})
    for kind, queue in jobs:
        line = lines.lines[f"q{queue % queues}"]
        assert isinstance(line, list)
        line.append(kinds[kind % len(kinds)])
    scene = Scene(
        lines,
        names,
        weights=range(1, queues + 1) if order == "weighted" else (),
        strict=order == "strict",
        kinds=kinds,
        per_worker=per_worker,
        slots=slots,
        seed=len(jobs),
    )
    source = random.Random(len(jobs))
    while True:
        await scene.fill()
        running = scene.kinds()
        waiting = {kind for line in lines.lines.values() for kind in line}
        startable = {kind for kind in waiting if running[kind] < per_worker.get(kind, ENDLESS)}
        assert scene.claimer.free == 0 or not startable
        if not scene.running:
            break
        for _ in range(source.randint(1, len(scene.running))):
            scene.end(source.randrange(len(scene.running)))
    assert scene.started.total() == len(jobs)
