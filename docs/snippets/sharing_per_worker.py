"""At most so many attempts of a task in one worker process."""

import asyncio

from tidewheel import App

app = App("memory://")
running = most = 0


@app.task(per_worker=2)  # each takes a gigabyte
async def render(page: int) -> str:
    global running, most
    running += 1
    most = max(most, running)
    await asyncio.sleep(0.01)
    running -= 1
    return f"page-{page}.png"


@app.task
async def send(to: str) -> None: ...


async def main() -> None:
    async with app:
        await app.enqueue_many(render.job(page) for page in range(10))
        await app.enqueue_many(send.job(f"user{n}@example.org") for n in range(10))
        await app.worker(concurrency=50, drain_and_exit=True).run()
        assert most == 2


asyncio.run(main())
