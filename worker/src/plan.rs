//! What follows from the answer to a POST: decisions only, no waiting and no talking.

use std::time::Duration;

use bytes::Bytes;
use muster_pipeline::{RecordAnswer, RecordId};
use muster_proto::v1::DeliveryOutcome;

/// How often the same records are sent under one lease while the target certainly does not apply them.
pub(crate) const MAX_TRIES: u32 = 8;
/// The longest pause that is waited out with the lease in hand: giving the batch back costs fetching it again. It is
/// also the longest that may be asked of the coordinator.
pub(crate) const MAX_PAUSE: Duration = Duration::from_secs(60);

/// How long a source or target that is down is waited for with the lease in hand: after that another worker may have more
/// luck.
pub(crate) const MAX_OUTAGE: Duration = Duration::from_mins(10);

/// A record that is ready to be sent.
#[derive(Debug)]
pub(crate) struct ReadyRecord {
    /// Its place in the batch.
    pub(crate) position: u32,
    pub(crate) id: RecordId,
    /// As transformed.
    pub(crate) body: Bytes,
    /// Paths of the fields that its schema does not know, where the pipeline wants them reported.
    pub(crate) unknown: Vec<String>,
}

/// Records that go into one delivery, in their order.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) records: Vec<ReadyRecord>,
    /// Number of the delivery in doubt that this repeats; 0 for none.
    pub(crate) retry_of: i64,
    tries: u32,
}

impl Chunk {
    pub(crate) fn new(records: Vec<ReadyRecord>, retry_of: i64) -> Self {
        Self { records, retry_of, tries: 0 }
    }

    /// Whether these records, as they are, were sent before.
    pub(crate) fn repeats(&self) -> bool {
        self.tries > 0 || self.retry_of != 0
    }

    /// How often these records, as they are, were sent before under this lease.
    pub(crate) fn tries(&self) -> u32 {
        self.tries
    }

    /// What met an outage says nothing about these records.
    pub(crate) fn count_anew(&mut self) {
        self.tries = 0;
    }

    fn halves(mut self) -> [Self; 2] {
        let second = self.records.split_off(self.records.len().div_ceil(2));
        [Self::new(self.records, self.retry_of), Self::new(second, self.retry_of)]
    }
}

/// How a POST that was announced ended, by what is known of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PostEnd {
    /// The target has all records.
    Applied,
    /// The target refuses them.
    Rejected,
    /// It certainly has none of them, and asks for this pause.
    NotApplied { retry_after: Option<Duration> },
    /// It certainly has none of them, because it could not be reached.
    NotSent,
    /// It says of each record, in their order, what became of it, and asks for this pause; it does not have all.
    PerRecord { answers: Vec<RecordAnswer>, retry_after: Option<Duration> },
    /// It may have them.
    InDoubt,
    /// It may have them, and what it answers would leave any others as open.
    WrongContent,
    /// It would refuse any records.
    PipelineWrong,
}

impl PostEnd {
    /// As the ledger calls it.
    pub(crate) fn outcome(&self) -> DeliveryOutcome {
        match self {
            Self::Applied => DeliveryOutcome::Applied,
            Self::Rejected => DeliveryOutcome::Rejected,
            Self::NotApplied { .. } | Self::NotSent | Self::PipelineWrong => DeliveryOutcome::NotApplied,
            Self::InDoubt | Self::WrongContent => DeliveryOutcome::InDoubt,
            Self::PerRecord { answers, .. } if answers.contains(&RecordAnswer::Applied) => {
                DeliveryOutcome::PartlyApplied
            }
            Self::PerRecord { answers, .. }
                if answers.iter().any(|answer| matches!(answer, RecordAnswer::Rejected { .. })) =>
            {
                DeliveryOutcome::Rejected
            }
            Self::PerRecord { .. } => DeliveryOutcome::NotApplied,
        }
    }
}

/// The records of a delivery by what the target says of each.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// Places in the batch of those that it has.
    pub(crate) present: Vec<u32>,
    /// Those that it refuses, and why.
    pub(crate) refused: Vec<(ReadyRecord, String)>,
    /// Those that it did nothing with.
    pub(crate) again: Option<Chunk>,
}

