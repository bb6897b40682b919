"""A whole graph is cancelled, and what failed of it runs again."""

import asyncio

from tidewheel import App, JobState, chain

app = App("memory://")
ran, broken = list[str](), True


@app.task(retry=1)
async def step(name: str) -> str:
    ran.append(name)
    if name == "upload" and broken:
        raise OSError("disk full")
    return name


async def main() -> None:
    global broken
    async with app:
        job = await app.enqueue_graph(chain(step.job("export"), step.job("upload"), step.job("mail")))
        await app.worker(drain_and_exit=True).run()
        assert await job.state() is JobState.DISCARDED

        broken = False
        await app.jobs.retry_graph(job.id)  # "export" has completed, and is not done twice
        await app.worker(drain_and_exit=True).run()
        assert ran == ["export", "upload", "upload", "mail"]

        other = await app.enqueue_graph(chain(step.job("a"), step.job("b")))
        await app.jobs.cancel_graph(other.id)
        assert [child.state for child in await other.children()] == [JobState.CANCELLED]


asyncio.run(main())
