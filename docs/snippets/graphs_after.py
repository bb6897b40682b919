"""A job that waits for others: prepared ones, which come along, and enqueued ones."""

import asyncio

from tidewheel import App

app = App("memory://")
ran = list[str]()


@app.task
async def step(name: str) -> None:
    ran.append(name)


async def main() -> None:
    async with app:
        backup = await step.enqueue("backup")
        schema = step.job("schema").after(backup)  # a handle, or an id
        tables = [step.job(name).after(schema) for name in ("orders", "users")]
        await app.enqueue_graph(step.job("report").after(*tables))

        await app.worker(drain_and_exit=True).run()
        assert ran[:2] == ["backup", "schema"]
        assert sorted(ran[2:4]) == ["orders", "users"]
        assert ran[4] == "report"


asyncio.run(main())
