//! docs/OPERATIONS.md: every command of it, with real programs, amid runs that the stand-in's book is the judge of.

mod kubernetes;
mod one_machine;
pub mod operator;
pub mod page;
mod postgres;
mod runs;

use animals_api::Server;
use muster_tests::deadline::within;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, State};

/// So slow that a run is under way for as long as it takes.
const SLOW_MS: u64 = 1_500;

/// More animals come home: nobody waits for an operator.
async fn some_progress(server: &Server) {
    let book = server.book();
    let more = book.counters().accepted_animals + 100;
    within("the run goes on", book.until(|book| book.counters().accepted_animals >= more)).await;
    assert!(!book.is_perfect(), "it was done before the last command");
}

/// All is there, once, and nobody had to wait for a lease to run out.
fn assert_untroubled(server: &Server, ledger: &Ledger) {
    let book = server.book();
    assert_nothing_lost(&book, ledger);
    assert_eq!((ledger.count(State::InDoubt), book.duplicates().len()), (0, 0), "a doubt or a copy");
    assert!(!ledger.endings.contains_key("expired"), "a lease was lost: {:?}", ledger.endings);
}

/// A ledger that was restored while the target had more than it knows: it claims nothing that is not so, it has what the
/// backup had, and nothing is missing once its run has gone on to the end.
fn assert_restored(server: &Server, backup: &Ledger, ledger: &Ledger) {
    let book = server.book();
    assert_eq!(muster_tests::judge::unheard_of(&book, ledger), Vec::<i64>::new(), "it claims what never was");
    assert!(!muster_tests::judge::unannounced(&book, ledger).is_empty(), "nothing was sent after the backup");
    let of = |ledger: &Ledger| ledger.deliveries.iter().map(|one| (one.number, one.key.clone())).collect::<Vec<_>>();
    let (before, after) = (of(backup), of(ledger));
    assert!(!before.is_empty() && after.starts_with(&before), "what the backup had is not there");
    assert_eq!((book.missing(), book.wrong(), book.unexpected()), (Vec::new(), Vec::new(), Vec::new()));
}
