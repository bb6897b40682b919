"""One after the other, side by side, and what comes when all of them have ended."""

import asyncio

from tidewheel import App, chain, current_job, group

app = App("memory://")


@app.task
async def fetch(url: str) -> int:
    return len(url)


@app.task
async def total() -> int:
    children = await current_job().children()  # in the order in which they were named
    return sum(child.result for child in children)


@app.task
async def publish(name: str) -> str:
    (child,) = await current_job().children()
    return f"{name}: {child.result}"


async def main() -> None:
    async with app:
        pages = [fetch.job(f"https://example.org/{page}") for page in ("a", "bb", "ccc")]
        job = await app.enqueue_graph(chain(group(pages, then=total.job()), publish.job("letters")))

        await app.worker(drain_and_exit=True).run()
        assert await job.result() == "letters: 66"


asyncio.run(main())
