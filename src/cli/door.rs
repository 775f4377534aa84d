//! What every verb needs: the settings from their file, the catalog, the station, and where output goes.

use super::args::{Global, Shown};
use super::bar::Bar;
use super::print::Out;
use super::report::Failure;
use super::stop::Stop;
use anyhow::Context;
use goodgate::catalog::{CardRow, Catalog, CatalogError, Signed};
use goodgate::config::Config;
use goodgate::disk::lock::{self, Lock};
use goodgate::ingest::Station;
use std::cell::OnceCell;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub struct Door {
    pub out: Out,
    pub global: Global,
    pub station: Station,
    /// The file that the settings were read from; `None`: built-in defaults.
    pub config_file: Option<PathBuf>,
    /// Absolute.
    pub catalog_path: PathBuf,
    stop: OnceCell<Stop>,
    held: OnceCell<Option<Lock>>,
}

impl Door {
    pub fn open(global: Global, out: Out) -> anyhow::Result<Self> {
        let env = Env::of_process();
        let (mut config, config_file) = settings(&global, &env)?;
        let (path, origin) = catalog_path(&global, &env, &config)?;
        let catalog_path = std::path::absolute(&path).with_context(|| format!("catalog \"{}\"", path.display()))?;
        config.catalog = Some(catalog_path.clone());
        if let Some(origin) = origin {
            config.note_origin("catalog.path", origin);
        }
        let state = catalog_path.parent().unwrap_or(Path::new("/")).to_path_buf();
        let station = Station { config, state, hostname: hostname(), version: env!("CARGO_PKG_VERSION") };
        Ok(Door { out, global, station, config_file, catalog_path, stop: OnceCell::new(), held: OnceCell::new() })
    }

    /// For work that writes, and for verdicts: they write down what was seen.
    pub fn catalog(&self) -> anyhow::Result<Catalog> {
        self.hold()?;
        let signed = self.signed();
        Ok(Catalog::open(&self.catalog_path)?.signed(&signed.who, &signed.version))
    }

    pub fn signed(&self) -> Signed {
        Signed { who: format!("{}@{}", user(), self.station.hostname), version: self.station.version.into() }
    }

    fn locks(&self) -> PathBuf {
        self.station.state.join("locks")
    }

    fn lock_name(&self) -> String {
        format!("catalog {}", self.catalog_path.file_name().unwrap_or_default().to_string_lossy())
    }

    /// From now to its end this process uses the catalog: nobody may put another file in its place.
    pub fn hold(&self) -> anyhow::Result<()> {
        if self.held.get().is_some() {
            return Ok(());
        }
        // Where no lock can be kept, the catalog itself will say what is wrong.
        let held = match lock::try_share(&self.locks(), &self.lock_name()) {
            Ok(None) => return Err(busy("the catalog is being restored or rebuilt")),
            Ok(held) => held,
            Err(_) => None,
        };
        let _ = self.held.set(held);
        Ok(())
    }

    /// Nobody else uses the catalog as long as this is held.
    pub fn alone(&self) -> anyhow::Result<Lock> {
        let lock = lock::try_lock(&self.locks(), &self.lock_name());
        let lock = lock.with_context(|| format!("cannot lock in \"{}\"", self.locks().display()))?;
        lock.ok_or_else(|| busy("another goodgate process uses the catalog"))
    }

    /// For answers from the catalog alone, beside whoever writes. A catalog that does not exist yet is made.
    pub fn reader(&self) -> anyhow::Result<Catalog> {
        if !self.catalog_path.exists() {
            return self.catalog();
        }
        // A reader makes nothing, such as a folder for locks beside a backup that it looks at.
        if self.locks().is_dir() {
            self.hold()?;
        }
        match Catalog::open_read_only(&self.catalog_path) {
            Err(CatalogError::Older { .. }) => self.catalog(),
            opened => Ok(opened?),
        }
    }

    /// Signals ask the work to stop from the first call on.
    pub fn stop(&self) -> anyhow::Result<Stop> {
        if let Some(stop) = self.stop.get() {
            return Ok(stop.clone());
        }
        let stop = Stop::on_signals().context("cannot listen for signals")?;
        Ok(self.stop.get_or_init(|| stop).clone())
    }

