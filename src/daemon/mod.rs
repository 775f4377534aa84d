//! **Owns** the daemon: watches for dumps and mounted cards, runs jobs, answers signals and systemd.
//! **Never** touches a card's bytes or the catalog on a runtime thread; decides what is safe; trusts inotify alone.
//! **Flow** an `Eye` looks (blocking) -> the `Desk` decides (pure) -> `work` takes one card through ingest (blocking);
//! all meet in one `select!` over `Event`.
//! **Tests** beside each file; the whole, as a process, in `tests/all/daemon.rs`.

mod alone;
mod desk;
mod hint;
mod inhibit;
mod look;
mod memory;
mod mounts;
mod offer;
mod systemd;
mod tell;
mod voice;
mod work;

use crate::catalog::{Catalog, CatalogError};
use crate::config::NotifyOn;
use crate::ingest::Station;
use desk::{Desk, End, Job, Line, Order};
use inhibit::Inhibit;
use look::{Eye, Look};
use offer::Offers;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use systemd::Systemd;
use tell::Teller;
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

/// The loop turns at least this often.
const TICK: Duration = Duration::from_millis(500);
/// Between two readings of the jobs, which `goodgate jobs retry` may have changed.
const JOBS_EVERY: Duration = Duration::from_secs(2);
/// How long a stop waits for the safe points of what runs; within the unit's TimeoutStopSec.
const STOP_LIMIT: Duration = Duration::from_secs(100);

#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(
        "a daemon for the catalog \"{catalog}\" is already running{}",
        .pid.map(|p| format!(" (pid {p})")).unwrap_or_default()
    )]
    Running { catalog: PathBuf, pid: Option<u32> },
    #[error("cannot lock in \"{path}\": {source}")]
    Lock { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("cannot start: {0}")]
    Start(std::io::Error),
}

/// What every thread of the daemon shares.
struct Shop {
    station: Station,
    catalog: PathBuf,
    stop: AtomicBool,
}

impl Shop {
    /// What it writes is the daemon's work.
    fn open(&self) -> Result<Catalog, CatalogError> {
        let who = format!("daemon@{}", self.station.hostname);
        Ok(Catalog::open(&self.catalog)?.signed(&who, self.station.version))
    }
}

/// All that can happen.
enum Event {
    Tick,
    /// Something changed below a watch.
    Hint(usize),
    Looked(usize, Box<Eye>, Look),
    /// The open jobs; the number is the desk's turn when they were asked for.
    Jobs(u64, Result<Vec<Job>, CatalogError>),
    Ended(PathBuf, End),
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP: a terminal that closes must not end an offload.
    Hangup,
}

/// Runs until SIGTERM or SIGINT. Blocking; starts its own runtime.
pub fn run(station: Station, catalog: &Path) -> Result<(), DaemonError> {
    let catalog = std::path::absolute(catalog).map_err(DaemonError::Start)?;
    let _alone = alone::Alone::claim(&station.state.join("locks"), &catalog)?;
    // Migrates and checks, before anybody is told that we are ready.
    drop(Catalog::open(&catalog)?);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().map_err(DaemonError::Start)?;
    let shop = Arc::new(Shop { station, catalog, stop: AtomicBool::new(false) });
    let done = runtime.block_on(serve(shop));
    // Whatever still runs after the limit ends with the process; the next start continues it.
    runtime.shutdown_background();
    done.map_err(DaemonError::Start)
}

