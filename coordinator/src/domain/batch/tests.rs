use super::*;
use crate::domain::{Finding, Positions, Timestamp};

const SETTLE_AFTER: Duration = Duration::from_secs(25);
const RULES: Rules = Rules { on_doubt: OnDoubt::Retry, settle_after: SETTLE_AFTER, max_attempts: 3 };

fn positions(places: &[u32]) -> Positions {
    Positions::from_ascending(places.iter().copied()).unwrap()
}

fn delivery(number: i64, places: &[u32], state: DeliveryState) -> DeliveryFact {
    DeliveryFact {
        number,
        epoch: 1,
        ordinal: u32::try_from(number).unwrap(),
        positions: positions(places),
        state,
        tries: 1,
        begun_at: Timestamp::from_millis(number * 1000),
        body_sha256: [7; 32],
        ..DeliveryFact::default()
    }
}

fn ledger(deliveries: Vec<DeliveryFact>, exceptions: &[(u32, ExceptionKind)]) -> BatchLedger {
    let fact = |(position, kind): &(u32, ExceptionKind)| ExceptionFact { position: *position, kind: *kind };
    BatchLedger { size: 4, deliveries, exceptions: exceptions.iter().map(fact).collect() }
}

fn parts(remaining: &Remaining) -> Vec<(Vec<u32>, i64)> {
    remaining.parts.iter().map(|part| (part.positions.iter().collect(), part.retry_of)).collect()
}

use DeliveryState::{Applied, InDoubt, NotApplied, Open, PartlyApplied, Rejected};
use RecordState as Record;

/// The state of record 0 when these deliveries carried it, with and without an exception.
fn state(states: &[DeliveryState], exception: Option<ExceptionKind>) -> Record {
    let deliveries = (1..).zip(states).map(|(number, state)| delivery(number, &[0], *state)).collect();
    let exceptions: Vec<_> = exception.map(|kind| (0, kind)).into_iter().collect();
    ledger(deliveries, &exceptions).states(Record::Leased)[0]
}

#[test]
fn an_outcome_is_derived_from_all_deliveries() {
    assert_eq!(state(&[], None), Record::Leased);
    assert_eq!(state(&[NotApplied], None), Record::Leased);
    assert_eq!(state(&[Rejected], None), Record::Leased);
    assert_eq!(state(&[InDoubt], None), Record::InDoubt);
    assert_eq!(state(&[InDoubt, NotApplied], None), Record::InDoubt);
    assert_eq!(state(&[InDoubt, Applied], None), Record::Loaded);
    assert_eq!(state(&[Applied, InDoubt], None), Record::Loaded);
    assert_eq!(state(&[Applied, Rejected], None), Record::Loaded);
    assert_eq!(state(&[InDoubt, Open], None), Record::Delivering);
    assert_eq!(state(&[Applied, Open], None), Record::Delivering);
}

#[test]
fn what_a_worker_reported_counts_last() {
    let (dead, gone) = (Some(ExceptionKind::DeadLetter), Some(ExceptionKind::Gone));
    assert_eq!(state(&[], dead), Record::DeadLetter);
    assert_eq!(state(&[Rejected], dead), Record::DeadLetter);
    assert_eq!(state(&[], gone), Record::Gone);
    assert_eq!(state(&[InDoubt], dead), Record::InDoubt, "a doubtful record never becomes a dead letter");
    assert_eq!(state(&[Applied], gone), Record::Loaded);
}

#[test]
fn the_tally_counts_each_record_once() {
    let deliveries = vec![delivery(1, &[0, 1], InDoubt), delivery(2, &[0], Applied)];
    let tally = ledger(deliveries, &[(2, ExceptionKind::DeadLetter), (0, ExceptionKind::Gone)]).tally();
    assert_eq!(tally, Tally { unresolved: 1, loaded: 1, dead_letter: 1, in_doubt: 1, ..Tally::default() });
}

#[test]
fn an_untouched_batch_is_one_part() {
    let remaining = ledger(Vec::new(), &[]).remaining(&RULES, false);
    assert_eq!(parts(&remaining), [(vec![0, 1, 2, 3], 0)]);
    assert_eq!(remaining.not_before, None);
}

#[test]
fn doubts_are_parts_of_their_own_and_wait() {
    let deliveries = vec![delivery(1, &[0, 1], InDoubt), delivery(2, &[3], InDoubt)];
    let remaining = ledger(deliveries, &[]).remaining(&RULES, false);
    assert_eq!(parts(&remaining), [(vec![2], 0), (vec![0, 1], 1), (vec![3], 2)]);
    assert_eq!(remaining.not_before, Some(Timestamp::from_millis(2000) + SETTLE_AFTER));
}

