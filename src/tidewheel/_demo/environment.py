"""How the demo tells its worker where things are: names of environment variables."""

from typing import Final

STORE: Final = "TIDEWHEEL_STORE"
"""URL of the store; the command line reads the same variable."""
SMTP: Final = "TIDEWHEEL_DEMO_SMTP"
"""host:port of the mail sink."""
OUTPUT: Final = "TIDEWHEEL_DEMO_OUTPUT"
"""The output folder."""
