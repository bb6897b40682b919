"""Ask a job why it does not run."""

import asyncio

from tidewheel import App, Limit

app = App("memory://")
inside, leave = asyncio.Event(), asyncio.Event()


@app.task(concurrency=Limit(1, key="args.tenant", name="tenant"))
async def report(tenant: str) -> str:
    inside.set()
    await leave.wait()
    return f"report for {tenant}"


async def main() -> None:
    async with app:
        first = await report.enqueue("acme")
        second = await report.enqueue("acme")
        assert (await first.why()).code == "no_worker"

        worker = asyncio.create_task(app.worker(drain_and_exit=True, poll="10ms").run())
        await inside.wait()
        why = await second.why()
        print(why.text)  # The limit 'tenant' (key 'acme') is full: 1 of 1 slots are in use, by 019ab2....
        assert why.code == "limit_full"
        assert why.holders == (first.id,)

        leave.set()  # the reason goes, and the job runs
        await worker
        assert (await second.why()).code == "ended"


asyncio.run(main())
