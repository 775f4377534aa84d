-- The contract with everyone's own SQL: these views stay, the tables below them may change. Plain SQL only, so that
-- any SQLite program can read them.
CREATE VIEW cards AS
SELECT c.id AS card, c.roll, c.source_kind, c.layout, c.source_path, c.disk_text AS disk, v.label AS volume_label,
       v.fs_type, c.file_count AS files, c.byte_count AS bytes,
       (SELECT count(*) FROM clip k WHERE k.card_id = c.id) AS clips,
       c.first_seen_at, c.seen_at, c.seen_as_recorded, j.step, j.hold, j.hold_note
FROM card c JOIN volume v ON v.id = c.volume_id LEFT JOIN job j ON j.card_id = c.id AND j.done_at IS NULL;

CREATE VIEW files AS
SELECT f.card_id AS card, c.roll, f.relpath_text AS relpath, f.size_bytes, f.mtime_ns,
       lower(hex(f.blake3)) AS blake3, f.digests, f.equal_reads, f.unstable, f.first_read_at, f.last_read_at
FROM card_file f JOIN card c ON c.id = f.card_id;

CREATE VIEW copies AS
SELECT y.card_id AS card, c.roll, f.relpath_text AS relpath, r.destination,
       rtrim(CAST(v.last_mount AS TEXT), '/') || '/' ||
         CASE WHEN length(r.root) = 0 THEN '' ELSE CAST(r.root AS TEXT) || '/' END || f.relpath_text AS path,
       r.disk_text AS disk, y.state, y.read_back, y.proven_at, y.checked_at, f.size_bytes, y.note,
       r.id AS copy_root, r.retired_at
FROM copy y JOIN card c ON c.id = y.card_id JOIN card_file f ON f.card_id = y.card_id AND f.relpath = y.relpath
JOIN copy_root r ON r.id = y.copy_root_id JOIN volume v ON v.id = r.volume_id;

CREATE VIEW clips AS
SELECT k.id AS clip, k.card_id AS card, k.name, k.roll, nullif(k.camera, '') AS camera, k.reel,
       k.start_tc, k.start_frame, k.tc_drop, k.end_tc, k.duration_frames, k.duration_ms, k.fps, k.fps_num, k.fps_den,
       k.width, k.height, k.video_codec, k.video_profile, k.pixel_format, k.bit_depth, k.audio_channels, k.container,
       k.recorded_at, k.rating, k.circled, k.scene, k.take, k.keywords, k.notes, k.media, k.media_note,
       (SELECT count(*) FROM clip_file x WHERE x.clip_id = k.id) AS files,
       (SELECT p.path FROM proxy p WHERE p.clip_id = k.id AND p.preset = 'web' AND p.state = 'ok') AS proxy,
       (SELECT p.path FROM proxy p WHERE p.clip_id = k.id AND p.preset = 'poster' AND p.state = 'ok') AS poster
FROM clip k;

CREATE VIEW proxies AS
SELECT p.clip_id AS clip, k.name, k.roll, p.preset, p.path, p.state, p.note FROM proxy p JOIN clip k ON k.id = p.clip_id;

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
UNION ALL
SELECT j.card_id, c.roll, 'hold', j.hold, c.source_path, NULL, j.hold_note, j.started_at
FROM job j JOIN card c ON c.id = j.card_id WHERE j.done_at IS NULL AND j.hold IS NOT NULL
UNION ALL
SELECT r.card_id, c.roll, 'hold', r.hold, r.path, NULL, r.hold_note, r.created_at
FROM copy_root r JOIN card c ON c.id = r.card_id WHERE r.hold IS NOT NULL AND r.retired_at IS NULL
UNION ALL
SELECT k.card_id, k.roll, 'media', k.media, NULL, k.name, k.media_note, NULL
FROM clip k WHERE k.media IN ('failed','unsupported');

CREATE VIEW reverify_due AS
SELECT y.card_id AS card, c.roll, r.destination, r.path AS copy, f.relpath_text AS relpath, f.size_bytes, y.state,
       y.read_back, y.proven_at, y.checked_at
FROM copy y JOIN card c ON c.id = y.card_id JOIN copy_root r ON r.id = y.copy_root_id
JOIN card_file f ON f.card_id = y.card_id AND f.relpath = y.relpath
WHERE y.state IN ('proven','failed') AND r.retired_at IS NULL
ORDER BY y.state = 'failed', y.checked_at;

CREATE TABLE schema_doc (object TEXT NOT NULL, column TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (object, column))
  STRICT, WITHOUT ROWID;
