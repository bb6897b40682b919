"""`tidewheel bench`: how fast a store is on this machine, measured the same way for every store."""
