-- Items that a stage's split function made of an earlier stage's output.
CREATE TABLE made_items (
    job INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    hash BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (job, stage),
    FOREIGN KEY (job, stage) REFERENCES stage
) STRICT, WITHOUT ROWID;
