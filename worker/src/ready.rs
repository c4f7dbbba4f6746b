//! A pipeline ready to run in this process. What its requests come to, in the words of a worker, is in the modules below.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use muster_pipeline::{
    CompiledPipeline, Delivery, Get, ItemTooLarge, Pipeline, ProbeOutcome, Process, RecordId, Requester,
    RequesterConfig, Turn,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::items::Item;
use crate::trace::RecordNotes;

mod posted;
mod record;

pub(crate) use posted::Posted;
pub(crate) use record::{FETCH, Fetched, MAX_BODY};

/// A compiled pipeline with a requester of its own.
pub(crate) struct ReadyPipeline {
    name: Arc<str>,
    compiled: CompiledPipeline,
    requester: Requester,
    concurrency: usize,
    /// The last record that was read well, with its item where it came with the list.
    sound: Mutex<Option<(RecordId, Option<Item>)>>,
}

impl fmt::Debug for ReadyPipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyPipeline").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ReadyPipeline {
    /// Compiles `pipeline`, for requests of this manner.
    pub(crate) fn new(
        pipeline: &Pipeline,
        parameters: &BTreeMap<String, String>,
        config: &RequesterConfig,
    ) -> Result<Self, String> {
        let compiled = pipeline.compile(parameters).map_err(|error| error.to_string())?;
        let requester = Requester::of(&compiled, Process::Worker, config).map_err(|error| error.to_string())?;
        Ok(Self {
            name: pipeline.name().into(),
            compiled,
            requester,
            concurrency: config.concurrency.unwrap_or(pipeline.limits().concurrency),
            sound: Mutex::default(),
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Requests that it can have in flight at the same time.
    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// How long one POST may take.
    pub(crate) fn post_timeout(&self) -> Duration {
        self.compiled.target().timeout()
    }

    /// Where records go, as it may be shown.
    pub(crate) fn target(&self) -> Cow<'_, str> {
        self.compiled.target().shown()
    }

    /// Where a record is read, as it may be shown: for one that came whole with the list, the list.
    pub(crate) fn source_url(&self, id: &RecordId) -> String {
        let list = self.compiled.list();
        let url = self.compiled.detail_url(id).or_else(|| list.page_url(list.first_page()));
        url.map(|url| without_query(url.as_str()).to_owned()).unwrap_or_default()
    }

    /// Where a part of a record is read, or the target is asked for it, as it may be shown.
    pub(crate) fn url_of(&self, get: Get, id: &RecordId) -> String {
        match get {
            Get::Enrich(index) => self.compiled.enrich().get(index).map(|part| part.url(id)),
            Get::Probe => self.compiled.target().prober().map(|prober| prober.url(id)),
            _ => self.compiled.detail_url(id),
        }
        .map(|url| without_query(url.as_str()).to_owned())
        .unwrap_or_default()
    }

    /// How records go to the target, as it may be shown.
    pub(crate) fn wire(&self) -> Wire<'_> {
        Wire { method: self.compiled.target().http().map(|loader| loader.method().as_str()), url: self.target() }
    }

    /// Keeps a record that was read well: where another does not come as JSON, reading it again tells whether that one
    /// alone does not.
    pub(crate) fn keep_sound(&self, id: RecordId, item: Option<Item>) {
        *self.sound.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, item));
    }

    /// The last record that was kept so.
    pub(crate) fn last_sound(&self) -> Option<(RecordId, Option<Item>)> {
        self.sound.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the records came whole with the list.
    pub(crate) fn lists_whole_records(&self) -> bool {
        self.compiled.lists_whole_records()
    }

    /// Whether an item of so many bytes may be a record.
    pub(crate) fn check_item(&self, size: usize) -> Result<(), ItemTooLarge> {
        self.compiled.check_item(size)
    }

    /// The body of a delivery of these records.
    pub(crate) fn body<'a>(&self, records: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
        self.compiled.target().body(records)
    }

    /// Asks the target whether it has a record; nothing when the pipeline does not say where. What is in `notes` wants to
    /// know all about it.
    pub(crate) async fn probe(&self, id: &RecordId, notes: &mut Option<RecordNotes>) -> Option<ProbeOutcome> {
        let prober = self.compiled.target().prober()?;
        let (outcome, _, sent) = self.requester.probe(prober, id, notes.is_some()).await;
        record::take_down(notes, Get::Probe, sent);
        Some(outcome)
    }

    /// Waits until a POST may be announced: while the target wants to be left alone or serves nothing, and, for one that
    /// `repeats` another, until the budget of retries has room.
    pub(crate) async fn target_turn(&self, repeats: bool) -> Turn {
        self.compiled.target().turn(&self.requester, repeats).await
    }

    /// Whether source or target serve nothing at the moment.
    pub(crate) fn is_down(&self) -> bool {
        *self.requester.hosts_down().borrow() > 0
    }

    /// Waits until source and target serve.
    pub(crate) async fn until_up(&self) {
        self.until(false).await;
    }

    /// Waits until source or target serve nothing, or until both serve.
    pub(crate) async fn until(&self, down: bool) {
        // The sender lives as long as the requester, and so does self.
        drop(self.requester.hosts_down().wait_for(|hosts| (*hosts > 0) == down).await);
    }

    /// Waits until source or target have served nothing for so long. Says whenever they do not serve, and when they do again.
    pub(crate) async fn down_for(&self, time: Duration, say: impl FnMut(bool)) {
        down_for(self.requester.hosts_down(), time, say).await;
    }

    /// Whether the target can be reached, without sending it anything.
    pub(crate) async fn target_reachable(&self) -> bool {
        self.compiled.target().reachable(&self.requester).await
    }

    /// Sends a delivery: one attempt on the wire, with the whole POST timeout. Whether the lease covers that is for the
    /// caller to check.
    pub(crate) async fn deliver(&self, delivery: Delivery<'_>, turn: Turn) -> Posted {
        let deadline = Instant::now() + self.post_timeout();
        let outcome = self.compiled.target().deliver(&self.requester, delivery, deadline, turn).await;
        posted::posted(outcome, &self.target())
    }
}

