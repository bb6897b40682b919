"""The words of Tidewheel as values: no I/O, no clock, no asyncio."""
