import asyncio

from tidewheel import App, RetryPolicy, current_job, exponential

app = App("sqlite:///jobs.db")  # a file beside your program: nothing to install, nothing to run


@app.task(queue="email", retry=RetryPolicy(5, exponential("2s", cap="1h")), timeout="30s")
async def send_welcome(to: str, name: str) -> str:
    current_job().log.info("writing to %s", to)
    return f"Welcome, {name}!"


async def main() -> None:
    async with app:
        job = await send_welcome.enqueue(to="ada@example.org", name="Ada")  # wrong arguments fail right here
        await send_welcome.options(delay="10m", priority=1, unique="bob").enqueue("bob@example.org", "Bob")

        worker = app.worker()  # in production: `tidewheel worker myapp:app`, as many as you like
        running = asyncio.create_task(worker.run())
        assert await job.result(timeout="10s") == "Welcome, Ada!"
        worker.stop()
        await running


asyncio.run(main())
