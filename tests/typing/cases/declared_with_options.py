"""`@app.task(...)` with options changes nothing about the signature, and its own options are checked."""

from typing import reveal_type

from tidewheel import App, RetryPolicy, exponential

app = App("memory://", retry=RetryPolicy())


@app.task(queue="email", retry=RetryPolicy(5, exponential("2s", cap="1h")), timeout="30s", soft_timeout="20s")
async def send(to: str) -> bytes:
    return to.encode()


@app.task(name="resize", priority=10, retry=5, run_in="thread", unique="key", tags=("images",), max_crashes=2)
def resize(width: int) -> float:
    return float(width)


@app.task(queu="email")  # E: call-overload, untyped-decorator / reportCallIssue, reportUntypedFunctionDecorator
async def misspelt() -> None: ...


@app.task(run_in="moon")  # E: call-overload, untyped-decorator / reportArgumentType
async def elsewhere() -> None: ...


async def right() -> None:
    reveal_type(await send.enqueue("a"))  # R: JobHandle[bytes]
    reveal_type(await resize.enqueue(1))  # R: JobHandle[float]


async def wrong() -> None:
    await send.enqueue(b"a")  # E: arg-type / reportArgumentType
    await resize.enqueue()  # E: call-arg / reportCallIssue
    await resize.enqueue(1, height=2)  # E: call-arg / reportCallIssue
