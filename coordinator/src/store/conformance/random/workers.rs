//! The workers as a model knows them, and the calls they make.

use super::super::bench::{begin, dead, evidence, evidence_of, gone, positions, signed};
use super::Random;
use super::sequence::Sequence;
use crate::domain::{DeliveryReport, DeliveryState, ExceptionKind, LeaseToken, Positions};
use crate::store::{Begin, Begun, Completion, GrantedLease, Misuse, Refusal, Renewal, Report};

const SESSIONS: [&str; 3] = ["session-of-worker-0", "session-of-worker-1", "session-of-worker-2"];

/// A lease as its worker knows it.
pub(super) struct Known {
    pub(super) session: &'static str,
    pub(super) lease: GrantedLease,
    /// What it has announced, in the order of the ordinals.
    pub(super) deliveries: Vec<Sent>,
    /// The worker has forgotten it (it died, or it reported).
    pub(super) dropped: bool,
}

/// A delivery as its worker knows it.
pub(super) struct Sent {
    pub(super) announced: Begin,
    pub(super) number: i64,
    /// What became of it.
    pub(super) outcome: Option<DeliveryState>,
}

/// A call that was made, to be made again, and its answer.
pub(super) enum Made {
    Begin(&'static str, LeaseToken, Begin, Result<Begun, Misuse>),
    Complete(&'static str, LeaseToken, Report, Result<Completion, Misuse>),
    Release(&'static str, LeaseToken, bool),
}

impl Sequence {
    pub(super) async fn acquire(&mut self) {
        let session = self.random.pick(&SESSIONS);
        let held: Vec<&GrantedLease> =
            self.known.iter().filter(|known| known.session == session).map(|known| &known.lease).collect();
        let answer = self.bench.acquire(session, &held, 2).await;
        for lease in answer.leases {
            let granted = lease.token.lease();
            let epoch = self.epochs.entry(granted.batch.batch).or_default();
            assert!(granted.epoch >= *epoch, "an older epoch is granted again");
            assert!(!self.cancelled || granted.epoch == *epoch, "a cancelled run is leased");
            if granted.epoch == *epoch {
                self.seen.insert("lost answer");
            } else if granted.epoch > 1 {
                self.seen.insert("second grant");
            }
            *epoch = granted.epoch;
            // An answer may get lost.
            if self.random.chance(85) {
                self.known.push(Known { session, lease, deliveries: Vec::new(), dropped: false });
            }
        }
    }

    /// One of the leases that a worker works on; now and then one that it should have forgotten.
    fn some_lease(&mut self) -> Option<usize> {
        let forgetful = self.random.chance(10);
        let candidates: Vec<usize> =
            (0..self.known.len()).filter(|index| forgetful || !self.known[*index].dropped).collect();
        (!candidates.is_empty()).then(|| candidates[self.random.below(candidates.len())])
    }

    fn is_newest(&self, token: LeaseToken) -> bool {
        self.epochs.get(&token.lease().batch.batch) == Some(&token.lease().epoch)
    }

    pub(super) async fn announce(&mut self) {
        let Some(index) = self.some_lease() else { return };
        let known = &self.known[index];
        if known.lease.parts.is_empty() {
            return;
        }
        let part = known.lease.parts[self.random.below(known.lease.parts.len())].0.clone();
        let doubt = known.deliveries.iter().find(|sent| sent.outcome == Some(DeliveryState::InDoubt));
        let (positions, retry_of) = match doubt {
            // Some workers have no patience.
            Some(doubt) if self.random.chance(50) => (doubt.announced.positions.clone(), doubt.number),
            _ if self.random.chance(30) => (part.positions.halves().0, part.retry_of),
            _ => (part.positions, part.retry_of),
        };
        let settled = known_outcomes(known);
        let ordinal = u32::try_from(known.deliveries.len()).unwrap() + 1;
        let unknown_fields = unknown_fields(&mut self.random, &positions);
        let announced = Begin { settled, unknown_fields, ..begin(ordinal, positions.iter(), retry_of) };
        let (session, token) = (known.session, known.lease.token);
        let answer = self.bench.begin(session, &known.lease, announced.clone()).await;
        if answer.is_ok() {
            self.note_told(token, index, &announced.settled);
        }
        self.seen.insert(name(&answer));
        if let Ok(Begun::Announced { number, .. }) = answer {
            if announced.retry_of > 0 {
                self.seen.insert("doubt repeated");
            }
            assert!(!self.cancelled, "a delivery began after the cancel");
            assert!(self.is_newest(token), "a stale holder announced a delivery");
            self.note_unknown(token, &announced);
            let announced = announced.clone();
            self.known[index].deliveries.push(Sent { announced, number, outcome: None });
        }
        self.made.push(Made::Begin(session, token, announced, answer));
    }

    /// Fields of records that were announced, whatever becomes of them.
    fn note_unknown(&mut self, token: LeaseToken, announced: &Begin) {
        let batch = token.lease().batch.batch;
        for (path, places) in &announced.unknown_fields {
            let having = self.unknown.entry(path.clone()).or_default();
            for place in places.iter() {
                if !having.insert((batch, place)) {
                    self.seen.insert("unknown field told again");
                }
            }
        }
    }

    /// What is told of deliveries counts, whoever has their batch by then.
    fn note_told(&mut self, token: LeaseToken, index: usize, reports: &[DeliveryReport]) {
        let batch = token.lease().batch.batch;
        for report in reports {
            let sent = &self.known[index].deliveries[report.ordinal as usize - 1];
            let carried = &sent.announced.positions;
            let present = match report.evidence.state {
                DeliveryState::Applied => carried,
                _ => &report.evidence.present,
            };
            self.applied.extend(present.iter().map(|place| (batch, place)));
            match report.evidence.state {
                // What is certain stays so.
                DeliveryState::InDoubt => {
                    let places = || carried.iter().map(|place| (batch, place)).collect();
                    self.doubted.entry(sent.number).or_insert_with(places);
                }
                _ => drop(self.doubted.insert(sent.number, Vec::new())),
            }
        }
    }

    /// A worker learns what came of a POST.
    pub(super) fn learn(&mut self) {
        let Some(index) = self.some_lease() else { return };
        let states = [
            DeliveryState::Applied,
            DeliveryState::Applied,
            DeliveryState::NotApplied,
            DeliveryState::Rejected,
            DeliveryState::PartlyApplied,
        ];
        let state = if self.random.chance(30) { DeliveryState::InDoubt } else { self.random.pick(&states) };
        if let Some(sent) = self.known[index].deliveries.iter_mut().find(|sent| sent.outcome.is_none()) {
            // Of one record no part can be applied.
            let whole = sent.announced.positions.len() < 2 && state == DeliveryState::PartlyApplied;
            sent.outcome = Some(if whole { DeliveryState::Applied } else { state });
        }
    }

    pub(super) async fn complete(&mut self) {
        let Some(index) = self.some_lease() else { return };
        let known = &self.known[index];
        let batch = known.lease.token.lease().batch.batch;
        let places: Vec<u32> = known.lease.parts.iter().flat_map(|(part, _)| part.positions.iter()).collect();
        let sent = |place: u32| known.deliveries.iter().any(|sent| sent.announced.positions.contains(place));
        let mut records = Vec::new();
        for place in places.into_iter().filter(|place| !sent(*place)) {
            if self.random.chance(30) {
                records.push(if self.random.chance(70) { dead(place) } else { gone(place) });
            }
        }
        let report = signed(Report { deliveries: known_outcomes(known), records, ..Report::default() });
        let (session, token) = (known.session, known.lease.token);
        let answer = self.bench.store().complete(session, token, report.clone()).await.unwrap();
        if answer.is_ok() {
            self.note_told(token, index, &report.deliveries);
            let excepted =
                report.records.iter().map(|record| (batch, record.position, record.kind == ExceptionKind::Gone));
            self.excepted.extend(excepted);
            // Nothing of a cancelled run is judged any more, and whoever is late has no say.
            if !self.cancelled && answer != Ok(Completion::Late) {
                self.given_up.extend(report.records.iter().map(|record| (batch, record.position)));
            }
        }
        match &answer {
            Ok(Completion::Late) => {
                self.seen.insert("late report");
                if report.deliveries.iter().any(|told| told.evidence.state == DeliveryState::PartlyApplied) {
                    self.seen.insert("applied in part, told late");
                }
            }
            Ok(_) if report.deliveries.iter().any(|told| told.evidence.state == DeliveryState::PartlyApplied) => {
                self.seen.insert("applied in part");
            }
            Err(Misuse::ReportConflict) => drop(self.seen.insert("report conflict")),
            _ => {}
        }
        let newest = self.is_newest(token);
        assert!(newest || matches!(answer, Ok(Completion::Late) | Err(Misuse::ReportConflict)) || self.repeats(token));
        self.known[index].dropped = true;
        self.made.push(Made::Complete(session, token, report, answer));
    }

    /// Was something reported under this token before?
    fn repeats(&self, token: LeaseToken) -> bool {
        self.made.iter().any(|made| matches!(made, Made::Complete(_, before, _, _) if *before == token))
    }

    pub(super) async fn release(&mut self) {
        let Some(index) = self.some_lease() else { return };
        let (session, token) = (self.known[index].session, self.known[index].lease.token);
        let released = self.bench.store().release(session, &[token], false).await.unwrap().unwrap()[0];
        self.known[index].dropped |= released;
        self.made.push(Made::Release(session, token, released));
    }

    pub(super) async fn renew(&mut self) {
        let Some(index) = self.some_lease() else { return };
        let (session, token) = (self.known[index].session, self.known[index].lease.token);
        let renewed = self.bench.store().renew(session, &[token]).await.unwrap().unwrap()[0];
        assert!(self.is_newest(token) || renewed == Renewal::Lost, "a stale holder renewed");
    }

    /// A copy of an earlier call arrives late.
    pub(super) async fn repeat(&mut self) {
        if self.made.is_empty() {
            return;
        }
        let index = self.random.below(self.made.len());
        match &self.made[index] {
            Made::Complete(session, token, report, first) => {
                let again = self.bench.store().complete(session, *token, report.clone()).await.unwrap();
                assert_eq!(again, *first, "a repeated report has another answer");
                self.seen.insert("repeated report");
            }
            Made::Begin(session, token, announced, first) => {
                let again = self.bench.store().begin(session, *token, announced.clone()).await.unwrap();
                if let Ok(Begun::Announced { number, .. }) = first {
                    let lost = again == Ok(Begun::Refused(Refusal::LeaseLost));
                    let same = matches!(again, Ok(Begun::Announced { number: again, .. }) if again == *number);
                    // What was settled meanwhile is not sent again.
                    let settled = again == Ok(Begun::Refused(Refusal::Superseded));
                    let stopped = [Refusal::RunPaused, Refusal::RunCancelled].map(|why| Ok(Begun::Refused(why)));
                    assert!(
                        lost || same || settled || stopped.contains(&again),
                        "a repeated announcement got {again:?}"
                    );
                }
                // One that was refused before may have its time now: then its worker knows of it.
                let (token, announced) = (*token, announced.clone());
                let index = self.known.iter().position(|known| known.lease.token == token).unwrap();
                if again.is_ok() {
                    self.note_told(token, index, &announced.settled);
                }
                let deliveries = &mut self.known[index].deliveries;
                let is_new = announced.ordinal as usize == deliveries.len() + 1;
                if let Ok(Begun::Announced { number, .. }) = again
                    && is_new
                {
                    assert!(!self.cancelled, "a delivery began after the cancel");
                    deliveries.push(Sent { announced: announced.clone(), number, outcome: None });
                    self.note_unknown(token, &announced);
                }
            }
            Made::Release(session, token, first) => {
                let again = self.bench.store().release(session, &[*token], false).await.unwrap().unwrap()[0];
                assert!(again || !first, "a repeated release has another answer");
            }
        }
    }
}

/// Some of these records have fields that their schema does not know: not always the same, as sources change.
fn unknown_fields(random: &mut Random, of: &Positions) -> Vec<(String, Positions)> {
    let mut field = |path: &str| {
        let places = of.iter().filter(|_| random.chance(15)).collect::<Vec<_>>();
        (path.to_owned(), positions(places))
    };
    [field("/friends/*/nick"), field("/wings")].into_iter().filter(|(_, places)| !places.is_empty()).collect()
}

/// An announcement's answer in a word.
fn name(answer: &Result<Begun, Misuse>) -> &'static str {
    match answer {
        Ok(Begun::Announced { .. }) => "announced",
        Ok(Begun::Refused(Refusal::LeaseLost)) => "lease lost",
        Ok(Begun::Refused(Refusal::RunPaused)) => "run paused",
        Ok(Begun::Refused(Refusal::RunCancelled)) => "run cancelled",
        Ok(Begun::Refused(Refusal::Superseded)) => "superseded",
        Ok(Begun::Refused(Refusal::NotYet)) => "not yet",
        Err(_) => "delivery conflict",
    }
}

fn known_outcomes(known: &Known) -> Vec<DeliveryReport> {
    let outcome = |(ordinal, sent): (u32, &Sent)| {
        sent.outcome.map(|state| match state {
            DeliveryState::PartlyApplied => evidence_of(ordinal, sent.announced.positions.halves().0.iter()),
            _ => evidence(ordinal, state),
        })
    };
    (1..).zip(&known.deliveries).filter_map(outcome).collect()
}
