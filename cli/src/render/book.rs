//! What the stand-in API's own book says of a run: the oracle of the demo.

use std::time::Duration;

use animals_api::{Sample, Summary};
use muster_proto::v1::Verdict;

use super::numbers::{count, duration};
use super::paint::{Tone, out};
use super::table::fields;

/// Where the book contradicts the ledger, in words. Copies that the ledger reports as possible are no contradiction.
pub fn faults(book: &Summary, verdict: &Verdict) -> Vec<String> {
    let counts = verdict.counts.unwrap_or_default();
    let mut faults = Vec::new();
    let mut fault = |wrong: bool, what: String| {
        if wrong {
            faults.push(what);
        }
    };
    // What the ledger gives up on aloud is not lost.
    let accounted = counts.dead_letter + counts.in_doubt;
    let missing = signed(book.missing.count);
    fault(
        missing > accounted,
        format!("{} were never accepted, {} are accounted for", count(missing), count(accounted)),
    );
    let copies = signed(book.copies);
    fault(
        copies > verdict.possible_copies,
        format!("{} copies were accepted, the ledger knows of {}", count(copies), count(verdict.possible_copies)),
    );
    fault(book.wrong.count > 0, format!("{} were accepted with wrong content", shown(&book.wrong)));
    fault(
        book.unexpected.count > 0,
        format!("{} were accepted that should not have been sent", shown(&book.unexpected)),
    );
    let (accepted, loaded) = (signed(book.accepted), counts.loaded);
    fault(accepted < loaded, format!("{} were accepted, the ledger says {} loaded", count(accepted), count(loaded)));
    faults
}

/// The book's own account.
pub fn text(book: &Summary, faults: &[String], took: Duration) -> String {
    let stall = Duration::from_millis(book.longest_post_stall_ms);
    let counters = &book.counters;
    let stalls = counters.stalls_list + counters.stalls_detail + counters.stalls_post + counters.stalls_other;
    let agrees = if faults.is_empty() {
        out(Tone::Good, "agrees with the ledger")
    } else {
        out(Tone::Bad, "CONTRADICTS THE LEDGER")
    };
    let mut text = format!("stand-in's book {agrees}\n");
    text.push_str(&fields(
        "  ",
        [
            ("animals", count(signed(book.animals))),
            ("accepted", count(signed(book.accepted))),
            ("missing", shown(&book.missing)),
            ("duplicates", shown(&book.duplicates)),
            ("wrong", shown(&book.wrong)),
            ("chaos met", format!("{} errors, {} stalls", count(signed(counters.sorry)), count(signed(stalls)))),
            ("requests", count(signed(counters.lists + counters.details + counters.posts))),
            ("wall time", duration(took)),
            ("POST stall", format!("{} at most", duration(stall))),
        ],
    ));
    for fault in faults {
        text.push_str(&format!("  {}\n", out(Tone::Bad, &format!("! {fault}"))));
    }
    text
}

/// How many, and the first few.
fn shown(sample: &Sample) -> String {
    if sample.count == 0 {
        return "0".to_owned();
    }
    let first: Vec<_> = sample.first.iter().take(5).map(u64::to_string).collect();
    let more = if sample.count > first.len() as u64 { ", ..." } else { "" };
    format!("{} (ID {}{more})", count(signed(sample.count)), first.join(", "))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use animals_api::Counters;
    use muster_proto::v1::Counts;

    use super::*;

    fn book() -> Summary {
        let none = || Sample { count: 0, first: Vec::new() };
        Summary {
            animals: 10,
            expected: 10,
            poison: 0,
            gone: 0,
            malformed: 0,
            listed: 10,
            fetched: 10,
            accepted: 10,
            copies: 0,
            missing: none(),
            duplicates: none(),
            wrong: none(),
            unexpected: none(),
            perfect: true,
            longest_post_stall_ms: 7000,
            counters: Counters::default(),
        }
    }

    fn verdict(loaded: i64, dead_letter: i64, possible_copies: i64) -> Verdict {
        let counts = Counts { listed: 10, loaded, dead_letter, ..Counts::default() };
        Verdict { counts: Some(counts), possible_copies, ..Verdict::default() }
    }

    #[test]
    fn a_perfect_book_has_no_faults() {
        assert_eq!(faults(&book(), &verdict(10, 0, 0)), Vec::<String>::new());
        let text = text(&book(), &[], Duration::from_secs(8));
        assert!(text.starts_with("stand-in's book agrees with the ledger\n"), "{text}");
        assert!(text.contains("  POST stall  7.0 s at most\n"), "{text}");
    }

    #[test]
    fn what_the_ledger_does_not_know_of_is_a_fault() {
        let missing = Summary { accepted: 9, missing: Sample { count: 1, first: vec![3] }, ..book() };
        assert_eq!(faults(&missing, &verdict(9, 1, 0)), Vec::<String>::new());
        assert_eq!(faults(&missing, &verdict(10, 0, 0)).len(), 2);
        let copied = Summary { copies: 2, duplicates: Sample { count: 2, first: vec![3, 4] }, ..book() };
        assert_eq!(faults(&copied, &verdict(10, 0, 2)), Vec::<String>::new());
        assert_eq!(faults(&copied, &verdict(10, 0, 1)).len(), 1);
        let wrong = Summary { wrong: Sample { count: 7, first: (0..7).collect() }, ..book() };
        assert_eq!(faults(&wrong, &verdict(10, 0, 0)), ["7 (ID 0, 1, 2, 3, 4, ...) were accepted with wrong content"]);
    }
}
