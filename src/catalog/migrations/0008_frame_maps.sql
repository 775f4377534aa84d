-- Which frames lie in which part of a clip's file, so that damage can be told in timecode. Not evidence: read again from
-- the file at any time. `map` is packed, see the module `frames`.
CREATE TABLE frame_map (
  card_id TEXT NOT NULL, relpath BLOB NOT NULL, clip_id TEXT NOT NULL REFERENCES clip(id),
  frames_before INTEGER NOT NULL, -- of the clip, in files before this one
  frames INTEGER NOT NULL, cell_bytes INTEGER NOT NULL, map BLOB NOT NULL,
  PRIMARY KEY (card_id, relpath),
  FOREIGN KEY (card_id, relpath) REFERENCES card_file(card_id, relpath)
) STRICT;
CREATE INDEX frame_map_clip ON frame_map(clip_id);
