//! A station of its own for each test: a card, two destinations, catalog, config and XDG folders in one temporary
//! folder on a real disk, and commands that see nothing else.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub struct Place {
    dir: tempfile::TempDir,
}

/// What a run said.
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// The one JSON object on stdout.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.stdout, self.stderr))
    }

    /// The same, after checking the exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

impl From<Output> for Said {
    fn from(out: Output) -> Self {
        Said {
            // A signal shows as 128 + its number, as in a shell.
            code: out.status.code().unwrap_or_else(|| {
                use std::os::unix::process::ExitStatusExt;
                128 + out.status.signal().unwrap_or(0)
            }),
            stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }
}

impl Place {
    /// Below the build's own folder: a temporary filesystem in memory could prove nothing.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("place-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for folder in ["card/A001/CLIPS", "a", "b", "state", "config", "home"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let place = Place { dir };
        // One disk is what test machines have; the verdict names the relaxation.
        place.config("[policy]\ndistinct_devices = false\n");
        place
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// The card that [`Place::offload`] takes: roll A001.
    pub fn card(&self) -> PathBuf {
        self.path("card/A001")
    }

    pub fn config(&self, text: &str) {
        std::fs::write(self.path("config/config.toml"), text).unwrap();
    }

    /// Writes a file below the place, with folders; the bytes are a fixed pattern of the seed.
    pub fn file(&self, relative: &str, len: usize, seed: u32) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, pattern(len, seed)).unwrap();
        path
    }

    /// Three files: two MiB-sized "clips" that no libav knows, and a note.
    pub fn with_card(self) -> Self {
        self.file("card/A001/CLIPS/A001C001.MOV", 3_500_000, 1);
        self.file("card/A001/CLIPS/A001C002.MOV", 1_048_576, 2);
        self.file("card/A001/NOTES.TXT", 12, 3);
        self
    }

    /// A command that sees only this station.
    pub fn goodgate(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_goodgate"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_remove("GOODGATE_CATALOG")
            .env("GOODGATE_CONFIG", self.path("config/config.toml"))
            .env("GOODGATE_MEDIA", env!("CARGO_BIN_EXE_goodgate-media"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("HOME", self.path("home"))
            .stdin(std::process::Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        self.goodgate(args).output().unwrap().into()
    }

    /// `offload card/A001 --to a --to b --json` and more arguments.
    pub fn offload(&self, more: &[&str]) -> Said {
        self.run(&[&["offload", "card/A001", "--to", "a", "--to", "b", "--json"], more].concat())
    }

    pub fn catalog(&self) -> PathBuf {
        self.path("state/goodgate/catalog.db")
    }

    /// Every file below a folder with its bytes, but for what `skip` names.
    pub fn tree(&self, relative: &str, skip: impl Fn(&Path) -> bool) -> Vec<(PathBuf, Vec<u8>)> {
        let root = self.path(relative);
        let mut out = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap().flatten() {
                let path = entry.path();
                let rel = path.strip_prefix(&root).unwrap().to_path_buf();
                if skip(&rel) {
                    continue;
                }
                if path.is_dir() {
                    out.push((rel, b"folder".to_vec()));
                    folders.push(path);
                } else {
                    out.push((rel, std::fs::read(&path).unwrap_or_default()));
                }
            }
        }
        out.sort();
        out
    }
}

/// Bytes that differ from block to block and from seed to seed.
pub fn pattern(len: usize, seed: u32) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut step = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x as u8
    };
    (0..len).map(|_| step()).collect()
}

/// Changes one byte in place without changing the file's times.
pub fn flip(path: &Path, offset: u64) {
    use std::os::unix::fs::FileExt;
    let before = std::fs::metadata(path).unwrap().modified().unwrap();
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], offset).unwrap();
    file.set_modified(before).unwrap();
    file.sync_all().unwrap();
}

/// The folder of real recordings; tests that need it say so and pass without it.
pub fn real_media() -> Option<PathBuf> {
    let path = std::env::var_os("GOODGATE_TEST_MEDIA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/media"), PathBuf::from);
    if !path.join("MANIFEST.tsv").is_file() {
        eprintln!("SKIPPED: no real media at {}", path.display());
        return None;
    }
    Some(path.canonicalize().unwrap())
}
