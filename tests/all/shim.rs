//! Faults on purpose: `tests/faults/shim.c` between the program and its kernel, images of filesystems to mount, and what
//! must hold after every fault, whatever it was.

use crate::place::{Place, Said};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shim, compiled once by the C compiler that Rust links with.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.c");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let made = folder.join(format!("shim-{}.so", std::process::id()));
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&made).arg(source).arg("-ldl");
        let status = cc.status().expect("the fault tests need cc");
        assert!(status.success(), "cc {source}");
        let path = folder.join("shim.so");
        std::fs::rename(made, &path).unwrap();
        path
    })
}

/// One run of the program with rules for the shim.
pub struct Faulty {
    mark: PathBuf,
    command: Command,
}

impl Faulty {
    /// The offload of [`Place::offload`] with these rules.
    pub fn offload(place: &Place, rules: &[&str]) -> Self {
        Self::run(place, &["offload", "card/A001", "--to", "a", "--to", "b", "--json"], rules)
    }

    pub fn run(place: &Place, args: &[&str], rules: &[&str]) -> Self {
        let mark = tempfile::Builder::new().prefix("mark-").tempdir_in(place.path("home")).unwrap().keep();
        let mut command = place.goodgate(args);
        command
            .env("LD_PRELOAD", library())
            .env("GOODGATE_FAULTS", rules.join("\n"))
            .env("GOODGATE_FAULT_MARK", &mark)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Faulty { mark, command }
    }

    /// Runs to its end; a fault that did not happen tests nothing.
    #[track_caller]
    pub fn said(self) -> Said {
        self.ran().0
    }

    /// Runs to its end, however that is; also gives what fired: a line a hit.
    #[track_caller]
    pub fn ran(mut self) -> (Said, String) {
        let said: Said = self.command.output().unwrap().into();
        let fired = self.fired();
        assert!(!fired.is_empty(), "no fault fired: {} {}", said.stdout, said.stderr);
        (said, fired)
    }

    /// Runs well to its end, and gives what fired: a line a hit.
    #[track_caller]
    pub fn fired_after(mut self) -> String {
        Said::from(self.command.output().unwrap()).expect(0);
        self.fired()
    }

    /// Starts it and returns when its `pause` is reached.
    #[track_caller]
    pub fn paused(mut self) -> Paused {
        let child = self.command.spawn().unwrap();
        let paused = Paused { mark: self.mark.clone(), child };
        let begun = Instant::now();
        while self.fired().is_empty() {
            assert!(begun.elapsed() < PATIENCE, "the pause was not reached");
            std::thread::sleep(Duration::from_millis(2));
        }
        paused
    }

    /// Starts it and leaves it to the test; the file has a line a hit.
    pub fn started(mut self) -> (Child, PathBuf) {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        (self.command.spawn().unwrap(), self.mark.join("fired"))
    }

    fn fired(&self) -> String {
        std::fs::read_to_string(self.mark.join("fired")).unwrap_or_default()
    }
}

/// A program that waits inside one of its calls.
pub struct Paused {
    mark: PathBuf,
    child: Child,
}

impl Paused {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn child(self) -> Child {
        self.child
    }

    /// Goes on, to the end.
    pub fn go(self) -> Said {
        std::fs::write(self.mark.join("go"), b"").unwrap();
        self.child.wait_with_output().unwrap().into()
    }
}

pub fn is_slow() -> bool {
    std::env::var_os("GOODGATE_SLOW").is_some()
}

/// A rule for each hit: killed before the call and behind it by turns, in the slow suite both.
pub fn kills(points: &[(&str, &[u32])]) -> Vec<String> {
    let hits = points.iter().flat_map(|(rule, hits)| hits.iter().map(move |hit| format!("{rule}|{hit}|1")));
    let acts = ["kill", "killed"];
    let of = |n: usize| if is_slow() { &acts[..] } else { &acts[n % 2..=n % 2] };
    hits.enumerate().flat_map(|(n, hit)| of(n).iter().map(move |act| format!("{hit}|{act}"))).collect()
}

static NAMESPACES: RwLock<()> = RwLock::new(());

/// While it is held no test makes a mount namespace, which would keep alive what is unmounted here.
pub fn no_namespaces() -> RwLockReadGuard<'static, ()> {
    NAMESPACES.read().unwrap_or_else(PoisonError::into_inner)
}

/// For a test that makes one.
pub fn own_namespace() -> RwLockWriteGuard<'static, ()> {
    NAMESPACES.write().unwrap_or_else(PoisonError::into_inner)
}

/// True for root; otherwise says that the test is skipped.
pub fn root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: {what} needs root, to mount an image");
    }
    root
}

/// A filesystem in a file, mounted at a folder of the place until dropped.
pub struct Image {
    pub file: PathBuf,
    pub point: PathBuf,
}

fn sh(command: &str, args: &[&std::ffi::OsStr]) -> String {
    let out = Command::new(command).args(args).output().unwrap_or_else(|e| panic!("{command}: {e}"));
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{command} {args:?}: {said}{}", String::from_utf8_lossy(&out.stderr));
    said
}

impl Image {
    pub fn ext4(place: &Place, at: &str, mib: u64) -> Self {
        let image = Image { file: place.path(&format!("{at}.img")), point: place.path(at) };
        std::fs::create_dir_all(&image.point).unwrap();
        std::fs::File::create(&image.file).unwrap().set_len(mib << 20).unwrap();
        sh("mkfs.ext4", &["-q".as_ref(), "-m0".as_ref(), image.file.as_ref()]);
        image.mount();
        image
    }

