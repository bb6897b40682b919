-- Does a job wait for another that has not ended?
-- takes: parent
SELECT EXISTS (SELECT 1 FROM tidewheel_edges INDEXED BY tidewheel_edges_open WHERE parent = ? AND state IS NULL)