    pub fn progress(&self) -> anyhow::Result<Bar> {
        let how = if self.global.quiet { None } else { Some(self.global.progress) };
        Ok(Bar::new(how.unwrap_or(Shown::Never), self.global.quiet, self.out.clone(), self.stop()?))
    }

    /// The card of that roll name or id.
    pub fn card(&self, catalog: &Catalog, roll: &str) -> anyhow::Result<CardRow> {
        let mut found = catalog.cards_named(roll)?;
        match (found.pop(), found.len()) {
            (Some(card), 0) => Ok(card),
            (None, _) => {
                let failure = Failure::usage(format!("no card is named \"{roll}\""));
                Err(failure.hint("goodgate cards lists them").into())
            }
            (Some(last), _) => {
                let ids: Vec<String> = found.iter().chain([&last]).map(|c| c.id.to_string()).collect();
                let failure = Failure::usage(format!("{} cards are named \"{roll}\"", ids.len()));
                Err(failure.hint(format!("say which one by its id, newest first: {}", ids.join(", "))).into())
            }
        }
    }
}

fn busy(what: &str) -> anyhow::Error {
    Failure::new(what).hint("wait for it, or stop the daemon first; goodgate jobs shows what is at work").into()
}

/// The parts of the environment that choose files; an argument, so that tests need not change the process.
#[derive(Default)]
struct Env {
    config: Option<PathBuf>,
    catalog: Option<PathBuf>,
    config_home: Option<PathBuf>,
    state_home: Option<PathBuf>,
    home: Option<PathBuf>,
    etc: PathBuf,
}

impl Env {
    fn of_process() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|v: &OsString| !v.is_empty()).map(PathBuf::from);
        // The XDG specification: relative ones are invalid and ignored.
        let absolute = |name: &str| set(name).filter(|p| p.is_absolute());
        Env {
            config: set("GOODGATE_CONFIG"),
            catalog: set("GOODGATE_CATALOG"),
            config_home: absolute("XDG_CONFIG_HOME"),
            state_home: absolute("XDG_STATE_HOME"),
            home: absolute("HOME"),
            etc: "/etc/goodgate/config.toml".into(),
        }
    }
}

fn settings(global: &Global, env: &Env) -> anyhow::Result<(Config, Option<PathBuf>)> {
    if let Some(named) = global.config.as_ref().or(env.config.as_ref()) {
        let text = read(named)?.ok_or_else(|| {
            let hint = match global.config {
                Some(_) => "check the path after --config",
                None => "check the variable GOODGATE_CONFIG",
            };
            Failure::usage(format!("settings \"{}\": no such file", named.display())).hint(hint)
        })?;
        return Ok((Config::parse(&text, &named.to_string_lossy())?, Some(named.clone())));
    }
    let home = env.config_home.clone().or(env.home.as_ref().map(|h| h.join(".config")));
    let usual = home.map(|h| h.join("goodgate/config.toml"));
    for file in usual.iter().chain([&env.etc]) {
        if let Some(text) = read(file)? {
            return Ok((Config::parse(&text, &file.to_string_lossy())?, Some(file.clone())));
        }
    }
    Ok((Config::default(), None))
}

/// `None` when there is no such file. Any other fault is one: settings that exist count.
fn read(file: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => {
            let failure = Failure::usage(format!("cannot read settings \"{}\": {e}", file.display()));
            Err(failure.hint("settings are a TOML text in UTF-8 that you may read; name others with --config"))
        }
    }
}

/// Where the catalog is, and what said so when the settings did not.
fn catalog_path(global: &Global, env: &Env, config: &Config) -> Result<(PathBuf, Option<&'static str>), Failure> {
    if let Some(path) = &global.catalog {
        return Ok((path.clone(), Some("--catalog")));
    }
    if let Some(path) = &env.catalog {
        return Ok((path.clone(), Some("GOODGATE_CATALOG")));
    }
    if let Some(path) = &config.catalog {
        return Ok((path.clone(), None));
    }
    let state = env.state_home.clone().or(env.home.as_ref().map(|h| h.join(".local/state")));
    match state {
        Some(state) => Ok((state.join("goodgate/catalog.db"), None)),
        None => Err(Failure::usage("no place for the catalog: neither XDG_STATE_HOME nor HOME is set")
            .hint("name one: --catalog FILE")),
    }
}

