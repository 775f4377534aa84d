//! The editors' search: a `Query` tree becomes one SQL condition. Every text is a parameter; those for FTS5 are
//! quoted besides, so that nothing a person types is ever syntax.

use super::error::{CatalogError, Fault};
use super::show::{ClipFull, full};
use super::{Catalog, int, parsed};
use crate::clip::{CardId, ClipId};
use crate::query::{Expr, Field, Match, Part, Query, SortKey, State};
use rusqlite::types::Value;
use serde::Serialize;

/// Counting stops here: nobody reads the ten thousandth hit.
const COUNTED: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    pub clips: Vec<ClipFull>,
    pub total: usize,
    /// There are more than `total`.
    pub total_is_capped: bool,
    pub hints: Vec<String>,
}

impl Catalog {
    /// `is:safe` finds nothing here: only a verdict can say it. See [`Catalog::find_with_safe`].
    pub fn find(&self, query: &Query) -> Result<Found, CatalogError> {
        let mut found = self.find_with_safe(query, &[])?;
        if asks_safe(&query.expr) {
            found.hints.push("is:safe was not judged here and finds nothing".to_owned());
        }
        Ok(found)
    }

    /// `safe` are the cards whose verdict is SAFE now, needed only when [`asks_safe`].
    pub fn find_with_safe(&self, query: &Query, safe: &[CardId]) -> Result<Found, CatalogError> {
        self.read(|c| {
            let mut sql = Sql { values: Vec::new(), safe };
            let condition = sql.condition(&query.expr);
            let count = format!("SELECT count(*) FROM (SELECT 1 FROM clip k WHERE {condition} LIMIT {})", COUNTED + 1);
            let total: i64 = c.prepare(&count)?.query_row(rusqlite::params_from_iter(&sql.values), |r| r.get(0))?;
            let total = usize::try_from(total).unwrap_or(0);

            let limit = int(query.limit as u64);
            let order = order(query.sort.key, query.sort.descending);
            let list = format!("SELECT k.id FROM clip k WHERE {condition} ORDER BY {order} LIMIT {limit}");
            let mut statement = c.prepare(&list)?;
            let ids = statement
                .query_map(rusqlite::params_from_iter(&sql.values), |r| parsed(r, "id", ClipId::parse))?
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Found {
                clips: ids.into_iter().map(|id| full(c, id)).collect::<Result<_, Fault>>()?,
                total: total.min(COUNTED),
                total_is_capped: total > COUNTED,
                hints: query.hints.clone(),
            })
        })
    }
}

/// Whether the answer needs verdicts.
pub fn asks_safe(expr: &Expr) -> bool {
    match expr {
        Expr::And(all) | Expr::Or(all) => all.iter().any(asks_safe),
        Expr::Not(one) => asks_safe(one),
        Expr::Is(State::Safe) => true,
        _ => false,
    }
}

fn order(key: SortKey, descending: bool) -> String {
    let column = match key {
        SortKey::Date => "k.recorded_at",
        SortKey::Name => "k.name COLLATE NOCASE",
        SortKey::Roll => "k.roll COLLATE NOCASE",
        SortKey::Camera => "nullif(k.camera, '') COLLATE NOCASE",
        SortKey::Duration => "k.duration_ms",
    };
    let way = if descending { "DESC" } else { "ASC" };
    format!("({column}) IS NULL, {column} {way}, k.rowid {way}")
}

struct Sql<'a> {
    values: Vec<Value>,
    safe: &'a [CardId],
}

