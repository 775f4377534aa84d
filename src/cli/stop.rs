//! SIGINT and SIGTERM: the first asks the work to stop at its next safe point, the second ends the program at once. So
//! does a device that does not answer: no stop waits for it for ever.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a stop waits for the next safe point, as the daemon's does.
const LIMIT: Duration = Duration::from_secs(100);

#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on signals raise the flag.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Stop::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the shutdown sees the flag only when an earlier signal has raised it.
            flag::register_conditional_shutdown(signal, 1, stop.0.clone())?;
            flag::register(signal, stop.0.clone())?;
        }
        let asked = stop.clone();
        thread::Builder::new().name("stop".into()).spawn(move || asked.end_in_time())?;
        Ok(stop)
    }

    /// What was not finished is as after a kill: the next run continues it.
    fn end_in_time(&self) {
        let mut since: Option<Instant> = None;
        loop {
            thread::sleep(Duration::from_millis(500));
            if self.asked() && since.get_or_insert_with(Instant::now).elapsed() >= LIMIT {
                eprintln!("goodgate: a device does not answer; ended without it, the same command continues");
                std::process::exit(1);
            }
        }
    }

    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