/// Whose work the custody log says it is.
fn user() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|v| std::env::var(v).ok().filter(|u| !u.is_empty()));
    named.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

fn hostname() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname");
    read.ok().map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).unwrap_or_else(|| "localhost".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(at: &Path) -> Env {
        Env {
            config_home: Some(at.join("config")),
            state_home: Some(at.join("state")),
            home: Some(at.join("home")),
            etc: at.join("etc.toml"),
            ..Env::default()
        }
    }

    fn write(file: &Path, text: &str) -> PathBuf {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        file.to_path_buf()
    }

    fn author(global: &Global, env: &Env) -> Option<String> {
        settings(global, env).unwrap().0.mhl.author
    }

    #[test]
    fn settings_come_from_the_nearest_file() {
        let at = tempfile::tempdir().unwrap();
        let (mut global, mut env) = (Global::default(), env(at.path()));
        let says = |who: &str| format!("[mhl]\nauthor = \"{who}\"\n");
        assert_eq!(settings(&global, &env).unwrap(), (Config::default(), None));
        write(&env.etc, &says("etc"));
        assert_eq!(author(&global, &env).as_deref(), Some("etc"));
        write(&at.path().join("config/goodgate/config.toml"), &says("xdg"));
        assert_eq!(author(&global, &env).as_deref(), Some("xdg"));
        env.config_home = None;
        write(&at.path().join("home/.config/goodgate/config.toml"), &says("home"));
        assert_eq!(author(&global, &env).as_deref(), Some("home"));
        env.config = Some(write(&at.path().join("env.toml"), &says("env")));
        assert_eq!(author(&global, &env).as_deref(), Some("env"));
        global.config = Some(write(&at.path().join("flag.toml"), &says("flag")));
        assert_eq!(author(&global, &env).as_deref(), Some("flag"));
        assert_eq!(settings(&global, &env).unwrap().1, global.config);
    }

    #[test]
    fn named_settings_that_are_not_there_are_an_error() {
        let at = tempfile::tempdir().unwrap();
        let absent = Some(at.path().join("absent.toml"));
        let flag = Global { config: absent.clone(), ..Global::default() };
        let e = settings(&flag, &env(at.path())).unwrap_err();
        assert!(e.to_string().contains("no such file"), "{e}");
        assert!(settings(&Global::default(), &Env { config: absent, ..env(at.path()) }).is_err());
        // A folder, and bytes that are no text.
        let folder = Global { config: Some(at.path().to_path_buf()), ..Global::default() };
        assert!(settings(&folder, &env(at.path())).is_err());
        let odd = at.path().join("odd.toml");
        std::fs::write(&odd, b"\xff\xfe").unwrap();
        assert!(settings(&Global { config: Some(odd), ..Global::default() }, &env(at.path())).is_err());
    }

    #[test]
    fn the_catalog_is_the_one_of_flag_variable_settings_or_state_folder() {
        let at = Path::new("/x");
        let (mut global, mut env, mut config) = (Global::default(), env(at), Config::default());
        let path = |g: &Global, e: &Env, c: &Config| catalog_path(g, e, c).unwrap().0;
        assert_eq!(path(&global, &env, &config), Path::new("/x/state/goodgate/catalog.db"));
        env.state_home = None;
        assert_eq!(path(&global, &env, &config), Path::new("/x/home/.local/state/goodgate/catalog.db"));
        config.catalog = Some("/cfg.db".into());
        assert_eq!(path(&global, &env, &config), Path::new("/cfg.db"));
        env.catalog = Some("/env.db".into());
        assert_eq!(path(&global, &env, &config), Path::new("/env.db"));
        global.catalog = Some("/flag.db".into());
        assert_eq!(path(&global, &env, &config), Path::new("/flag.db"));
        assert!(catalog_path(&Global::default(), &Env::default(), &Config::default()).is_err());
    }
}