INSERT INTO schema_doc VALUES
('cards','','one row a card content: a listing seen at one place'),
('cards','card','id, UUIDv7'), ('cards','roll','name on the slate, e.g. A001; may repeat'),
('cards','source_kind','card | folder | registered'), ('cards','layout','camera family, or generic'),
('cards','source_path','where it was read'), ('cards','disk','physical disk it lay on'),
('cards','volume_label','label of its filesystem'), ('cards','fs_type','type of its filesystem'),
('cards','files','files that are copied'), ('cards','bytes','bytes of them'), ('cards','clips','recordings'),
('cards','first_seen_at','UTC'), ('cards','seen_at','last look, UTC'),
('cards','seen_as_recorded','1: that look found it as recorded'),
('cards','step','work still to do; null: none'), ('cards','hold','why it waits for a person'),
('cards','hold_note','the same in words'),
('files','','one row a regular file of a card'), ('files','card','id'), ('files','roll','of the card'),
('files','relpath','below the card''s root; odd bytes as \xNN'), ('files','size_bytes',''),
('files','mtime_ns','nanoseconds since 1970, UTC'), ('files','blake3','lower-case hex'),
('files','digests','format:value, separated by a space'),
('files','equal_reads','full reads of the card that agreed'), ('files','unstable','1: reads disagreed'),
('files','first_read_at','UTC'), ('files','last_read_at','UTC'),
('copies','','one row a file and destination'), ('copies','card','id'), ('copies','roll','of the card'),
('copies','relpath','below the copy''s root'), ('copies','destination','as it was named'),
('copies','path','absolute, where the volume was last mounted'), ('copies','disk','physical disk'),
('copies','state','planned | proven | failed | conflict'),
('copies','read_back','how strong the proof is: cache < server < device < remounted'),
('copies','proven_at','time of that proof, UTC'), ('copies','checked_at','last equal comparison of any strength, UTC'),
('copies','size_bytes',''), ('copies','note','why it failed'), ('copies','copy_root','id of the folder'),
('copies','retired_at','set: the copy is meant to be gone'),
('clips','','one row a recording'), ('clips','clip','id, UUIDv7'), ('clips','card','id'), ('clips','name',''),
('clips','roll','of the card'), ('clips','camera','make and model, else the letter of the roll'),
('clips','reel','as the clip itself says'), ('clips','start_tc','text, ; before the frames: drop-frame'),
('clips','start_frame','the same in frames since midnight'), ('clips','tc_drop','1: drop-frame'),
('clips','end_tc','first frame after the clip'), ('clips','duration_frames',''), ('clips','duration_ms','milliseconds'),
('clips','fps','decimal text, 23.976'), ('clips','fps_num','exact rate'), ('clips','fps_den','exact rate'),
('clips','width','pixels'), ('clips','height','pixels'), ('clips','video_codec','libav''s name'),
('clips','video_profile','libav''s name'), ('clips','pixel_format','libav''s name'), ('clips','bit_depth',''),
('clips','audio_channels','over all streams'), ('clips','container','libav''s name'), ('clips','recorded_at','UTC'),
('clips','rating','0 to 5'), ('clips','circled','1: circle take'), ('clips','scene',''), ('clips','take',''),
('clips','keywords','JSON list'), ('clips','notes',''),
('clips','media','pending | ok | unsupported | failed | skipped'), ('clips','media_note','why'),
('clips','files','number of files'), ('clips','proxy','path of the web proxy'), ('clips','poster','path of the still'),
('proxies','','one row a clip and preset'), ('proxies','clip','id'), ('proxies','name','of the clip'),
('proxies','roll','of the card'), ('proxies','preset',''), ('proxies','path','absolute'),
('proxies','state','pending | ok | unsupported | failed | skipped'), ('proxies','note','why'),
('problems','','all that needs a person'), ('problems','card','id'), ('problems','roll','of the card'),
('problems','problem','finding | warning | copy | hold | media'), ('problems','kind','which'),
('problems','place','card or copy'), ('problems','relpath','file or clip'), ('problems','text','in words'),
('problems','since','UTC'),
('reverify_due','','copies in the order in which they should be proven again'), ('reverify_due','card','id'),
('reverify_due','roll','of the card'), ('reverify_due','destination','as it was named'),
('reverify_due','copy','root of the copy'), ('reverify_due','relpath','below it'), ('reverify_due','size_bytes',''),
('reverify_due','state','proven | failed'), ('reverify_due','read_back','strength of the last proof'),
('reverify_due','proven_at','UTC'), ('reverify_due','checked_at','UTC');
