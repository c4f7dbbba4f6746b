//! The book against the ledger. The book is what happened; the ledger is what Muster says of it.

use std::collections::{BTreeSet, HashMap};

use animals_api::Book;

use crate::ledger::{Ledger, State};

/// POSTs in the book that the ledger does not have: none was announced for them, or the one that was is said not to
/// have been applied.
pub fn unannounced(book: &Book, ledger: &Ledger) -> Vec<String> {
    let mut announced: HashMap<&str, usize> = HashMap::new();
    for delivery in ledger.deliveries.iter().filter(|delivery| delivery.state.may_be_applied()) {
        *announced.entry(&delivery.key).or_default() += 1;
    }
    let mut found = Vec::new();
    for post in book.posts() {
        let key = post.key.as_deref().unwrap_or_default();
        match announced.get_mut(key) {
            Some(left) if *left > 0 => *left -= 1,
            _ => found.push(format!(
                "at {} ms, {} animals from {:?} on, key {key}",
                post.at_ms,
                post.ids.len(),
                post.ids.first()
            )),
        }
    }
    found
}

/// Deliveries that the ledger calls applied, but of which the book knows nothing.
pub fn unheard_of(book: &Book, ledger: &Ledger) -> Vec<i64> {
    let mut accepted: HashMap<String, usize> = HashMap::new();
    for post in book.posts() {
        *accepted.entry(post.key.unwrap_or_default().into()).or_default() += 1;
    }
    let applied = ledger.deliveries.iter().filter(|delivery| delivery.state == State::Applied);
    applied
        .filter(|delivery| match accepted.get_mut(&delivery.key) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        })
        .map(|delivery| delivery.number)
        .collect()
}

/// IDs that the book has more often than the ledger admits: the ID, how often, how often at most by the ledger.
pub fn copies_not_admitted(book: &Book, ledger: &Ledger) -> Vec<(u64, u32, u32)> {
    let possible = ledger.possible_times();
    let accepted = book.accepted().into_iter().map(|id| (id, book.times(id), possible.get(&id).copied().unwrap_or(0)));
    accepted.filter(|(_, times, possible)| times > possible).collect()
}

/// How many POSTs reached the target beyond those that were announced, whatever became of them: of those that stored
/// nothing the book knows no more than that they came.
pub fn beyond_the_announced(book: &Book, ledger: &Ledger) -> Option<u64> {
    let more = book.counters().posts.checked_sub(ledger.deliveries.len() as u64);
    more.filter(|more| *more > 0)
}

/// Everything in which book and ledger differ, in words. The ledger is of all that was sent to this target; see
/// [`Ledger::and`].
pub fn differences(book: &Book, ledger: &Ledger) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    found.extend(
        beyond_the_announced(book, ledger)
            .map(|more| format!("more POSTs reached the target than were announced: by {more}")),
    );
    found.extend(
        unannounced(book, ledger).into_iter().map(|post| format!("in the book and not in the ledger: a POST {post}")),
    );
    found.extend(
        unheard_of(book, ledger)
            .into_iter()
            .map(|number| format!("applied by the ledger, unknown to the book: delivery {number}")),
    );
    found.extend(copies_not_admitted(book, ledger).into_iter().map(|(id, times, most)| {
        format!("animal {id} is in the book {times} times, by the ledger at most {most} times")
    }));
    let listed: BTreeSet<u64> = ledger.listed.iter().copied().collect();
    found.extend(
        book.accepted()
            .into_iter()
            .filter(|id| !listed.contains(id))
            .map(|id| format!("animal {id} was accepted, but not listed")),
    );
    found
}

/// Fails when book and ledger differ, or the book lacks an animal, or has one with wrong content.
pub fn assert_nothing_lost(book: &Book, ledger: &Ledger) {
    let differences = differences(book, ledger);
    assert!(
        differences.is_empty(),
        "{} differences, the first: {:#?}",
        differences.len(),
        &differences[..differences.len().min(5)]
    );
    let missing = book.missing();
    assert!(
        missing.is_empty(),
        "{} animals are lost, the first: {:?}",
        missing.len(),
        &missing[..missing.len().min(5)]
    );
    assert_eq!(book.wrong(), Vec::<u64>::new(), "animals with wrong content");
    assert_eq!(book.unexpected(), Vec::<u64>::new(), "animals that should not have been sent");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use animals_api::{Config, Server};
    use serde_json::json;

    use super::*;
    use crate::http;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_post_that_stored_nothing_has_to_be_announced_as_well() {
        let server = Server::start(Config::calm(10), ([127, 0, 0, 1], 0).into()).expect("a stand-in");
        let book = server.book();
        let nothing = Ledger { listed: Vec::new(), deliveries: Vec::new(), endings: BTreeMap::new() };
        assert_eq!(differences(&book, &nothing), Vec::<String>::new());
        let home = format!("{}/animals/v1/home", server.base_url());
        http::post(&home, &json!({})).await.expect_err("these are no animals");
        assert!(book.posts().is_empty());
        assert_eq!(differences(&book, &nothing), ["more POSTs reached the target than were announced: by 1"]);
    }
}
