//! Deliveries: announced first, then sent, then settled, one at a time under each lease.

use std::collections::VecDeque;
use std::time::Duration;

use muster_pipeline::{Delivery, RecordAnswer, Turn, excerpt, idempotency_key, sha256};
use muster_proto::v1::RecordOutcome;
use muster_telemetry::crash::{self, Point};
use muster_telemetry::names;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::announce::{Announced, Message, announce};
use crate::batch::Work;
use crate::held::Stop;
use crate::measures;
use crate::plan::{Chunk, MAX_OUTAGE, MAX_PAUSE, Next, PostEnd, ReadyRecord, decide, sort};
use crate::planted::{self, Bug};
use crate::ready::Posted;
use crate::report::{Book, Failure, LOAD};
use crate::session::count;
use crate::trace::DeliveryNumbers;

/// Pauses before records that were certainly not applied are sent again.
const RESEND: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The longest pause between two looks whether a target that is down can be reached.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// POSTs under one lease that ask in vain whether the target is back: each is a row in the ledger.
const MAX_ASKED: u32 = 60;

/// How the deliveries of a batch ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing more is to be sent under this lease.
    Over,
    /// Something is left, which is to be leased again after this pause.
    Later(Duration),
    /// Source or target have served nothing for too long.
    Down,
    /// The target would refuse any records: the reason in words.
    PipelineWrong(String),
}

/// Sends all chunks, splits those the target rejects, and notes in `book` what came of each delivery.
pub(crate) async fn deliver(work: &Work, chunks: Vec<Chunk>, book: &mut Book) -> Ending {
    let mut queue = VecDeque::from(chunks);
    let mut pauses = work.session.backoff(RESEND.0, RESEND.1);
    let mut asked = 0;
    while let Some(mut chunk) = queue.pop_front() {
        let turn = match until_turn(work, chunk.repeats()).await {
            Ok(turn) => turn,
            Err(ending) => return ending,
        };
        if turn.asks() {
            asked += 1;
            if asked > MAX_ASKED {
                return Ending::Down;
            }
            chunk.count_anew();
        }
        if work.lease.stop() >= Stop::RunStopped || !drain_leaves_room(work) {
            return Ending::Over;
        }
        let (ordinal, retry_of) = (book.next_ordinal(), chunk.retry_of);
        let posted = match send(work, &chunk, turn, book).await {
            Ok(posted) => posted,
            Err(ending) => return ending,
        };
        let next = follow(work, chunk, &posted, pauses.next(), book);
        log_posted(work, ordinal, &posted, &next);
        if !matches!(next, Next::Again { .. } | Next::WhenReachable { .. }) {
            pauses.reset();
            asked = 0;
        }
        match next {
            Next::Done => {}
            Next::Split([first, second]) => {
                queue.push_front(second);
                queue.push_front(first);
            }
            Next::DeadLetter(record) => note_refused(work, &record, retry_of, &posted, posted.words.clone(), book),
            Next::Again { chunk, after } => {
                pause(work, after).await;
                queue.push_front(chunk);
            }
            Next::WhenReachable { chunk, after } => {
                if let Err(ending) = until_target_reachable(work, after).await {
                    return ending;
                }
                queue.push_front(chunk);
            }
            Next::GiveBack { after } => return Ending::Later(after),
            Next::Pause => return Ending::PipelineWrong(posted.words),
        }
    }
    Ending::Over
}

/// What follows from a POST. Where the target says what became of each record, those that it has and those that it
/// refuses are noted, and the rest is what it did not apply.
fn follow(work: &Work, chunk: Chunk, posted: &Posted, pause: Duration, book: &mut Book) -> Next {
    let draining = work.lease.stop() == Stop::Draining;
    let PostEnd::PerRecord { answers, retry_after } = &posted.end else {
        return decide(chunk, &posted.end, pause, draining);
    };
    let retry_of = chunk.retry_of;
    let sorted = sort(chunk, answers);
    book.note_present(sorted.present);
    for (record, reason) in sorted.refused {
        note_refused(work, &record, retry_of, posted, reason, book);
    }
    let rest = PostEnd::NotApplied { retry_after: *retry_after };
    sorted.again.map_or(Next::Done, |again| decide(again, &rest, pause, draining))
}

/// Whether a POST that begins now ends before a drain would cut it off and make a doubt of it.
fn drain_leaves_room(work: &Work) -> bool {
    let end = work.session.leases.drains_until();
    end.is_none_or(|end| Instant::now() + work.pipeline.post_timeout() <= end)
}

