//! What must be true after every call.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::bench::MAX_BATCH;
use super::sequence::Sequence;
use crate::domain::{BatchEvidence, ListingEvidence, RecordState, Run, Timestamp, UnknownField, Verdict};
use crate::store::EvidenceSink;

impl Sequence {
    pub(super) async fn check(&mut self) {
        // Conservation, and one open delivery at most: the audit names what it finds.
        let verdict = self.bench.verdict(&self.run).await;
        let states = self.states().await;
        self.check_doubts(&states).await;
        self.check_what_stays(&states);
        for (batch, position, state) in states {
            let applied = self.applied.contains(&(batch, position));
            match state {
                RecordState::Loaded => assert!(applied, "{batch}/{position} is loaded, and nobody said so"),
                RecordState::Delivering => {}
                _ => assert!(!applied, "{batch}/{position} was acknowledged and is {state:?}"),
            }
            match state {
                RecordState::DeadLetter => assert!(self.excepted.contains(&(batch, position, false))),
                RecordState::Gone => assert!(self.excepted.contains(&(batch, position, true))),
                _ => {}
            }
        }
        let unchanged = self.bench.store().unchanged_ids(&self.run, "", 1000).await.unwrap();
        assert!(unchanged.iter().all(|id| self.before.contains(id)), "{unchanged:?} of {:?}", self.before);
        assert_eq!(unchanged.len() as u64, verdict.counts.unchanged);
        if !unchanged.is_empty() {
            self.seen.insert("unchanged");
        }
        let listed = self.bench.store().listed_ids(&self.run, 0, 1000).await.unwrap();
        assert_eq!((listed.len() + unchanged.len()) as u64, verdict.counts.listed);
        self.check_unknown(&listed, &verdict);
        self.lister.check(&listed.into_iter().chain(unchanged).collect(), &verdict);
        self.seen.extend(self.lister.met());
        let acknowledged = self.bench.store().acknowledgements(&self.run, 0, 1000).await.unwrap();
        let ids: Vec<String> = acknowledged.into_iter().flat_map(|acknowledged| acknowledged.ids).collect();
        let distinct: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "an ID is in two acknowledgements");
        assert_eq!(ids.len(), self.applied.len());
        assert!(verdict.counts.loaded <= self.applied.len() as u64);
    }

    /// What is in doubt by one delivery stays so, whatever others are, until it is loaded; what was given up on is
    /// never sent any more; and there is no doubt about what was never announced.
    fn check_what_stays(&self, states: &[(i64, u32, RecordState)]) {
        let doubted: BTreeSet<(i64, u32)> = self.doubted.values().flatten().copied().collect();
        let announced = |(batch, position): (i64, u32)| {
            let of_it = self.known.iter().filter(|known| known.lease.token.lease().batch.batch == batch);
            of_it.flat_map(|known| &known.deliveries).any(|sent| sent.announced.positions.contains(position))
        };
        for (batch, position, state) in states {
            let place = (*batch, *position);
            match state {
                RecordState::Loaded | RecordState::Delivering => {}
                RecordState::InDoubt => assert!(announced(place), "{place:?} is in doubt, and nobody announced it"),
                _ => assert!(!doubted.contains(&place), "{place:?} is {state:?}, and the target may have it"),
            }
            let waits = *state == RecordState::Pending;
            assert!(!waits || !self.given_up.contains(&place), "{place:?} was given up on, and waits again");
        }
    }

    /// Each record in doubt hangs on one delivery, which the pages of doubts tell of, however short they are.
    async fn check_doubts(&self, states: &[(i64, u32, RecordState)]) {
        let (mut told, mut after) = (0, 0);
        loop {
            let page = self.bench.store().doubts(&self.run, after, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.is_sorted_by_key(|doubt| doubt.number) && last.number > after, "{page:?}");
            told += page.iter().map(|doubt| doubt.record_ids.len()).sum::<usize>();
            after = last.number;
        }
        assert_eq!(told, states.iter().filter(|(_, _, state)| *state == RecordState::InDoubt).count());
    }

    /// Each record counts once for each of its fields; the sample is the first of them in the order of the list.
    fn check_unknown(&self, listed: &[String], verdict: &Verdict) {
        let sample = |(batch, place): &(i64, u32)| {
            let seq = batch.unsigned_abs() * u64::from(MAX_BATCH) + u64::from(*place);
            listed[usize::try_from(seq).unwrap()].clone()
        };
        let known = self.unknown.iter().map(|(path, having)| UnknownField {
            path: path.clone(),
            records: having.len() as u64,
            sample: sample(having.first().unwrap()),
        });
        assert_eq!(verdict.unknown_fields, known.collect::<Vec<_>>());
    }

    /// Each record's state: batch, position, state.
    async fn states(&self) -> Vec<(i64, u32, RecordState)> {
        let read = Arc::new(Mutex::new(Vec::new()));
        let sink = States { cancelled: self.cancelled, read: Arc::clone(&read) };
        self.bench.store().evidence(&self.run.id, None, Box::new(sink)).await.unwrap().unwrap();
        std::mem::take(&mut *read.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct States {
    cancelled: bool,
    read: Arc<Mutex<Vec<(i64, u32, RecordState)>>>,
}

impl EvidenceSink for States {
    fn round(&mut self, run: &Run, _: u32, cancelled: bool) {
        assert_eq!((run.state.is_cancelled(), cancelled), (self.cancelled, self.cancelled));
    }

    fn batch(&mut self, evidence: &BatchEvidence) {
        let states = evidence.ledger.states(RecordState::Pending);
        let states = (0..).zip(states).map(|(position, state)| (evidence.batch, position, state));
        self.read.lock().unwrap_or_else(PoisonError::into_inner).extend(states);
    }

    fn listing(&mut self, _: &ListingEvidence, _: Timestamp) {}
}
