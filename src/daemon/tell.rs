//! `[notify]`, one event after the other, on blocking threads: whoever tells never waits.

use super::Shop;
use super::work::Spot;
use crate::config::NotifyOn;
use crate::ingest;
use crate::notify::Event;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tracing::warn;

/// An event, and the card whose object of this moment belongs to it.
pub(super) struct Message {
    pub event: Event,
    pub about: Option<Spot>,
}

#[derive(Clone)]
pub(super) struct Teller(pub UnboundedSender<Message>);

impl Teller {
    pub(super) fn tell(&self, on: NotifyOn, roll: &str, text: &str, about: Option<&Spot>) {
        self.tell_with(on, roll, text, serde_json::Value::Null, about);
    }

    pub(super) fn tell_with(
        &self,
        on: NotifyOn,
        roll: &str,
        text: &str,
        detail: serde_json::Value,
        about: Option<&Spot>,
    ) {
        let at = jiff::Timestamp::now();
        let event = Event { on, roll: Some(roll.to_owned()), text: text.to_owned(), at, detail };
        // The receiver is gone only when the daemon ends.
        let _ = self.0.send(Message { event, about: about.cloned() });
    }
}

/// Ends when every teller is gone and all was told.
pub(super) async fn run(shop: Arc<Shop>, mut messages: UnboundedReceiver<Message>) {
    let waiting = shop.clone();
    // What an earlier run could not tell.
    let _ = tokio::task::spawn_blocking(move || say(&waiting, &[])).await;
    while let Some(message) = messages.recv().await {
        let shop = shop.clone();
        let _ = tokio::task::spawn_blocking(move || one(&shop, message)).await;
    }
}

fn one(shop: &Shop, Message { mut event, about }: Message) {
    if !shop.station.config.notify.as_ref().is_some_and(|n| n.on.contains(&event.on)) {
        return;
    }
    if let Some(spot) = about.filter(|_| event.detail.is_null()) {
        event.detail = detail(shop, &spot).unwrap_or_default();
    }
    say(shop, &[event]);
}

fn say(shop: &Shop, events: &[Event]) {
    if shop.station.config.notify.is_none() {
        return;
    }
    let mut catalog = shop.open().inspect_err(|e| warn!("what cannot be told now is not kept: {e}")).ok();
    ingest::tell(&shop.station, catalog.as_mut(), events).iter().for_each(|text| warn!("{text}"));
}

/// The card object; none is no reason to be silent.
fn detail(shop: &Shop, spot: &Spot) -> Option<serde_json::Value> {
    let mut catalog = shop.open().ok()?;
    let card = spot.card(&catalog).ok()??;
    let standing = ingest::standing(&shop.station, &mut catalog, card.id).ok()?;
    serde_json::to_value(standing.report).ok()
}