#[test]
fn a_record_repeats_its_latest_doubt() {
    let deliveries = vec![delivery(1, &[0, 1, 2, 3], InDoubt), delivery(2, &[0, 1], InDoubt)];
    let ledger = ledger(deliveries, &[]);
    assert_eq!(parts(&ledger.remaining(&RULES, false)), [(vec![2, 3], 1), (vec![0, 1], 2)]);
    assert!(ledger.may_begin(&positions(&[0, 1]), 2, &RULES));
    assert!(!ledger.may_begin(&positions(&[0, 1]), 1, &RULES));
    assert!(!ledger.may_begin(&positions(&[1, 2]), 2, &RULES), "records of two doubts are not sent together");
}

#[test]
fn what_is_settled_or_given_up_is_not_sent() {
    let deliveries = vec![delivery(1, &[0, 1, 2, 3], InDoubt), delivery(2, &[0], Applied)];
    let ledger = ledger(deliveries, &[(1, ExceptionKind::DeadLetter)]);
    assert_eq!(parts(&ledger.remaining(&RULES, false)), [(vec![2, 3], 1)]);
    assert!(!ledger.may_begin(&positions(&[0]), 1, &RULES));
}

#[test]
fn a_stubborn_doubt_is_split_and_a_stubborn_single_is_left() {
    let stubborn = |places| DeliveryFact { tries: 3, ..delivery(1, places, InDoubt) };
    let whole = ledger(vec![stubborn(&[0, 1, 2])], &[(3, ExceptionKind::Gone)]);
    assert_eq!(parts(&whole.remaining(&RULES, false)), [(vec![0, 1], 1), (vec![2], 1)]);
    assert!(!whole.may_begin(&positions(&[0, 1, 2]), 1, &RULES));
    assert!(whole.may_begin(&positions(&[0, 1]), 1, &RULES));
    assert_eq!(whole.next_tries(&positions(&[0, 1]), 1, &RULES), 1, "a part has tries of its own");
    let single = BatchLedger { size: 1, ..ledger(vec![stubborn(&[0])], &[]) };
    assert_eq!(single.remaining(&RULES, false), Remaining::default());
    assert!(!single.may_begin(&positions(&[0]), 1, &RULES));
}

#[test]
fn what_is_left_of_a_stubborn_doubt_has_tries_of_its_own() {
    // One half was sent, and the lease lost before the other was.
    let stubborn = DeliveryFact { tries: 3, ..delivery(1, &[0, 1], InDoubt) };
    let half = |state| delivery(2, &[0], state);
    for (state, others) in [(Applied, vec![]), (InDoubt, vec![(vec![0], 2)])] {
        let left = BatchLedger { size: 2, ..ledger(vec![stubborn.clone(), half(state)], &[]) };
        assert_eq!(parts(&left.remaining(&RULES, false)), [vec![(vec![1], 1)], others].concat());
        assert!(left.may_begin(&positions(&[1]), 1, &RULES));
        assert_eq!(left.next_tries(&positions(&[1]), 1, &RULES), 1);
    }
}

#[test]
fn tries_count_up_while_the_same_records_are_sent() {
    let ledger = ledger(vec![DeliveryFact { tries: 2, ..delivery(1, &[0, 1], InDoubt) }], &[]);
    assert_eq!(ledger.next_tries(&positions(&[0, 1]), 1, &RULES), 3);
    assert_eq!(ledger.next_tries(&positions(&[2, 3]), 0, &RULES), 1);
}

#[test]
fn held_doubts_are_an_operators() {
    let rules = Rules { on_doubt: OnDoubt::Hold, ..RULES };
    let ledger = ledger(vec![delivery(1, &[0, 1], InDoubt)], &[]);
    let remaining = ledger.remaining(&rules, false);
    assert_eq!((parts(&remaining), remaining.not_before), (vec![(vec![2, 3], 0)], None));
    assert!(!ledger.may_begin(&positions(&[0, 1]), 1, &rules));
    assert!(ledger.may_begin(&positions(&[2, 3]), 0, &rules));
}

#[test]
fn copies_are_all_that_may_be_there_beyond_the_first() {
    let deliveries = vec![
        delivery(1, &[0, 1], InDoubt),
        delivery(2, &[0, 1], InDoubt),
        delivery(3, &[0], Applied),
        delivery(4, &[2], Rejected),
        delivery(5, &[2], Applied),
    ];
    assert_eq!(ledger(deliveries, &[]).possible_copies(), 3);
}

#[test]
fn changed_is_a_repetition_of_the_same_records_with_another_body() {
    let again = |number, places, body| DeliveryFact {
        retry_of: 1,
        body_sha256: [body; 32],
        ..delivery(number, places, Applied)
    };
    let first = delivery(1, &[0, 1], InDoubt);
    let changed = |again| ledger(vec![first.clone(), again], &[]).changed();
    assert_eq!(changed(again(2, &[0, 1], 7)), 0);
    assert_eq!(changed(again(2, &[0, 1], 8)), 2);
    assert_eq!(changed(again(2, &[0], 8)), 0, "a half has another body anyway");
}

