-- Lifetimes of volumes in the kernel, each surely over before the next began: what was written in one and read again in
-- another was read after an unmount. Where that is not sure, one row goes on.
CREATE TABLE mount (
  id INTEGER PRIMARY KEY, volume_id TEXT NOT NULL REFERENCES volume(id), point BLOB NOT NULL,
  boot TEXT, superblock INTEGER, disk INTEGER, first_mount INTEGER, last_mount INTEGER, -- disk/lifetime.rs
  seen_at TEXT NOT NULL, ejected_at TEXT,
  over INTEGER NOT NULL DEFAULT 0 CHECK (over IN (0,1)), -- the kernel had let go of it when it was ejected
  row_sum BLOB
) STRICT;
CREATE INDEX mount_volume ON mount(volume_id);
-- In which one the bytes were written, or first seen. Summed with its row when it is there.
ALTER TABLE copy ADD COLUMN written_on INTEGER REFERENCES mount(id);
ALTER TABLE part_proof ADD COLUMN begun_on INTEGER REFERENCES mount(id);
UPDATE schema_doc SET text = replace(text, 'retired |', 'retired | ejected |')
WHERE object = 'custody_log' AND column = 'act';
