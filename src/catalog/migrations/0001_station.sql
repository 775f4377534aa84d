-- Times are RFC 3339 text in UTC with milliseconds, so that text order is time order. Paths below a root are BLOBs
-- (raw bytes); *_text columns are the same for people.
-- row_sum: BLAKE3 over the row's evidence columns, see rowsum.rs; a row whose sum fails proves nothing.
PRAGMA application_id = 1196377940; -- "GOGT"

CREATE TABLE station (
  only INTEGER PRIMARY KEY CHECK (only = 1), id TEXT NOT NULL,
  sequence INTEGER NOT NULL -- rises with every write; a catalog that was rolled back shows a lower one
) STRICT;
INSERT INTO station VALUES (1, lower(hex(randomblob(16))), 0);

CREATE TABLE volume (
  id TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, fs_type TEXT NOT NULL, label TEXT, disk TEXT NOT NULL,
  last_mount BLOB NOT NULL, seen_at TEXT NOT NULL
) STRICT;

CREATE TABLE card (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, roll TEXT NOT NULL,
  source_kind TEXT NOT NULL CHECK (source_kind IN ('card','folder','registered')),
  layout TEXT NOT NULL, volume_id TEXT NOT NULL REFERENCES volume(id), root BLOB NOT NULL,
  source_path TEXT NOT NULL, disk_id TEXT, disk_text TEXT NOT NULL,
  same_device INTEGER NOT NULL DEFAULT 0 CHECK (same_device IN (0,1)),
  accept_server INTEGER NOT NULL DEFAULT 0 CHECK (accept_server IN (0,1)),
  no_source_reread INTEGER NOT NULL DEFAULT 0 CHECK (no_source_reread IN (0,1)),
  listed_twice_equal INTEGER NOT NULL DEFAULT 0 CHECK (listed_twice_equal IN (0,1)),
  first_seen_at TEXT NOT NULL,
  seen_at TEXT, seen_as_recorded INTEGER NOT NULL DEFAULT 0 CHECK (seen_as_recorded IN (0,1)), seen_note TEXT,
  file_count INTEGER NOT NULL DEFAULT 0, byte_count INTEGER NOT NULL DEFAULT 0,
  warning_count INTEGER NOT NULL DEFAULT 0, -- a lost warning row must not make a card look safe
  row_sum BLOB
) STRICT;
CREATE INDEX card_place ON card(volume_id, root);
CREATE INDEX card_roll ON card(roll);

CREATE TABLE card_file (
  card_id TEXT NOT NULL REFERENCES card(id), relpath BLOB NOT NULL, relpath_text TEXT NOT NULL,
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0), mtime_ns INTEGER NOT NULL,
  blake3 BLOB CHECK (length(blake3) = 32), digests TEXT, -- digests: 'xxh64:26c7... md5:...'
  blocks_sum BLOB CHECK (length(blocks_sum) = 32),       -- BLAKE3 of the row in file_blocks
  equal_reads INTEGER NOT NULL DEFAULT 0 CHECK (equal_reads >= 0),
  unstable INTEGER NOT NULL DEFAULT 0 CHECK (unstable IN (0,1)),
  first_read_at TEXT, last_read_at TEXT, row_sum BLOB,
  PRIMARY KEY (card_id, relpath)
) STRICT, WITHOUT ROWID;
CREATE TABLE file_blocks ( -- apart: 32 bytes for each MiB, read only when damage must be located
  card_id TEXT NOT NULL, relpath BLOB NOT NULL, blocks BLOB NOT NULL,
  UNIQUE (card_id, relpath), FOREIGN KEY (card_id, relpath) REFERENCES card_file(card_id, relpath)
) STRICT;
CREATE TABLE card_entry ( -- what is on the card and is no regular file that is copied
  card_id TEXT NOT NULL REFERENCES card(id), relpath BLOB NOT NULL, relpath_text TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('folder','symlink','fifo','socket','device','mount','skipped')),
  PRIMARY KEY (card_id, relpath)
) STRICT, WITHOUT ROWID;

