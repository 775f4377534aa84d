//! One thread drains what happens to the catalog; whoever records waits for the commit that holds its fact.
//! Facts that queue up while a commit runs share the next one.

use crate::catalog::Catalog;
use crate::clip::CardId;
use crate::progress::{CannotRecord, Event, Intent, Progress};
use jiff::Timestamp;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};

type Answer = Result<(), String>;

type Wish = (Vec<Intent>, SyncSender<Answer>);

struct Recorder<'a> {
    outer: &'a dyn Progress,
    queue: Sender<Wish>,
}

// mpsc::Sender is Sync: threads share the recorder by reference.
impl Progress for Recorder<'_> {
    fn event(&self, event: Event<'_>) {
        self.outer.event(event);
    }

    fn stop_asked(&self) -> bool {
        self.outer.stop_asked()
    }

    fn record(&self, intent: Intent) -> Result<(), CannotRecord> {
        self.record_all(vec![intent])
    }

    fn record_all(&self, intents: Vec<Intent>) -> Result<(), CannotRecord> {
        let (answer, answered) = sync_channel(1);
        let gone = || CannotRecord("the recorder ended".into());
        self.queue.send((intents, answer)).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?.map_err(CannotRecord)
    }
}

/// Runs `work` with a progress whose facts go to `catalog` for this card.
pub(super) fn recording<T>(
    catalog: &mut Catalog,
    card: CardId,
    outer: &dyn Progress,
    work: impl FnOnce(&dyn Progress) -> T,
) -> T {
    let (queue, waiting) = channel::<Wish>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok(first) = waiting.recv() {
                let batch: Vec<_> = std::iter::once(first).chain(waiting.try_iter().take(4096)).collect();
                let (intents, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
                let intents = intents.concat();
                let answer = catalog.apply(card, &intents, Timestamp::now()).map_err(|e| e.to_string());
                answers.iter().for_each(|a| drop(a.send(answer.clone())));
            }
        });
        let recorder = Recorder { outer, queue };
        let out = work(&recorder);
        drop(recorder);
        out
    })
}
