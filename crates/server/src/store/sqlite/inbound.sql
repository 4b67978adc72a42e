-- What handsets sent to our numbers. A part waits for the others until `wait_until`; the first of a
-- message that was joined holds its whole text. Rows without a text tell a repeat.
CREATE TABLE inbound (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    account INTEGER NOT NULL,
    number INTEGER,
    number_key INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    text BLOB,
    reference INTEGER,
    total INTEGER,
    part INTEGER,
    wait_until INTEGER,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX inbound_digest ON inbound (digest);
CREATE INDEX inbound_waiting ON inbound (number_key, account, recipient, reference)
    WHERE wait_until IS NOT NULL;

-- When a number was last answered to HELP.
CREATE TABLE help_answer (
    campaign INTEGER NOT NULL,
    number_key INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (campaign, number_key)
) STRICT, WITHOUT ROWID;
