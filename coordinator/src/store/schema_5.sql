-- Whose retry a job is; those without a row are nobody's. The older job may be removed since.
CREATE TABLE retry (
    job INTEGER PRIMARY KEY REFERENCES job,
    retried INTEGER NOT NULL
) STRICT;

-- How many agreeing results each answer of the stage has.
ALTER TABLE stage_answers ADD COLUMN quorum INTEGER NOT NULL DEFAULT 1;

-- Whether the units are of one item each, cut when their first unit found no answer.
ALTER TABLE kept ADD COLUMN alone INTEGER NOT NULL DEFAULT 0;