/// Waits until the target may be sent something, so that nothing is announced which could not be sent; but not for ever
/// with a lease in hand, and not for a batch that is to be given back.
async fn until_turn(work: &Work, repeats: bool) -> Result<Turn, Ending> {
    let left_alone = async {
        tokio::time::sleep(MAX_PAUSE).await;
        work.pipeline.until_up().await;
    };
    tokio::select! {
        biased;
        turn = work.pipeline.target_turn(repeats) => Ok(turn),
        _ = work.lease.stopped(Stop::Draining) => Err(Ending::Over),
        () = work.pipeline.down_for(MAX_OUTAGE, |_| {}) => Err(Ending::Down),
        () = left_alone => Err(Ending::Later(MAX_PAUSE)),
    }
}

/// Waits until the target can be reached, with what was fetched in hand and nothing announced: a down target costs
/// neither the source a second fetch nor the ledger a row for each look. But not for ever, and not for a batch that is to
/// be given back.
async fn until_target_reachable(work: &Work, first: Duration) -> Result<(), Ending> {
    let mut pauses = work.session.backoff(RESEND.0, LOOK_AT_LEAST_EVERY);
    let reached = async {
        tokio::time::sleep(first).await;
        while !work.pipeline.target_reachable().await {
            tokio::time::sleep(pauses.next()).await;
        }
    };
    tokio::select! {
        biased;
        _ = work.lease.stopped(Stop::Draining) => Err(Ending::Over),
        () = reached => Ok(()),
        () = tokio::time::sleep(MAX_OUTAGE) => Err(Ending::Down),
    }
}

/// Waits, unless the lease is to be given back.
async fn pause(work: &Work, pause: Duration) {
    tokio::select! {
        _ = work.lease.stopped(Stop::Draining) => {}
        () = tokio::time::sleep(pause) => {}
    }
}

/// Announces a chunk, sends it, notes and gives what came of it.
async fn send(work: &Work, chunk: &Chunk, turn: Turn, book: &mut Book) -> Result<Posted, Ending> {
    let body = work.pipeline.body(chunk.records.iter().map(|record| &record.body[..]));
    let message = Message { sha256: sha256(&body), body };
    let ordinal = book.next_ordinal();
    let (early, turn) = match planted::is(Bug::PostBeforeBegin) {
        true => (Some(post(work, chunk, &message, turn, (0, ordinal)).await), None),
        false => (None, Some(turn)),
    };
    crash::pass(Point::BeforeBegin);
    let posted = match announce(work, chunk, &message, book).await {
        Announced::Refused(ending) => return Err(ending),
        Announced::Begun { deadline, number } => match (early, still_allowed(work, deadline), turn) {
            (Some(posted), ..) => posted,
            (None, Ok(()), Some(turn)) => post(work, chunk, &message, turn, (number, ordinal)).await,
            (None, Err(why), _) => Posted::not_sent(why),
            (None, Ok(()), None) => Posted::not_sent("not sent: it was not its turn"),
        },
    };
    book.note_delivery(posted.end.outcome(), posted.http_status, &posted.words);
    Ok(posted)
}

/// The last look before a POST: only this process's own clock says whether the lease still covers all of it.
fn still_allowed(work: &Work, deadline: Instant) -> Result<(), &'static str> {
    if planted::is(Bug::IgnoreDeadline) {
        return Ok(());
    }
    if work.lease.stop() >= Stop::RunStopped {
        return Err("not sent: the lease was lost or the run stopped after the announcement");
    }
    if Instant::now() + work.pipeline.post_timeout() > deadline {
        return Err("not sent: the lease's time no longer covers a whole POST");
    }
    if !drain_leaves_room(work) {
        return Err("not sent: the worker ends before a whole POST could");
    }
    Ok(())
}