#[test]
fn a_file_names_what_no_earlier_one_does() {
    let deliveries = vec![delivery(1, &[0, 1], Applied), delivery(2, &[1, 2], Applied), delivery(3, &[0, 1], Applied)];
    let ledger = ledger(deliveries, &[]);
    assert_eq!(ledger.first_applied(2, &[]), [1, 2]);
    assert_eq!(ledger.first_applied(1, &[2]), [0]);
    assert_eq!(ledger.first_applied(3, &[2, 1]), [0; 0]);
}

#[test]
fn overlapping_open_deliveries_are_noticed() {
    assert!(!ledger(vec![delivery(1, &[0, 1], Open), delivery(2, &[0], InDoubt)], &[]).is_delivered_twice_at_once());
    assert!(ledger(vec![delivery(1, &[0, 1], Open), delivery(2, &[1], Open)], &[]).is_delivered_twice_at_once());
}

const PROBE: Rules = Rules { on_doubt: OnDoubt::Probe, ..RULES };

fn finding(number: i64, present: &[u32], absent: &[u32]) -> Finding {
    Finding { number, present: positions(present), absent: positions(absent) }
}

#[test]
fn doubts_are_probed_until_all_of_their_records_are_known() {
    let doubt = delivery(1, &[0, 1, 2], InDoubt);
    let of = |doubt: &DeliveryFact| ledger(vec![doubt.clone()], &[(3, ExceptionKind::Gone)]);
    let remaining = of(&doubt).remaining(&PROBE, false);
    assert_eq!(parts(&remaining), [(vec![0, 1, 2], 1)]);
    assert!(remaining.parts[0].probe && remaining.not_before == Some(doubt.begun_at + SETTLE_AFTER));
    assert!(!of(&doubt).may_begin(&positions(&[0, 1, 2]), 1, &PROBE), "nothing in doubt is sent");

    let half = doubt.with(&finding(1, &[0], &[1]));
    let left = of(&half).remaining(&PROBE, false);
    assert_eq!(parts(&left), [(vec![1], 0), (vec![2], 1)], "what is absent is sent, the rest is asked for");
    assert!(!left.parts[0].probe && left.parts[1].probe);
    assert!(of(&half).may_begin(&positions(&[1]), 0, &PROBE));
    assert_eq!(of(&half).tally(), Tally { unresolved: 1, in_doubt: 2, gone: 1, ..Tally::default() });

    let whole = half.with(&finding(1, &[2], &[]));
    assert_eq!((whole.state, of(&whole).possible_copies()), (PartlyApplied, 0));
    assert_eq!(of(&whole).tally(), Tally { unresolved: 1, loaded: 2, gone: 1, ..Tally::default() });
    assert_eq!(of(&whole).first_applied(1, &[]), [0, 2]);
    let asked = DeliveryFact { probes: 3, ..doubt };
    assert_eq!(of(&asked).remaining(&PROBE, false), Remaining::default(), "asked often enough: an operator's");
}

#[test]
fn a_batch_that_takes_workers_down_goes_on_record_by_record() {
    let deliveries = vec![delivery(1, &[1, 2], InDoubt)];
    let both = ledger(deliveries.clone(), &[]);
    let first = both.remaining(&RULES, true);
    assert_eq!((parts(&first), first.not_before), (vec![(vec![0], 0)], None), "a doubt that waits holds nobody up");
    let given_up = ledger(deliveries, &[(0, ExceptionKind::DeadLetter), (3, ExceptionKind::DeadLetter)]);
    let doubt = given_up.remaining(&RULES, true);
    assert_eq!((parts(&doubt).len(), parts(&doubt)[0].clone()), (1, (vec![1], 1)));
    assert!(given_up.may_begin(&positions(&[1]), 1, &RULES));
}

#[test]
fn records_hang_on_their_latest_doubt() {
    let ledger = ledger(vec![delivery(1, &[0, 1, 2], InDoubt), delivery(2, &[0, 1], InDoubt)], &[]);
    assert_eq!((ledger.hanging_on(1), ledger.hanging_on(2)), (positions(&[2]), positions(&[0, 1])));
    let knowing = BatchLedger {
        deliveries: ledger.deliveries.iter().map(|doubt| doubt.with(&finding(2, &[], &[0]))).collect(),
        ..ledger
    };
    assert_eq!(knowing.states(Record::Pending)[0], Record::Pending, "neither has applied it");
    assert_eq!(knowing.hanging_on(2), positions(&[1]));
}
