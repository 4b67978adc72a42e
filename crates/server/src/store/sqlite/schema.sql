-- Version 1. Keys are ordered by time, so that inserts touch the right edge of each tree only.
CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    balance INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_key (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    signature BLOB,
    signature_method TEXT NOT NULL,
    label TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE number (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id),
    value TEXT NOT NULL,
    countries TEXT NOT NULL,
    fallback INTEGER NOT NULL,
    campaign TEXT
) STRICT;

CREATE TABLE template (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id),
    position INTEGER,
    locale TEXT,
    text TEXT NOT NULL
) STRICT;

CREATE TABLE price (
    account INTEGER,
    item TEXT NOT NULL,
    prefix TEXT NOT NULL,
    amount INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX price_line ON price (coalesce(account, 0), item, prefix);

CREATE TABLE opt_out (
    campaign INTEGER NOT NULL,
    number_key INTEGER NOT NULL,
    number INTEGER,
    opted_in_at INTEGER,
    opted_out_at INTEGER,
    PRIMARY KEY (campaign, number_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE barred (
    number_key INTEGER PRIMARY KEY,
    number INTEGER,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE secret (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The sum of an account's entries is its balance.
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject BLOB,
    credit_key TEXT,
    at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX ledger_credit ON ledger (account, credit_key) WHERE credit_key IS NOT NULL;

CREATE TABLE verification (
    id BLOB PRIMARY KEY,
    account INTEGER NOT NULL,
    number INTEGER,
    number_key INTEGER NOT NULL,
    prefix_key INTEGER NOT NULL,
    price INTEGER NOT NULL,
    wake_at INTEGER,
    code BLOB,
    record TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX verification_open ON verification (wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL,
    number INTEGER,
    number_key INTEGER NOT NULL,
    prefix_key INTEGER NOT NULL,
    wake_at INTEGER,
    text BLOB,
    record TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX message_open ON message (wake_at) WHERE wake_at IS NOT NULL;

-- What waits to be sent. Until `due_at`, whoever leased it has the time to send it.
CREATE TABLE outbox (
    subject BLOB NOT NULL,
    step INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    PRIMARY KEY (subject, step)
) STRICT, WITHOUT ROWID;

-- What waits to be told to an account. It names the machine and holds no number. It came about
-- at `happened_at`; its tries are counted from `created_at`, which a replay moves.
CREATE TABLE webhook (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    url TEXT,
    subject BLOB NOT NULL,
    notice TEXT NOT NULL,
    happened_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    leased_from INTEGER,
    tries INTEGER NOT NULL,
    part INTEGER NOT NULL,
    error TEXT,
    dead_at INTEGER
) STRICT;
CREATE INDEX webhook_waiting ON webhook (account, endpoint, due_at) WHERE dead_at IS NULL;

CREATE TABLE idempotency (
    account INTEGER NOT NULL,
    key BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    subject BLOB NOT NULL,
    price INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (account, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (at);
