"""A worker process of the bench: `python -m tidewheel._bench.child URL CONCURRENCY [limits]`.

It says "ready" when it could start, waits for "go", then says every few milliseconds how many jobs it ran;
"stop" makes it write what is left and say when that was done and how much memory it took at most.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any

from tidewheel._bench.loop import run
from tidewheel._bench.tasks import QUEUE, Bench

_TELL = 0.002


def say(**what: Any) -> None:
    """One line to the parent."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def peak() -> int:
    """Bytes of memory at most."""
    try:
        import resource
    except ImportError:
        return 0
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


async def main(url: str, concurrency: int, *, limits: bool) -> None:
    """Work between "go" and "stop"; with `limits` also on the tasks that have some."""
    bench = Bench(url)
    if limits:
        bench.limited()
    worker = bench.app.worker(queues=[QUEUE], concurrency=concurrency, signals=False)
    async with bench.app:
        say(ready=True)
        await asyncio.to_thread(sys.stdin.readline)
        running = asyncio.create_task(worker.run())
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=lambda: (sys.stdin.readline(), loop.call_soon_threadsafe(stop.set)), daemon=True
        ).start()
        told = 0
        while not stop.is_set() and not running.done():
            if worker.done != told:
                told = worker.done
                await worker.settled()
                say(ran=told, at=time.time())
            await asyncio.sleep(_TELL)
        worker.stop()
        await running
    say(ran=worker.done, peak=peak(), at=time.time())


if __name__ == "__main__":
    run(main(sys.argv[1], int(sys.argv[2]), limits="limits" in sys.argv[3:]))
