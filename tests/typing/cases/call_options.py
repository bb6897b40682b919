"""`.options(...)` and `.job(...)` keep the signature; options are checked."""

from datetime import UTC, datetime
from typing import reveal_type

from tidewheel import App

app = App("memory://")


@app.task
async def greet(to: str, name: str = "you") -> str:
    return to + name


@app.task
def add(a: int) -> int:
    return a


async def right() -> None:
    job = await greet.options(delay="10m", priority=1, tags=("a",), meta={"who": 1}).enqueue("a", name="b")
    reveal_type(job)  # R: JobHandle[str]
    reveal_type(await job.result())  # R: str
    reveal_type(await add.options(run_at=datetime.now(UTC), id="own", lifo=True).enqueue(1))  # R: JobHandle[int]


async def wrong() -> None:
    await greet.options(delay="10m").enqueue(1)  # E: arg-type / reportArgumentType
    await greet.options(delay="10m").enqueue()  # E: call-arg / reportCallIssue
    await greet.options(delay="10m").enqueue("a", nmae="b")  # E: call-arg / reportCallIssue
    await add.options(queue="x").enqueue("1")  # E: arg-type / reportArgumentType
    greet.options(dealy="10m")  # E: call-arg / reportCallIssue
    greet.options(priority="high")  # E: arg-type / reportArgumentType


async def many() -> None:
    await app.enqueue_many([greet.job("a"), add.job(1), greet.options(delay=5).job("b", name="c")])
    await app.enqueue_many(add.job(number) for number in range(3))
    greet.job(1)  # E: arg-type / reportArgumentType
    greet.job()  # E: call-arg / reportCallIssue
    add.options(delay=5).job(a="1")  # E: arg-type / reportArgumentType
    await app.enqueue_many([greet])  # E: arg-type / reportArgumentType