async fn serve(shop: Arc<Shop>) -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    let (inbox, mut events) = unbounded_channel();
    let (messages, queue) = unbounded_channel();
    let telling = tokio::spawn(tell::run(shop.clone(), queue));
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut floor = Floor::new(shop, inbox, Teller(messages));
    let mut asked = 0;
    loop {
        let event = select! {
            _ = tick.tick() => Event::Tick,
            Some(event) = events.recv() => event,
            _ = term.recv() => Event::Stop,
            _ = int.recv() => Event::Stop,
            _ = hup.recv() => Event::Hangup,
        };
        if matches!(event, Event::Stop) {
            asked += 1;
        }
        floor.on(event);
        if asked > 1 {
            warn!("ends at once; what was not finished is continued at the next start");
            return Ok(());
        }
        if floor.turn() {
            break;
        }
    }
    // The last verdicts are still to be told; not those of work that was left behind.
    let limit = if floor.desk.running() == 0 { crate::notify::LIMIT } else { Duration::ZERO };
    drop(floor);
    select! {
        _ = tokio::time::timeout(limit, telling) => {}
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

/// The daemon's state on the runtime thread.
struct Floor {
    shop: Arc<Shop>,
    inbox: UnboundedSender<Event>,
    tell: Teller,
    desk: Desk,
    /// Those that are not looking.
    eyes: Vec<Option<Box<Eye>>>,
    /// What each running card says of itself.
    lines: BTreeMap<PathBuf, Arc<Mutex<String>>>,
    inhibit: Inhibit,
    systemd: Systemd,
    began: Instant,
    jobs_at: Option<Instant>,
    reading_jobs: bool,
    offers: Arc<Mutex<Offers>>,
    stopping: Option<Instant>,
}

impl Floor {
    fn new(shop: Arc<Shop>, inbox: UnboundedSender<Event>, tell: Teller) -> Self {
        let watches = &shop.station.config.watches;
        info!("ready: {} watches, catalog \"{}\"", watches.len(), shop.catalog.display());
        if watches.is_empty() {
            warn!("nothing is watched: the config has no [[watch]]; only open jobs are continued");
        }
        Floor {
            desk: Desk::new(watches),
            eyes: watches.iter().map(|w| Some(Box::new(Eye::new(w.clone())))).collect(),
            lines: BTreeMap::new(),
            inhibit: Inhibit::default(),
            systemd: Systemd::ready("waiting for cards"),
            began: Instant::now(),
            jobs_at: None,
            reading_jobs: false,
            offers: Arc::default(),
            stopping: None,
            shop,
            inbox,
            tell,
        }
    }

    fn on(&mut self, event: Event) {
        let now = self.began.elapsed();
        match event {
            Event::Tick => {}
            Event::Hint(watch) => self.desk.hint(watch),
            Event::Looked(watch, eye, look) => {
                self.eyes[watch] = Some(eye);
                self.desk.looked(watch, look, now).iter().for_each(say);
            }
            Event::Jobs(turn, Ok(jobs)) => {
                self.reading_jobs = false;
                if !self.desk.set_jobs(turn, jobs) {
                    self.jobs_at = None;
                }
            }
            Event::Jobs(_, Err(e)) => {
                self.reading_jobs = false;
                warn!("cannot read the jobs: {e}");
            }
            Event::Ended(path, end) => {
                self.lines.remove(&path);
                self.jobs_at = None;
                if let Some((hold, text)) = self.desk.ended(&path, &end, now) {
                    let name = work::name(&path);
                    warn!("{name}: {text}; it is tried again");
                    if hold.is_some() {
                        self.tell.tell(NotifyOn::Hold, &name, &format!("{name}: {text}"), None);
                    }
                }
            }
            Event::Stop if self.stopping.is_none() => {
                info!("stopping: {} cards are brought to a safe point", self.desk.running());
                self.stopping = Some(Instant::now());
                self.shop.stop.store(true, Ordering::Relaxed);
                self.systemd.stopping();
            }
            Event::Stop => {}
            Event::Hangup => info!("SIGHUP is ignored"),
        }
    }

    /// Starts what is due. True: stopped, and nothing is left to wait for.
    fn turn(&mut self) -> bool {
        self.inhibit.set(self.desk.running() > 0);
        self.systemd.turn(self.status());
        if let Some(since) = self.stopping {
            self.systemd.more_time();
            if self.desk.running() > 0 && since.elapsed() >= STOP_LIMIT {
                warn!("{} cards did not stop in time; they are continued at the next start", self.desk.running());
                return true;
            }
            return self.desk.running() == 0;
        }
        let now = self.began.elapsed();
        for (watch, resting) in self.desk.due(now) {
            self.look(watch, resting);
        }
        if !self.reading_jobs && self.jobs_at.is_none_or(|at| at.elapsed() >= JOBS_EVERY) {
            self.read_jobs();
        }
        while let Some(order) = self.desk.next(now, jiff::Timestamp::now()) {
            self.start(order);
        }
        self.inhibit.set(self.desk.running() > 0);
        false
    }

    fn look(&mut self, watch: usize, resting: std::collections::BTreeSet<PathBuf>) {
        let Some(mut eye) = self.eyes[watch].take() else { return };
        let (shop, inbox, hint) = (self.shop.clone(), self.inbox.clone(), self.inbox.clone());
        spawn_blocking(move || {
            let wake = move || drop(hint.send(Event::Hint(watch)));
            let look = eye.look(&shop.station, &shop.catalog, &resting, wake);
            let _ = inbox.send(Event::Looked(watch, eye, look));
        });
    }

    fn read_jobs(&mut self) {
        self.reading_jobs = true;
        self.jobs_at = Some(Instant::now());
        let (shop, inbox, turn) = (self.shop.clone(), self.inbox.clone(), self.desk.turn());
        let offers = self.offers.clone();
        spawn_blocking(move || {
            let _ = inbox.send(Event::Jobs(turn, work::open_jobs(&shop.catalog)));
            // The one before may hang on a disk that does not answer: then nobody waits behind it.
            let Ok(mut offers) = offers.try_lock() else { return };
            match offers.look(&shop.catalog) {
                Ok(lines) => lines.iter().for_each(|line| info!("{line}")),
                Err(e) => warn!("cannot see which volumes are back: {e}"),
            }
        });
    }

    fn start(&mut self, order: Order) {
        let line = Arc::new(Mutex::new(work::name(&order.path)));
        self.lines.insert(order.path.clone(), line.clone());
        let (shop, inbox, tell) = (self.shop.clone(), self.inbox.clone(), self.tell.clone());
        spawn_blocking(move || {
            let end = work::work(&shop, &tell, &order, &line);
            let _ = inbox.send(Event::Ended(order.path, end));
        });
    }

    /// For `systemctl status`: `copying A001 62 %, proven 60 %; 3 cards wait`.
    fn status(&self) -> String {
        let lines = self.lines.values().filter_map(|l| Some(l.lock().ok()?.clone()));
        let mut parts: Vec<String> = lines.collect();
        if self.stopping.is_some() {
            parts.insert(0, "stopping".into());
        }
        if self.desk.waiting() > 0 {
            parts.push(format!("{} cards wait", self.desk.waiting()));
        }
        if self.desk.held() > 0 {
            parts.push(format!("{} jobs wait for a person", self.desk.held()));
        }
        if parts.is_empty() { "waiting for cards".into() } else { parts.join("; ") }
    }
}

fn say(line: &Line) {
    if line.warn {
        warn!("{}", line.text);
    } else {
        info!("{}", line.text);
    }
}
