"""The five kinds of backoff. `preview` shows the first delays."""

from tidewheel import custom, delays, exponential, fixed, linear

assert fixed("5s").preview(4) == ["5s", "5s", "5s", "5s"]
assert linear("10s", cap="30s").preview(4) == ["10s", "20s", "30s", "30s"]
assert exponential("1s", cap="1m").preview(8) == ["1s", "2s", "4s", "8s", "16s", "32s", "1m", "1m"]
assert exponential("1s", factor=3).preview(4) == ["1s", "3s", "9s", "27s"]
assert delays("10s", "1m", "1h").preview(4) == ["10s", "1m", "1h", "1h"]


def patient(attempt: int, error: BaseException | None) -> str | None:
    """Any duration; None gives up."""
    return None if isinstance(error, PermissionError) else f"{attempt * 20}m"


assert custom(patient, cap="1h").preview(4) == ["20m", "40m", "1h", "1h"]
