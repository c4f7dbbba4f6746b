//! Announcing a delivery: nothing is sent before the coordinator has it in its ledger.

use bytes::Bytes;
use muster_proto::v1::begin_delivery_response::Result as Answer;
use muster_proto::v1::{BeginDeliveryRequest, DeliveryOutcome, DeliveryRefusal};
use muster_telemetry::names;
use tokio::time::Instant;
use tonic::Status;
use tracing::{debug, error, info};

use crate::backoff::Backoff;
use crate::batch::Work;
use crate::coordinator::is_final;
use crate::delivery::Ending;
use crate::held::{Stop, ttl};
use crate::plan::{Chunk, MAX_PAUSE};
use crate::report::Book;
use crate::unknown;

/// The body of a delivery and its hash.
pub(crate) struct Message {
    pub(crate) body: Bytes,
    pub(crate) sha256: [u8; 32],
}

/// What came of an announcement.
#[derive(Debug)]
pub(crate) enum Announced {
    /// It is in the ledger, under a number. The lease lasts until `deadline`, which was counted from the sending of the
    /// request.
    Begun { deadline: Instant, number: i64 },
    /// It must not be sent, nor anything else under this lease.
    Refused(Ending),
}

/// Announces a delivery until the coordinator has decided about it.
///
/// The same announcement again is the same delivery, so repeating does no harm; and a late one succeeds as long as the
/// coordinator has not given the batch to somebody else. Only a lost lease ends the tries.
pub(crate) async fn announce(work: &Work, chunk: &Chunk, message: &Message, book: &mut Book) -> Announced {
    let request = request(work, chunk, message, book);
    let mut backoff = work.session.call_backoff();
    let mut unanswered = false;
    loop {
        let sent_at = Instant::now();
        let refusal = match work.session.coordinator.begin(request.clone()).await {
            Ok(answer) => match answer.result {
                Some(Answer::Begun(begun)) => {
                    let deadline = sent_at + ttl(begun.ttl);
                    book.all_told();
                    work.session.leases.renewed(work.lease.token(), deadline);
                    log_begun(work, &request, begun.delivery_number);
                    return Announced::Begun { deadline, number: begun.delivery_number };
                }
                Some(Answer::Refused(refused)) => refused.reason(),
                None => DeliveryRefusal::Unspecified,
            },
            Err(status) if is_final(&status) => {
                note_unsent(book, unanswered);
                return Announced::Refused(log_broken(work, &request, &status));
            }
            Err(status) => {
                unanswered = true;
                if repeat_after_pause(work, &request, &mut backoff, &status).await {
                    continue;
                }
                DeliveryRefusal::LeaseLost
            }
        };
        note_unsent(book, unanswered);
        return Announced::Refused(heed_refusal(work, &request, refusal));
    }
}

/// A try whose answer got lost may have announced it: says that it was never sent, before it counts as a doubt, or holds up
/// the end of its run. If it was not announced, the coordinator passes over it.
fn note_unsent(book: &mut Book, unanswered: bool) {
    if unanswered {
        let words = "not sent: its announcement was not answered, and then refused or given up";
        book.note_delivery(DeliveryOutcome::NotApplied, 0, words);
    }
}

fn request(work: &Work, chunk: &Chunk, message: &Message, book: &Book) -> BeginDeliveryRequest {
    BeginDeliveryRequest {
        session_id: work.session.coordinator.session_id().to_owned(),
        lease_token: work.lease.token().to_owned(),
        ordinal: book.next_ordinal(),
        positions: chunk.records.iter().map(|record| record.position).collect(),
        body_sha256: message.sha256.to_vec(),
        retry_of: chunk.retry_of,
        settled: book.untold().to_vec(),
        unknown_fields: unknown::reports(&chunk.records),
    }
}

/// Waits before the announcement is repeated; false when the lease was lost, so that there is no point.
async fn repeat_after_pause(
    work: &Work,
    request: &BeginDeliveryRequest,
    backoff: &mut Backoff,
    status: &Status,
) -> bool {
    debug!(
        { names::RUN } = work.lease.run_id(),
        { names::BATCH } = work.lease.batch(),
        { names::ORDINAL } = request.ordinal,
        { names::ERROR } = ?status.code(),
        { names::NEXT } = "announced again; the records are kept",
        "delivery not announced yet"
    );
    tokio::select! {
        biased;
        _ = work.lease.stopped(Stop::Lost) => false,
        () = tokio::time::sleep(backoff.next()) => true,
    }
}

fn heed_refusal(work: &Work, request: &BeginDeliveryRequest, refusal: DeliveryRefusal) -> Ending {
    let token = work.lease.token();
    let next = match refusal {
        DeliveryRefusal::LeaseLost => {
            work.session.leases.lose(token);
            "the batch is somebody else's; what was delivered of it is reported"
        }
        DeliveryRefusal::RunPaused | DeliveryRefusal::RunCancelled => {
            work.session.leases.stop_one(token);
            "what is known is reported, the rest is given back"
        }
        DeliveryRefusal::Superseded | DeliveryRefusal::NotYet | DeliveryRefusal::Unspecified => {
            "what is known is reported; the rest is leased again"
        }
    };
    info!(
        { names::RUN } = work.lease.run_id(),
        { names::BATCH } = work.lease.batch(),
        { names::ATTEMPT } = work.lease.attempt(),
        { names::ORDINAL } = request.ordinal,
        { names::REASON } = refusal.as_str_name(),
        { names::NEXT } = next,
        "delivery not begun"
    );
    Ending::Over
}

fn log_begun(work: &Work, request: &BeginDeliveryRequest, number: i64) {
    debug!(
        { names::RUN } = work.lease.run_id(),
        { names::BATCH } = work.lease.batch(),
        { names::DELIVERY } = number,
        { names::ORDINAL } = request.ordinal,
        { names::RECORDS } = request.positions.len(),
        "delivery begun"
    );
}

fn log_broken(work: &Work, request: &BeginDeliveryRequest, status: &Status) -> Ending {
    error!(
        { names::RUN } = work.lease.run_id(),
        { names::BATCH } = work.lease.batch(),
        { names::ATTEMPT } = work.lease.attempt(),
        { names::ORDINAL } = request.ordinal,
        { names::ERROR } = ?status.code(),
        { names::REASON } = status.message(),
        { names::NEXT } = "nothing is sent; what is known is reported, the rest is leased again after a minute",
        "the coordinator refuses an announcement"
    );
    // It would be refused again: not in a tight loop, with all records fetched each time.
    Ending::Later(MAX_PAUSE)
}
