"""What was given up is kept, tells somebody, and can be run again."""

import asyncio

from tidewheel import App, DeadLetter, JobFilter, RetryPolicy, fixed

app = App("memory://")
cards: dict[int, str] = {}
alerts: list[str] = []


@app.task(retry=RetryPolicy(2, fixed(0)))
async def charge(order: int) -> str:
    return f"charged {cards[order]}"


@app.on_dead_letter
async def alert(dead: DeadLetter) -> None:
    alerts.append(f"{dead.kind} {dead.args} failed {dead.attempts} times: {dead.error.type}")


async def main() -> None:
    async with app:
        job = await charge.enqueue(7)
        await app.worker(drain_and_exit=True).run()
        assert alerts == ["charge {'order': 7} failed 2 times: KeyError"]

        [dead] = await app.dead_letters.list(JobFilter(kinds=("charge",)))
        assert dead.id == job.id
        assert "cards[order]" in dead.error.traceback

        cards[7] = "4242"  # the cause is gone:
        assert await app.dead_letters.requeue([dead.id]) == 1  # fresh attempts
        await app.worker(drain_and_exit=True).run()
        assert await job.result() == "charged 4242"

        await app.dead_letters.purge(older_than="30 days")


asyncio.run(main())