async fn down_for(mut hosts: watch::Receiver<usize>, time: Duration, mut say: impl FnMut(bool)) {
    while hosts.wait_for(|hosts| *hosts > 0).await.is_ok() {
        say(true);
        if tokio::time::timeout(time, hosts.wait_for(|hosts| *hosts == 0)).await.is_err() {
            return;
        }
        say(false);
    }
}

/// How records go to a target.
#[derive(Debug)]
pub(crate) struct Wire<'a> {
    /// Where that is HTTP.
    pub(crate) method: Option<&'a str>,
    pub(crate) url: Cow<'a, str>,
}

/// A URL as it may be shown: what stands in its query may be nobody's business.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// That of the animals, with a source that nobody asks.
#[cfg(test)]
pub(crate) fn animals() -> ReadyPipeline {
    let pipeline = Pipeline::from_yaml(muster_pipeline::built_in("animals").unwrap(), "animals.yaml").unwrap();
    let parameters = BTreeMap::from([("base_url".to_owned(), "http://host.test".to_owned())]);
    ReadyPipeline::new(&pipeline, &parameters, &RequesterConfig::default()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_and_only_one_that_lasts_is_too_long() {
        let (minute, began) = (Duration::from_secs(60), Instant::now());
        let hosts = watch::Sender::new(1);
        let mut told = Vec::new();
        let flapping = async {
            // Down from the beginning, up for a moment, then two hosts down, of which one stays so.
            tokio::time::sleep(minute / 2).await;
            hosts.send_replace(0);
            tokio::time::sleep(minute).await;
            hosts.send_replace(2);
            tokio::time::sleep(minute / 2).await;
            hosts.send_replace(1);
            std::future::pending().await
        };
        tokio::select! {
            () = down_for(hosts.subscribe(), minute, |down| told.push((down, began.elapsed().as_secs()))) => {}
            () = flapping => {}
        }
        assert_eq!(told, [(true, 0), (false, 30), (true, 90)]);
        assert_eq!(began.elapsed().as_secs(), 150, "counted anew each time");
    }
}
