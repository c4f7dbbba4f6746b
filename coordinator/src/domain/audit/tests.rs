use super::*;
use crate::domain::{DeliveryFact, DeliveryState, ExceptionFact, ExceptionKind, Positions};

/// A finished batch of two records, both loaded.
fn batch(number: i64) -> BatchEvidence {
    let delivery = DeliveryFact {
        number,
        epoch: 1,
        ordinal: 1,
        positions: Positions::all(2),
        state: DeliveryState::Applied,
        tries: 1,
        begun_at: Timestamp::from_millis(1),
        body_sha256: [0; 32],
        ..DeliveryFact::default()
    };
    let ledger = BatchLedger { size: 2, deliveries: vec![delivery], exceptions: Vec::new() };
    BatchEvidence { batch: number, first: number.unsigned_abs() * 2, leased: false, done: true, ledger }
}

/// A whole listing of so many records.
fn listing(records: u64) -> ListingEvidence {
    ListingEvidence {
        closed: true,
        pages_total: 1,
        pages_committed: 1,
        pages_fresh: records,
        records,
        records_end: records,
        unchanged: 0,
        unchanged_and_not: 0,
        degraded: false,
        problems: Vec::new(),
    }
}

fn verdict(batches: &[BatchEvidence], listing: &ListingEvidence) -> Verdict {
    let mut audit = Audit::new(1, false);
    batches.iter().for_each(|batch| audit.batch(batch));
    audit.verdict(listing, Timestamp::from_millis(9))
}

/// The names of what was found, and whether it is complete and balanced.
fn found(verdict: &Verdict) -> (Vec<&str>, bool, bool) {
    let codes = verdict.discrepancies.iter().map(|found| found.code.as_str()).collect();
    (codes, verdict.is_complete(), verdict.is_balanced())
}

#[test]
fn all_loaded_is_complete_and_balanced() {
    let verdict = verdict(&[batch(0), batch(1)], &listing(4));
    assert_eq!(found(&verdict), (vec![], true, true));
    assert_eq!(verdict.counts, Counts { listed: 4, loaded: 4, ..Counts::default() });
    assert_eq!((verdict.round, verdict.audited_at), (1, Timestamp::from_millis(9)));
}

#[test]
fn what_is_unchanged_is_listed_too() {
    let with = |unchanged, unchanged_and_not, pages_fresh| {
        verdict(&[batch(0)], &ListingEvidence { unchanged, unchanged_and_not, pages_fresh, ..listing(2) })
    };
    let good = with(3, 0, 5);
    assert_eq!(found(&good), (vec![], true, true));
    assert_eq!(good.counts, Counts { listed: 5, loaded: 2, unchanged: 3, ..Counts::default() });
    assert_eq!(found(&with(3, 0, 6)).0, ["PAGE_WITHOUT_ITS_IDS"], "an unchanged row is lost");
    assert_eq!(found(&with(3, 1, 5)).0, ["UNCHANGED_AND_NOT"]);
    let older: Counts =
        serde_json::from_str(&serde_json::to_string(&good.counts).unwrap().replace(",\"unchanged\":3", "")).unwrap();
    assert_eq!(older, Counts { unchanged: 0, ..good.counts }, "as an older program wrote it");
}

#[test]
fn an_open_listing_is_incomplete() {
    let verdict = verdict(&[batch(0)], &ListingEvidence { closed: false, ..listing(3) });
    assert_eq!(found(&verdict), (vec!["LISTING_OPEN"], false, true));
    assert_eq!(verdict.counts.pending, 1, "what waits for a full batch is pending");
}

#[test]
fn missing_pages_and_suspicions_are_named() {
    let problems = vec![("IDS_SHIFTED".to_owned(), "ID 7".to_owned())];
    let verdict = verdict(&[batch(0)], &ListingEvidence { pages_total: 3, problems, ..listing(2) });
    assert_eq!(found(&verdict), (vec!["IDS_SHIFTED", "PAGES_MISSING"], false, true));
    assert_eq!(verdict.discrepancies[0].detail, "ID 7");
}

#[test]
fn records_without_a_batch_after_the_close_are_named() {
    let (codes, complete, balanced) = (vec!["RECORD_WITHOUT_BATCH"], true, false);
    assert_eq!(found(&verdict(&[batch(0)], &listing(3))), (codes, complete, balanced));
}

