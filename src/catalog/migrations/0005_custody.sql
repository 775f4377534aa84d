-- The custody log: who did what to which copy, when, with which program. Rows are added and never changed; each holds a
-- hash over itself and the one before (custody.rs), and the station knows the last: a removed, edited or cut-off row shows.
CREATE TABLE custody (
  seq INTEGER PRIMARY KEY CHECK (seq > 0), -- without gaps
  at TEXT NOT NULL, who TEXT NOT NULL, version TEXT NOT NULL, act TEXT NOT NULL,
  card_id TEXT, job_id TEXT, copy_root_id TEXT, device TEXT, relpath BLOB, text TEXT NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX custody_card ON custody(card_id);
CREATE TRIGGER custody_kept BEFORE DELETE ON custody BEGIN
  SELECT RAISE(ABORT, 'the custody log is only added to');
END;
CREATE TRIGGER custody_unchanged BEFORE UPDATE ON custody BEGIN
  SELECT RAISE(ABORT, 'the custody log is only added to');
END;
ALTER TABLE station ADD COLUMN custody_rows INTEGER NOT NULL DEFAULT 0;
ALTER TABLE station ADD COLUMN custody_hash BLOB;

-- Repairs under way: written before the first byte, gone when the repair is sealed. temp: beside the file, below the
-- roll's folder, or the journal of a repair in place, below the folder around it.
CREATE TABLE repair (
  copy_root_id TEXT NOT NULL REFERENCES copy_root(id), relpath BLOB NOT NULL, temp BLOB NOT NULL,
  in_place INTEGER NOT NULL CHECK (in_place IN (0,1)), keep INTEGER NOT NULL CHECK (keep IN (0,1)),
  bytes_written INTEGER NOT NULL DEFAULT 0 CHECK (bytes_written >= 0), begun_at TEXT NOT NULL,
  PRIMARY KEY (copy_root_id, relpath)
) STRICT, WITHOUT ROWID;

-- Single copies that are meant to be gone; a whole folder has its own columns.
CREATE TABLE retired_copy (
  copy_root_id TEXT NOT NULL REFERENCES copy_root(id), relpath BLOB NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL,
  row_sum BLOB, PRIMARY KEY (copy_root_id, relpath)
) STRICT, WITHOUT ROWID;

-- Copies that a person changed on purpose. They stay unproven: their bytes are not the card's.
CREATE TABLE accepted_copy (
  copy_root_id TEXT NOT NULL REFERENCES copy_root(id), relpath BLOB NOT NULL, size_bytes INTEGER NOT NULL,
  blake3 BLOB NOT NULL CHECK (length(blake3) = 32), note TEXT NOT NULL, at TEXT NOT NULL,
  row_sum BLOB, PRIMARY KEY (copy_root_id, relpath)
) STRICT, WITHOUT ROWID;

-- How far a large copy was proven again when a pass ended.
CREATE TABLE part_proof (
  copy_root_id TEXT NOT NULL REFERENCES copy_root(id), relpath BLOB NOT NULL, size_bytes INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL, reached_bytes INTEGER NOT NULL, bad TEXT NOT NULL, -- JSON: numbers of blocks
  begun_at TEXT NOT NULL, row_sum BLOB, PRIMARY KEY (copy_root_id, relpath)
) STRICT, WITHOUT ROWID;

CREATE VIEW custody_log AS
SELECT u.seq, u.at, u.who, u.version, u.act, u.card_id AS card, c.roll, u.job_id AS job, r.path AS copy, u.device,
       CAST(u.relpath AS TEXT) AS relpath, u.text, lower(hex(u.hash)) AS hash
FROM custody u LEFT JOIN card c ON c.id = u.card_id LEFT JOIN copy_root r ON r.id = u.copy_root_id;

INSERT INTO schema_doc (object, column, text) VALUES
('custody_log','','who did what to which copy, in the order in which it was written down'),
('custody_log','seq','number, without gaps'), ('custody_log','at','UTC, as the clock said'),
('custody_log','who','user@host'), ('custody_log','version','of the program'),
('custody_log','act','read | wrote | proved | found | repaired | sealed | accepted | retired | job | note'),
('custody_log','card','id'), ('custody_log','roll','of the card'), ('custody_log','job','id'),
('custody_log','copy','folder of the roll'), ('custody_log','device','physical disk'),
('custody_log','relpath','file, where it is of one'), ('custody_log','text','in words'),
('custody_log','hash','BLAKE3 over this row and the hash of the one before');
