"""One runs, the newest waits, those between are forgotten."""

import asyncio

from tidewheel import App, KeepLast

app = App("memory://")
built, busy = list[str](), asyncio.Event()


@app.task(keep_last=KeepLast(key="args.site"))
async def build(site: str, commit: str) -> None:
    busy.set()
    await asyncio.sleep(0.05)
    built.append(f"{site} {commit}")


async def main() -> None:
    async with app:
        worker = asyncio.create_task(app.worker(drain_and_exit=True).run())
        await build.enqueue("docs", "a1")
        await busy.wait()
        for commit in ("b2", "c3", "d4"):
            await build.enqueue("docs", commit)
        await worker
        assert built == ["docs a1", "docs d4"]


asyncio.run(main())