#[test]
fn a_missing_row_is_named() {
    let verdict = verdict(&[batch(0)], &ListingEvidence { records_end: 3, ..listing(2) });
    assert_eq!(found(&verdict), (vec!["RECORD_ROW_MISSING"], true, false));
}

#[test]
fn a_page_without_its_ids_is_named() {
    let verdict = verdict(&[batch(0)], &ListingEvidence { pages_fresh: 3, ..listing(2) });
    assert_eq!(found(&verdict), (vec!["PAGE_WITHOUT_ITS_IDS"], true, false));
}

#[test]
fn states_that_do_not_add_up_are_named() {
    let verdict = verdict(&[batch(0), batch(1)], &listing(3));
    assert_eq!(found(&verdict), (vec!["STATES_DO_NOT_ADD_UP"], true, false));
}

#[test]
fn a_gap_between_batches_is_named() {
    let verdict = verdict(&[batch(0), batch(2)], &listing(6));
    assert_eq!(found(&verdict), (vec!["BATCHES_NOT_CONTIGUOUS", "STATES_DO_NOT_ADD_UP"], true, false));
}

#[test]
fn a_batch_that_is_done_too_early_is_named() {
    let mut early = batch(0);
    early.ledger.deliveries[0].positions = Positions::from_ascending([0]).unwrap();
    assert_eq!(found(&verdict(&[early], &listing(2))), (vec!["BATCH_DONE_TOO_EARLY"], true, false));
}

#[test]
fn a_row_about_a_record_that_is_not_there_is_named() {
    let mut of_delivery = batch(0);
    of_delivery.ledger.deliveries[0].positions = Positions::all(3);
    let mut of_exception = batch(0);
    of_exception.ledger.exceptions.push(ExceptionFact { position: 2, kind: ExceptionKind::Gone });
    for wrong in [of_delivery, of_exception] {
        assert_eq!(found(&verdict(&[wrong], &listing(2))), (vec!["POSITION_OUT_OF_RANGE"], true, false));
    }
}

fn open() -> BatchEvidence {
    let mut open = BatchEvidence { leased: true, done: false, ..batch(0) };
    open.ledger.deliveries[0].state = DeliveryState::Open;
    open
}

#[test]
fn an_open_delivery_without_a_lease_is_named() {
    assert_eq!(found(&verdict(&[open()], &listing(2))), (vec![], true, true));
    let unleased = BatchEvidence { leased: false, ..open() };
    assert_eq!(found(&verdict(&[unleased], &listing(2))), (vec!["DELIVERY_WITHOUT_LEASE"], true, false));
}

#[test]
fn a_record_in_several_open_deliveries_is_named() {
    let mut twice = open();
    let again = DeliveryFact { number: 2, ordinal: 2, ..twice.ledger.deliveries[0].clone() };
    twice.ledger.deliveries.push(again);
    assert_eq!(found(&verdict(&[twice], &listing(2))), (vec!["RECORD_IN_SEVERAL_OPEN_DELIVERIES"], true, false));
}

#[test]
fn contradictions_without_number_are_counted() {
    let wrong: Vec<_> = (0..25).map(|number| BatchEvidence { first: 1, ..batch(number) }).collect();
    let verdict = verdict(&wrong, &listing(50));
    assert_eq!(verdict.discrepancies.len(), SPELT_OUT + 1);
    let last = verdict.discrepancies.last().unwrap();
    assert_eq!(last.code, "MORE");
    assert!(!verdict.is_balanced());
}

#[test]
fn a_cancelled_run_gives_up_what_has_no_outcome() {
    let mut audit = Audit::new(1, true);
    let mut begun = BatchEvidence { leased: true, done: false, ..batch(0) };
    begun.ledger.deliveries.clear();
    audit.batch(&begun);
    let verdict = audit.verdict(&ListingEvidence { closed: false, ..listing(3) }, Timestamp::default());
    assert_eq!(verdict.counts, Counts { listed: 3, cancelled: 3, ..Counts::default() });
    assert!(verdict.is_balanced() && !verdict.is_complete());
}
