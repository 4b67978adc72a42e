-- Version 2. What carriers call the parts of attempts that wait for a receipt, and receipts that
-- came before the answer to their submit. Both stay small: a part's row goes with its final receipt.
CREATE TABLE carrier_part (
    key INTEGER NOT NULL,
    at INTEGER NOT NULL,
    subject BLOB NOT NULL,
    step INTEGER NOT NULL,
    part INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    PRIMARY KEY (key, at, subject, step, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX carrier_part_age ON carrier_part (at);

CREATE TABLE early_receipt (
    id INTEGER PRIMARY KEY,
    key INTEGER NOT NULL,
    receipt TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX early_receipt_key ON early_receipt (key);
CREATE INDEX early_receipt_age ON early_receipt (at);

-- The links that were passed over in earlier tries, as JSON.
ALTER TABLE outbox ADD COLUMN passed_over TEXT;
