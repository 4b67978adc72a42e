-- Version 4. What operators set while the server runs, and the figures of what became of attempts.
CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for a period and whose figures they are; period is its length in seconds. Counters only
-- ever grow. w0 to w12 are the waits for receipts, by the buckets of the histogram.
CREATE TABLE figure (
    period INTEGER NOT NULL,
    at INTEGER NOT NULL,
    route TEXT NOT NULL,
    link TEXT NOT NULL,
    channel TEXT NOT NULL,
    country TEXT NOT NULL,
    network TEXT NOT NULL,
    grade TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    expired INTEGER NOT NULL,
    converted INTEGER NOT NULL,
    w0 INTEGER NOT NULL,
    w1 INTEGER NOT NULL,
    w2 INTEGER NOT NULL,
    w3 INTEGER NOT NULL,
    w4 INTEGER NOT NULL,
    w5 INTEGER NOT NULL,
    w6 INTEGER NOT NULL,
    w7 INTEGER NOT NULL,
    w8 INTEGER NOT NULL,
    w9 INTEGER NOT NULL,
    w10 INTEGER NOT NULL,
    w11 INTEGER NOT NULL,
    w12 INTEGER NOT NULL,
    PRIMARY KEY (period, at, route, link, channel, country, network, grade)
) STRICT, WITHOUT ROWID;
