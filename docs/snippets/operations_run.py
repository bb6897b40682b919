"""Retries, a timeout for each try, and a result instead of an exception."""

import asyncio
from pathlib import Path

from tidewheel import OperationConfig, OperationRunner, exponential

runner = OperationRunner(OperationConfig(retries=3, timeout="5s", backoff=exponential("1ms", cap="10s")))
weather = iter([ConnectionError("no route"), "sunny"])


async def ask(city: str) -> str:
    answer = next(weather)
    if isinstance(answer, Exception):
        raise answer
    return f"{city}: {answer}"


def read(path: str) -> str:  # plain functions run in a thread
    return Path(path).read_text()


async def main() -> None:
    result = await runner.run(ask, "Lisbon")
    assert result.success
    assert result.data == "Lisbon: sunny"
    assert result.retries == 1
    print(f"{result.duration:.3f} s, ended {result.timestamp:%H:%M}")

    result = await OperationRunner(OperationConfig(never=FileNotFoundError)).run(read, "/no/such/file")
    assert not result.success
    assert result.error == "FileNotFoundError: [Errno 2] No such file or directory: '/no/such/file'"


asyncio.run(main())
