"""All problems at once."""

from tidewheel import ConfigError, OperationConfig

try:
    OperationConfig(retries=11, timeout="2m", batch_size=0)
except ConfigError as error:
    assert error.problems == (
        "retries=11 is out of range. Give 0 to 10.",
        "batch_size=0 is out of range. Give 1 to 1,000.",
        "timeout='2m' is out of range. Give a duration from 1 s to 60 s.",
    )