/// Sorts the records of a chunk by what the target says of each, in their order.
pub(crate) fn sort(chunk: Chunk, answers: &[RecordAnswer]) -> Sorted {
    let mut sorted = Sorted::default();
    let mut again = Chunk { records: Vec::new(), ..chunk };
    for (record, answer) in chunk.records.into_iter().zip(answers) {
        match answer {
            RecordAnswer::Applied => sorted.present.push(record.position),
            RecordAnswer::Rejected { reason } => sorted.refused.push((record, reason.clone())),
            RecordAnswer::NotApplied { .. } => again.records.push(record),
        }
    }
    sorted.again = Some(again).filter(|again| !again.records.is_empty());
    sorted
}

/// What to do after a POST.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing more under this lease.
    Done,
    /// Send the halves: the bad records are in one of them.
    Split([Chunk; 2]),
    /// This record alone is refused: it is a dead letter (or stays in doubt, if it repeats one: the coordinator sees to
    /// that).
    DeadLetter(ReadyRecord),
    /// Send the same records after a pause.
    Again { chunk: Chunk, after: Duration },
    /// Send the same records after a pause, once the target can be reached.
    WhenReachable { chunk: Chunk, after: Duration },
    /// Give the rest of the batch back, to be leased again after a pause.
    GiveBack { after: Duration },
    /// Give the batch back and have the run paused.
    Pause,
}

