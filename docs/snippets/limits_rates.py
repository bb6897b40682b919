"""So many starts in a time."""

import asyncio

from tidewheel import App, Rate

app = App("memory://")


@app.task(rate=Rate(3, per="0.2s"))
async def send(to: str) -> None: ...


@app.task(
    rate=[
        Rate(10, per="1s", name="vendor.second"),  # what their terms say
        Rate(5000, per="24h", name="vendor.day", algorithm="fixed"),
        Rate(600, per="1m", key="args.tenant", cost="args.pages", algorithm="bucket", burst=50),
    ]
)
async def convert(tenant: str, pages: int) -> None: ...


async def main() -> None:
    async with app:
        jobs = await app.enqueue_many(send.job(f"user{n}@example.org") for n in range(9))
        await convert.enqueue("acme", pages=12)  # takes 12 of acme's 600
        await app.worker(drain_and_exit=True).run()
        began = sorted([(await job.info()).started_at or 0 for job in jobs])  # by the store's clock, in microseconds
        for first, fourth in zip(began, began[3:], strict=False):
            assert fourth - first >= 200_000


asyncio.run(main())
