-- Which of these unique keys does a live job hold?
-- takes: unique keys
SELECT unique_key FROM {schema}.jobs WHERE unique_key = ANY ($1::text[]) AND {live}
