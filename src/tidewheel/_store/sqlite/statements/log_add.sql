-- takes: job, at, level, message
INSERT INTO tidewheel_logs (job, at, level, message) VALUES (?, ?, ?, ?)