/// Decides what follows for `chunk`. `pause` is how long to wait unless the target says otherwise; a `draining` worker
/// does not try again itself.
pub(crate) fn decide(mut chunk: Chunk, end: &PostEnd, pause: Duration, draining: bool) -> Next {
    match end {
        // Its records were sorted: what is left of it is decided about as not applied.
        PostEnd::PerRecord { .. } | PostEnd::Applied | PostEnd::InDoubt => Next::Done,
        PostEnd::PipelineWrong | PostEnd::WrongContent => Next::Pause,
        PostEnd::Rejected if chunk.records.len() > 1 => Next::Split(chunk.halves()),
        PostEnd::Rejected => chunk.records.pop().map_or(Next::Done, Next::DeadLetter),
        PostEnd::NotApplied { retry_after } => {
            let after = retry_after.map_or(pause, |asked| asked.max(pause));
            chunk.tries += 1;
            if draining || chunk.tries >= MAX_TRIES || after > MAX_PAUSE {
                return Next::GiveBack { after: after.min(MAX_PAUSE) };
            }
            Next::Again { chunk, after }
        }
        // A target that is down is waited for without announcing anything. Tries count all the same: of one that takes
        // connections and nothing more (its TLS is broken, say), each is a row in the ledger.
        PostEnd::NotSent => {
            chunk.tries += 1;
            if draining || chunk.tries >= MAX_TRIES {
                return Next::GiveBack { after: pause };
            }
            Next::WhenReachable { chunk, after: pause }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PAUSE: Duration = Duration::from_millis(100);

    fn chunk(positions: std::ops::Range<u32>, retry_of: i64) -> Chunk {
        let record = |position: u32| ReadyRecord {
            position,
            id: RecordId::from(u64::from(position)),
            body: Bytes::from(position.to_string()),
            unknown: Vec::new(),
        };
        Chunk::new(positions.map(record).collect(), retry_of)
    }

    /// Plays a target that refuses whatever carries one of `bad`; gives loaded, dead and the number of POSTs.
    fn play(records: u32, bad: &BTreeSet<u32>) -> (Vec<u32>, Vec<u32>, usize) {
        let (mut loaded, mut dead, mut posts) = (vec![], vec![], 0);
        let mut queue = std::collections::VecDeque::from([chunk(0..records, 0)]);
        while let Some(chunk) = queue.pop_front() {
            posts += 1;
            let positions: Vec<u32> = chunk.records.iter().map(|record| record.position).collect();
            let end = match positions.iter().any(|position| bad.contains(position)) {
                true => PostEnd::Rejected,
                false => PostEnd::Applied,
            };
            if end == PostEnd::Applied {
                loaded.extend(positions);
            }
            match decide(chunk, &end, PAUSE, false) {
                Next::Done => {}
                Next::Split([first, second]) => {
                    queue.push_front(second);
                    queue.push_front(first);
                }
                Next::DeadLetter(record) => dead.push(record.position),
                other => panic!("{other:?}"),
            }
        }
        (loaded, dead, posts)
    }

    #[test]
    fn splitting_leaves_exactly_the_bad_records() {
        for seed in 0..50 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let records = rng.u32(1..=100);
            let bad: BTreeSet<u32> = (0..rng.u32(0..4)).map(|_| rng.u32(0..records)).collect();
            let (loaded, dead, posts) = play(records, &bad);
            assert_eq!(dead, bad.iter().copied().collect::<Vec<_>>());
            assert_eq!(loaded, (0..records).filter(|position| !bad.contains(position)).collect::<Vec<_>>());
            assert!(posts <= 1 + bad.len() * 2 * 7, "{posts} POSTs for {} bad of {records}", bad.len());
        }
    }

    #[test]
    fn halves_keep_what_they_repeat() {
        let Next::Split([first, second]) = decide(chunk(0..5, 4), &PostEnd::Rejected, PAUSE, false) else { panic!() };
        assert_eq!((first.records.len(), second.records.len()), (3, 2));
        assert_eq!((first.retry_of, second.retry_of), (4, 4));
    }

    #[test]
    fn not_applied_is_tried_again_but_not_for_ever() {
        let end = PostEnd::NotApplied { retry_after: None };
        let mut now = chunk(0..3, 0);
        for _ in 1..MAX_TRIES {
            let Next::Again { chunk, after } = decide(now, &end, PAUSE, false) else { panic!() };
            assert_eq!(after, PAUSE);
            now = chunk;
        }
        assert!(matches!(decide(now, &end, PAUSE, false), Next::GiveBack { after } if after == PAUSE));
    }

    #[test]
    fn a_target_that_is_not_reached_is_waited_for_but_not_by_a_draining_worker() {
        let mut now = chunk(0..3, 0);
        for _ in 1..MAX_TRIES {
            let Next::WhenReachable { chunk, after } = decide(now, &PostEnd::NotSent, PAUSE, false) else { panic!() };
            assert_eq!(after, PAUSE);
            now = chunk;
        }
        assert!(matches!(decide(now, &PostEnd::NotSent, PAUSE, false), Next::GiveBack { after } if after == PAUSE));
        assert!(matches!(decide(chunk(0..3, 0), &PostEnd::NotSent, PAUSE, true), Next::GiveBack { .. }));
    }

    #[test]
    fn a_very_long_retry_after_is_not_waited_out_with_the_lease() {
        let asked = |seconds| PostEnd::NotApplied { retry_after: Some(Duration::from_secs(seconds)) };
        assert!(
            matches!(decide(chunk(0..3, 0), &asked(30), PAUSE, false), Next::Again { after, .. } if after.as_secs() == 30)
        );
        assert!(
            matches!(decide(chunk(0..3, 0), &asked(30), PAUSE, true), Next::GiveBack { after } if after.as_secs() == 30)
        );
        assert!(
            matches!(decide(chunk(0..3, 0), &asked(900), PAUSE, false), Next::GiveBack { after } if after == MAX_PAUSE)
        );
    }

    #[test]
    fn a_draining_worker_does_not_try_again() {
        let end = PostEnd::NotApplied { retry_after: None };
        assert!(matches!(decide(chunk(0..3, 0), &end, PAUSE, true), Next::GiveBack { .. }));
    }

    #[test]
    fn an_answer_about_each_record_sorts_them() {
        let rejected = RecordAnswer::Rejected { reason: "no".to_owned() };
        let busy = RecordAnswer::NotApplied { reason: String::new() };
        let mut sent = chunk(3..7, 9);
        sent.tries = 2;
        let sorted = sort(sent, &[RecordAnswer::Applied, rejected.clone(), busy.clone(), RecordAnswer::Applied]);
        assert_eq!(sorted.present, [3, 6]);
        assert_eq!(
            sorted.refused.iter().map(|(record, why)| (record.position, &**why)).collect::<Vec<_>>(),
            [(4, "no")]
        );
        let again = sorted.again.unwrap();
        assert_eq!((again.records.len(), again.records[0].position, again.retry_of, again.tries), (1, 5, 9, 2));
        assert!(sort(chunk(0..1, 0), &[RecordAnswer::Applied]).again.is_none());
        let outcome =
            |answers: &[RecordAnswer]| PostEnd::PerRecord { answers: answers.to_vec(), retry_after: None }.outcome();
        assert_eq!(outcome(&[busy.clone(), RecordAnswer::Applied, rejected.clone()]), DeliveryOutcome::PartlyApplied);
        assert_eq!(outcome(&[busy.clone(), rejected]), DeliveryOutcome::Rejected);
        assert_eq!(outcome(&[busy]), DeliveryOutcome::NotApplied);
    }

    #[test]
    fn a_doubt_is_not_sent_again() {
        assert!(matches!(decide(chunk(0..3, 0), &PostEnd::InDoubt, PAUSE, false), Next::Done));
    }
}
