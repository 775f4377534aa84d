-- When patrols of everything began, and what passes of any kind read from each disk in which time: from these it is
-- computed how soon every copy is proven again. Only the last ones are kept.
CREATE TABLE patrol_run (seq INTEGER PRIMARY KEY, at TEXT NOT NULL) STRICT;
CREATE TABLE disk_read (
  seq INTEGER PRIMARY KEY, disk TEXT NOT NULL, at TEXT NOT NULL,
  bytes INTEGER NOT NULL CHECK (bytes > 0), ms INTEGER NOT NULL CHECK (ms > 0)
) STRICT;
CREATE INDEX disk_read_disk ON disk_read(disk);
-- What the webhook of [notify] was not told yet. A row goes when it was told; a dead one is not tried again.
CREATE TABLE notice (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at TEXT NOT NULL, body TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0), note TEXT, dead_at TEXT
) STRICT;
