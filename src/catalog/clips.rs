//! Clips: a view on a card's files, what libav says of them, what people add, and how they look as JSON.

use super::error::{CatalogError, Fault};
use super::show::{ClipFull, full};
use super::{Catalog, frames, new_id, parsed, relpath, text_of};
use crate::clip::{AudioMetadata, CardId, Clip, ClipId, ClipMetadata, MediaState, Role, camera_letter};
use crate::fact::{ASSUMED, Fact, Field, Origin, Said};
use crate::query::name_tokens;
use crate::relpath::RelPath;
use jiff::Timestamp;
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

/// What the work on a clip needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipRow {
    pub id: ClipId,
    pub card: CardId,
    pub name: String,
    pub files: Vec<(RelPath, Role)>,
    pub layout: String,
    /// What names and the card's index say of it.
    pub said: Vec<Said>,
    pub media: MediaState,
    pub media_note: Option<String>,
}

/// What a person says of a clip; `None` leaves a value as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    /// 0 to 5.
    pub rating: Option<u8>,
    pub circled: Option<bool>,
    /// Replaces the note before.
    pub note: Option<String>,
    /// Added to those before.
    pub keywords: Vec<String>,
    pub scene: Option<String>,
    pub take: Option<String>,
}

impl Catalog {
    /// In the order of their names.
    pub fn clips(&self, card: CardId) -> Result<Vec<ClipRow>, CatalogError> {
        self.read(|c| {
            let sql = "SELECT id, card_id, name, layout, media, media_note FROM clip
                       WHERE card_id = ?1 ORDER BY name, rowid";
            let mut out = c.prepare(sql)?.query_map([card.to_string()], clip_row)?.collect::<Result<Vec<_>, _>>()?;
            for clip in &mut out {
                clip.files = files_of(c, clip.id)?;
                clip.said = said_of(c, clip.id)?.into_iter().map(|(said, _)| said).filter(is_from_card).collect();
            }
            Ok(out)
        })
    }

    pub fn set_metadata(
        &mut self,
        id: ClipId,
        metadata: &ClipMetadata,
        state: MediaState,
        note: Option<&str>,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            store_metadata(tx, id, metadata)?;
            store_said(tx, id, &metadata.said)?;
            metadata.frames.iter().try_for_each(|f| frames::store(tx, id, f))?;
            set_media(tx, id, state, note)?;
            index(tx, id)
        })
    }

    pub fn set_media(&mut self, id: ClipId, state: MediaState, note: Option<&str>) -> Result<(), CatalogError> {
        self.write(|tx| set_media(tx, id, state, note))
    }

    /// The chosen value of each field, of all that was said of a clip.
    pub fn chosen(&self, id: ClipId) -> Result<Vec<Fact>, CatalogError> {
        self.read(|c| {
            Ok(said_of(c, id)?.into_iter().filter(|(_, chosen)| *chosen).map(|(said, _)| said.fact).collect())
        })
    }

    pub fn tag(&mut self, id: ClipId, tag: &Tag) -> Result<(), CatalogError> {
        self.write(|tx| {
            let sql = "SELECT keywords FROM clip WHERE id = ?1";
            let known: Option<String> = tx.query_row(sql, [id.to_string()], |r| r.get(0)).optional()?;
            let known = known.ok_or_else(|| Fault::Unknown(format!("clip {id}")))?;
            let mut keywords: Vec<String> = serde_json::from_str(&known).unwrap_or_default();
            keywords.extend(tag.keywords.iter().cloned());
            keywords.sort();
            keywords.dedup();
            tx.execute(
                "UPDATE clip SET rating = coalesce(?2, rating), circled = coalesce(?3, circled),
                   notes = coalesce(?4, notes), scene = coalesce(?5, scene), take = coalesce(?6, take), keywords = ?7
                 WHERE id = ?1",
                params![
                    id.to_string(),
                    tag.rating,
                    tag.circled,
                    tag.note,
                    tag.scene,
                    tag.take,
                    json!(keywords).to_string()
                ],
            )?;
            index(tx, id)
        })
    }

    /// By id, else by name (several cards may have it), else by a prefix of one id.
    pub fn clip(&self, query: &str) -> Result<Vec<ClipFull>, CatalogError> {
        self.read(|c| {
            let ids = |sql: &str, value: &str| -> rusqlite::Result<Vec<ClipId>> {
                c.prepare_cached(sql)?.query_map([value], |r| parsed(r, "id", ClipId::parse))?.collect()
            };
            let mut found = ids("SELECT id FROM clip WHERE id = ?1", &query.to_lowercase())?;
            if found.is_empty() {
                found = ids("SELECT id FROM clip WHERE name = ?1 ORDER BY rowid DESC", query)?;
            }
            if found.is_empty() && !query.is_empty() {
                let sql = "SELECT id FROM clip WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2";
                found = ids(sql, &query.to_lowercase())?;
                found.truncate(if found.len() == 1 { 1 } else { 0 });
            }
            found.into_iter().map(|id| full(c, id)).collect()
        })
    }
}