    pub fn mount(&self) {
        let options = "loop,errors=remount-ro".as_ref();
        sh("mount", &["-o".as_ref(), options, self.file.as_ref(), self.point.as_ref()]);
    }

    /// Out of sight at once, whoever still holds files there.
    pub fn unmount(&self) {
        sh("umount", &["-l".as_ref(), self.point.as_ref()]);
    }

    /// The loop device below, such as `loop3`.
    pub fn device(&self) -> String {
        let source = sh("findmnt", &["-n".as_ref(), "-o".as_ref(), "SOURCE".as_ref(), self.point.as_ref()]);
        source.trim().trim_start_matches("/dev/").to_owned()
    }

    pub fn repair(&self) {
        let out = Command::new("e2fsck").arg("-fy").arg(&self.file).output().unwrap();
        // 1: errors were corrected.
        assert!(out.status.code().is_some_and(|c| c <= 1), "{}", String::from_utf8_lossy(&out.stdout));
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.point).stderr(Stdio::null()).status();
    }
}

/// The card's files.
pub fn card_of(place: &Place, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let tree = place.tree(name, |_| false);
    tree.into_iter().filter(|(p, _)| place.path(name).join(p).is_file()).collect()
}

/// What one query gives; nothing where the catalog or the table is not there yet.
pub fn ask(place: &Place, sql: &str) -> Vec<Vec<String>> {
    use rusqlite::types::ValueRef;
    let Ok(conn) = rusqlite::Connection::open_with_flags(place.catalog(), rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)
    else {
        return Vec::new();
    };
    conn.busy_timeout(PATIENCE).unwrap();
    let mut statement = match conn.prepare(sql) {
        Ok(statement) => statement,
        Err(e) if e.to_string().contains("no such table") => return Vec::new(),
        Err(e) => panic!("{sql}: {e}"),
    };
    let columns = statement.column_count();
    let text = |value: ValueRef<'_>| match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(n) => n.to_string(),
        ValueRef::Text(b) => String::from_utf8_lossy(b).into_owned(),
        ValueRef::Blob(b) => match std::str::from_utf8(b) {
            Ok(text) => text.to_owned(),
            Err(_) => b.iter().map(|b| format!("{b:02x}")).collect(),
        },
    };
    let rows = statement.query_map([], |r| (0..columns).map(|i| Ok(text(r.get_ref(i)?))).collect()).unwrap();
    rows.collect::<Result<_, rusqlite::Error>>().unwrap()
}

/// After any fault: a final name holds whole bytes, the catalog claims no more than the disks hold, and nobody says SAFE
/// unless everything is there.
#[track_caller]
pub fn honest(place: &Place, when: &str) {
    let card = card_of(place, "card/A001");
    for dest in ["a", "b"] {
        for (path, bytes) in &card {
            if let Ok(found) = std::fs::read(place.path(dest).join("A001").join(path)) {
                assert!(found == *bytes, "{when}: \"{}\" in {dest} has its name and not its bytes", path.display());
            }
        }
    }
    for row in ask(place, "SELECT path, relpath FROM copies WHERE state = 'proven' AND retired_at IS NULL") {
        assert!(
            std::fs::read(&row[0]).is_ok_and(|found| found == card[Path::new(&row[1])]),
            "{when}: the catalog says proven of {row:?}, which is not there"
        );
    }
    let said = place.run(&["status", "A001", "--json"]);
    if said.code == 0 {
        assert!(missing(place, &card).is_empty(), "{when}: SAFE without {:?}", missing(place, &card));
    }
}

/// What a safe card has and this one has not.
fn missing(place: &Place, card: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<String> {
    let mut out = Vec::new();
    for dest in ["a", "b"] {
        let roll = place.path(dest).join("A001");
        for (path, bytes) in card {
            if !std::fs::read(roll.join(path)).is_ok_and(|found| found == *bytes) {
                out.push(format!("{dest}: {}", path.display()));
            }
        }
        let root = goodgate::disk::Root::open(&roll);
        let history = root.ok().map(|root| goodgate::mhl::History::read(&root));
        if !matches!(&history, Some(Ok(Some(h))) if !h.generations.is_empty() && h.unlisted.is_empty()) {
            out.push(format!("{dest}: a whole history, but {history:?}"));
        }
    }
    out
}

/// The same command without a fault ends well, and leaves nothing of ours behind.
#[track_caller]
pub fn completes(place: &Place, when: &str) {
    let said = place.offload(&[]);
    assert_eq!(said.code, 0, "{when}: {}{}", said.stdout, said.stderr);
    assert_eq!(missing(place, &card_of(place, "card/A001")), Vec::<String>::new(), "{when}");
    assert_eq!(parts(place), Vec::<PathBuf>::new(), "{when}");
}

/// Unfinished files of ours anywhere below the place.
pub fn parts(place: &Place) -> Vec<PathBuf> {
    let tree = place.tree("", |p| p.starts_with("home"));
    let ours = |p: &PathBuf| p.to_string_lossy().contains(".goodgate-part");
    tree.into_iter().map(|(p, _)| p).filter(ours).collect()
}

/// The text of `goodgate log A001`.
pub fn log(place: &Place) -> String {
    place.run(&["log", "A001"]).stdout
}

/// Files that the card object counts as verified at a destination.
pub fn verified(said: &Said, dest: usize) -> u64 {
    said.json()["copies"][dest]["verified"].as_u64().unwrap()
}
