"""The statement that claims where gates are plainly open does what the model does, or leaves it to the rounds: at random."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any, Final, Never

import pytest
import pytest_asyncio
from tests.conformance._postgres_kit import START, Place, two_stores
from tests.servers.postgres import Postgres

from tidewheel._model.flow import Flow, Pass, flow_text, lone_slot
from tidewheel._model.gate import Gate
from tidewheel._model.job import NewJob
from tidewheel._model.limit import Algorithm, LimitRow, Rule
from tidewheel._model.usher import Candidate, walk
from tidewheel._model.worker import Want
from tidewheel._store.postgres import work

WORLDS: Final = 400
ALGORITHMS: Final[tuple[Algorithm | None, ...]] = ("sliding", "bucket", "fixed", None)
_GATE: Final = """
INSERT INTO {schema}.gates (key, "limit", used, level, shut_until, waiting) VALUES ($1, $2, $3, $4, $5, $6)"""


class Left(Exception):
    """The rounds were asked."""


@pytest_asyncio.fixture
async def place(
    postgres: Postgres, new_schema: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    def leave(*_: object, **__: object) -> Never:
        raise Left

    monkeypatch.setattr(work, "Rounds", leave)
    async with two_stores(postgres.url, new_schema(), monkeypatch) as made:
        yield made


class World:
    """Two limits, some of their gates, and a few jobs that must pass them."""

    def __init__(self, number: int, random: Random) -> None:
        self.now = START + number * 10_000_000
        self.queue = f"q{number}"
        self.rules = {f"{name}{number}": some_rule(random) for name in "ab"}
        passes = [
            Pass(
                name,
                random.choice(["", "x"]),
                random.choice([1, 1, 2, 9]),
                rule.slots is not None or chance(random, 0.1),
            )
            for name, rule in self.rules.items()
        ]
        self.gates = {one.key: some_gate(random, self.now) for one in passes if chance(random, 0.7)}
        self.flows = [
            Flow(tuple(random.sample(passes, random.choice([1, 2])))) for _ in range(random.choice([1, 2, 4]))
        ]
        self.ids = [f"{number}-{n}" for n in range(len(self.flows))]

    async def store(self, place: Place) -> None:
        limits = [LimitRow(name=name, declared=rule) for name, rule in self.rules.items()]
        await place.one.put_limits(limits, declared=True, now=self.now)
        for key, gate in self.gates.items():
            row = key, key.partition(":")[0], gate.used, gate.level or None, gate.shut_until, gate.waiting
            await place.sql(_GATE, *row)
        flows = zip(self.ids, self.flows, strict=True)
        jobs = [NewJob(id=id, kind="work", args="{}", queue=self.queue, flow=flow_text(flow)) for id, flow in flows]
        await place.one.enqueue(jobs, now=self.now)

    def walk(self) -> list[str]:
        """What the model takes. It changes the gates."""
        line = [Candidate(n, flow) for n, flow in enumerate(self.flows)]
        rules = {one.key: self.rules[one.limit] for flow in self.flows for one in flow.passes}
        return [self.ids[n] for n in walk(line, self.gates, rules, len(line), self.now).take]


def chance(random: Random, part: float) -> bool:
    return random.random() < part


def some_rule(random: Random) -> Rule:
    slots = random.choice([None, None, 1, 3, 10])
    count = random.choice([0, 1, 3, 7, 2000, 2000] if slots is None else [None, 1, 3, 7, 2000])
    if count is None:
        return Rule(slots=slots)
    algorithm = random.choice(ALGORITHMS)
    burst = random.choice([None, 1, 5]) if algorithm == "bucket" else None
    return Rule(slots=slots, count=count, per=random.choice([1, 7, 1000]), algorithm=algorithm, burst=burst)


def some_gate(random: Random, now: int) -> Gate:
    """Also such as no rate leaves behind: another algorithm's, or of a clock that was set back."""
    level = [now + random.randint(-2000, 2000) for _ in range(random.choice([0, 1, 2, 2, 2, 5]))]
    if len(level) == 2 and chance(random, 0.4):
        level[1] = random.randint(0, 5)
    elif chance(random, 0.8):
        level = sorted(min(one, now + 500) for one in level)
    shut = random.choice([0, 0, 0, now - 1, now + 1])
    return Gate(used=random.randint(0, 3), level=level, shut_until=shut, waiting=chance(random, 0.05))


@pytest.mark.timeout(120)
async def test_it_takes_what_the_model_takes_and_gates_remember_the_same(place: Place) -> None:
    random, taken = Random(7), 0
    for number in range(WORLDS):
        world = World(number, random)
        await world.store(place)
        asked = [Want(world.queue, 10)]
        try:
            found = await place.one.claim(asked, kinds=["work"], worker="w", lease=1, now=world.now)
        except Left:
            continue
        taken += 1
        assert [job.id for job in found] == world.walk() == world.ids
        for key in {one.key for flow in world.flows for one in flow.passes}:
            used = await place.sql("SELECT used FROM {schema}.gates WHERE key = $1", key)
            level = await place.sql("SELECT level FROM {schema}.gates WHERE key = $1", key)
            assert (used, level or []) == (world.gates[key].used, world.gates[key].level), (key, world.rules)
    assert taken > WORLDS // 10


@pytest.mark.parametrize(
    "value", ["", "x", "x:", ":", 'say "so"', "back\\slash", "new\nline", "é", '","', "[[[", ",1,true]]]"]
)
@pytest.mark.parametrize("more", [{}, {"cost": 2}, {"holds": False}, {"order": "block"}, {"trips": True}], ids=str)
async def test_a_lone_slot_is_read_off_its_text_as_in_python(place: Place, value: str, more: dict[str, Any]) -> None:
    text = flow_text(Flow((Pass("api", value, **more),)))
    lone = lone_slot(text)
    assert await place.sql("SELECT {lone_slot} FROM (SELECT $1::text AS flow) AS row", text) == (lone and lone[1])
