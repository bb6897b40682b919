"""An async task keeps its signature and its result, however it was declared."""

from typing import reveal_type

from tidewheel import App

app = App("memory://")


@app.task
async def greet(to: str, *, name: str = "you", times: int = 1) -> str:
    return f"{to} {name}" * times


async def right() -> None:
    job = await greet.enqueue("ada@example.org", name="Ada")
    reveal_type(job)  # R: JobHandle[str]
    reveal_type(await job.result())  # R: str
    reveal_type(await job.result(timeout="1m"))  # R: str
    await greet.enqueue(to="ada@example.org")


async def wrong() -> None:
    await greet.enqueue(1)  # E: arg-type / reportArgumentType
    await greet.enqueue("a", times="two")  # E: arg-type / reportArgumentType
    await greet.enqueue()  # E: call-arg / reportCallIssue
    await greet.enqueue("a", "b")  # E: call-arg / reportCallIssue
    await greet.enqueue("a", nmae="Ada")  # E: call-arg / reportCallIssue
    greet.enqueue("a")  # E: unused-coroutine / reportUnusedCoroutine


async def direct() -> None:
    reveal_type(await greet("a", name="b"))  # R: str
    reveal_type(await greet.fn("a"))  # R: str
    await greet(1)  # E: arg-type / reportArgumentType
