-- Proxies of the later files of a recording that lies in several: an editing program relinks file by file. That of the
-- first file stands in proxy.
CREATE TABLE proxy_part (
  clip_id TEXT NOT NULL REFERENCES clip(id), preset TEXT NOT NULL, file BLOB NOT NULL, path TEXT,
  state TEXT NOT NULL CHECK (state IN ('pending','ok','unsupported','failed','skipped')), note TEXT,
  look TEXT CHECK (look IS NULL OR json_valid(look)),
  PRIMARY KEY (clip_id, preset, file)
) STRICT, WITHOUT ROWID;
-- What decoding a clip showed. No verdict looks here.
CREATE TABLE qc_finding (
  clip_id TEXT NOT NULL REFERENCES clip(id), ord INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('decode-error','missing-frames','black','frozen','silent','clipped')),
  track INTEGER, channel INTEGER, from_frame INTEGER, to_frame INTEGER, from_ms INTEGER, to_ms INTEGER,
  timecode TEXT, text TEXT NOT NULL,
  PRIMARY KEY (clip_id, ord)
) STRICT, WITHOUT ROWID;

DROP VIEW proxies;
CREATE VIEW proxies AS
SELECT p.clip_id AS clip, k.name, k.roll, p.preset, p.path, p.state, p.note, p.look, NULL AS file
FROM proxy p JOIN clip k ON k.id = p.clip_id
UNION ALL
SELECT p.clip_id, k.name, k.roll, p.preset, p.path, p.state, p.note, p.look, CAST(p.file AS TEXT)
FROM proxy_part p JOIN clip k ON k.id = p.clip_id;

CREATE VIEW qc AS
SELECT q.clip_id AS clip, k.name, k.roll, q.kind, q.track, q.channel, q.from_frame, q.to_frame, q.from_ms, q.to_ms,
       q.timecode, q.text
FROM qc_finding q JOIN clip k ON k.id = q.clip_id ORDER BY q.clip_id, q.ord;

INSERT INTO schema_doc (object, column, text) VALUES
('proxies','file','of a recording in several files: the later file that the proxy stands for; null: the first, or all'),
('qc','','what decoding showed to be wrong with clips; for people, it never touches a verdict'),
('qc','clip','id'), ('qc','name','of the clip'), ('qc','roll','of the card'),
('qc','kind','decode-error | missing-frames | black | frozen | silent | clipped'),
('qc','track','of sound, counted from 1; null: the picture'), ('qc','channel','of the track, counted from 1'),
('qc','from_frame','counted from 0; null: the clip has no frame rate'), ('qc','to_frame','the last one of it'),
('qc','from_ms','milliseconds since the clip''s start'), ('qc','to_ms','end of it'),
('qc','timecode','of the first frame'), ('qc','text','in words');
