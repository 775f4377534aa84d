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

-- What is meant to be gone is no work to do, and what was changed on purpose is no problem.
DROP VIEW reverify_due;
CREATE VIEW reverify_due AS
SELECT y.card_id AS card, c.roll, r.destination, r.path AS copy, f.relpath_text AS relpath, f.size_bytes, y.state,
       y.read_back, y.proven_at, y.checked_at
FROM copy y JOIN card c ON c.id = y.card_id JOIN copy_root r ON r.id = y.copy_root_id
JOIN card_file f ON f.card_id = y.card_id AND f.relpath = y.relpath
WHERE y.state IN ('proven','failed') AND r.retired_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM retired_copy x WHERE x.copy_root_id = y.copy_root_id AND x.relpath = y.relpath)
ORDER BY y.state = 'failed', y.checked_at;
DROP VIEW problems;
CREATE VIEW problems AS
SELECT x.card_id AS card, c.roll, 'finding' AS problem, x.kind, x.copy_path AS place, x.relpath_text AS relpath,
       x.note AS text, x.seen_at AS since
FROM finding x JOIN card c ON c.id = x.card_id WHERE x.cleared_at IS NULL
UNION ALL
SELECT w.card_id, c.roll, 'warning', w.id, c.source_path, NULL, w.text, w.raised_at
FROM warning w JOIN card c ON c.id = w.card_id WHERE w.accepted_at IS NULL
UNION ALL
SELECT y.card_id, c.roll, 'copy', y.state, r.path, f.relpath_text, y.note, y.checked_at
FROM copy y JOIN card c ON c.id = y.card_id JOIN copy_root r ON r.id = y.copy_root_id
JOIN card_file f ON f.card_id = y.card_id AND f.relpath = y.relpath
WHERE y.state IN ('failed','conflict') AND r.retired_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM retired_copy x WHERE x.copy_root_id = y.copy_root_id AND x.relpath = y.relpath)
  AND NOT EXISTS (SELECT 1 FROM accepted_copy x WHERE x.copy_root_id = y.copy_root_id AND x.relpath = y.relpath)
UNION ALL
SELECT j.card_id, c.roll, 'hold', j.hold, c.source_path, NULL, j.hold_note, j.started_at
FROM job j JOIN card c ON c.id = j.card_id WHERE j.done_at IS NULL AND j.hold IS NOT NULL
UNION ALL
SELECT r.card_id, c.roll, 'hold', r.hold, r.path, NULL, r.hold_note, r.created_at
FROM copy_root r JOIN card c ON c.id = r.card_id WHERE r.hold IS NOT NULL AND r.retired_at IS NULL
UNION ALL
SELECT k.card_id, k.roll, 'media', k.media, NULL, k.name, k.media_note, NULL
FROM clip k WHERE k.media IN ('failed','unsupported');

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