/// Adds new clips, and new files to clips that are known by their recording: names repeat from folder to folder.
pub(super) fn add(c: &Connection, card: CardId, roll: &str, clips: &[Clip], now: Timestamp) -> Result<(), Fault> {
    let key = card.to_string();
    for clip in clips {
        let recordings = clip.files.iter().filter(|(_, role)| matches!(role, Role::Essence | Role::Audio));
        let mut known = None;
        for (path, _) in recordings {
            let sql = "SELECT clip_id FROM clip_file WHERE card_id = ?1 AND relpath = ?2";
            known = c
                .prepare_cached(sql)?
                .query_row(params![key, path.as_bytes()], |r| parsed(r, "clip_id", ClipId::parse))
                .optional()?;
            if known.is_some() {
                break;
            }
        }
        let id = match known {
            Some(id) => id,
            None => insert(c, card, roll, clip, now)?,
        };
        let old: Vec<RelPath> = match known {
            Some(id) => files_of(c, id)?.into_iter().map(|f| f.0).collect(),
            None => Vec::new(),
        };
        // By their headers some may be in another clip than their names say.
        let mut new = Vec::new();
        for file in clip.files.iter().filter(|(p, _)| !old.contains(p)) {
            let sql = "SELECT 1 FROM clip_file WHERE card_id = ?1 AND relpath = ?2";
            let held = c.prepare_cached(sql)?.exists(params![key, file.0.as_bytes()])?;
            new.extend((!held).then(|| file.clone()));
        }
        add_files(c, card, id, old.len(), &new)?;
        if known.is_some() && !new.is_empty() {
            // What was read of it before was of fewer files.
            set_media(c, id, MediaState::Pending, None)?;
            index(c, id)?;
        }
    }
    Ok(())
}

/// A row of its own, without its files.
pub(super) fn insert(c: &Connection, card: CardId, roll: &str, clip: &Clip, now: Timestamp) -> Result<ClipId, Fault> {
    let id = ClipId(new_id(now));
    c.prepare_cached(
        "INSERT INTO clip (id, card_id, name, roll, camera, camera_letter, tokens, layout)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7)",
    )?
    .execute(params![
        id.to_string(),
        card.to_string(),
        clip.name,
        roll,
        camera_letter(roll),
        tokens(&clip.name, clip.files.iter().map(|f| &f.0), &[]),
        clip.layout
    ])?;
    let mut said = clip.said.clone();
    said.sort_by_key(|s| s.fact.field);
    store_said(c, id, &said)?;
    Ok(id)
}

