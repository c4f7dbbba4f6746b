//! Records that came whole with the source's list: read from the coordinator in place of GETs.

use std::collections::HashMap;

use bytes::Bytes;
use muster_pipeline::ItemTooLarge;
use muster_proto::v1::{ItemPart, LeasedPart, Renewal, RenewalState};
use muster_telemetry::names;
use tokio::time::Instant;
use tonic::Status;
use tracing::debug;

use crate::attend;
use crate::batch::Work;
use crate::coordinator::is_final;
use crate::fetch::Interrupted;
use crate::ready::{MAX_BODY, ReadyPipeline};

/// A record as the list had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// All of it.
    Whole(Bytes),
    /// More than a record may have.
    TooLarge {
        why: ItemTooLarge,
        /// What a dead letter shows of it.
        beginning: Bytes,
    },
}

/// Items by their places in the batch.
pub(crate) type Items = HashMap<u32, Item>;

/// Reads the items of these parts; where records are read by GETs of their own, there are none.
pub(crate) async fn read(work: &Work, parts: &[LeasedPart]) -> Result<Items, Interrupted> {
    // Records of a part that is only asked for are not read.
    let places = || parts.iter().filter(|part| !part.probe).flat_map(|part| &part.positions).copied();
    let Some((first, last)) = places().min().zip(places().max()).filter(|_| work.pipeline.lists_whole_records()) else {
        return Ok(Items::new());
    };
    let mut reading = Reading::new(&work.pipeline, first, last);
    let mut backoff = work.session.call_backoff();
    loop {
        let from = reading.from;
        match read_on(work, &mut reading).await {
            Ok(RenewalState::Held) => return Ok(reading.items),
            Ok(state) => {
                let renewal = Renewal { lease_token: work.lease.token().to_owned(), state: state.into(), ttl: None };
                attend::apply(&renewal, &work.session.leases, Instant::now());
                return Err(Interrupted::Stopped);
            }
            // No such lease (its run was deleted, or the ledger is another one): nothing can be done under it.
            Err(status) if is_final(&status) => {
                attend::lose(&work.session.leases, work.lease.token(), status.message());
                return Err(Interrupted::Stopped);
            }
            Err(status) => {
                debug!({ names::RUN } = work.lease.run_id(), { names::ERROR } = ?status.code(), "items broke off");
                if reading.from > from {
                    backoff.reset();
                }
                reading.broke_off();
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

/// Reads until all is there, or what there is has ended, or the lease has.
async fn read_on(work: &Work, reading: &mut Reading<'_>) -> Result<RenewalState, Status> {
    let coordinator = &work.session.coordinator;
    let mut messages = coordinator.read_items(work.lease.token(), reading.from).await?;
    while !reading.is_done()
        && let Some(message) = coordinator.next_items(&mut messages).await?
    {
        if matches!(message.state(), RenewalState::Lost | RenewalState::RunStopped) {
            return Ok(message.state());
        }
        message.parts.iter().for_each(|part| reading.take(part));
    }
    Ok(RenewalState::Held)
}

/// Items on their way.
struct Reading<'a> {
    pipeline: &'a ReadyPipeline,
    items: Items,
    /// All that is wanted and stands before this place is there.
    from: u32,
    last: u32,
    /// What came of the next item: of one that is too large no more than is shown.
    begun: Vec<u8>,
    /// All that came of it, in bytes.
    size: usize,
}

impl<'a> Reading<'a> {
    fn new(pipeline: &'a ReadyPipeline, from: u32, last: u32) -> Self {
        Self { pipeline, items: Items::new(), from, last, begun: Vec::new(), size: 0 }
    }

    fn is_done(&self) -> bool {
        self.from > self.last
    }

    fn take(&mut self, part: &ItemPart) {
        self.size += part.body.len();
        self.begun.extend_from_slice(&part.body);
        let why = self.pipeline.check_item(self.size).err();
        if why.is_some() {
            self.begun.truncate(MAX_BODY);
        }
        if !part.last {
            return;
        }
        let body = Bytes::from(std::mem::take(&mut self.begun));
        self.size = 0;
        let item = match why {
            Some(why) => Item::TooLarge { why, beginning: body },
            None => Item::Whole(body),
        };
        self.items.insert(part.position, item);
        self.from = part.position.saturating_add(1);
    }

    /// What came of the next item is forgotten: it comes again from its beginning.
    fn broke_off(&mut self) {
        self.begun.clear();
        self.size = 0;
    }
}
