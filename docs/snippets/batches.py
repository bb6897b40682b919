"""One insert for many rows: each row is a job, and one call of the handler does up to a hundred of them."""

import asyncio
from dataclasses import dataclass

from tidewheel import App, Batch

app = App("memory://")
inserts = list[int]()


@dataclass
class Row:
    tenant: str
    text: str


@app.task(batch=Batch(100, wait="0.2s", key="args.rows.tenant"))  # all rows of a call are of one tenant
async def insert(rows: list[Row]) -> None:
    assert len({row.tenant for row in rows}) == 1
    inserts.append(len(rows))


async def main() -> None:
    async with app:
        jobs = await app.enqueue_many(
            insert.job(Row(tenant, "hello")) for tenant in ("acme", "bobs") for _ in range(150)
        )
        await insert.enqueue(Row("acme", "one more"))  # a job is one item
        await app.worker(drain_and_exit=True).run()
        assert sorted(inserts) == [50, 51, 100, 100]
        await jobs[0].result("1s")


asyncio.run(main())