/// Files of a clip behind those that it has.
pub(super) fn add_files(
    c: &Connection,
    card: CardId,
    id: ClipId,
    first: usize,
    files: &[(RelPath, Role)],
) -> Result<(), Fault> {
    for (ord, (path, role)) in (first..).zip(files) {
        c.prepare_cached("INSERT INTO clip_file (clip_id, ord, card_id, relpath, role) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![id.to_string(), ord as i64, card.to_string(), path.as_bytes(), role.name()])?;
    }
    Ok(())
}

/// Words to be found by, of the name, the files' paths and what else is known.
fn tokens<'a>(name: &str, files: impl Iterator<Item = &'a RelPath>, extra: &[&str]) -> String {
    let paths: Vec<String> = files.map(|f| f.text().into_owned()).collect();
    let texts: Vec<&str> =
        [name].into_iter().chain(paths.iter().map(String::as_str)).chain(extra.iter().copied()).collect();
    name_tokens(&texts.join(" "))
}

/// Brings the search words up to date with all that the row holds.
pub(super) fn index(c: &Connection, id: ClipId) -> Result<(), Fault> {
    let files: Vec<RelPath> = files_of(c, id)?.into_iter().map(|f| f.0).collect();
    let sql =
        "SELECT name, reel, video_codec, container, coalesce(scene, own_scene), coalesce(take, own_take), keywords,
               tags FROM clip WHERE id = ?1";
    let said = said_of(c, id)?;
    let words = c.prepare_cached(sql)?.query_row([id.to_string()], |r| {
        let name: String = r.get(0)?;
        let mut extra: Vec<String> = Vec::new();
        for i in 1..7 {
            extra.extend(r.get::<_, Option<String>>(i)?);
        }
        let tags: Vec<(String, String)> = serde_json::from_str(&r.get::<_, String>(7)?).unwrap_or_default();
        extra.extend(tags.into_iter().map(|(_, value)| value.chars().take(200).collect()));
        extra.extend(said.iter().map(|(s, _)| s.fact.value.chars().take(200).collect()));
        let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
        Ok(tokens(&name, files.iter(), &extra))
    })?;
    c.prepare_cached("UPDATE clip SET tokens = ?2 WHERE id = ?1")?.execute(params![id.to_string(), words])?;
    Ok(())
}

pub(super) fn set_media(c: &Connection, id: ClipId, state: MediaState, note: Option<&str>) -> Result<(), Fault> {
    let sql = "UPDATE clip SET media = ?2, media_note = ?3 WHERE id = ?1";
    match c.prepare_cached(sql)?.execute(params![id.to_string(), state.name(), note])? {
        0 => Err(Fault::Unknown(format!("clip {id}"))),
        _ => Ok(()),
    }
}

