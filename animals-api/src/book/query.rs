//! What can be read from the book.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use serde::Serialize;

use super::{Book, Cell, Counters, Entries, Post, Request};
use crate::herd::{Animal, Fate};

/// How many IDs a summary shows of each kind.
const SHOWN: usize = 20;

/// What was accepted of one animal, in order of acceptance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The animal.
    pub id: u64,
    /// How often it was accepted.
    pub times: u32,
    /// How many of those differed from the expected animal.
    pub wrong: u32,
    /// The `Idempotency-Key` of each POST.
    pub keys: Vec<Option<String>>,
    /// The position of each POST in [`Book::posts`].
    pub posts: Vec<u32>,
    /// A hash of each payload's content: equal payloads have equal hashes.
    pub hashes: Vec<u64>,
    /// Each payload as it came; empty unless [`Config::keep_payloads`](crate::Config::keep_payloads).
    pub payloads: Vec<String>,
}

/// How many, and which the first of them are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// All of them.
    pub count: u64,
    /// The lowest IDs, at most 20.
    pub first: Vec<u64>,
}

/// The book in short, as `GET /book` answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How many animals there are.
    pub animals: u64,
    /// How many a correct client loads: all but the poisonous, gone and malformed.
    pub expected: u64,
    /// How many the target refuses.
    pub poison: u64,
    /// How many have no detail.
    pub gone: u64,
    /// How many have a detail of the wrong shape.
    pub malformed: u64,
    /// Distinct animals that some page has shown.
    pub listed: u64,
    /// Distinct animals whose detail was asked for and answered, with a 404 for the gone.
    pub fetched: u64,
    /// Distinct IDs accepted.
    pub accepted: u64,
    /// Acceptances beyond the first of each ID.
    pub copies: u64,
    /// Expected, but never accepted.
    pub missing: Sample,
    /// Accepted more than once.
    pub duplicates: Sample,
    /// Expected, but accepted at least once with content that was not.
    pub wrong: Sample,
    /// Accepted, but a correct client would not have sent it: no such ID, gone, or malformed.
    pub unexpected: Sample,
    /// Every expected animal was accepted once, as expected, and nothing else was.
    pub perfect: bool,
    /// The longest stall a POST met, in milliseconds.
    pub longest_post_stall_ms: u64,
    /// What came and what became of it.
    pub counters: Counters,
}

impl Book {
    /// How many animals there are.
    pub fn animals(&self) -> u64 {
        self.herd.len
    }

    /// The animal with this ID, if there is one.
    pub fn animal(&self, id: u64) -> Option<Animal> {
        (id < self.herd.len).then(|| self.herd.animal(id))
    }

    /// What is special about the animal with this ID, if there is one.
    pub fn fate(&self, id: u64) -> Option<Fate> {
        (id < self.herd.len).then(|| self.herd.fate(id))
    }

    /// The IDs that the target refuses, ascending.
    pub fn poison(&self) -> Vec<u64> {
        self.herd.special(Fate::Poison)
    }

    /// The IDs whose detail is a 404, ascending.
    pub fn gone(&self) -> Vec<u64> {
        self.herd.special(Fate::Gone)
    }

    /// The IDs whose detail has the wrong shape, ascending.
    pub fn malformed(&self) -> Vec<u64> {
        self.herd.special(Fate::Malformed)
    }

