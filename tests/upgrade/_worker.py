"""A program of the upgrade tests, run by the code before or by today's, as PYTHONPATH says.

seed URL COUNT    run some jobs to their ends; leave others in every state that a job can wait in
add URL COUNT     enqueue jobs
lose URL          let a worker be lost, so that its two jobs wait on their last lives
work URL          run jobs until SIGTERM; says "ready" when it began
drain URL         run jobs until nothing is left that could run
"""

from __future__ import annotations

import asyncio
import hashlib
import sys

from tidewheel import App, Cancel, Retry, Snooze, current_job
from tidewheel._model.worker import Want


def app_for(url: str) -> App:
    app = App(url)

    @app.task(retry=3)
    async def work(sort: str) -> str:
        job = current_job()
        hashlib.pbkdf2_hmac("sha256", b"work", b"", 20_000)  # so that the migration comes while jobs run
        if sort == "again" and job.attempt == 1:
            raise Retry(after="1s")
        if sort == "snoozed" and job.epoch == 1:
            raise Snooze("1s")
        if sort == "dead":
            raise LookupError(sort)
        if sort == "called-off":
            raise Cancel("not needed")
        return sort

    return app


async def main(role: str, url: str, count: int) -> None:
    app = app_for(url)
    task = app.tasks["work"]
    async with app:
        if role == "add":
            await app.enqueue_many([task.options(id=f"{role}-{number}").job("plain") for number in range(count)])
        if role == "lose":
            for number in (1, 2):
                await task.options(id=f"suspect-{number}", retry=2, priority=1).enqueue("plain")
            store = app._store
            await store.claim([Want("default", 2)], kinds=["work"], worker="lost", lease=1)
            assert (await store.sweep()).rescued == 2
        if role == "seed":
            for sort in ("plain", "dead", "called-off"):
                await task.options(id=f"ended-{sort}", retry=1).enqueue(sort)
            await app.worker(drain_and_exit=True, signals=False).run()
            for sort in ("again", "snoozed"):  # run once here, and left to be run again
                await task.options(id=sort, priority=1).enqueue(sort)
            worker = app.worker(signals=False, max_jobs=2)
            await worker.run()
            await task.options(id="late", delay="2s").enqueue("late")
            await app.enqueue_many([task.options(id=f"wait-{number}").job("plain") for number in range(count)])
        if role in {"work", "drain"}:
            app.on("worker.started", lambda _: print("ready", flush=True))  # noqa: T201 -- to the test
            worker = app.worker(drain_and_exit=role == "drain", concurrency=4, poll="100ms", lease="2s")
            await worker.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0))
