//! What was made of clips: proxies and pictures of them, and what decoding showed.

use super::error::{CatalogError, Fault};
use super::{Catalog, int, parsed, relpath};
use crate::clip::{ClipId, MediaState, ProxyFile, QcFinding};
use rusqlite::{Connection, Row, params};
use serde_json::Value;

impl Catalog {
    /// One row a clip, preset and file; a later one replaces it.
    pub fn set_proxy(&mut self, id: ClipId, proxy: &ProxyFile) -> Result<(), CatalogError> {
        self.write(|tx| {
            let (state, id) = (proxy.state.name(), id.to_string());
            let look = proxy.look.as_ref().map(Value::to_string);
            match &proxy.file {
                None => tx.execute(
                    "INSERT INTO proxy (clip_id, preset, path, state, note, look) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (clip_id, preset) DO UPDATE SET path = ?3, state = ?4, note = ?5, look = ?6",
                    params![id, proxy.preset, proxy.path, state, proxy.note, look],
                )?,
                Some(file) => tx.execute(
                    "INSERT INTO proxy_part (clip_id, preset, path, state, note, look, file)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT (clip_id, preset, file) DO UPDATE SET path = ?3, state = ?4, note = ?5, look = ?6",
                    params![id, proxy.preset, proxy.path, state, proxy.note, look, file.as_bytes()],
                )?,
            };
            Ok(())
        })
    }

    /// What was made of a clip, and what was not.
    pub fn proxies(&self, id: ClipId) -> Result<Vec<ProxyFile>, CatalogError> {
        self.read(|c| proxies_of(c, id))
    }

    /// Replaces what was found in a clip before.
    pub fn set_qc(&mut self, id: ClipId, findings: &[QcFinding]) -> Result<(), CatalogError> {
        self.write(|tx| {
            let id = id.to_string();
            tx.execute("DELETE FROM qc_finding WHERE clip_id = ?1", [&id])?;
            let mut insert = tx.prepare_cached(
                "INSERT INTO qc_finding (clip_id, ord, kind, track, channel, from_frame, to_frame, from_ms, to_ms,
                   timecode, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?;
            for (ord, f) in findings.iter().enumerate() {
                let large = |n: Option<u64>| n.map(int);
                insert.execute(params![
                    id,
                    ord as i64,
                    f.kind,
                    f.track,
                    f.channel,
                    large(f.from_frame),
                    large(f.to_frame),
                    large(f.from_ms),
                    large(f.to_ms),
                    f.timecode,
                    f.text
                ])?;
            }
            Ok(())
        })
    }
}

/// The first file's by preset, then those of later files.
pub(super) fn proxies_of(c: &Connection, id: ClipId) -> Result<Vec<ProxyFile>, Fault> {
    let row = |r: &Row<'_>| {
        Ok(ProxyFile {
            preset: r.get("preset")?,
            path: r.get("path")?,
            state: parsed(r, "state", MediaState::from_name)?,
            note: r.get("note")?,
            look: r.get::<_, Option<String>>("look")?.and_then(|text| serde_json::from_str(&text).ok()),
            file: None,
        })
    };
    let sql = "SELECT preset, path, state, note, look FROM proxy WHERE clip_id = ?1 ORDER BY preset";
    let mut out: Vec<ProxyFile> = c.prepare_cached(sql)?.query_map([id.to_string()], row)?.collect::<Result<_, _>>()?;
    let sql = "SELECT preset, path, state, note, look, file FROM proxy_part WHERE clip_id = ?1 ORDER BY file, preset";
    let part = |r: &Row<'_>| Ok(ProxyFile { file: Some(relpath(r, "file")?), ..row(r)? });
    let parts = c.prepare_cached(sql)?.query_map([id.to_string()], part)?.collect::<Result<Vec<_>, _>>()?;
    out.extend(parts);
    Ok(out)
}

pub(super) fn qc_of(c: &Connection, id: ClipId) -> Result<Vec<QcFinding>, Fault> {
    let sql = "SELECT * FROM qc_finding WHERE clip_id = ?1 ORDER BY ord";
    let read = |r: &Row<'_>| {
        let large = |column: &str| r.get::<_, Option<i64>>(column).map(|n| n.and_then(|n| u64::try_from(n).ok()));
        Ok(QcFinding {
            kind: r.get("kind")?,
            track: r.get("track")?,
            channel: r.get("channel")?,
            from_frame: large("from_frame")?,
            to_frame: large("to_frame")?,
            from_ms: large("from_ms")?,
            to_ms: large("to_ms")?,
            timecode: r.get("timecode")?,
            text: r.get("text")?,
        })
    };
    Ok(c.prepare_cached(sql)?.query_map([id.to_string()], read)?.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Station;
    use super::*;
    use crate::relpath::RelPath;

    #[test]
    fn a_later_file_of_a_recording_has_proxies_of_its_own() {
        let mut s = Station::new();
        let id = s.cat.clips(s.card).unwrap()[0].id;
        let first = ProxyFile {
            preset: "prores-proxy".into(),
            path: Some("/p/a.mov".into()),
            state: MediaState::Ok,
            note: None,
            look: Some(serde_json::json!({"name": "show"})),
            file: None,
        };
        let file = RelPath::new("DCIM/GX020001.MP4").unwrap();
        let second = ProxyFile { path: Some("/p/b.mov".into()), file: Some(file), ..first.clone() };
        s.cat.set_proxy(id, &first).unwrap();
        s.cat.set_proxy(id, &second).unwrap();
        let failed = ProxyFile { state: MediaState::Failed, path: None, ..second.clone() };
        s.cat.set_proxy(id, &failed).unwrap();
        assert_eq!(s.cat.proxies(id).unwrap(), [first, failed]);
    }

    #[test]
    fn findings_of_a_later_decode_replace_those_before() {
        let mut s = Station::new();
        let id = s.cat.clips(s.card).unwrap()[0].id;
        let finding = |kind: &str| QcFinding {
            kind: kind.into(),
            from_frame: Some(10),
            to_frame: Some(40),
            timecode: Some("01:00:00:10".into()),
            text: "black".into(),
            ..QcFinding::default()
        };
        s.cat.set_qc(id, &[finding("black"), finding("frozen")]).unwrap();
        s.cat.set_qc(id, &QcFinding::KINDS.map(finding)).unwrap();
        let clip = s.cat.clip("A001C001").unwrap().pop().unwrap();
        assert_eq!(clip.qc, QcFinding::KINDS.map(finding));
        let kinds: i64 = s.cat.conn.query_row("SELECT count(*) FROM qc WHERE to_frame = 40", [], |r| r.get(0)).unwrap();
        assert_eq!(kinds, 6);
        assert!(s.cat.set_qc(id, &[finding("other")]).is_err(), "a kind that is not described");
    }
}