    /// Fields that the documentation does not know, by path, and the IDs of the animals that have them, ascending: those
    /// with a detail of the right shape. A path is a JSON pointer in an animal with its checkups under `checkups`, `*`
    /// standing for any place in an array.
    pub fn drifting(&self) -> BTreeMap<&'static str, Vec<u64>> {
        self.herd.drifting()
    }

    /// What came and what became of it.
    pub fn counters(&self) -> Counters {
        self.tally.read()
    }

    /// How often this ID was accepted.
    pub fn times(&self, id: u64) -> u32 {
        self.entries().times(id, self.herd.len)
    }

    /// Whether some page has shown this animal.
    pub fn was_listed(&self, id: u64) -> bool {
        self.listed.has(id)
    }

    /// Whether this animal's detail was asked for and answered.
    pub fn was_fetched(&self, id: u64) -> bool {
        self.fetched.has(id)
    }

    /// What was accepted of this ID; nothing if it never was.
    pub fn entry(&self, id: u64) -> Option<Entry> {
        let entries = self.entries();
        entries.cell(id, self.herd.len).map(|cell| entries.entry(id, *cell))
    }

    /// The distinct IDs accepted, ascending.
    pub fn accepted(&self) -> Vec<u64> {
        let entries = self.entries();
        let within = (0..).zip(&entries.cells).filter(|(_, cell)| cell.times > 0).map(|(id, _)| id);
        within.chain(entries.beyond.keys().copied()).collect()
    }

    /// The IDs that a correct client loads and that were never accepted, ascending.
    pub fn missing(&self) -> Vec<u64> {
        self.first_missing(usize::MAX)
    }

    /// The IDs that were accepted more than once, and how often, ascending.
    pub fn duplicates(&self) -> Vec<(u64, u32)> {
        let entries = self.entries();
        entries.again.keys().map(|id| (*id, entries.times(*id, self.herd.len))).collect()
    }

    /// The IDs a correct client loads that were accepted with other content at least once, ascending.
    pub fn wrong(&self) -> Vec<u64> {
        self.entries().wrong.keys().copied().collect()
    }

    /// The accepted IDs that a correct client would not have sent, ascending: no such ID, gone, or malformed.
    pub fn unexpected(&self) -> Vec<u64> {
        self.entries().unexpected(self).collect()
    }

    /// Every POST that was applied, whole or in part, in order.
    pub fn posts(&self) -> Vec<Post> {
        self.entries().posts.clone()
    }

    /// Every request in order; none unless [`Config::keep_times`](crate::Config::keep_times).
    pub fn requests(&self) -> Vec<Request> {
        let requests = self.requests.as_ref();
        requests.map_or_else(Vec::new, |requests| requests.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// True when every expected animal was accepted once, as expected, and nothing else was.
    pub fn is_perfect(&self) -> bool {
        self.entries().is_perfect(self.herd.sound())
    }

    /// The book in short.
    pub fn summary(&self) -> Summary {
        // Before the lock: it takes its own, piece by piece.
        let first_missing = self.first_missing(SHOWN);
        let counters = self.counters();
        let entries = self.entries();
        let special = |fate| self.herd.count(fate);
        let sample = |count, ids: &mut dyn Iterator<Item = u64>| Sample { count, first: ids.take(SHOWN).collect() };
        Summary {
            animals: self.herd.len,
            expected: self.herd.sound(),
            poison: special(Fate::Poison),
            gone: special(Fate::Gone),
            malformed: special(Fate::Malformed),
            listed: self.listed.count(),
            fetched: self.fetched.count(),
            accepted: entries.distinct,
            copies: entries.copies,
            missing: sample(self.herd.sound() - entries.distinct_sound, &mut first_missing.into_iter()),
            duplicates: sample(entries.again.len() as u64, &mut entries.again.keys().copied()),
            wrong: sample(entries.wrong.len() as u64, &mut entries.wrong.keys().copied()),
            unexpected: sample(entries.distinct - entries.distinct_sound, &mut entries.unexpected(self)),
            perfect: entries.is_perfect(self.herd.sound()),
            longest_post_stall_ms: counters.longest_post_stall_ms,
            counters,
        }
    }

    fn first_missing(&self, most: usize) -> Vec<u64> {
        const PIECE: u64 = 10_000;
        let mut missing = Vec::new();
        let mut from = 0;
        while from < self.herd.len && missing.len() < most {
            let entries = self.entries();
            if most != usize::MAX && entries.distinct_sound == self.herd.sound() {
                break;
            }
            // Piece by piece: POSTs get in between, even with millions of animals.
            let piece = from..self.herd.len.min(from + PIECE);
            let absent = |id: &u64| entries.times(*id, self.herd.len) == 0 && self.herd.fate(*id) == Fate::Sound;
            missing.extend(piece.clone().filter(absent).take(most - missing.len()));
            from = piece.end;
        }
        missing
    }
}

impl Entries {
    pub(super) fn entry(&self, id: u64, cell: Cell) -> Entry {
        let again = self.again.get(&id).map_or(&[][..], Vec::as_slice);
        let first = super::Seen { post: cell.first_post, hash: cell.first_hash };
        let seen = || std::iter::once(first).chain(again.iter().copied());
        let key = |post: u32| self.key(post).map(str::to_owned);
        let payloads = self.payloads.get(&id).map_or(&[][..], Vec::as_slice);
        Entry {
            id,
            times: cell.times,
            wrong: self.wrong.get(&id).copied().unwrap_or(0),
            keys: seen().map(|seen| key(seen.post)).collect(),
            posts: seen().map(|seen| seen.post).collect(),
            hashes: seen().map(|seen| seen.hash).collect(),
            payloads: payloads.iter().map(|payload| payload.to_string()).collect(),
        }
    }

    fn is_perfect(&self, expected: u64) -> bool {
        let all = self.distinct_sound == expected && self.distinct == expected;
        all && self.copies == 0 && self.wrong.is_empty()
    }

    fn key(&self, post: u32) -> Option<&str> {
        self.posts.get(usize::try_from(post).ok()?)?.key.as_deref()
    }

    fn unexpected(&self, book: &Book) -> impl Iterator<Item = u64> {
        let mut within = [Fate::Gone, Fate::Malformed].map(|fate| book.herd.special(fate)).concat();
        within.sort_unstable();
        within.retain(|id| self.times(*id, book.herd.len) > 0);
        within.into_iter().chain(self.beyond.keys().copied())
    }
}
