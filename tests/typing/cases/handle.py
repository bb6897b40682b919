"""What a handle, the context and the bridge from sync code answer."""

from typing import reveal_type

from tidewheel import App, current_job

app = App("memory://")


@app.task
async def greet(to: str) -> str:
    ctx = current_job()
    reveal_type(ctx.id)  # R: str
    reveal_type(ctx.attempt)  # R: int
    reveal_type(ctx.cancelled)  # R: bool
    reveal_type(ctx.fence)  # R: str
    ctx.progress(0.5)
    ctx.progress({"done": 1})
    return to


async def answers() -> None:
    job = await greet.enqueue("a")
    reveal_type(job.id)  # R: str
    reveal_type(job.created)  # R: bool
    reveal_type(await job.info())  # R: Job
    reveal_type(await job.state())  # R: JobState
    reveal_type(await job.logs())  # R: tuple[LogLine, ...]
    reveal_type(await job.history())  # R: History
    reveal_type(await job.why())  # R: Why
    reveal_type((await job.why()).holders)  # R: tuple[str, ...]
    reveal_type(await app.jobs.why(job.id))  # R: Why | None
    await job.result(timout="1m")  # E: call-arg / reportCallIssue


def from_sync_code() -> None:
    job = app.run_sync(greet.enqueue("a"))
    reveal_type(job)  # R: JobHandle[str]
    reveal_type(app.run_sync(job.result(timeout="1m")))  # R: str
    app.run_sync("not a coroutine")  # E: arg-type / reportArgumentType
