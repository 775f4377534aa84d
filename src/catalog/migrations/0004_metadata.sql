-- What was said of each clip, by whom, and what was chosen: names and indexes when the card is seen, libav, containers
-- and sidecars when it is described.
ALTER TABLE clip ADD COLUMN layout TEXT NOT NULL DEFAULT 'generic';
ALTER TABLE clip ADD COLUMN tc_fps_num INTEGER; -- rate that start_tc counts in: 30 of a clip of 60
ALTER TABLE clip ADD COLUMN tc_fps_den INTEGER;
ALTER TABLE clip ADD COLUMN sample_rate_hz INTEGER;
ALTER TABLE clip ADD COLUMN recorded_local TEXT;
-- As the clip itself says; what a person says stands in scene, take and circled, and wins.
ALTER TABLE clip ADD COLUMN own_scene TEXT;
ALTER TABLE clip ADD COLUMN own_take TEXT;
ALTER TABLE clip ADD COLUMN own_circled INTEGER NOT NULL DEFAULT 0 CHECK (own_circled IN (0,1));
CREATE TABLE clip_said (
  clip_id TEXT NOT NULL REFERENCES clip(id), ord INTEGER NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL,
  origin TEXT NOT NULL CHECK (origin IN ('sidecar','file','index','name','folder')), said_by TEXT NOT NULL,
  chosen INTEGER NOT NULL CHECK (chosen IN (0,1)),
  PRIMARY KEY (clip_id, ord)
) STRICT, WITHOUT ROWID;
CREATE INDEX clip_said_value ON clip_said(field, value) WHERE chosen = 1;

DROP VIEW clips;
CREATE VIEW clips AS
SELECT k.id AS clip, k.card_id AS card, k.name, k.roll, k.layout, nullif(k.camera, '') AS camera, k.reel,
       k.start_tc, k.start_frame, k.tc_drop, k.tc_source, k.end_tc, k.duration_frames, k.duration_ms,
       k.fps, k.fps_num, k.fps_den,
       k.width, k.height, k.video_codec, k.video_profile, k.pixel_format, k.bit_depth, k.audio_channels, k.container,
       k.recorded_at, k.recorded_local, k.rating, max(k.circled, k.own_circled) AS circled,
       coalesce(k.scene, k.own_scene) AS scene, coalesce(k.take, k.own_take) AS take,
       k.keywords, k.notes, k.media, k.media_note,
       (SELECT count(*) FROM clip_file x WHERE x.clip_id = k.id) AS files,
       (SELECT p.path FROM proxy p WHERE p.clip_id = k.id AND p.preset = 'web' AND p.state = 'ok') AS proxy,
       (SELECT p.path FROM proxy p WHERE p.clip_id = k.id AND p.preset = 'poster' AND p.state = 'ok') AS poster
FROM clip k;

CREATE VIEW clip_values AS
SELECT s.clip_id AS clip, k.name, k.roll, s.field, s.value, s.origin, s.said_by, s.chosen
FROM clip_said s JOIN clip k ON k.id = s.clip_id;

-- Frames since midnight at the rate that the clip's timecode counts in, all in whole numbers. A day of timecode has as
-- many frames as labels.
CREATE VIEW sound_sync AS
WITH base AS (
  SELECT k.id, k.name, k.roll, k.start_tc, k.start_frame AS start, k.duration_frames, k.fps_num, k.fps_den, k.tc_drop,
         coalesce(k.tc_fps_num, k.fps_num) AS num, coalesce(k.tc_fps_den, k.fps_den) AS den,
         coalesce(k.recorded_local, k.recorded_at) AS at
  FROM clip k
  WHERE k.width IS NOT NULL AND k.start_frame IS NOT NULL AND k.duration_frames > 0 AND k.fps_num > 0
),
picture AS (
  SELECT *, duration_frames * num * fps_den / (den * fps_num) AS frames,
         144 * (600 * ((num + den - 1) / den) - CASE WHEN tc_drop THEN 9 * ((num + den - 1) / den / 15) ELSE 0 END) AS day
  FROM base
),
sound AS (
  SELECT k.id, k.name, k.roll, k.time_reference, k.sample_rate_hz, k.duration_ms,
         coalesce(k.recorded_local, k.recorded_at) AS at
  FROM clip k
  WHERE k.width IS NULL AND k.time_reference IS NOT NULL AND k.sample_rate_hz > 0 AND k.duration_ms > 0
),
pair AS (
  SELECT p.id AS clip, p.name, p.roll, p.start_tc, s.id AS sound, s.name AS sound_name, s.roll AS sound_roll,
         p.start, p.frames, p.day, p.num, p.den,
         (s.time_reference / s.sample_rate_hz * p.num
          + s.time_reference % s.sample_rate_hz * p.num / s.sample_rate_hz) / p.den % p.day AS sound_start,
         s.duration_ms * p.num / (1000 * p.den) AS sound_frames,
         CASE WHEN p.at IS NULL OR s.at IS NULL THEN NULL
              ELSE abs(julianday(substr(p.at, 1, 10)) - julianday(substr(s.at, 1, 10))) END AS days
  FROM picture p CROSS JOIN sound s
),
placed AS (
  SELECT *, (sound_start - start + day) % day AS after, (start - sound_start + day) % day AS before
  FROM pair WHERE days IS NULL OR days <= 1
)
SELECT clip, name, roll, start_tc, sound, sound_name, sound_roll,
       CASE WHEN after <= before THEN after ELSE -before END AS offset_frames,
       CASE WHEN after < frames THEN min(frames - after, sound_frames)
            WHEN before < sound_frames THEN min(sound_frames - before, frames) ELSE 0 END AS overlap_frames,
       num AS rate_num, den AS rate_den, days IS NOT NULL AS dates_known
FROM placed WHERE after < frames + 2 OR before < sound_frames + 2;

INSERT INTO schema_doc (object, column, text) VALUES
('clips','layout','camera family of the clip, or generic'), ('clips','tc_source','who gave start_tc'),
('clips','recorded_local','as the camera''s clock said, with its offset where it has one'),
('clip_values','','every value that was said of a clip, and by whom'), ('clip_values','clip','id'),
('clip_values','name','of the clip'), ('clip_values','roll','of the card'),
('clip_values','field','iso, lens, reel, start_tc, ...'), ('clip_values','value','in the one form of its field'),
('clip_values','origin','sidecar | file | index | name | folder'),
('clip_values','said_by','which parser: libav, ixml, sony-nrt, ...'),
('clip_values','chosen','1: what goodgate goes by; 0: said as well'),
('sound_sync','','which takes of sound overlap which clips, by date and timecode; a suggestion, nothing is merged'),
('sound_sync','clip','id of the clip with the picture'), ('sound_sync','name','its name'),
('sound_sync','roll','its card'), ('sound_sync','start_tc','its first frame'),
('sound_sync','sound','id of the take of sound'), ('sound_sync','sound_name','its name'),
('sound_sync','sound_roll','its card'),
('sound_sync','offset_frames','from the clip''s first frame to the sound''s; negative: the sound began before'),
('sound_sync','overlap_frames','frames of the clip with sound; 0: they only touch, within two frames'),
('sound_sync','rate_num','exact rate of these frames'), ('sound_sync','rate_den','exact rate of these frames'),
('sound_sync','dates_known','0: one of them has no date, so only the time of day agrees');