fn store_metadata(c: &Connection, id: ClipId, m: &ClipMetadata) -> Result<(), Fault> {
    let video = m.video.clone().unwrap_or_default();
    let has_video = m.video.as_ref();
    let rate = video.rate.or(m.start_tc.map(|t| t.rate).filter(|_| has_video.is_some()));
    let large = |n: Option<u64>| n.map(super::int);
    let said = |field| m.said.iter().find(|s| s.fact.field == field).map(|s| s.fact.value.clone());
    let channels: u32 = m.audio.iter().map(|a| u32::from(a.channels)).sum();
    let track = |a: &AudioMetadata| {
        let mut track = json!({"codec": a.codec, "channels": a.channels, "sample_rate_hz": a.sample_rate_hz});
        if let Some(file) = &a.file {
            track["file"] = json!(file);
        }
        track
    };
    let audio: Vec<Value> = m.audio.iter().map(track).collect();
    let camera = match (m.camera_make.as_deref(), m.camera_model.as_deref()) {
        (Some(make), Some(model)) if model.to_lowercase().starts_with(&make.to_lowercase()) => Some(model.to_owned()),
        (Some(make), Some(model)) => Some(format!("{make} {model}")),
        (make, model) => make.or(model).map(str::to_owned),
    };
    let values: Vec<(&str, Box<dyn ToSql>)> = vec![
        ("container", Box::new(m.container.clone())),
        ("video_codec", Box::new(has_video.map(|v| v.codec.clone()).filter(|c| !c.is_empty()))),
        ("video_profile", Box::new(video.profile)),
        ("width", Box::new(has_video.map(|v| v.width))),
        ("height", Box::new(has_video.map(|v| v.height))),
        ("fps", Box::new(rate.map(|r| r.text()))),
        ("fps_num", Box::new(rate.map(|r| r.num()))),
        ("fps_den", Box::new(rate.map(|r| r.den()))),
        ("average_fps_num", Box::new(video.average_rate.map(|r| r.num()))),
        ("average_fps_den", Box::new(video.average_rate.map(|r| r.den()))),
        ("pixel_format", Box::new(video.pixel_format)),
        ("bit_depth", Box::new(video.bit_depth)),
        ("primaries", Box::new(video.primaries)),
        ("transfer", Box::new(video.transfer)),
        ("matrix", Box::new(video.matrix)),
        ("range", Box::new(video.range)),
        ("rotation_deg", Box::new(has_video.map(|v| v.rotation_deg))),
        ("pixel_aspect_num", Box::new(video.pixel_aspect.map(|a| a.0))),
        ("pixel_aspect_den", Box::new(video.pixel_aspect.map(|a| a.1))),
        ("audio", Box::new(Value::from(audio).to_string())),
        ("audio_channels", Box::new((!m.audio.is_empty()).then_some(channels))),
        ("tc_fps_num", Box::new(m.start_tc.map(|t| t.rate.num()))),
        ("tc_fps_den", Box::new(m.start_tc.map(|t| t.rate.den()))),
        ("start_tc", Box::new(m.start_tc.map(|t| t.to_string()))),
        ("start_frame", Box::new(m.start_tc.map(|t| t.frame))),
        ("tc_drop", Box::new(m.start_tc.map(|t| t.drop))),
        ("tc_source", Box::new(m.tc_source.clone())),
        ("end_tc", Box::new(m.end_tc().map(|t| t.to_string()))),
        ("duration_frames", Box::new(large(m.duration_frames))),
        ("duration_ms", Box::new(large(m.duration_ms))),
        ("time_reference", Box::new(large(m.time_reference))),
        ("sample_rate_hz", Box::new(m.audio.first().map(|a| a.sample_rate_hz).filter(|hz| *hz > 0))),
        ("recorded_local", Box::new(said(Field::RecordedAt))),
        ("own_scene", Box::new(said(Field::Scene))),
        ("own_take", Box::new(said(Field::Take))),
        ("own_circled", Box::new(said(Field::Circled).as_deref() == Some("1"))),
        ("reel", Box::new(m.reel.clone())),
        ("camera_make", Box::new(m.camera_make.clone())),
        ("camera_model", Box::new(m.camera_model.clone())),
        ("recorded_at", Box::new(m.recorded_at.map(text_of))),
        ("tags", Box::new(json!(m.tags).to_string())),
    ];
    let set: Vec<String> = values.iter().enumerate().map(|(i, (name, _))| format!("{name} = ?{}", i + 3)).collect();
    let sql = format!("UPDATE clip SET camera = coalesce(?2, camera_letter), {} WHERE id = ?1", set.join(", "));
    let id = id.to_string();
    let mut all: Vec<&dyn ToSql> = vec![&id, &camera];
    all.extend(values.iter().map(|(_, value)| &**value));
    c.prepare_cached(&sql)?.execute(&all[..])?;
    Ok(())
}

pub(super) fn files_of(c: &Connection, id: ClipId) -> Result<Vec<(RelPath, Role)>, Fault> {
    let sql = "SELECT relpath, role FROM clip_file WHERE clip_id = ?1 ORDER BY ord";
    let read = |r: &Row<'_>| Ok((relpath(r, "relpath")?, parsed(r, "role", Role::from_name)?));
    Ok(c.prepare_cached(sql)?.query_map([id.to_string()], read)?.collect::<Result<_, _>>()?)
}

/// Told by names, folders and indexes: known when the card is seen, and kept when the clip is described.
fn is_from_card(said: &Said) -> bool {
    !matches!(said.origin, Origin::File | Origin::Sidecar) && said.by != ASSUMED
}

