"""A job that takes its worker down is run so many times and no more."""

from tidewheel import App

app = App("memory://")


@app.task(run_in="process", max_crashes=2)
def render(page: str) -> str:
    """Calls a library that may crash the whole process on a bad page."""
    return page.upper()
