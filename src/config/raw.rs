//! The TOML as it is written, and the checks that make a [`Config`] of it.

mod look;

use super::*;
use crate::preset::Container;
use look::RawLook;
use serde::Deserialize;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

type Text = Spanned<String>;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawConfig {
    catalog: RawCatalog,
    destination: Vec<RawDestination>,
    watch: Vec<Spanned<RawWatch>>,
    device: Vec<RawDevice>,
    policy: RawPolicy,
    offload: RawOffload,
    hash: RawHash,
    mhl: RawMhl,
    verify: RawVerify,
    media: RawMedia,
    proxy: Option<Vec<RawProxy>>,
    look: Vec<Spanned<RawLook>>,
    patrol: RawPatrol,
    notify: Option<Spanned<RawNotify>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawCatalog {
    path: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDestination {
    name: Option<Text>,
    path: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWatch {
    kind: Option<Text>,
    path: Option<Text>,
    label: Option<Text>,
    fs: Option<Spanned<Vec<String>>>,
    settle_secs: Option<Spanned<u64>>,
    poll_secs: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDevice {
    #[serde(rename = "match")]
    pattern: Text,
    kind: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawPolicy {
    copies: Option<Spanned<u32>>,
    distinct_devices: Option<bool>,
    accept_server: Option<bool>,
    source_reread: Option<bool>,
    litter: Option<Vec<Text>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawOffload {
    verify: Option<Text>,
    roll_from: Option<Spanned<Vec<Text>>>,
    set: BTreeMap<Text, Text>,
    small_below: Option<Text>,
    detach_after: Option<Text>,
    stalled_after: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawHash {
    formats: Option<Vec<Text>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawMhl {
    author: Option<Text>,
    author_email: Option<Text>,
    author_phone: Option<Text>,
    author_role: Option<Text>,
    location: Option<Text>,
    comment: Option<Text>,
    ignore: Option<Vec<Text>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawVerify {
    flash_lanes: Option<Spanned<u64>>,
    seal: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawMedia {
    enabled: Option<bool>,
    root: Option<Text>,
    layout: Option<Text>,
    probe_limit_secs: Option<Spanned<u64>>,
    derive_limit_secs: Option<Spanned<u64>>,
    workers: Option<Spanned<u64>>,
    pause_while_copying: Option<bool>,
    unconfined: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProxy {
    preset: Text,
    container: Option<Text>,
    suffix: Option<Text>,
    vfr: Option<Spanned<bool>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawPatrol {
    every: Option<Text>,
    #[serde(rename = "for")]
    budget: Option<Text>,
    rate: Option<Text>,
    absent_after: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNotify {
    command: Option<Spanned<Vec<Text>>>,
    url: Option<Text>,
    secret_file: Option<Text>,
    /// Known in order to be refused.
    secret: Option<Text>,
    on: Option<Spanned<Vec<Text>>>,
}

/// Sections of cli.md that this program does not have yet.
const NOT_BUILT: [&str; 1] = ["web"];

const DAY_SECS: u64 = 86_400;

pub(super) fn parse(text: &str, origin: &str) -> Result<Config, ConfigError> {
    let mut source = Source { text, origin, keys: Vec::new() };
    // A first pass for the places of all keys: serde's errors know a place and no key.
    if let Ok(table) = DeTable::parse(text) {
        source.walk("", table.get_ref());
    }
    let raw: RawConfig = toml::from_str(text).map_err(|e| source.serde_error(&e))?;
    source.check(raw)
}

/// The text and where each key of it lies.
struct Source<'a> {
    text: &'a str,
    origin: &'a str,
    keys: Vec<Key>,
}

struct Key {
    dotted: String,
    span: Range<usize>,
    is_leaf: bool,
}

impl Source<'_> {
    fn walk(&mut self, above: &str, table: &DeTable<'_>) {
        for (key, value) in table.iter() {
            let dotted = match above {
                "" => key.get_ref().to_string(),
                above => format!("{above}.{}", key.get_ref()),
            };
            self.keys.push(Key { dotted: dotted.clone(), span: key.span(), is_leaf: false });
            self.walk_value(dotted, value);
        }
    }

    fn walk_value(&mut self, dotted: String, value: &Spanned<DeValue<'_>>) {
        let mut is_leaf = false;
        match value.get_ref() {
            DeValue::Table(table) => self.walk(&dotted, table),
            DeValue::Array(items) if items.iter().any(|i| matches!(i.get_ref(), DeValue::Table(_))) => {
                for (n, item) in items.iter().enumerate() {
                    self.walk_value(format!("{dotted}[{n}]"), item);
                }
            }
            _ => is_leaf = true,
        }
        self.keys.push(Key { dotted, span: value.span(), is_leaf });
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n').count()
    }

    fn origins(&self) -> BTreeMap<String, String> {
        let leaves = self.keys.iter().filter(|k| k.is_leaf);
        leaves.map(|k| (k.dotted.clone(), format!("{} line {}", self.origin, self.line(k.span.start)))).collect()
    }

    /// The innermost key at a place.
    fn key_at(&self, span: &Range<usize>) -> Option<&str> {
        let around = self.keys.iter().filter(|k| k.span.start <= span.start && span.end <= k.span.end);
        around.min_by_key(|k| k.span.len()).map(|k| &k.dotted[..])
    }

    fn error(&self, span: Range<usize>, problem: impl Into<String>, hint: Option<String>) -> ConfigError {
        ConfigError {
            origin: self.origin.into(),
            line: self.line(span.start),
            key: self.key_at(&span).unwrap_or("syntax").into(),
            problem: problem.into(),
            hint,
        }
    }

    fn serde_error(&self, e: &toml::de::Error) -> ConfigError {
        let span = e.span().unwrap_or(0..0);
        let message = e.message().trim().replace('\n', ", ");
        let Some(rest) = message.strip_prefix("unknown field ") else {
            let form = "strings stand in quotes, lists in [ ]; config/goodgate.toml shows every key";
            return self.error(span, message, Some(form.into()));
        };
        // serde's words: unknown field `x`, expected one of `a`, `b`
        let mut names = rest.split('`').skip(1).step_by(2);
        let unknown = names.next().unwrap_or_default();
        let known: Vec<&str> = names.collect();
        if NOT_BUILT.contains(&unknown) && known.contains(&"destination") {
            return self.error(span, format!("the section [{unknown}] is not built yet"), Some("leave it out".into()));
        }
        let hint = match near(unknown, known.iter().copied()) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => format!("known here: {}", known.join(", ")),
        };
        self.error(span, format!("unknown key \"{unknown}\""), Some(hint))
    }

    fn check(&self, raw: RawConfig) -> Result<Config, ConfigError> {
        let mut c = Config { origins: self.origins(), ..Config::default() };
        c.catalog = raw.catalog.path.map(|p| self.path(&p)).transpose()?;
        self.offload(raw.offload, &mut c.offload)?;
        let set: Vec<&str> = c.offload.set.keys().map(String::as_str).collect();
        for raw in &raw.destination {
            let path = Template::parse(raw.path.get_ref(), &set).map_err(|e| self.error(raw.path.span(), e, None))?;
            if c.destinations.iter().any(|d| d.path == path) {
                return Err(self.error(raw.path.span(), "this destination is named twice", None));
            }
            c.destinations.push(Destination { name: raw.name.as_ref().map(|n| self.words(n)).transpose()?, path });
        }
        c.watches = raw.watch.iter().map(|w| self.watch(w)).collect::<Result<_, _>>()?;
        for raw in &raw.device {
            let kind = self.one_of(&raw.kind, &[("flash", DeviceKind::Flash), ("spinning", DeviceKind::Spinning)])?;
            c.devices.push(DeviceRule { pattern: self.words(&raw.pattern)?, kind });
        }
        self.policy(raw.policy, &mut c)?;
        self.hash(raw.hash, &mut c.hash)?;
        self.mhl(raw.mhl, &mut c.mhl)?;
        self.number(raw.verify.flash_lanes, 1..=64, |n| c.verify.flash_lanes = n as u32)?;
        set_if(&mut c.verify.seal, raw.verify.seal);
        self.media(raw.media, &mut c.media)?;
        if let Some(proxies) = raw.proxy {
            c.proxies = self.proxies(proxies, c.media.layout)?;
        }
        c.looks = self.looks(&raw.look, &c.proxies)?;
        c.patrol = Patrol {
            every: self.unit(raw.patrol.every, parse_duration)?,
            budget: self.unit(raw.patrol.budget, parse_duration)?,
            rate: self.unit(raw.patrol.rate, parse_rate)?,
            absent_after: self.unit(raw.patrol.absent_after, parse_duration)?,
        };
        c.notify = raw.notify.map(|n| self.notify(&n)).transpose()?;
        Ok(c)
    }

    fn watch(&self, raw: &Spanned<RawWatch>) -> Result<Watch, ConfigError> {
        let w = raw.get_ref();
        let (mut settle, mut poll) = (Duration::from_secs(30), Duration::from_secs(5));
        self.number(w.settle_secs.clone(), 1..=DAY_SECS, |n| settle = Duration::from_secs(n))?;
        self.number(w.poll_secs.clone(), 1..=DAY_SECS, |n| poll = Duration::from_secs(n))?;
        let is_mounts = match &w.kind {
            Some(kind) => self.one_of(kind, &[("dumps", false), ("mounts", true)])?,
            None => false,
        };
        if is_mounts {
            if let Some(path) = &w.path {
                let problem = "a watch of kind \"mounts\" has no path: it sees every removable volume";
                return Err(self.error(path.span(), problem, Some("filter with label or fs".into())));
            }
            let label = w.label.as_ref().map(|l| self.words(l)).transpose()?;
            let fs = w.fs.as_ref().map(|f| f.get_ref().clone()).unwrap_or_default();
            return Ok(Watch::Mounts { label, fs, settle, poll });
        }
        let filter = w.label.as_ref().map(Spanned::span).or(w.fs.as_ref().map(Spanned::span));
        if let Some(span) = filter {
            return Err(self.error(span, "label and fs belong to a watch of kind \"mounts\"", None));
        }
        match &w.path {
            Some(path) => Ok(Watch::Dumps { path: self.path(path)?, settle, poll }),
            None => Err(self.error(raw.span(), "a watch of kind \"dumps\" needs a path", None)),
        }
    }

    fn policy(&self, raw: RawPolicy, c: &mut Config) -> Result<(), ConfigError> {
        if let Some(copies) = raw.copies {
            if *copies.get_ref() < 2 {
                let hint = "for one disk, keep two copies on it and set distinct_devices = false";
                return Err(self.error(copies.span(), "one copy is no copy: at least 2", Some(hint.into())));
            }
            c.policy.copies = copies.into_inner();
        }
        c.policy.relaxed.same_device = !raw.distinct_devices.unwrap_or(true);
        c.policy.relaxed.accept_server = raw.accept_server.unwrap_or(false);
        c.policy.relaxed.no_source_reread = !raw.source_reread.unwrap_or(true);
        if let Some(litter) = raw.litter {
            for name in &litter {
                if name.get_ref().contains(['/', '*', '?']) {
                    return Err(self.error(name.span(), "litter is a list of plain names, no paths or patterns", None));
                }
            }
            c.litter = litter.iter().map(|n| self.words(n)).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    fn offload(&self, raw: RawOffload, out: &mut Offload) -> Result<(), ConfigError> {
        if let Some(verify) = raw.verify {
            let depths = [("full", VerifyDepth::Full), ("destinations", VerifyDepth::Destinations)];
            out.verify = self.one_of(&verify, &depths)?;
        }
        if let Some(from) = raw.roll_from {
            if from.get_ref().is_empty() {
                return Err(self.error(from.span(), "at least one source of a name is needed", None));
            }
            let kinds = [("folder", RollFrom::Folder), ("volume", RollFrom::Volume)];
            out.roll_from = from.get_ref().iter().map(|f| self.one_of(f, &kinds)).collect::<Result<_, _>>()?;
        }
        if let Some(size) = raw.small_below {
            // None is a good answer here: every file for itself.
            out.small_below_bytes = parse_size(size.get_ref()).map_err(|e| self.error(size.span(), e, None))?;
        }
        if let Some(after) = self.unit(raw.detach_after, parse_duration)? {
            out.detach_after = after;
        }
        if let Some(after) = self.unit(raw.stalled_after, parse_duration)? {
            out.stalled_after = after;
        }
        for (key, value) in raw.set {
            let name = key.get_ref();
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(plain) || name == "roll" {
                let problem = "a name here is of lower-case letters, digits, _ and -, and not \"roll\"";
                return Err(self.error(key.span(), problem, None));
            }
            if !value.get_ref().trim().is_empty() {
                self.words(&value)?;
            }
            out.set.insert(key.into_inner(), value.into_inner());
        }
        Ok(())
    }

    fn hash(&self, raw: RawHash, out: &mut Vec<HashFormat>) -> Result<(), ConfigError> {
        for text in raw.formats.unwrap_or_default() {
            if text.get_ref() == HashFormat::Blake3.name() {
                let hint = "leave it out: it is always computed and kept in the catalog";
                return Err(self.error(text.span(), "no manifest can hold blake3", Some(hint.into())));
            }
            let formats = HashFormat::MHL.map(|f| (f.name(), f));
            out.push(self.one_of(&text, &formats)?);
        }
        out.sort();
        out.dedup();
        Ok(())
    }

    fn mhl(&self, raw: RawMhl, out: &mut Mhl) -> Result<(), ConfigError> {
        out.author = raw.author.map(|t| self.words(&t)).transpose()?;
        let more = [&raw.author_email, &raw.author_phone, &raw.author_role];
        if let (None, Some(text)) = (&out.author, more.into_iter().flatten().next()) {
            let hint = "add author = \"...\"".to_owned();
            return Err(self.error(text.span(), "an author needs a name", Some(hint)));
        }
        if let Some(text) = &raw.author_email {
            // As the schema of ASC MHL demands it.
            let email = self.words(text)?;
            let host = email.split_once('@').filter(|(name, _)| !name.is_empty()).and_then(|(_, h)| h.split_once('.'));
            if !host.is_some_and(|(host, rest)| !host.is_empty() && !rest.is_empty()) {
                let hint = "write it as name@example.org".to_owned();
                return Err(self.error(text.span(), "a manifest may hold no such email address", Some(hint)));
            }
            out.author_email = Some(email);
        }
        out.author_phone = raw.author_phone.map(|t| self.words(&t)).transpose()?;
        out.author_role = raw.author_role.map(|t| self.words(&t)).transpose()?;
        out.location = raw.location.map(|t| self.words(&t)).transpose()?;
        out.comment = raw.comment.map(|t| self.words(&t)).transpose()?;
        if let Some(ignore) = raw.ignore {
            out.ignore = ignore.iter().map(|t| self.words(t)).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    fn media(&self, raw: RawMedia, out: &mut Media) -> Result<(), ConfigError> {
        set_if(&mut out.enabled, raw.enabled);
        set_if(&mut out.pause_while_copying, raw.pause_while_copying);
        set_if(&mut out.unconfined, raw.unconfined);
        self.number(raw.workers, 1..=64, |n| out.workers = Some(n as u16))?;
        out.root = raw.root.map(|p| self.path(&p)).transpose()?;
        if let Some(layout) = &raw.layout {
            out.layout = self.one_of(layout, &[MediaLayout::Root, MediaLayout::Beside].map(|l| (l.name(), l)))?;
        }
        self.number(raw.probe_limit_secs, 1..=DAY_SECS, |n| out.probe_limit = Duration::from_secs(n))?;
        self.number(raw.derive_limit_secs, 1..=DAY_SECS, |n| out.derive_limit = Duration::from_secs(n))
    }

    fn proxies(&self, raw: Vec<RawProxy>, layout: MediaLayout) -> Result<Vec<Proxy>, ConfigError> {
        let mut out: Vec<Proxy> = Vec::new();
        for raw in &raw {
            let proxy = self.proxy(raw)?;
            let one_name = |p: &Proxy| (&p.suffix, p.recipe.container) == (&proxy.suffix, proxy.recipe.container);
            let beside = layout == MediaLayout::Beside && proxy.recipe.preset.is_relink();
            if beside && out.iter().any(|p| p.recipe.preset.is_relink() && one_name(p)) {
                let problem = "beside its original, this proxy and one above would have the same name";
                return Err(self.error(raw.preset.span(), problem, Some("give one of them a suffix".into())));
            }
            if out.iter().any(|p| p.recipe.preset == proxy.recipe.preset) {
                return Err(self.error(raw.preset.span(), "this preset is named twice", None));
            }
            out.push(proxy);
        }
        // It is what one looks at, whatever one cuts with.
        if out.iter().all(|p| p.recipe.preset != Preset::Web) {
            out.push(Proxy::of(Preset::Web));
        }
        Ok(out)
    }

    fn proxy(&self, raw: &RawProxy) -> Result<Proxy, ConfigError> {
        let preset = self.one_of(&raw.preset, &Preset::ALL.map(|p| (p.name(), p)))?;
        let mut proxy = Proxy::of(preset);
        let mut at = raw.preset.span();
        if let Some(container) = &raw.container {
            proxy.recipe.container = self.one_of(container, &Container::ALL.map(|c| (c.name(), c)))?;
            at = container.span();
        }
        if let Some(vfr) = &raw.vfr {
            proxy.recipe.vfr = *vfr.get_ref();
            // A container that cannot hold the preset is the first thing to say.
            let without = Recipe { vfr: false, ..proxy.recipe };
            if without.problem().is_none() {
                at = vfr.span();
            }
        }
        if let Some(problem) = proxy.recipe.problem() {
            return Err(self.error(at, problem, None));
        }
        if let Some(suffix) = &raw.suffix {
            let text = suffix.get_ref();
            let bad = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
            if text.chars().any(bad) || text.len() > 64 {
                let problem = "a suffix is part of a file name: at most 64 bytes, none of / \\ : * ? \" < > |";
                return Err(self.error(suffix.span(), problem, Some("for example \"_Proxy\"".into())));
            }
            proxy.suffix = text.clone();
        }
        Ok(proxy)
    }

    fn notify(&self, raw: &Spanned<RawNotify>) -> Result<Notify, ConfigError> {
        let (at, raw) = (raw.span(), raw.get_ref());
        let command = raw.command.as_ref().map(|c| self.command(c)).transpose()?.unwrap_or_default();
        let webhook = self.webhook(raw)?;
        if command.is_empty() && webhook.is_none() {
            let hint = "write a command = [...], or a url and a secret_file, or leave out the section";
            return Err(self.error(at, "nobody is named who could be told", Some(hint.into())));
        }
        let Some(on) = &raw.on else { return Ok(Notify { command, webhook, on: NotifyOn::ALL.to_vec() }) };
        if on.get_ref().is_empty() {
            let hint = "leave out the section to be told nothing";
            return Err(self.error(on.span(), "at least one event is needed", Some(hint.into())));
        }
        let events = NotifyOn::ALL.map(|e| (e.name(), e));
        let mut on: Vec<_> = on.get_ref().iter().map(|t| self.one_of(t, &events)).collect::<Result<_, _>>()?;
        on.sort();
        on.dedup();
        Ok(Notify { command, webhook, on })
    }

    fn command(&self, raw: &Spanned<Vec<Text>>) -> Result<Vec<String>, ConfigError> {
        let command: Vec<String> = raw.get_ref().iter().map(|t| t.get_ref().clone()).collect();
        if command.first().is_none_or(|program| program.trim().is_empty()) {
            let hint = "write the program and its arguments: [\"/usr/local/bin/tell\", \"--quiet\"]";
            return Err(self.error(raw.span(), "a command is needed", Some(hint.into())));
        }
        match raw.get_ref().iter().find(|t| t.get_ref().contains('\0')) {
            Some(text) => Err(self.error(text.span(), "a NUL byte cannot be passed to a program", None)),
            None => Ok(command),
        }
    }

    fn webhook(&self, raw: &RawNotify) -> Result<Option<Webhook>, ConfigError> {
        if let Some(secret) = &raw.secret {
            let hint = "write it into a file that nobody else may read, and name that: secret_file = \"/etc/goodgate/webhook.secret\"";
            return Err(self.error(secret.span(), "a secret does not belong into the settings", Some(hint.into())));
        }
        match (&raw.url, &raw.secret_file) {
            (None, None) => Ok(None),
            (Some(url), None) => {
                let hint = "add secret_file = \"/etc/goodgate/webhook.secret\", a file with whsec_... in it";
                Err(self.error(url.span(), "a webhook is signed, and needs a secret for that", Some(hint.into())))
            }
            (None, Some(file)) => Err(self.error(
                file.span(),
                "a secret without a url is of no use",
                Some("add url = \"https://...\"".into()),
            )),
            (Some(url), Some(file)) => {
                web_address(url.get_ref()).map_err(|problem| self.error(url.span(), problem, None))?;
                Ok(Some(Webhook { url: url.get_ref().clone(), secret_file: self.path(file)? }))
            }
        }
    }

    fn one_of<T: Copy>(&self, text: &Text, known: &[(&str, T)]) -> Result<T, ConfigError> {
        let found = known.iter().find(|(name, _)| name == text.get_ref());
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let hint = match near(text.get_ref(), names.iter().copied()) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => format!("one of \"{}\"", names.join("\", \"")),
            };
            self.error(text.span(), format!("\"{}\" is not known here", text.get_ref().escape_debug()), Some(hint))
        })
    }

    fn path(&self, text: &Text) -> Result<PathBuf, ConfigError> {
        let path = PathBuf::from(text.get_ref());
        if !path.is_absolute() || text.get_ref().contains('\0') {
            return Err(self.error(text.span(), "a path here is absolute: it begins with \"/\"", None));
        }
        Ok(path)
    }

    /// One line of visible text.
    fn words(&self, text: &Text) -> Result<String, ConfigError> {
        if text.get_ref().trim().is_empty() || text.get_ref().chars().any(char::is_control) {
            return Err(self.error(text.span(), "one line of text is needed", None));
        }
        Ok(text.get_ref().clone())
    }

    fn number(
        &self,
        raw: Option<Spanned<u64>>,
        range: std::ops::RangeInclusive<u64>,
        set: impl FnOnce(u64),
    ) -> Result<(), ConfigError> {
        let Some(raw) = raw else { return Ok(()) };
        if !range.contains(raw.get_ref()) {
            let problem = format!("{} is not between {} and {}", raw.get_ref(), range.start(), range.end());
            return Err(self.error(raw.span(), problem, None));
        }
        set(raw.into_inner());
        Ok(())
    }

    /// A duration or rate; zero would mean never or nothing and is refused.
    fn unit<T: Default + PartialEq>(
        &self,
        raw: Option<Text>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(raw) = raw else { return Ok(None) };
        let value = parse(raw.get_ref()).map_err(|problem| self.error(raw.span(), problem, None))?;
        if value == T::default() {
            return Err(self.error(raw.span(), "more than zero is needed", Some("leave it out for no limit".into())));
        }
        Ok(Some(value))
    }
}

/// Whether it is an address that a request can be sent to.
fn web_address(text: &str) -> Result<(), &'static str> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("a web address begins with \"https://\" or \"http://\"");
    };
    if !["http", "https"].contains(&&scheme.to_ascii_lowercase()[..]) {
        return Err("a web address begins with \"https://\" or \"http://\"");
    }
    if text.chars().any(|c| !c.is_ascii_graphic()) {
        return Err("a web address has neither spaces nor letters beyond ASCII");
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Err("settings hold no passwords: leave out what stands before the @");
    }
    if rest.contains('#') {
        return Err("what follows a # is never sent: leave it out");
    }
    let (name, port) = match host.rsplit_once(':').filter(|_| !host.ends_with(']')) {
        Some((name, port)) => (name, port.parse::<u16>().is_ok_and(|p| p > 0)),
        None => (host, true),
    };
    match !name.is_empty() && port {
        true => Ok(()),
        false => Err("a web address names a host, and perhaps a port: https://example.org:8443/hook"),
    }
}

fn set_if<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}

/// The known name that `text` most likely stands for: at most two edits, and not another word altogether.
pub(super) fn near<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let all = known.map(|name| (edits(text, name), name));
    let (distance, name) = all.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2 && distance * 2 < name.len().max(3)).then_some(name)
}

/// Letters to insert, delete or replace to make `b` of `a`.
fn edits(a: &str, b: &str) -> usize {
    // A word of thousands of letters is no typing error; do not measure it.
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
