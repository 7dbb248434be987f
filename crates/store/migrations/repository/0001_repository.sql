-- What clients put into the server. Names of CIM ignore case, so their columns do.
-- The forms are versioned JSON; the other columns say what a form says too, for finding it.

CREATE TABLE namespace (
    name TEXT NOT NULL COLLATE NOCASE PRIMARY KEY
) STRICT;

CREATE TABLE qualifier (
    namespace TEXT NOT NULL COLLATE NOCASE,
    name      TEXT NOT NULL COLLATE NOCASE,
    form      BLOB NOT NULL,
    PRIMARY KEY (namespace, name)
) STRICT;

-- The order in which classes were made: a superclass comes before its subclasses.
CREATE TABLE class (
    seq       INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL COLLATE NOCASE,
    name      TEXT NOT NULL COLLATE NOCASE,
    form      BLOB NOT NULL,
    UNIQUE (namespace, name)
) STRICT;

CREATE TABLE instance (
    namespace TEXT NOT NULL COLLATE NOCASE,
    class     TEXT NOT NULL COLLATE NOCASE,
    -- The keys in one fixed order and spelling.
    key       TEXT NOT NULL,
    form      BLOB NOT NULL,
    PRIMARY KEY (namespace, class, key)
) STRICT, WITHOUT ROWID;