/// By field, the chosen value first, as `said` comes.
fn store_said(c: &Connection, id: ClipId, said: &[Said]) -> Result<(), Fault> {
    let key = id.to_string();
    c.prepare_cached("DELETE FROM clip_said WHERE clip_id = ?1")?.execute([&key])?;
    let mut before = None;
    for (ord, s) in said.iter().enumerate() {
        let chosen = before != Some(s.fact.field) || s.fact.field.is_list();
        before = Some(s.fact.field);
        c.prepare_cached(
            "INSERT INTO clip_said (clip_id, ord, field, value, origin, said_by, chosen)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            key,
            ord as i64,
            s.fact.field.name(),
            s.fact.value,
            s.origin.name(),
            s.by,
            chosen
        ])?;
    }
    Ok(())
}

/// All that was said, and whether it was chosen.
pub(super) fn said_of(c: &Connection, id: ClipId) -> Result<Vec<(Said, bool)>, Fault> {
    let sql = "SELECT field, value, origin, said_by, chosen FROM clip_said WHERE clip_id = ?1 ORDER BY ord";
    let read = |r: &Row<'_>| {
        let fact = Fact { field: parsed(r, "field", Field::from_name)?, value: r.get("value")? };
        Ok((Said { fact, origin: parsed(r, "origin", Origin::from_name)?, by: r.get("said_by")? }, r.get("chosen")?))
    };
    Ok(c.prepare_cached(sql)?.query_map([id.to_string()], read)?.collect::<Result<_, _>>()?)
}

