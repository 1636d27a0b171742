-- The most items a unit may have, of stages whose specification could not say it before an earlier
-- stage was done. Null otherwise.
ALTER TABLE stage ADD COLUMN unit_items_max INTEGER;
