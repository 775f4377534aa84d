//! A clip with everything that is known of it: the JSON of `find` and `show`.

use super::clips::{files_of, said_of};
use super::error::Fault;
use super::made::{proxies_of, qc_of};
use super::{parsed, relpath};
use crate::clip::{CardId, ClipId, MediaState, ProxyFile, QcFinding};
use crate::fact::Said;
use crate::relpath::{RelPath, escape};
use rusqlite::{Connection, Row};
use serde::Serialize;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A clip with everything, as `find` and `show` print it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClipFull {
    pub id: ClipId,
    pub card: CardId,
    pub name: String,
    pub roll: String,
    /// Make and model, else the letter of the roll.
    pub camera: Option<String>,
    pub reel: Option<String>,
    pub start_tc: Option<String>,
    pub end_tc: Option<String>,
    pub tc_source: Option<String>,
    pub start_frame: Option<i64>,
    pub drop_frame: Option<bool>,
    pub duration_frames: Option<i64>,
    pub duration_ms: Option<i64>,
    pub fps: Option<String>,
    pub fps_num: Option<i64>,
    pub fps_den: Option<i64>,
    pub width: Option<i64>,
    pub height: Option<i64>,
    pub video_codec: Option<String>,
    pub video_profile: Option<String>,
    pub pixel_format: Option<String>,
    pub bit_depth: Option<i64>,
    pub primaries: Option<String>,
    pub transfer: Option<String>,
    pub matrix: Option<String>,
    pub range: Option<String>,
    pub rotation_deg: Option<i64>,
    /// `[{codec, channels, sample_rate_hz, file}]`, `file` where the sound lies in several files.
    pub audio: Value,
    pub audio_channels: Option<i64>,
    pub time_reference: Option<i64>,
    pub container: Option<String>,
    pub recorded_at: Option<String>,
    pub files: Vec<RelPath>,
    /// Absolute paths of the proven copies, the clip's files in order, one copy folder after the other.
    pub copies: Vec<String>,
    pub proxy: Option<String>,
    pub proxies: Vec<ProxyFile>,
    pub poster: Option<String>,
    /// What decoding showed to be wrong with it.
    pub qc: Vec<QcFinding>,
    pub media: MediaState,
    pub media_note: Option<String>,
    pub rating: Option<i64>,
    pub circled: bool,
    pub scene: Option<String>,
    pub take: Option<String>,
    pub keywords: Vec<String>,
    pub notes: String,
    /// Camera family, or `generic`.
    pub layout: String,
    /// As the camera's clock said.
    pub recorded_local: Option<String>,
    /// The chosen value of each field; a list where a field has several.
    pub metadata: Value,
    /// All that was said, with who said it.
    pub said: Value,
    /// `[[key, value], ...]` of the container.
    pub tags: Value,
}

/// Absolute paths of proven copies, where each volume was last mounted.
fn copies_of(c: &Connection, id: ClipId) -> Result<Vec<String>, Fault> {
    let sql = "SELECT v.last_mount, r.root, y.relpath FROM clip_file x
               JOIN copy y ON y.card_id = x.card_id AND y.relpath = x.relpath AND y.state = 'proven'
               JOIN copy_root r ON r.id = y.copy_root_id AND r.retired_at IS NULL
               JOIN volume v ON v.id = r.volume_id
               WHERE x.clip_id = ?1 ORDER BY r.seq, x.ord";
    let read = |r: &Row<'_>| {
        let mount: Vec<u8> = r.get("last_mount")?;
        let below = relpath(r, "root")?.join_rel(&relpath(r, "relpath")?);
        let path = below.under(Path::new(OsStr::from_bytes(&mount)));
        Ok(escape(path.as_os_str().as_bytes()).into_owned())
    };
    Ok(c.prepare_cached(sql)?.query_map([id.to_string()], read)?.collect::<Result<_, _>>()?)
}

