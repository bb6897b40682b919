"""Look at limits and change them while jobs wait."""

import asyncio

from tidewheel import App, JobState, Limit

app = App("memory://")


@app.task(concurrency=Limit(2, key="args.tenant", name="reports"))
async def report(tenant: str) -> str:
    return f"report for {tenant}"


async def main() -> None:
    async with app:
        worker = app.worker()
        running = asyncio.create_task(worker.run())
        await app.limits.pause("reports", key="acme")  # one tenant; without key= all of them
        job = await report.enqueue("acme")
        await (await report.enqueue("bobs")).result("10s")  # the others go on

        info = await job.info()
        assert (info.state, info.parked_by) == (JobState.PARKED, "reports:acme")
        (gate,) = await app.limits.gates("reports", key="acme")
        assert (gate.used, gate.waiting, gate.room) == (0, True, 0)

        await app.limits.set("reports", slots=5)  # for all, from now on; clear() takes it back
        await app.limits.set("reports", slots=1, key="bobs")  # for one
        await app.limits.resume("reports", key="acme")
        assert await job.result("10s") == "report for acme"
        worker.stop()
        await running


asyncio.run(main())
