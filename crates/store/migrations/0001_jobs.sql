-- Jobs of the namespace, the history, and how many there are of each.
--
-- Times are microseconds since 1970. What a job is lies in the stored forms (spec, run, settings, request); the other columns
-- repeat the little that has to be searched, and are written together with the form they come from.
CREATE TABLE job (
    id            BLOB    NOT NULL PRIMARY KEY, -- 16 bytes; ascending by submission
    family        TEXT    NOT NULL,
    owner         TEXT    NOT NULL,
    priority      INTEGER NOT NULL,
    submitted     INTEGER NOT NULL,
    state         INTEGER NOT NULL,             -- CIM_ConcreteJob.JobState, for whoever looks in with the sqlite3 shell
    ended         INTEGER NOT NULL,             -- 1 once the state is a final one
    waiting       INTEGER NOT NULL,             -- 1 while the state wants a driver, whether or not there is one
    finished      INTEGER,
    keep          INTEGER,                      -- time before removal; NULL: until it is deleted
    removal_at    INTEGER,                      -- finished + keep, once ended
    lease_holder  BLOB,
    lease_token   BLOB,
    lease_expires INTEGER,
    request       BLOB,
    settings      BLOB    NOT NULL,
    spec          BLOB    NOT NULL,
    run           BLOB    NOT NULL
);

CREATE INDEX job_family ON job (family, id);

-- The family is there so that a list of unfinished jobs can be filtered without reading their rows.
CREATE INDEX job_unfinished ON job (id, family) WHERE ended = 0;

-- What the next job is: from here the first of every owner is found without looking at the rest of the queue.
CREATE INDEX job_waiting ON job (owner, priority, id, lease_expires) WHERE waiting = 1;

-- Few at any time, and all of them are looked for when a server starts.
CREATE INDEX job_leased ON job (id) WHERE lease_token IS NOT NULL;

CREATE INDEX job_removal ON job (removal_at, id) WHERE removal_at IS NOT NULL;

CREATE TABLE history (
    seq      INTEGER PRIMARY KEY,               -- in order of removal, without gaps
    id       BLOB    NOT NULL,
    removed  INTEGER NOT NULL,
    settings BLOB    NOT NULL,
    spec     BLOB    NOT NULL,
    run      BLOB    NOT NULL
);

CREATE INDEX history_id ON history (id, seq);

-- Counting a million rows takes longer than a start may take.
CREATE TABLE tally (
    unfinished INTEGER NOT NULL,
    finished   INTEGER NOT NULL,
    history    INTEGER NOT NULL
);

INSERT INTO tally VALUES (0, 0, 0);
