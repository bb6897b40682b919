"""What a failed child means for the job that waits for it."""

import asyncio

from tidewheel import App, JobFailed, JobState, current_job, group

app = App("memory://")


@app.task(retry=1)
async def ask(shop: str) -> int:
    if shop == "closed":
        raise ConnectionError("nobody answers")
    return len(shop)


@app.task
async def cheapest() -> str:
    children = await current_job().children()
    failed = [child.error.type for child in children if child.error is not None]
    return f"{min(child.result for child in children if child.completed)}, without {failed}"


async def main() -> None:
    async with app:
        strict = group([ask.job("corner"), ask.job("closed")], then=cheapest.job())
        mild = group([ask.job("corner"), ask.job("closed")], then=cheapest.job(), on_failure="ignore")
        first, second = await app.enqueue_many([strict, mild])
        await app.worker(drain_and_exit=True).run()

        assert await second.result() == "6, without ['ConnectionError']"
        try:
            await first.result()
        except JobFailed as error:
            assert "was discarded: ConnectionError: nobody answers" in str(error)
        assert [child.state for child in await first.children()] == [JobState.COMPLETED, JobState.DISCARDED]


asyncio.run(main())