impl Sql<'_> {
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }

    /// A condition on `clip k` that is never NULL, so that NOT keeps clips that lack a value.
    fn condition(&mut self, expr: &Expr) -> String {
        match expr {
            Expr::All => "1".into(),
            Expr::And(all) => self.joined(all, " AND ", "1"),
            Expr::Or(all) => self.joined(all, " OR ", "0"),
            Expr::Not(one) => format!("NOT {}", self.condition(one)),
            leaf => format!("coalesce(({}), 0)", self.leaf(leaf)),
        }
    }

    fn joined(&mut self, all: &[Expr], with: &str, empty: &str) -> String {
        let parts: Vec<String> = all.iter().map(|e| self.condition(e)).collect();
        if parts.is_empty() { empty.to_owned() } else { format!("({})", parts.join(with)) }
    }

    fn leaf(&mut self, expr: &Expr) -> String {
        match expr {
            Expr::Text(text) => self.words("", text),
            Expr::Field(field, text) => self.field(*field, text),
            Expr::Fps(rate) => {
                let (num, den) = (self.bind(i64::from(rate.num())), self.bind(i64::from(rate.den())));
                format!("k.fps_num = {num} AND k.fps_den = {den}")
            }
            Expr::Timecode(from, to) => {
                let [start, end] = ["k.start_tc", "k.end_tc"].map(|tc| format!("replace({tc}, ';', ':')"));
                let (from, to) = (self.bind(from.clone()), self.bind(to.clone()));
                // The end is the frame behind the last; a clip may go on beyond midnight.
                format!(
                    "CASE WHEN {end} IS NULL THEN {start} BETWEEN {from} AND {to}
                          WHEN {start} < {end} THEN {start} <= {to} AND {end} > {from}
                          ELSE {start} <= {to} OR {end} > {from} END"
                )
            }
            Expr::Date(from, to) => {
                let day = "substr(k.recorded_at, 1, 10)";
                let ends = [(from, ">="), (to, "<=")];
                let parts: Vec<String> = ends
                    .into_iter()
                    .filter_map(|(date, op)| date.map(|d| format!("{day} {op} {}", self.bind(d.to_string()))))
                    .collect();
                if parts.is_empty() { "k.recorded_at IS NOT NULL".into() } else { parts.join(" AND ") }
            }
            Expr::Is(State::Media(state)) => format!("k.media = {}", self.bind(state.name().to_owned())),
            Expr::Is(State::Unproven) => UNPROVEN.into(),
            Expr::Is(State::Safe) => {
                let ids: Vec<String> = self.safe.iter().map(CardId::to_string).collect();
                format!("k.card_id IN (SELECT value FROM json_each({}))", self.bind(serde_json::json!(ids).to_string()))
            }
            Expr::Has(part) => has(*part).into(),
            Expr::All | Expr::And(_) | Expr::Or(_) | Expr::Not(_) => self.condition(expr),
        }
    }

    /// FTS5 reads a NUL as the end of its text and would miss the closing quote.
    fn words(&mut self, columns: &str, text: &Match) -> String {
        let quoted = text.text.replace('\0', " ").replace('"', "\"\"");
        let star = if text.prefix { " *" } else { "" };
        let value = self.bind(format!("{columns}\"{quoted}\"{star}"));
        format!("k.rowid IN (SELECT rowid FROM clip_fts WHERE clip_fts MATCH {value})")
    }

    /// SQLite's `lower` knows ASCII only; so both sides are made lower in that way.
    fn same(&mut self, column: &str, text: &Match) -> String {
        let value = self.bind(text.text.to_ascii_lowercase());
        match text.prefix {
            true => format!("substr(lower({column}), 1, length({value})) = {value}"),
            false => format!("lower({column}) = {value}"),
        }
    }

    fn contains(&mut self, column: &str, text: &Match) -> String {
        format!("instr(lower({column}), {}) > 0", self.bind(text.text.to_ascii_lowercase()))
    }

    fn field(&mut self, field: Field, text: &Match) -> String {
        match field {
            Field::Roll => self.same("k.roll", text),
            // Ids of one day begin alike: eight characters are the least that can mean one.
            Field::Card if text.text.len() < 8 => self.same("k.roll", text),
            Field::Card => {
                let id = Match { text: text.text.clone(), prefix: true };
                let (roll, id) = (self.same("k.roll", text), self.same("k.card_id", &id));
                format!("{roll} OR {id}")
            }
            Field::Camera => {
                let (letter, words) = (self.same("k.camera_letter", text), self.words("camera : ", text));
                format!("{letter} OR {words}")
            }
            Field::Codec => {
                let (codec, profile) = (self.same("k.video_codec", text), self.contains("k.video_profile", text));
                format!("coalesce({codec}, 0) OR coalesce({profile}, 0)")
            }
            Field::Name => {
                let (name, words) = (self.same("k.name", text), self.words("name : ", text));
                format!("{name} OR {words}")
            }
            Field::Scene => self.same("coalesce(k.scene, k.own_scene)", text),
            Field::Take => self.same("coalesce(k.take, k.own_take)", text),
            Field::Said(field) => {
                let (name, value) = (self.bind(field.name().to_owned()), self.same("s.value", text));
                format!(
                    "EXISTS (SELECT 1 FROM clip_said s WHERE s.clip_id = k.id AND s.chosen = 1 AND s.field = {name} \
                     AND {value})"
                )
            }
            Field::Path => {
                let path = self.contains("'/' || f.relpath_text || '/'", text);
                format!(
                    "EXISTS (SELECT 1 FROM clip_file x JOIN card_file f ON f.card_id = x.card_id \
                     AND f.relpath = x.relpath WHERE x.clip_id = k.id AND {path})"
                )
            }
        }
    }
}

