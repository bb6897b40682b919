"""The handler knows best: three exceptions that are answers, not failures."""

import asyncio

from tidewheel import App, Cancel, JobState, Retry, Snooze, current_job

app = App("memory://")
answers = {"/busy": 429, "/queued": 202, "/gone": 410}
tries: list[tuple[str, int]] = []


@app.task(retry=2)
async def fetch_report(path: str) -> str:
    tries.append((path, current_job().attempt))
    match answers.pop(path, 200):
        case 429:
            raise Retry("the provider is busy", after="10ms")  # burns an attempt, logs no error
        case 202:
            raise Snooze("10ms")  # not ready yet: burns no attempt
        case 410:
            raise Cancel("the report was deleted")  # ends as cancelled: no retry, no dead letter
    return f"report of {path}"


async def main() -> None:
    async with app:
        busy, queued, gone = await app.enqueue_many(fetch_report.job(path) for path in list(answers))
        await app.worker(drain_and_exit=True, poll="10ms").run()
        assert await busy.result() == "report of /busy"
        assert await queued.result() == "report of /queued"
        assert await gone.state() is JobState.CANCELLED
        assert tries.count(("/busy", 2)) == 1
        assert tries.count(("/queued", 1)) == 2


asyncio.run(main())
