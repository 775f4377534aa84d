//! Events on their way to people: the command at once, the webhook through the catalog's outbox, so that what could not be
//! sent now is sent by the next run. None of it ever stops work.

use super::Station;
use crate::catalog::{Catalog, NOTICE_RUNS};
use crate::config::Notify;
use crate::notify::{self, Event, Message, Patience, PostError};
use jiff::Timestamp;
use std::time::Instant;

/// Notices that one run tries at most.
const BATCH: usize = 50;

/// Tells what is wanted of these events, and what waits from earlier runs. Gives why somebody may not have been told, a
/// sentence each. Blocking: the command has its limit for each event, the webhook one for all. Without a catalog nothing is
/// kept for later.
pub fn tell(station: &Station, mut catalog: Option<&mut Catalog>, events: &[Event]) -> Vec<String> {
    let Some(settings) = &station.config.notify else { return Vec::new() };
    let mut untold = Vec::new();
    for event in events {
        if let Err(e) = notify::tell(settings, event) {
            untold.push(e.to_string());
        }
    }
    let patience = Patience::from_now();
    for event in events.iter().filter(|e| settings.webhook.is_some() && settings.on.contains(&e.on)) {
        let message = Message::of(event);
        let kept = catalog.as_mut().map(|c| c.add_notice(&message.id, &message.body, Timestamp::now()));
        if let Some(Ok(())) = kept {
            continue;
        }
        untold.extend(kept.and_then(Result::err).map(|e| format!("the notice is not kept for later: {e}")));
        untold.extend(post(settings, &message, &patience).err().map(|e| e.to_string()));
    }
    untold.extend(catalog.map(|catalog| send(settings, catalog, &patience)).into_iter().flatten());
    untold
}

fn post(settings: &Notify, message: &Message, patience: &Patience) -> Result<(), PostError> {
    settings.webhook.as_ref().map_or(Ok(()), |hook| notify::post(hook, message, patience))
}

/// Sends what waits in the outbox.
fn send(settings: &Notify, catalog: &mut Catalog, patience: &Patience) -> Vec<String> {
    let mut untold = Vec::new();
    if settings.webhook.is_none() {
        return untold;
    }
    let waiting = match catalog.notices(BATCH) {
        Ok(waiting) => waiting,
        Err(e) => return vec![format!("what waits to be told cannot be read: {e}")],
    };
    for row in waiting {
        if Instant::now() >= patience.until {
            break;
        }
        let message = Message { id: row.id, body: row.body };
        let sent = post(settings, &message, patience);
        let noted = match &sent {
            Ok(()) => catalog.notice_told(&message.id),
            Err(e) => {
                let is_dead = matches!(e, PostError::Gone { .. });
                let last = is_dead || row.attempts + 1 >= NOTICE_RUNS;
                untold.push(match last {
                    true => format!("{e}; this notice is given up"),
                    false => format!("{e}; the next run tries again"),
                });
                catalog.notice_failed(&message.id, &e.to_string(), is_dead, Timestamp::now())
            }
        };
        if let Err(e) = noted {
            untold.push(format!("what was told is not written down, and may be told twice: {e}"));
        }
        match sent {
            // It is about this message alone.
            Ok(()) | Err(PostError::Refused { .. }) => {}
            Err(_) => break,
        }
    }
    untold
}
