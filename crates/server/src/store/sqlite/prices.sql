-- Calls are not charged to accounts; lines that said so were never used, and cannot be named any more.
DELETE FROM price WHERE item = 'voice';
