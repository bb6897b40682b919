"""Pause one task; the others of its queue go on."""

import asyncio

from tidewheel import App, JobState

app = App("memory://")


@app.task
async def bill(customer: str) -> str:
    return f"bill for {customer}"


@app.task
async def greet(name: str) -> str:
    return f"hello {name}"


async def main() -> None:
    async with app:
        worker = app.worker()
        running = asyncio.create_task(worker.run())
        await bill.pause()
        waits = await bill.enqueue("ada")
        assert await (await greet.enqueue("ada")).result("5s") == "hello ada"
        assert await waits.state() is JobState.AVAILABLE
        assert await app.pauses.list() == ["bill"]
        await bill.resume()
        assert await waits.result("10s") == "bill for ada"
        worker.stop()
        await running


asyncio.run(main())
