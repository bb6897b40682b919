-- Add jobs, many at a time; rows that clash with an id or a live unique key are left out.
-- takes: rows of what `rows.new_row` gives, without the columns that are null in all of them
-- gives: the number of rows added
INSERT INTO tidewheel_jobs ({columns}) VALUES {rows}
ON CONFLICT DO NOTHING
