"""How many may wait, and for how long it is worth the while."""

import asyncio

from tidewheel import App, Backlog, JobCancelled, QueueFull

app = App("memory://")


@app.task(backlog=100)
async def resize(path: str) -> None: ...


@app.task(backlog=Backlog(1, on_full="drop_oldest"), expires="1h")
async def ping(at: int) -> int:
    return at


async def main() -> None:
    async with app:
        try:
            await app.enqueue_many(resize.job(f"{number}.jpg") for number in range(103))
        except QueueFull as error:  # 100 are in
            assert [job.did for job in error.handles[99:]] == ["created", "full", "full", "full"]

        old, new = await ping.enqueue(1), await ping.enqueue(2)
        assert new.cancelled == old.id
        await app.worker(drain_and_exit=True).run()
        assert await new.result() == 2
        try:
            await old.result()
        except JobCancelled as error:
            assert "tidewheel.Dropped" in str(error)


asyncio.run(main())
