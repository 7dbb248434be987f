-- When a job is due and when it is over, and which jobs an element has.
--
-- A job with a due_at is in the queue but not waiting (job.waiting is 0): it is found by its time. Both columns are NULL for nearly
-- all jobs, and their indexes empty.
ALTER TABLE job ADD COLUMN due_at INTEGER;    -- not to be begun before, while the state is New
ALTER TABLE job ADD COLUMN until_at INTEGER;  -- UntilTime, until the job has ended
ALTER TABLE job ADD COLUMN elements TEXT;     -- the keys of the elements it is tied to, as a JSON array; never changed

CREATE INDEX job_due ON job (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX job_until ON job (until_at, id) WHERE until_at IS NOT NULL;

-- Filled and emptied by triggers, so that a job costs no statement more.
CREATE TABLE job_element (
    element INTEGER NOT NULL,                 -- ElementKey
    id      BLOB    NOT NULL,
    PRIMARY KEY (element, id)
) WITHOUT ROWID;

CREATE TRIGGER job_element_fill AFTER INSERT ON job WHEN new.elements IS NOT NULL BEGIN
    INSERT OR IGNORE INTO job_element (element, id) SELECT value, new.id FROM json_each(new.elements);
END;

CREATE TRIGGER job_element_empty AFTER DELETE ON job WHEN old.elements IS NOT NULL BEGIN
    DELETE FROM job_element WHERE id = old.id AND element IN (SELECT value FROM json_each(old.elements));
END;

-- For jobs that were there before, whose elements are read from their specs.
CREATE TRIGGER job_element_late AFTER UPDATE OF elements ON job WHEN old.elements IS NULL BEGIN
    INSERT OR IGNORE INTO job_element (element, id) SELECT value, new.id FROM json_each(new.elements);
END;
