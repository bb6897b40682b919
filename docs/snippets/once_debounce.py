"""Once it is quiet, and with the last word."""

import asyncio

from tidewheel import App, Debounce

app = App("memory://")
saved = list[str]()


@app.task(debounce=Debounce("0.1s", key="args.document", max_wait="5m"))
async def save(document: str, text: str) -> None:
    saved.append(f"{document}: {text}")


async def main() -> None:
    async with app:
        jobs = [await save.enqueue("letter", text) for text in ("H", "He", "Hel", "Hello")]  # somebody types
        await save.enqueue("list", "Milk")
        assert [job.did for job in jobs] == ["created", "replaced", "replaced", "replaced"]
        await app.worker(drain_and_exit=True).run()
        assert sorted(saved) == ["letter: Hello", "list: Milk"]


asyncio.run(main())
