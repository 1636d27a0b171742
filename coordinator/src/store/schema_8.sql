-- CPU time of attempts that ended without an answer: of each, null where an older version took it in,
-- and the sum of a stage's.
ALTER TABLE inconclusive ADD COLUMN cpu_us INTEGER;
ALTER TABLE stage ADD COLUMN cpu_unanswered_us INTEGER NOT NULL DEFAULT 0;
