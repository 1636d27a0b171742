-- When something of a job was settled last, of those running jobs of which it is told when they stand
-- still: a little behind at times, but for the beginning.
CREATE TABLE movement (
    job INTEGER PRIMARY KEY REFERENCES job,
    moved_at INTEGER NOT NULL,
    -- Whether it was told since then that it stands still.
    stall_told INTEGER NOT NULL DEFAULT 0
) STRICT;
