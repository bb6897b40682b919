"""`tidewheel demo`: real work on a real worker, killed in the middle, finished by the next one.

Walk: `run` checks the wishes, `show` makes the inputs, enqueues the `plan`, starts a `worker` and a mail `sink`, watches the
rows of the store on a `board`, shows it on a `screen`, and ends with a `summary`. What the jobs do is in `tasks`.

It uses public names of `tidewheel` only: whatever is here, an application could do.
"""