/// `numbers` are those of the delivery in its run and in its lease.
async fn post(work: &Work, chunk: &Chunk, message: &Message, turn: Turn, numbers: (i64, i32)) -> Posted {
    let run = work.lease.run_id();
    let ids: Vec<_> = chunk.records.iter().map(|record| &record.id).collect();
    let key = idempotency_key(run, ids.iter().copied(), &message.sha256);
    let records = chunk.records.iter().map(|record| &record.body[..]).collect();
    let delivery = Delivery { run, ids, records, body: message.body.clone(), key: &key };
    let traced = work.lease.trace().map(|trace| (trace, Instant::now()));
    crash::pass(Point::BeforePost);
    let mut posted = work.pipeline.deliver(delivery, turn).await;
    crash::pass(Point::AfterPost);
    if let Some((trace, from)) = traced {
        let (number, ordinal) = numbers;
        let (records, body_size) = (chunk.records.len(), message.body.len());
        let numbers = DeliveryNumbers { number, ordinal, records, body_size, tries: chunk.tries() };
        trace.note_delivery(&work.pipeline.wire(), &posted, numbers, from);
    }
    if posted.end == PostEnd::InDoubt && planted::is(Bug::TimeoutIsFailure) {
        posted.end = PostEnd::NotApplied { retry_after: None };
    }
    measures::delivered(work.pipeline.name(), &posted.end, chunk.records.len());
    match posted.end {
        PostEnd::Applied => count(&work.session.tally.records_applied, chunk.records.len()),
        PostEnd::PerRecord { ref answers, .. } => {
            let applied = answers.iter().filter(|answer| **answer == RecordAnswer::Applied);
            count(&work.session.tally.records_applied, applied.count());
        }
        PostEnd::InDoubt | PostEnd::WrongContent => count(&work.session.tally.deliveries_in_doubt, 1),
        _ => {}
    }
    posted
}

/// One line for each POST: what an operator must know of is a warning, what resolves itself is not.
fn log_posted(work: &Work, ordinal: i32, posted: &Posted, next: &Next) {
    let next = match next {
        Next::Done if posted.end == PostEnd::Applied => "its records are loaded",
        Next::Done if matches!(posted.end, PostEnd::PerRecord { .. }) => {
            "what it has is loaded, what it refuses is a dead letter"
        }
        Next::Done => "once the target cannot act on it any more, what the pipeline's on_doubt says",
        Next::Split(_) => "its halves are sent",
        Next::DeadLetter(_) => "its record is reported as refused",
        Next::Again { .. } => "sent again",
        Next::WhenReachable { .. } => "sent again when the target can be reached; the records are kept",
        Next::GiveBack { .. } => "the batch is given back and leased again later",
        Next::Pause => "the run is paused",
    };
    macro_rules! line {
        ($level:ident, $message:literal) => {
            $level!(
                { names::RUN } = work.lease.run_id(),
                { names::BATCH } = work.lease.batch(),
                { names::ATTEMPT } = work.lease.attempt(),
                { names::ORDINAL } = ordinal,
                { names::HTTP_STATUS } = posted.http_status,
                { names::URL } = work.pipeline.target().as_ref(),
                { names::REASON } = posted.words,
                { names::NEXT } = next,
                $message
            )
        };
    }
    match posted.end {
        PostEnd::Applied => line!(debug, "delivery applied"),
        PostEnd::Rejected => line!(info, "delivery rejected"),
        PostEnd::PerRecord { .. } => line!(info, "delivery applied in part, as the target says of each record"),
        PostEnd::NotApplied { .. } => line!(debug, "delivery not applied"),
        // The host's own lines say when it goes down and comes back.
        PostEnd::NotSent => line!(debug, "delivery not sent"),
        PostEnd::InDoubt => line!(warn, "delivery in doubt"),
        PostEnd::WrongContent => line!(warn, "delivery answered in a way that settles nothing"),
        PostEnd::PipelineWrong => line!(warn, "delivery refused whatever it carries"),
    }
}

/// Notes a record that the target refuses even alone. When it repeats a doubt, the coordinator keeps it in doubt and
/// does not send it again.
fn note_refused(work: &Work, record: &ReadyRecord, retry_of: i64, posted: &Posted, words: String, book: &mut Book) {
    warn!(
        { names::RUN } = work.lease.run_id(),
        { names::BATCH } = work.lease.batch(),
        { names::ATTEMPT } = work.lease.attempt(),
        { names::RECORD } = record.id.as_text(),
        { names::OUTCOME } = if retry_of == 0 { "dead_letter" } else { "in_doubt" },
        { names::STAGE } = LOAD,
        { names::HTTP_STATUS } = posted.http_status,
        { names::URL } = work.pipeline.target().as_ref(),
        { names::REASON } = words,
        { names::NEXT } = "the rest of the batch goes on",
        "the target refuses the record"
    );
    // An answer about each record says why; one about a delivery says it in a body, which may be anything.
    let said = matches!(posted.end, PostEnd::PerRecord { .. }) || posted.http_status == 0;
    let said = if said { excerpt(&words) } else { String::new() };
    let reason = match (posted.http_status, said.as_str()) {
        (0, said) => format!("the target refuses it: {said}"),
        (status, "") => format!("the target refuses it with {status}"),
        (status, said) => format!("the target refuses it with {status}: {said}"),
    };
    let failure = Failure { stage: LOAD, reason, http_status: posted.http_status, body: words };
    book.note_record(record.position, RecordOutcome::DeadLetter, failure);
}
