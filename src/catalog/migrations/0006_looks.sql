-- Which look a proxy was made with: a changed look makes it anew.
ALTER TABLE proxy ADD COLUMN look TEXT CHECK (look IS NULL OR json_valid(look));

DROP VIEW proxies;
CREATE VIEW proxies AS
SELECT p.clip_id AS clip, k.name, k.roll, p.preset, p.path, p.state, p.note, p.look
FROM proxy p JOIN clip k ON k.id = p.clip_id;

INSERT INTO schema_doc (object, column, text) VALUES
('proxies','look','what was done to its pictures, as JSON: name, lut (file, blake3), cdl, colour, burn_in; NULL: nothing');
