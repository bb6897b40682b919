"""A plain function becomes a task with the same signature; enqueueing it is awaited, its result is what it returns."""

from typing import reveal_type

from tidewheel import App

app = App("memory://")


@app.task
def add(a: int, b: int = 0) -> int:
    return a + b


@app.task(run_in="process")
def primes(limit: int) -> list[int]:
    return [limit]


@app.task
def nothing() -> None:
    return None


async def right() -> None:
    job = await add.enqueue(1, b=2)
    reveal_type(job)  # R: JobHandle[int]
    reveal_type(await job.result())  # R: int
    reveal_type(await (await primes.enqueue(limit=3)).result())  # R: list[int]
    reveal_type(await nothing.enqueue())  # R: JobHandle[None]


async def wrong() -> None:
    await add.enqueue("1")  # E: arg-type / reportArgumentType
    await add.enqueue()  # E: call-arg / reportCallIssue
    await add.enqueue(1, c=2)  # E: call-arg / reportCallIssue
    await primes.enqueue(limit="3")  # E: arg-type / reportArgumentType
    await nothing.enqueue(1)  # E: call-arg / reportCallIssue


def direct() -> None:
    reveal_type(add(1, 2))  # R: int
    reveal_type(primes.fn(3))  # R: list[int]
    add("1")  # E: arg-type / reportArgumentType
