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

    /// With these files on its card.
    pub fn with_files(files: &[(impl AsRef<Path>, Vec<u8>)]) -> Self {
        let place = Self::new();
        for (name, bytes) in files {
            let path = place.card().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        place
    }

    /// Every file goes for itself, as large ones do: one stream, and a sync, a read-back and a rename each.
    pub fn without_groups(self) -> Self {
        self.config("[policy]\ndistinct_devices = false\n[offload]\nsmall_below = \"0\"\n");
        self
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

    /// `status A001 --json`.
    pub fn status(&self) -> Said {
        self.run(&["status", "A001", "--json"])
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

/// One entry of a tree as the disk has it: equal stamps mean that nobody wrote there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    pub path: PathBuf,
    pub ino: u64,
    pub size: u64,
    pub mtime: (i64, i64),
    pub ctime: (i64, i64),
    pub blake3: Option<[u8; 32]>,
}

/// The stamps of everything below a folder, specials too; regular files with a hash of their bytes.
pub fn stamps(root: &Path) -> Vec<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let mut out = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let m = path.symlink_metadata().unwrap();
            out.push(Stamp {
                path: path.strip_prefix(root).unwrap().to_path_buf(),
                ino: m.ino(),
                size: m.len(),
                mtime: (m.mtime(), m.mtime_nsec()),
                ctime: (m.ctime(), m.ctime_nsec()),
                blake3: m.is_file().then(|| blake3::hash(&std::fs::read(&path).unwrap()).into()),
            });
            if m.is_dir() {
                folders.push(path);
            }
        }
    }
    out.sort();
    out
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

/// Runs a command that must not hang.
#[track_caller]
pub fn within(secs: u64, mut command: Command) -> Said {
    use std::process::Stdio;
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let hung = wait.recv_timeout(std::time::Duration::from_secs(secs)).is_err();
        if hung {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        }
        hung
    });
    let out = child.wait_with_output().unwrap();
    let _ = done.send(());
    assert!(!watch.join().unwrap(), "it hung for {secs} s: {}", String::from_utf8_lossy(&out.stderr));
    out.into()
}

/// An ext4 image, mounted while this lives. Its root counts as a removable card. Root's work: others skip.
pub struct Image {
    dir: tempfile::TempDir,
}

impl Image {
    pub fn new(mib: u64, mkfs: &[&str]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root may mount an image");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("image-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (file, mount) = (dir.path().join("image"), dir.path().join("mount"));
        std::fs::File::create(&file).unwrap().set_len(mib << 20).unwrap();
        std::fs::create_dir(&mount).unwrap();
        let run = |program: &str, args: &[&str]| {
            let out = Command::new(program).args(args).output().unwrap();
            assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        };
        let (file, mount) = (file.to_str().unwrap(), mount.to_str().unwrap());
        run("mkfs.ext4", &[&["-q", "-F", "-m", "0"], mkfs, &[file]].concat());
        run("mount", &["-o", "loop", file, mount]);
        let _ = std::fs::remove_dir(Path::new(mount).join("lost+found"));
        Some(Image { dir })
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mount")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Lazily: a test that failed may leave a reader behind, and the folder must go all the same.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
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
