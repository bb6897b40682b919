"""Many items, some of which may fail."""

import asyncio

from tidewheel import OperationConfig, OperationRunner

runner = OperationRunner(OperationConfig(retries=0, batch_size=100, concurrency=20))


async def resize(width: int) -> str:
    if width > 3:
        raise ValueError(f"{width} is too wide")
    return f"{width}px"


async def main() -> None:
    batch = await runner.run_batch(resize, [1, 2, 3, 4])
    assert not batch.success
    assert batch.data == ["1px", "2px", "3px"]
    assert batch.error == "1 of 4 failed; the first: ValueError: 4 is too wide"
    assert list(batch.failed) == [3]  # its position: run it again, or show it


asyncio.run(main())