fn clip_row(r: &Row<'_>) -> rusqlite::Result<ClipRow> {
    Ok(ClipRow {
        id: parsed(r, "id", ClipId::parse)?,
        card: parsed(r, "card_id", CardId::parse)?,
        name: r.get("name")?,
        layout: r.get("layout")?,
        said: Vec::new(),
        files: Vec::new(),
        media: parsed(r, "media", MediaState::from_name)?,
        media_note: r.get("media_note")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{CLIP, Station, at, card_of};
    use crate::clip::ProxyFile;
    use crate::clip::VideoMetadata;
    use crate::timecode::{FrameRate, Timecode};

    fn metadata() -> ClipMetadata {
        let rate = FrameRate::new(30_000, 1001).unwrap();
        ClipMetadata {
            container: Some("mov,mp4".into()),
            video: Some(VideoMetadata {
                codec: "h264".into(),
                width: 1920,
                height: 1080,
                rate: Some(rate),
                ..VideoMetadata::default()
            }),
            audio: vec![
                AudioMetadata { codec: "pcm_s24le".into(), channels: 2, sample_rate_hz: 48_000, file: None };
                2
            ],
            start_tc: Timecode::parse("00:00:59;29", rate),
            duration_frames: Some(1),
            recorded_at: Some(at(0)),
            tags: vec![("a".into(), "x".into()), ("a".into(), "y".into())],
            ..ClipMetadata::default()
        }
    }

    #[test]
    fn a_clip_has_the_keys_of_the_contract() {
        let mut s = Station::offloaded();
        let id = s.cat.clips(s.card).unwrap()[0].id;
        s.cat.set_metadata(id, &metadata(), MediaState::Ok, Some("rate varies")).unwrap();
        let path = Some("/media/A001/web/A001C001.mp4".to_owned());
        let look = Some(json!({"name": "show", "burn_in": ["clip"]}));
        let proxy = |preset: &str, state, look: &Option<Value>| ProxyFile {
            preset: preset.into(),
            path: path.clone(),
            state,
            note: None,
            look: look.clone(),
            file: None,
        };
        let (web, poster) = (proxy("web", MediaState::Ok, &look), proxy("poster", MediaState::Failed, &None));
        s.cat.set_proxy(id, &web).unwrap();
        s.cat.set_proxy(id, &poster).unwrap();
        let clip = s.cat.clip("A001C001").unwrap().pop().unwrap();
        let json = serde_json::to_value(&clip).unwrap();
        for (key, value) in [
            ("id", json!(id.to_string())),
            ("name", json!("A001C001")),
            ("roll", json!("A001")),
            ("camera", json!("A")),
            ("start_tc", json!("00:00:59;29")),
            ("end_tc", json!("00:01:00;02")),
            ("duration_frames", json!(1)),
            ("fps", json!("29.97")),
            ("width", json!(1920)),
            ("height", json!(1080)),
            ("video_codec", json!("h264")),
            ("audio_channels", json!(4)),
            ("recorded_at", json!("2027-01-15T08:00:00.000Z")),
            ("files", json!([CLIP])),
            ("copies", json!([format!("/mnt/a/A001/{CLIP}"), format!("/mnt/b/A001/{CLIP}")])),
            ("proxy", json!(path)),
            ("poster", json!(null)),
            ("media", json!("ok")),
            ("media_note", json!("rate varies")),
            ("tags", json!([["a", "x"], ["a", "y"]])),
        ] {
            assert_eq!(json[key], value, "{key}");
        }
        assert_eq!(
            json["proxies"][1],
            json!({"preset": "web", "path": path, "state": "ok", "note": null, "look": look})
        );
        assert_eq!(json["proxies"][0]["look"], json!(null));
    }

    #[test]
    fn a_clip_is_found_by_id_by_name_and_by_the_start_of_one_id() {
        let s = Station::with(&card_of(&[CLIP, "CLIPS/A001C002.MOV"]));
        let all = s.cat.clips(s.card).unwrap();
        for clip in &all {
            let id = clip.id.to_string();
            assert_eq!(s.cat.clip(&id.to_uppercase()).unwrap()[0].name, clip.name);
            assert_eq!(s.cat.clip(&id[..35]).unwrap()[0].name, clip.name);
            assert_eq!(s.cat.clip(&clip.name).unwrap()[0].id, clip.id);
        }
        for none in [&all[0].id.to_string()[..2], "", "%", "nothing"] {
            assert!(s.cat.clip(none).unwrap().is_empty(), "{none:?}");
        }
    }

    #[test]
    fn metadata_read_again_replaces_what_was_there() {
        let mut s = Station::new();
        let id = s.cat.clips(s.card).unwrap()[0].id;
        s.cat.set_metadata(id, &metadata(), MediaState::Ok, None).unwrap();
        let sound = ClipMetadata { camera_make: Some("Zoom".into()), ..ClipMetadata::default() };
        s.cat.set_metadata(id, &sound, MediaState::Failed, Some("cut")).unwrap();
        let clip = s.cat.clip("A001C001").unwrap().pop().unwrap();
        assert_eq!((clip.fps, clip.start_tc, clip.width, clip.audio_channels), (None, None, None, None));
        assert_eq!((clip.camera.as_deref(), clip.media), (Some("Zoom"), MediaState::Failed));
    }

    #[test]
    fn tags_are_added_and_kept() {
        let mut s = Station::new();
        let id = s.cat.clips(s.card).unwrap()[0].id;
        let one = Tag { rating: Some(4), keywords: vec!["b".into()], scene: Some("12A".into()), ..Tag::default() };
        s.cat.tag(id, &one).unwrap();
        let two = Tag { circled: Some(true), keywords: vec!["a".into(), "b".into()], ..Tag::default() };
        s.cat.tag(id, &two).unwrap();
        let clip = s.cat.clip("A001C001").unwrap().pop().unwrap();
        assert_eq!((clip.rating, clip.circled, clip.scene.as_deref()), (Some(4), true, Some("12A")));
        assert_eq!(clip.keywords, ["a", "b"]);
        assert!(s.cat.tag(id, &Tag { rating: Some(6), ..Tag::default() }).is_err());
    }

    /// A clip at a timecode, and takes of sound: which are suggested, with offset and overlap in frames.
    fn synced(start: &str, rate: (u32, u32), frames: u64, sounds: &[(u64, u64, &str)]) -> Vec<(String, i64, i64)> {
        let rate = FrameRate::new(rate.0, rate.1).unwrap();
        let names: Vec<String> = (0..sounds.len()).map(|n| format!("CLIPS/S{n}.MOV")).collect();
        let all: Vec<&str> = [CLIP].into_iter().chain(names.iter().map(String::as_str)).collect();
        let mut s = Station::with(&card_of(&all));
        let date = |text: &str| {
            let fact = Fact { field: Field::RecordedAt, value: text.into() };
            Said { fact, origin: Origin::File, by: "test".into() }
        };
        for clip in s.cat.clips(s.card).unwrap() {
            let m = match clip.name.strip_prefix('S') {
                None => ClipMetadata {
                    video: Some(VideoMetadata { rate: Some(rate), width: 1920, ..VideoMetadata::default() }),
                    start_tc: Timecode::parse(start, rate),
                    duration_frames: Some(frames),
                    said: vec![date("2026-11-26T23:59:00")],
                    ..ClipMetadata::default()
                },
                Some(n) => {
                    let (samples, ms, day) = sounds[n.parse::<usize>().unwrap()];
                    let track = AudioMetadata { sample_rate_hz: 48_000, channels: 1, ..AudioMetadata::default() };
                    ClipMetadata {
                        audio: vec![track],
                        time_reference: Some(samples),
                        duration_ms: Some(ms),
                        said: if day.is_empty() { Vec::new() } else { vec![date(day)] },
                        ..ClipMetadata::default()
                    }
                }
            };
            s.cat.set_metadata(clip.id, &m, MediaState::Ok, None).unwrap();
        }
        let sql = "SELECT sound_name, offset_frames, overlap_frames FROM sound_sync ORDER BY sound_name";
        let mut found = s.cat.conn.prepare(sql).unwrap();
        let rows = found.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn sound_that_overlaps_a_clip_by_date_and_timecode_is_suggested() {
        let hour = 3600 * 48_000;
        let film = |samples: u64, ms, day| (samples, ms, day);
        // Ten seconds of film from 01:00:00:00 at 25.
        let found = synced(
            "01:00:00:00",
            (25, 1),
            250,
            &[
                film(hour - 48_000, 3000, "2026-11-26T01:00:00"),
                film(hour + 5 * 48_000, 60_000, ""),
                film(hour + 10 * 48_000 + 1920, 1000, "2026-11-27T01:00:00"),
                film(hour + 10 * 48_000 + 3 * 1920, 1000, "2026-11-26T01:00:00"),
                film(hour, 10_000, "2026-11-24T01:00:00"),
            ],
        );
        let want = [("S0", -25, 50), ("S1", 125, 125), ("S2", 251, 0)];
        assert_eq!(found, want.map(|(n, a, b)| (n.to_owned(), a, b)), "touching is close, another day is not");
    }

    #[test]
    fn sound_is_placed_at_the_true_rate_and_across_midnight() {
        // cards.md: these samples at 23.976 are 12:39:59:00.
        let found = synced("12:39:59:00", (24_000, 1001), 48, &[(2_190_940_753, 2002, "")]);
        assert_eq!(found, [("S0".to_owned(), 0, 48)]);
        let late = (24 * 3600 - 1) * 48_000;
        let found = synced("00:00:00:10", (25, 1), 100, &[(late, 5000, "2026-11-25T23:59:59")]);
        assert_eq!(found, [("S0".to_owned(), -35, 90)]);
        let found = synced("00:00:00;02", (30_000, 1001), 300, &[(0, 1001, "")]);
        assert_eq!(found, [("S0".to_owned(), -2, 28)]);
    }

    #[test]
    fn the_camera_letter_comes_from_rolls_that_have_one() {
        for (roll, letter) in [("A001", "A"), ("b002", "B"), ("C_0001", "C"), ("CARD1", ""), ("001", ""), ("", "")] {
            assert_eq!(camera_letter(roll), letter, "{roll}");
        }
    }
}