pub(super) fn full(c: &Connection, id: ClipId) -> Result<ClipFull, Fault> {
    let (files, copies, proxies) = (files_of(c, id)?, copies_of(c, id)?, proxies_of(c, id)?);
    let made = |preset: &str| {
        let ready = proxies.iter().find(|p| p.preset == preset && p.state == MediaState::Ok && p.file.is_none());
        ready.and_then(|p| p.path.clone())
    };
    let (proxy, poster) = (made("web"), made("poster"));
    let mut statement = c.prepare_cached("SELECT * FROM clip WHERE id = ?1")?;
    let row = statement.query_row([id.to_string()], |r| {
        let list = |column: &str| Ok::<_, rusqlite::Error>(serde_json::from_str(&r.get::<_, String>(column)?).ok());
        Ok(ClipFull {
            id,
            card: parsed(r, "card_id", CardId::parse)?,
            name: r.get("name")?,
            roll: r.get("roll")?,
            camera: r.get::<_, Option<String>>("camera")?.filter(|t| !t.is_empty()),
            reel: r.get("reel")?,
            start_tc: r.get("start_tc")?,
            end_tc: r.get("end_tc")?,
            tc_source: r.get("tc_source")?,
            start_frame: r.get("start_frame")?,
            drop_frame: r.get("tc_drop")?,
            duration_frames: r.get("duration_frames")?,
            duration_ms: r.get("duration_ms")?,
            fps: r.get("fps")?,
            fps_num: r.get("fps_num")?,
            fps_den: r.get("fps_den")?,
            width: r.get("width")?,
            height: r.get("height")?,
            video_codec: r.get("video_codec")?,
            video_profile: r.get("video_profile")?,
            pixel_format: r.get("pixel_format")?,
            bit_depth: r.get("bit_depth")?,
            primaries: r.get("primaries")?,
            transfer: r.get("transfer")?,
            matrix: r.get("matrix")?,
            range: r.get("range")?,
            rotation_deg: r.get("rotation_deg")?,
            audio: list("audio")?.unwrap_or_default(),
            audio_channels: r.get("audio_channels")?,
            time_reference: r.get("time_reference")?,
            container: r.get("container")?,
            recorded_at: r.get("recorded_at")?,
            files: Vec::new(),
            copies: Vec::new(),
            proxy,
            proxies: Vec::new(),
            poster,
            qc: Vec::new(),
            media: parsed(r, "media", MediaState::from_name)?,
            media_note: r.get("media_note")?,
            rating: r.get("rating")?,
            circled: r.get("circled")? || r.get("own_circled")?,
            scene: r.get::<_, Option<String>>("scene")?.or(r.get("own_scene")?),
            take: r.get::<_, Option<String>>("take")?.or(r.get("own_take")?),
            keywords: serde_json::from_str(&r.get::<_, String>("keywords")?).unwrap_or_default(),
            notes: r.get("notes")?,
            layout: r.get("layout")?,
            recorded_local: r.get("recorded_local")?,
            metadata: Value::Null,
            said: Value::Null,
            tags: list("tags")?.unwrap_or_default(),
        })
    })?;
    let said = said_of(c, id)?;
    let (metadata, said) = (chosen(&said), all(&said));
    let files = files.into_iter().map(|f| f.0).collect();
    Ok(ClipFull { files, copies, proxies, qc: qc_of(c, id)?, metadata, said, ..row })
}

fn chosen(said: &[(Said, bool)]) -> Value {
    let mut out = serde_json::Map::new();
    for (s, _) in said.iter().filter(|(_, chosen)| *chosen) {
        let (name, value) = (s.fact.field.name().to_owned(), Value::from(s.fact.value.clone()));
        match s.fact.field.is_list() {
            true => {
                let list = out.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                list.as_array_mut().into_iter().for_each(|all| all.push(value.clone()));
            }
            false => drop(out.insert(name, value)),
        }
    }
    Value::Object(out)
}

fn all(said: &[(Said, bool)]) -> Value {
    let one = |(s, chosen): &(Said, bool)| {
        json!({
            "field": s.fact.field.name(), "value": s.fact.value, "origin": s.origin.name(), "by": s.by, "chosen": chosen,
        })
    };
    said.iter().map(one).collect()
}
