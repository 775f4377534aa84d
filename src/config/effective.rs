//! All settings as a flat list, for `config show`.

use super::*;
use toml::Value;

pub(super) fn list(c: &Config, origins: &BTreeMap<String, String>) -> Vec<(String, String, String)> {
    let mut out = List { origins, rows: Vec::new() };
    out.maybe("catalog.path", c.catalog.as_deref().map(path));
    for (n, d) in c.destinations.iter().enumerate() {
        out.maybe(&format!("destination[{n}].name"), d.name.clone());
        out.put(&format!("destination[{n}].path"), d.path.text());
    }
    for (n, w) in c.watches.iter().enumerate() {
        out.watch(&format!("watch[{n}]"), w);
    }
    for (n, d) in c.devices.iter().enumerate() {
        out.put(&format!("device[{n}].match"), &d.pattern[..]);
        let kind = if d.kind == DeviceKind::Flash { "flash" } else { "spinning" };
        out.put(&format!("device[{n}].kind"), kind);
    }
    out.put("policy.copies", i64::from(c.policy.copies));
    out.put("policy.distinct_devices", !c.policy.relaxed.same_device);
    out.put("policy.accept_server", c.policy.relaxed.accept_server);
    out.put("policy.source_reread", !c.policy.relaxed.no_source_reread);
    out.put("policy.litter", c.litter.clone());
    out.put("offload.verify", if c.offload.verify == VerifyDepth::Full { "full" } else { "destinations" });
    let from = |f: &RollFrom| if *f == RollFrom::Folder { "folder" } else { "volume" };
    out.put("offload.roll_from", c.offload.roll_from.iter().map(from).collect::<Vec<_>>());
    out.put("offload.small_below", size_text(c.offload.small_below_bytes));
    out.put("offload.detach_after", duration_text(c.offload.detach_after));
    out.put("offload.stalled_after", duration_text(c.offload.stalled_after));
    for (key, value) in &c.offload.set {
        out.put(&format!("offload.set.{key}"), &value[..]);
    }
    out.put("hash.formats", c.hash.iter().map(|f| f.name()).collect::<Vec<_>>());
    out.maybe("mhl.author", c.mhl.author.clone());
    out.maybe("mhl.author_email", c.mhl.author_email.clone());
    out.maybe("mhl.author_phone", c.mhl.author_phone.clone());
    out.maybe("mhl.author_role", c.mhl.author_role.clone());
    out.maybe("mhl.location", c.mhl.location.clone());
    out.maybe("mhl.comment", c.mhl.comment.clone());
    out.put("mhl.ignore", c.mhl.ignore.clone());
    out.put("verify.flash_lanes", i64::from(c.verify.flash_lanes));
    out.put("verify.seal", c.verify.seal);
    out.put("media.enabled", c.media.enabled);
    out.maybe("media.root", c.media.root.as_deref().map(path));
    out.put("media.layout", c.media.layout.name());
    out.put("media.probe_limit_secs", c.media.probe_limit.as_secs() as i64);
    out.put("media.derive_limit_secs", c.media.derive_limit.as_secs() as i64);
    out.maybe("media.workers", c.media.workers.map(|n| n.to_string()));
    out.put("media.pause_while_copying", c.media.pause_while_copying);
    out.put("media.unconfined", c.media.unconfined);
    for (n, proxy) in c.proxies.iter().enumerate() {
        out.put(&format!("proxy[{n}].preset"), proxy.recipe.preset.name());
        out.put(&format!("proxy[{n}].container"), proxy.recipe.container.name());
        out.put(&format!("proxy[{n}].suffix"), &proxy.suffix[..]);
        out.put(&format!("proxy[{n}].vfr"), proxy.recipe.vfr);
    }
    for (n, look) in c.looks.iter().enumerate() {
        out.look(&format!("look[{n}]"), look);
    }
    out.maybe("patrol.every", c.patrol.every.map(duration_text));
    out.maybe("patrol.for", c.patrol.budget.map(duration_text));
    out.maybe("patrol.rate", c.patrol.rate.map(|r| format!("{}/s", size_text(r))));
    out.maybe("patrol.absent_after", c.patrol.absent_after.map(duration_text));
    if let Some(notify) = &c.notify {
        if !notify.command.is_empty() {
            out.put("notify.command", notify.command.clone());
        }
        if let Some(hook) = &notify.webhook {
            out.put("notify.url", &hook.url[..]);
            out.put("notify.secret_file", path(&hook.secret_file));
        }
        out.put("notify.on", notify.on.iter().map(|on| on.name()).collect::<Vec<_>>());
    }
    out.rows
}

struct List<'a> {
    origins: &'a BTreeMap<String, String>,
    rows: Vec<(String, String, String)>,
}

impl List<'_> {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        let origin = self.origins.get(key).map_or("default", String::as_str);
        self.rows.push((key.into(), value.into().to_string(), origin.into()));
    }

    /// A key without a default shows an empty value while it is unset.
    fn maybe(&mut self, key: &str, value: Option<String>) {
        match value {
            Some(value) => self.put(key, value),
            None => self.rows.push((key.into(), String::new(), "default".into())),
        }
    }

    fn look(&mut self, above: &str, look: &Look) {
        self.put(&format!("{above}.name"), &look.name[..]);
        for (key, pattern) in [("camera", &look.camera), ("roll", &look.roll), ("clip", &look.clip)] {
            self.maybe(&format!("{above}.{key}"), pattern.clone());
        }
        self.put(&format!("{above}.presets"), look.presets.clone());
        self.maybe(&format!("{above}.lut"), look.lut.as_deref().map(path));
        let from = |cdl: &CdlFrom| match cdl {
            CdlFrom::Clip => "clip".to_owned(),
            CdlFrom::File(file) => path(file),
        };
        self.maybe(&format!("{above}.cdl"), look.cdl.as_ref().map(from));
        self.maybe(&format!("{above}.colour"), look.colour.map(|c| c.name().to_owned()));
        self.put(&format!("{above}.burn_in"), look.burn_in.iter().map(|b| b.name()).collect::<Vec<_>>());
        self.maybe(&format!("{above}.watermark"), look.watermark.clone());
        self.put(&format!("{above}.size"), i64::from(look.size_percent));
    }

    fn watch(&mut self, above: &str, w: &Watch) {
        let (settle, poll) = match w {
            Watch::Dumps { path: at, settle, poll } => {
                self.put(&format!("{above}.kind"), "dumps");
                self.put(&format!("{above}.path"), path(at));
                (settle, poll)
            }
            Watch::Mounts { label, fs, settle, poll } => {
                self.put(&format!("{above}.kind"), "mounts");
                self.maybe(&format!("{above}.label"), label.clone());
                self.put(&format!("{above}.fs"), fs.clone());
                (settle, poll)
            }
        };
        self.put(&format!("{above}.settle_secs"), settle.as_secs() as i64);
        self.put(&format!("{above}.poll_secs"), poll.as_secs() as i64);
    }
}

fn path(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}
