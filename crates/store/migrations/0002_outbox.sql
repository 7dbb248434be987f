-- What clients have registered about indications, and the queues of indications that wait for their destinations.
--
-- An indication is stored once, however many destinations it goes to; it goes when the last queue has let go of it.
CREATE TABLE registration (
    seq  INTEGER PRIMARY KEY,                   -- in the order of making
    id   BLOB    NOT NULL UNIQUE,
    form BLOB    NOT NULL
);

CREATE TABLE queue (
    destination BLOB    NOT NULL PRIMARY KEY,
    next        INTEGER NOT NULL,               -- the sequence number of the next indication
    queued      INTEGER NOT NULL,
    dropped     INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE indication (
    id   INTEGER PRIMARY KEY,
    at   INTEGER NOT NULL,
    form BLOB    NOT NULL
);

CREATE TABLE outbox (
    destination BLOB    NOT NULL,
    sequence    INTEGER NOT NULL,
    indication  INTEGER NOT NULL,
    filter      TEXT    NOT NULL,
    PRIMARY KEY (destination, sequence)
) WITHOUT ROWID;

-- Whether anybody still wants an indication.
CREATE INDEX outbox_indication ON outbox (indication);
