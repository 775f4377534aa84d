-- Moments when the catalog was put back: restored from a backup, found older than one, or rebuilt. What was proven until
-- then proves nothing any more until it is read again (doubt.rs). Each time the catalog gets another id: backups of what
-- is lost keep the old one.
CREATE TABLE doubt (
  seq INTEGER PRIMARY KEY CHECK (seq > 0), -- without gaps
  kind TEXT NOT NULL CHECK (kind IN ('restored','behind','rebuilt')),
  at TEXT NOT NULL, station TEXT NOT NULL, -- the id until then
  why TEXT NOT NULL, row_sum BLOB
) STRICT;
ALTER TABLE station ADD COLUMN doubts INTEGER NOT NULL DEFAULT 0; -- a lost row must not make a card look safe