CREATE TABLE warning (
  card_id TEXT NOT NULL REFERENCES card(id), id TEXT NOT NULL, text TEXT NOT NULL, raised_at TEXT NOT NULL,
  accepted_at TEXT, accepted_note TEXT, row_sum BLOB, PRIMARY KEY (card_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE copy_root (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, card_id TEXT NOT NULL REFERENCES card(id),
  volume_id TEXT NOT NULL REFERENCES volume(id),
  root BLOB NOT NULL, destination TEXT NOT NULL, path TEXT NOT NULL, disk_id TEXT, disk_text TEXT NOT NULL,
  step TEXT NOT NULL DEFAULT 'offload', hold TEXT, hold_note TEXT,
  sealed INTEGER NOT NULL DEFAULT 0 CHECK (sealed IN (0,1)),
  seen_at TEXT, seen_as_recorded INTEGER NOT NULL DEFAULT 0 CHECK (seen_as_recorded IN (0,1)), seen_note TEXT,
  created_at TEXT NOT NULL, retired_at TEXT, retired_reason TEXT, row_sum BLOB,
  UNIQUE (card_id, volume_id, root)
) STRICT;
CREATE INDEX copy_root_place ON copy_root(volume_id, root);

CREATE TABLE copy (
  copy_root_id TEXT NOT NULL REFERENCES copy_root(id), relpath BLOB NOT NULL, card_id TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('planned','proven','failed','conflict')),
  job_id TEXT NOT NULL, temp BLOB, size_bytes INTEGER CHECK (size_bytes >= 0), mtime_ns INTEGER,
  read_back TEXT CHECK (read_back IN ('cache','server','device','remounted')),
  proven_at TEXT, checked_at TEXT, -- a later, weaker check moves checked_at only
  blake3 BLOB CHECK (length(blake3) = 32), note TEXT, row_sum BLOB,
  CHECK (state <> 'proven' OR (read_back IS NOT NULL AND proven_at IS NOT NULL AND blake3 IS NOT NULL
         AND size_bytes IS NOT NULL AND mtime_ns IS NOT NULL)),
  PRIMARY KEY (copy_root_id, relpath), FOREIGN KEY (card_id, relpath) REFERENCES card_file(card_id, relpath)
) STRICT, WITHOUT ROWID;
CREATE INDEX copy_card ON copy(card_id, relpath);
CREATE INDEX copy_due ON copy(checked_at) WHERE state IN ('proven','failed');
CREATE INDEX copy_temp ON copy(card_id) WHERE temp IS NOT NULL;

CREATE TABLE generation (
  copy_root_id TEXT NOT NULL REFERENCES copy_root(id), number INTEGER NOT NULL CHECK (number > 0),
  manifest BLOB NOT NULL, c4 TEXT NOT NULL, sealed_at TEXT NOT NULL, sequence INTEGER NOT NULL,
  PRIMARY KEY (copy_root_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE finding (
  id INTEGER PRIMARY KEY, card_id TEXT NOT NULL REFERENCES card(id), copy_root_id TEXT REFERENCES copy_root(id),
  kind TEXT NOT NULL CHECK (kind IN ('missing','altered','unreadable','extra','unstable')),
  relpath BLOB NOT NULL, relpath_text TEXT NOT NULL, copy_path TEXT NOT NULL,
  blocks TEXT NOT NULL, -- JSON: [[offset_bytes, length_bytes], ...]
  mtime_changed INTEGER NOT NULL CHECK (mtime_changed IN (0,1)), timecode TEXT, note TEXT NOT NULL,
  seen_at TEXT NOT NULL, cleared_at TEXT
) STRICT;
CREATE INDEX finding_open ON finding(card_id) WHERE cleared_at IS NULL;

CREATE TABLE job (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, card_id TEXT NOT NULL REFERENCES card(id),
  step TEXT NOT NULL CHECK (step IN ('settle','offload','seal','describe','derive','done')), hold TEXT, hold_note TEXT,
  attempts INTEGER NOT NULL DEFAULT 0, next_at TEXT, request TEXT NOT NULL, started_at TEXT NOT NULL,
  done_at TEXT
) STRICT;
CREATE UNIQUE INDEX job_open ON job(card_id) WHERE done_at IS NULL;
CREATE TABLE job_log (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT, card_id TEXT, at TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE INDEX job_log_card ON job_log(card_id);

CREATE TABLE clip (
  rowid INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, card_id TEXT NOT NULL REFERENCES card(id), name TEXT NOT NULL,
  roll TEXT NOT NULL, camera TEXT NOT NULL DEFAULT '', camera_letter TEXT NOT NULL DEFAULT '',
  media TEXT NOT NULL DEFAULT 'pending' CHECK (media IN ('pending','ok','unsupported','failed','skipped')),
  media_note TEXT,
  container TEXT, video_codec TEXT, video_profile TEXT, width INTEGER, height INTEGER,
  fps TEXT, fps_num INTEGER, fps_den INTEGER, average_fps_num INTEGER, average_fps_den INTEGER,
  pixel_format TEXT, bit_depth INTEGER, primaries TEXT, transfer TEXT, matrix TEXT, range TEXT, rotation_deg INTEGER,
  pixel_aspect_num INTEGER, pixel_aspect_den INTEGER,
  audio TEXT NOT NULL DEFAULT '[]', audio_channels INTEGER,
  start_tc TEXT, start_frame INTEGER, tc_drop INTEGER, tc_source TEXT, end_tc TEXT,
  duration_frames INTEGER, duration_ms INTEGER, time_reference INTEGER,
  reel TEXT, camera_make TEXT, camera_model TEXT, recorded_at TEXT,
  tags TEXT NOT NULL DEFAULT '[]', -- JSON: [[key, value], ...] as the container has them
  rating INTEGER CHECK (rating BETWEEN 0 AND 5), circled INTEGER NOT NULL DEFAULT 0 CHECK (circled IN (0,1)),
  scene TEXT, take TEXT, keywords TEXT NOT NULL DEFAULT '[]', notes TEXT NOT NULL DEFAULT '',
  tokens TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX clip_name ON clip(name); -- names repeat, also within a card: each folder of a camera may begin anew
CREATE INDEX clip_card ON clip(card_id, name);
CREATE TABLE clip_file (
  clip_id TEXT NOT NULL REFERENCES clip(id), ord INTEGER NOT NULL, card_id TEXT NOT NULL, relpath BLOB NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('essence','audio','sidecar','proxy','thumb')),
  PRIMARY KEY (clip_id, ord), FOREIGN KEY (card_id, relpath) REFERENCES card_file(card_id, relpath)
) STRICT, WITHOUT ROWID;
CREATE INDEX clip_file_place ON clip_file(card_id, relpath);
CREATE TABLE proxy (
  clip_id TEXT NOT NULL REFERENCES clip(id), preset TEXT NOT NULL, path TEXT,
  state TEXT NOT NULL CHECK (state IN ('pending','ok','unsupported','failed','skipped')), note TEXT,
  PRIMARY KEY (clip_id, preset)
) STRICT, WITHOUT ROWID;

-- External content: the text lies once, in clip; the triggers keep the index equal to it.
CREATE VIRTUAL TABLE clip_fts USING fts5(
  tokens, name, roll, camera, notes, content='clip', content_rowid='rowid',
  tokenize="unicode61 remove_diacritics 2", prefix='2 3'
);
CREATE TRIGGER clip_fts_insert AFTER INSERT ON clip BEGIN
  INSERT INTO clip_fts(rowid, tokens, name, roll, camera, notes)
  VALUES (new.rowid, new.tokens, new.name, new.roll, new.camera, new.notes);
END;
CREATE TRIGGER clip_fts_delete AFTER DELETE ON clip BEGIN
  INSERT INTO clip_fts(clip_fts, rowid, tokens, name, roll, camera, notes)
  VALUES ('delete', old.rowid, old.tokens, old.name, old.roll, old.camera, old.notes);
END;
CREATE TRIGGER clip_fts_update AFTER UPDATE OF tokens, name, roll, camera, notes ON clip BEGIN
  INSERT INTO clip_fts(clip_fts, rowid, tokens, name, roll, camera, notes)
  VALUES ('delete', old.rowid, old.tokens, old.name, old.roll, old.camera, old.notes);
  INSERT INTO clip_fts(rowid, tokens, name, roll, camera, notes)
  VALUES (new.rowid, new.tokens, new.name, new.roll, new.camera, new.notes);
END;
