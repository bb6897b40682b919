"""How long a small tenant waits beside a large one: first come first served, a cap for each key, fair share.

    python -m tests.scale.fair

One queue, ten slots, a job takes one step. A large tenant enqueues 2000 jobs at once; twenty small ones come later, with
twenty-five jobs each. The large one may also spread its jobs over forty keys of its own, as an account with many projects does.
A wait is a number of steps from enqueue to start; nothing here depends on the machine.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from statistics import mean
from typing import Final, NamedTuple

from tidewheel import Env
from tidewheel._model.enqueue_rule import Fair
from tidewheel._model.flow import Flow, Pass, flow_text
from tidewheel._model.job import NewJob
from tidewheel._model.limit import LimitRow, Rule
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.worker import Want
from tidewheel._store.memory import MemoryStore

SLOTS: Final = 10
CAP: Final = 2
MANY: Final = 2000
FEW: Final = 25
SMALL: Final = 20
SHARDS: Final = 40
STEP: Final = 1_000_000
_FAIR_STEP: Final = 100


class Order(NamedTuple):
    """One job: whose it is, and the key it comes under."""

    tenant: str
    key: str


Way = Callable[[Order], NewJob]


class Waits(NamedTuple):
    """Means over jobs, in steps."""

    small: float
    large: float
    steps: int
    """Until everything had run: more than it takes says that slots stood idle."""


def first_come(order: Order) -> NewJob:
    """Nothing but the order of the enqueue."""
    return NewJob(id="", kind="work", args="{}")


def capped(order: Order) -> NewJob:
    """At most `CAP` at once for each key."""
    return NewJob(id="", kind="work", args="{}", flow=flow_text(Flow((Pass("cap", order.key),))))


def fair(order: Order) -> NewJob:
    """Each tenant its share, whatever keys it uses."""
    return NewJob(id="", kind="work", args="{}", fair=Fair(f"fair:work:{order.tenant}", _FAIR_STEP))


def orders(*, shards: int, many: int) -> dict[int, list[Order]]:
    """What is enqueued at which step."""
    coming = {0: [Order("large", f"large-{number % shards}") for number in range(many)]}
    for small in range(SMALL):
        coming[5 + small] = [Order(f"small-{small}", f"small-{small}")] * FEW
    return coming


async def live(way: Way, *, shards: int, many: int = MANY) -> Waits:
    """Let it all run."""
    store = MemoryStore(Env())
    await store.put_limits([LimitRow(name="cap", declared=Rule(slots=CAP))], declared=True, now=0)
    coming = orders(shards=shards, many=many)
    came: dict[str, tuple[Order, int]] = {}
    waits: dict[bool, list[int]] = {True: [], False: []}
    step = 0
    while coming or len(waits[True]) + len(waits[False]) < len(came):
        now = STEP * (step + 1)
        some = coming.pop(step, [])
        jobs = [_named(way(order), len(came) + number) for number, order in enumerate(some)]
        came |= {job.id: (order, step) for job, order in zip(jobs, some, strict=True)}
        await store.enqueue(jobs, now=now)
        taken = await store.claim([Want("default", SLOTS)], kinds=["work"], worker="w", lease=10 * STEP, now=now)
        for job in taken:
            order, at = came[job.id]
            waits[order.tenant == "large"].append(step - at)
        await store.settle([Settlement(job.lease, Complete("null")) for job in taken], now=now + STEP // 2)
        step += 1
    return Waits(mean(waits[False]), mean(waits[True]), step)


def _named(job: NewJob, number: int) -> NewJob:
    return NewJob(id=f"{number:05}", kind=job.kind, args=job.args, flow=job.flow, fair=job.fair)


WAYS: Final[dict[str, tuple[Way, int]]] = {
    "first come, first served": (first_come, 1),
    f"a cap of {CAP} a key": (capped, 1),
    f"a cap of {CAP} a key, large tenant with {SHARDS} keys": (capped, SHARDS),
    "fair share": (fair, 1),
    f"fair share, large tenant with {SHARDS} keys": (fair, SHARDS),
}


async def table() -> list[tuple[str, Waits]]:
    """Every way, and how long its tenants waited."""
    return [(name, await live(way, shards=shards)) for name, (way, shards) in WAYS.items()]


def main() -> None:
    """Print it."""
    sys.stdout.write(f"{'':52} {'small':>8} {'large':>8} {'steps':>6}\n")
    for name, waits in asyncio.run(table()):
        sys.stdout.write(f"{name:52} {waits.small:8.1f} {waits.large:8.1f} {waits.steps:6}\n")


if __name__ == "__main__":
    main()
