"""One job at a time, by a key, and what becomes of the others."""

import asyncio

from tidewheel import App, DuplicateJob, Unique

app = App("memory://")


@app.task(unique=Unique(key="args.tenant"))
async def sync(tenant: str, days: int = 1) -> None: ...


@app.task(unique=Unique(period="1h", on_conflict="raise"))  # without a key: all arguments
async def charge(invoice: int) -> None: ...


@app.task(unique=Unique(key="args.user", on_conflict="replace"))
async def remind(user: str, text: str) -> str:
    return f"{user}: {text}"


async def main() -> None:
    async with app:
        first = await sync.enqueue("acme")
        second = await sync.enqueue("acme", days=30)
        assert second == first  # the job that is there already
        assert (first.did, second.did) == ("created", "existing")

        await charge.enqueue(7)
        try:
            await charge.enqueue(7)
        except DuplicateJob as error:
            assert error.existing_id

        job = await remind.options(delay="1h").enqueue("ada", "Call Bob.")
        again = await remind.enqueue("ada", "Call Eve.")  # now, and with another text
        assert (again.id, again.did) == (job.id, "replaced")
        await app.worker(drain_and_exit=True).run()
        assert await job.result() == "ada: Call Eve."


asyncio.run(main())