/// No destination at all proves nothing either.
const UNPROVEN: &str = "EXISTS (SELECT 1 FROM clip_file x WHERE x.clip_id = k.id AND (
      NOT EXISTS (SELECT 1 FROM copy_root r WHERE r.card_id = x.card_id AND r.retired_at IS NULL)
      OR EXISTS (SELECT 1 FROM copy_root r WHERE r.card_id = x.card_id AND r.retired_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM copy y WHERE y.copy_root_id = r.id AND y.relpath = x.relpath AND y.state = 'proven'))))";

fn has(part: Part) -> &'static str {
    match part {
        Part::Proxy => {
            "EXISTS (SELECT 1 FROM proxy p WHERE p.clip_id = k.id AND p.state = 'ok'
               AND p.preset NOT IN ('poster', 'filmstrip', 'filmstrip-index', 'waveform', 'qc'))"
        }
        Part::Poster => {
            "EXISTS (SELECT 1 FROM proxy p WHERE p.clip_id = k.id AND p.state = 'ok' AND p.preset = 'poster')"
        }
        Part::Sound => {
            "k.audio_channels > 0 OR EXISTS (SELECT 1 FROM clip_file x WHERE x.clip_id = k.id AND x.role = 'audio')"
        }
        Part::Timecode => "k.start_tc IS NOT NULL",
        Part::Sidecar => "EXISTS (SELECT 1 FROM clip_file x WHERE x.clip_id = k.id AND x.role = 'sidecar')",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Tag;
    use crate::catalog::tests::{CLIP, Station, card_of};
    use crate::clip::{ClipMetadata, MediaState, VideoMetadata};
    use crate::fact::{Fact, Origin, Said};
    use crate::timecode::{FrameRate, Timecode};
    use proptest::prelude::*;

    const SECOND: &str = "CLIPS/A001C002_X.MOV";

    /// Two clips; the first one with metadata and proven nowhere.
    fn station() -> Station {
        let mut s = Station::with(&card_of(&[CLIP, SECOND]));
        let rate = FrameRate::new(24_000, 1001).unwrap();
        let metadata = ClipMetadata {
            video: Some(VideoMetadata {
                codec: "prores".into(),
                profile: Some("422 HQ".into()),
                rate: Some(rate),
                ..VideoMetadata::default()
            }),
            start_tc: Timecode::parse("01:02:03:04", rate),
            duration_frames: Some(24),
            camera_make: Some("Sony".into()),
            camera_model: Some("ILME-FX3".into()),
            recorded_at: Some("2026-03-04T05:06:07Z".parse().unwrap()),
            ..ClipMetadata::default()
        };
        let first = s.cat.clips(s.card).unwrap()[0].id;
        s.cat.set_metadata(first, &metadata, MediaState::Ok, None).unwrap();
        let note = Tag { note: Some("caf\u{e9} scene, rain".into()), keywords: vec!["hero".into()], ..Tag::default() };
        s.cat.tag(first, &note).unwrap();
        s
    }

    fn names(s: &Station, text: &str) -> Vec<String> {
        s.cat.find(&Query::parse(text)).unwrap().clips.into_iter().map(|c| c.name).collect()
    }

    #[test]
    fn what_a_clip_says_is_found_by_its_field_and_a_person_overrules_it() {
        let mut s = station();
        let id = s.cat.clips(s.card).unwrap()[1].id;
        let said = |field, value: &str| Said {
            fact: Fact { field, value: value.into() },
            origin: Origin::File,
            by: "libav".into(),
        };
        use crate::fact::Field as Of;
        let said = vec![
            said(Of::Scene, "12A"),
            said(Of::Take, "3"),
            said(Of::Lens, "Master Prime 35"),
            said(Of::Lens, "other"),
        ];
        let metadata = ClipMetadata { said, ..ClipMetadata::default() };
        s.cat.set_metadata(id, &metadata, MediaState::Ok, None).unwrap();
        for text in ["scene:12a", "take:3", "lens:\"master prime\"*", "prime"] {
            assert_eq!(names(&s, text), ["A001C002_X"], "{text}");
        }
        assert!(names(&s, "lens:other").is_empty(), "said, and not chosen");
        s.cat.tag(id, &Tag { scene: Some("13".into()), ..Tag::default() }).unwrap();
        assert_eq!((names(&s, "scene:13").len(), names(&s, "scene:12A").len()), (1, 0));
        assert_eq!(names(&s, "-scene:13"), ["A001C001"], "a clip without a scene is none of that scene");
    }

    #[test]
    fn words_are_found_in_names_notes_keywords_and_metadata() {
        let s = station();
        for text in
            ["A001C001", "c001", "rain", "cafe", "hero", "\"cafe scene\"", "prores", "Sony", "fx3", "ra*", "a001 rain"]
        {
            assert_eq!(names(&s, text), ["A001C001"], "{text}");
        }
        assert_eq!(names(&s, "A001").len(), 2);
        assert_eq!(names(&s, "A001 -rain"), ["A001C002_X"]);
        assert_eq!(names(&s, "rain OR x").len(), 2);
        assert!(names(&s, "snow").is_empty());
    }

    #[test]
    fn fields_are_found_and_what_lacks_a_value_is_kept_by_not() {
        let s = station();
        for text in [
            "fps:23.976",
            "tc:01:02",
            "tc:01:02:03:04",
            "tc:01:00..01:05",
            "codec:prores",
            "date:2026-03-04",
            "has:timecode",
            "camera:fx3",
            "is:ok",
        ] {
            let query = Query::parse(text);
            assert!(query.hints.is_empty(), "{text}: {:?}", query.hints);
            assert_eq!(names(&s, text), ["A001C001"], "{text}");
            assert_eq!(names(&s, &format!("-{text}")), ["A001C002_X"], "-{text}");
        }
        for text in ["camera:A", "roll:a001", "path:CLIPS/", "is:unproven", ""] {
            assert_eq!(names(&s, text).len(), 2, "{text}");
        }
    }

    #[test]
    fn a_text_is_gone_from_the_index_once_it_is_gone_from_the_row() {
        let mut s = station();
        let first = s.cat.clips(s.card).unwrap()[0].id;
        s.cat.tag(first, &Tag { note: Some("sun".into()), ..Tag::default() }).unwrap();
        assert!(names(&s, "rain").is_empty());
        assert_eq!(names(&s, "sun").len(), 1);
        s.cat.conn.execute("INSERT INTO clip_fts(clip_fts, rank) VALUES ('integrity-check', 1)", []).unwrap();
    }

    #[test]
    fn the_total_counts_more_than_the_limit_shows() {
        let s = station();
        let found = s.cat.find(&Query::parse("A001 limit:1")).unwrap();
        assert_eq!((found.clips.len(), found.total, found.total_is_capped), (1, 2, false));
    }

    #[test]
    fn only_cards_that_the_caller_judged_safe_are_safe() {
        let s = station();
        let safe = Query { expr: Expr::Is(State::Safe), ..Query::parse("") };
        assert!(asks_safe(&Expr::Not(Box::new(safe.expr.clone()))));
        assert_eq!(s.cat.find(&safe).unwrap().total, 0);
        assert_eq!(s.cat.find(&safe).unwrap().hints.len(), 1);
        assert_eq!(s.cat.find_with_safe(&safe, &[s.card]).unwrap().total, 2);
    }

    thread_local! {
        static STATION: Station = station();
    }

    proptest! {
        #[test]
        fn no_text_ever_ends_in_an_error(text in any::<String>()) {
            STATION.with(|s| s.cat.find(&Query::parse(&text)).unwrap());
        }

        #[test]
        fn no_syntax_ever_ends_in_an_error(
            text in "([-*\"():,/^{}+~\\\\']|OR|AND|NOT|NEAR| |a|a001|1|%|_|roll|camera|fps|date|is|has|path|limit|sort|:){0,60}",
        ) {
            STATION.with(|s| s.cat.find(&Query::parse(&text)).unwrap());
        }

        #[test]
        fn no_match_ever_ends_in_an_error(text in any::<String>(), prefix: bool, field in 0..9usize) {
            let fields = [
                Field::Roll,
                Field::Card,
                Field::Camera,
                Field::Codec,
                Field::Name,
                Field::Path,
                Field::Scene,
                Field::Said(crate::fact::Field::Lens),
            ];
            let text = Match { text, prefix };
            let expr = fields.get(field).map_or(Expr::Text(text.clone()), |f| Expr::Field(*f, text));
            STATION.with(|s| s.cat.find(&Query { expr, ..Query::parse("") }).unwrap());
        }
    }

    #[test]
    fn the_longest_and_deepest_queries_are_answered() {
        let s = station();
        for text in [
            "(".repeat(400) + "a",
            "-".repeat(400) + "a",
            "-(".repeat(200) + "a",
            "a ".repeat(5000),
            "a OR b -(".repeat(1000),
            "path:a,b,c ".repeat(900),
            "is:unproven ".repeat(800),
        ] {
            s.cat.find(&Query::parse(&text)).unwrap();
        }
    }
}
