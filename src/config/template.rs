//! A destination's path with places for values: `/mnt/raid/{project}/{date}/{camera}`.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Names that every offload can fill, besides those of `[offload] set`.
pub(super) const KNOWN: [&str; 3] = ["project", "date", "camera"];

/// An absolute path; `{roll}` is always the folder below it and so never part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(String),
}

/// Why a template cannot become a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    #[error("the destination \"{template}\" needs a value for {key}")]
    Missing { template: String, key: String },
    #[error("the value \"{value}\" for {key} cannot be the name of a folder")]
    NotAName { key: String, value: String },
}

impl Template {
    /// The folders before the first placeholder: `/mnt/raid` of `/mnt/raid/day_{date}`.
    pub fn fixed(&self) -> PathBuf {
        let text = self.text.split('{').next().unwrap_or_default();
        let whole = text.len() == self.text.len();
        match text.rfind('/').filter(|_| !whole) {
            Some(end) => PathBuf::from(&text[..end.max(1)]),
            None => PathBuf::from(text),
        }
    }

    /// Checks the path and its placeholders. `more`: names that `[offload] set` adds.
    pub fn parse(text: &str, more: &[&str]) -> Result<Template, String> {
        // `{roll}` is implied: written last it changes nothing, and elsewhere it would be a lie.
        let path = text.trim_end_matches('/').strip_suffix("/{roll}").unwrap_or(text);
        if !path.starts_with('/') {
            return Err("a destination is an absolute path, such as \"/mnt/raid\"".into());
        }
        if path.split('/').any(|s| s == ".." || s == ".") || path.contains('\0') {
            return Err("a destination holds no \".\" or \"..\" folder".into());
        }
        let mut parts = Vec::new();
        let mut rest = path;
        while let Some(open) = rest.find(['{', '}']) {
            let (before, tail) = rest.split_at(open);
            let inside = tail.strip_prefix('{').and_then(|t| t.split_once('}'));
            let Some((key, after)) = inside else {
                return Err("\"{\" and \"}\" come in pairs around a name, such as {project}".into());
            };
            if key == "roll" {
                return Err("{roll} is always the last folder: write it last or not at all".into());
            }
            if !KNOWN.contains(&key) && !more.contains(&key) {
                let near = super::raw::near(key, KNOWN.iter().chain(more).copied());
                return Err(format!(
                    "the placeholder {{{key}}} is not known{}; others are declared in [offload] set",
                    near.map(|n| format!(", did you mean {{{n}}}?")).unwrap_or_default()
                ));
            }
            parts.push(Part::Text(before.into()));
            parts.push(Part::Value(key.into()));
            rest = after;
        }
        parts.push(Part::Text(rest.into()));
        Ok(Template { text: text.into(), parts })
    }

    /// As the config has it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names to be filled, in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|p| match p {
            Part::Value(key) => Some(&key[..]),
            Part::Text(_) => None,
        })
    }

    /// The destination's root, without the roll's folder. A value may not add a folder or climb out of one: it may
    /// come from a card's metadata.
    pub fn expand(&self, values: &BTreeMap<String, String>) -> Result<PathBuf, BadValue> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(key) => {
                    let value = values.get(key).map(|v| v.trim()).filter(|v| !v.is_empty());
                    let value =
                        value.ok_or_else(|| BadValue::Missing { template: self.text.clone(), key: key.clone() })?;
                    if value.contains('/') || value.starts_with('.') || value.chars().any(char::is_control) {
                        let value = value.escape_debug().to_string();
                        return Err(BadValue::NotAName { key: key.clone(), value });
                    }
                    out.push_str(value);
                }
            }
        }
        Ok(PathBuf::from(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn placeholders_are_filled_and_the_roll_is_implied() {
        for text in ["/mnt/{project}/{date}-x", "/mnt/{project}/{date}-x/{roll}", "/mnt/{project}/{date}-x/{roll}/"] {
            let t = Template::parse(text, &[]).unwrap();
            assert_eq!(t.placeholders().collect::<Vec<_>>(), ["project", "date"]);
            let path = t.expand(&values(&[("project", "Film"), ("date", "2026-01-02")])).unwrap();
            assert_eq!(path, PathBuf::from("/mnt/Film/2026-01-02-x"), "{text}");
        }
    }

    #[test]
    fn unclean_templates_are_refused() {
        for bad in
            ["mnt/a", "", "~/a", "/a/../b", "/a/./b", "/a/{roll}/b", "/a/{proj}", "/a/{", "/a/}", "/a/{}", "/a/{b"]
        {
            assert!(Template::parse(bad, &[]).is_err(), "{bad}");
        }
        assert!(Template::parse("/a/{episode}", &["episode"]).is_ok());
        assert!(Template::parse("/a/{projekt}", &[]).unwrap_err().contains("did you mean {project}?"));
    }

    #[test]
    fn a_value_stays_one_folder_name() {
        let t = Template::parse("/mnt/{project}", &[]).unwrap();
        for bad in ["..", "a/b", ".hidden", "a\nb", "a\0b"] {
            assert!(matches!(t.expand(&values(&[("project", bad)])), Err(BadValue::NotAName { .. })), "{bad:?}");
        }
        for missing in [values(&[]), values(&[("project", " ")])] {
            assert!(matches!(t.expand(&missing), Err(BadValue::Missing { .. })));
        }
    }
}
