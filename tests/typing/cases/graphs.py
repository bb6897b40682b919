"""Graphs: the last job gives the type, whatever comes before it."""

from typing import reveal_type

from tidewheel import App, chain, current_job, group

app = App("memory://")


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


@app.task
def total() -> int:
    return len(app.run_sync(current_job().children()))


async def right() -> None:
    pages = [fetch.job("a"), fetch.job("b")]
    reveal_type(group(pages))  # R: Group[bytes]
    reveal_type(group(pages, then=total.job()))  # R: PreparedJob[int]
    reveal_type(chain(fetch.job("a"), total.job()))  # R: PreparedJob[int]
    reveal_type(chain(total.job(), fetch.job("a"), group(pages)))  # R: Group[bytes]
    reveal_type(total.job().after(fetch.job("a"), "an-id", on_failure="ignore"))  # R: PreparedJob[int]
    job = await app.enqueue_graph(group(pages, then=total.job()))
    reveal_type(job)  # R: JobHandle[int]
    reveal_type(await app.enqueue_graph(group(pages)))  # R: list[JobHandle[bytes]]
    reveal_type(await job.children())  # R: tuple[Child, ...]
    reveal_type((await app.jobs.children("an-id"))[0].state)  # R: JobState | None
    reveal_type(await app.jobs.retry_graph(job.id))  # R: list[Altered]
    await app.enqueue_graph(total.job().after(job))


async def wrong() -> None:
    total.job().after(5)  # E: arg-type / reportArgumentType
    total.job().after("a", on_failure="stop")  # E: arg-type / reportArgumentType
    chain(fetch, total)  # E: call-overload / reportArgumentType, reportCallIssue
    group([fetch.enqueue("a")])  # E: arg-type / reportArgumentType
    await app.enqueue_graph("an-id")  # E: call-overload / reportArgumentType, reportCallIssue
