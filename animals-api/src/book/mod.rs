//! The book: what this server was asked for and what it was sent. The oracle of every test that uses the stand-in.

mod lines;
mod query;
mod tally;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Notify;

pub(crate) use lines::Lines;
pub use query::{Entry, Sample, Summary};
pub use tally::Counters;
pub(crate) use tally::{Marks, Tally, count};

use crate::changes::Changes;
use crate::config::Config;
use crate::herd::{Fate, Herd};
use crate::posted::Posted;

/// What the server was asked for and what it accepted, per animal and per POST. Shared and thread-safe; every query
/// sees all POSTs that were answered before it. Animals cost 16 bytes each, once accepted.
#[derive(Debug)]
pub struct Book {
    herd: Arc<Herd>,
    keep_payloads: bool,
    opened: Instant,
    pub(crate) tally: Tally,
    pub(crate) listed: Marks,
    pub(crate) fetched: Marks,
    /// Locked once per POST, for some microseconds; reading requests never touch it.
    entries: Mutex<Entries>,
    /// When each came, if that is kept.
    requests: Option<Mutex<Vec<Request>>>,
    changed: Notify,
    watchers: AtomicUsize,
}

/// A request that was not for `/` or the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// When it had come as a whole, since the server started.
    pub at: Duration,
    /// It was answered 429 and not processed.
    pub limited: bool,
}

/// A POST that was applied, whole or in part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Post {
    /// Milliseconds since the server started.
    pub at_ms: u64,
    /// Its `Idempotency-Key`.
    pub key: Option<Box<str>>,
    /// The animals that were accepted, in order.
    pub ids: Box<[u64]>,
    /// False when strict mode stopped after these animals, or they were a random half.
    pub whole: bool,
}

#[derive(Debug, Default)]
struct Entries {
    /// By ID, as far as anything was accepted.
    cells: Vec<Cell>,
    /// IDs this herd does not have.
    beyond: BTreeMap<u64, Cell>,
    /// Every acceptance but the first.
    again: BTreeMap<u64, Vec<Seen>>,
    /// How often an animal came with content that was not expected.
    wrong: BTreeMap<u64, u32>,
    payloads: HashMap<u64, Vec<Box<str>>>,
    posts: Vec<Post>,
    /// Distinct IDs, and how many of them a correct client would load.
    distinct: u64,
    distinct_sound: u64,
    copies: u64,
}

/// One acceptance: in which POST, and the hash of the payload.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    post: u32,
    hash: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    times: u32,
    first_post: u32,
    first_hash: u64,
}

/// What is to be said of a posted animal before it is written into the book.
pub(crate) struct Judged {
    id: u64,
    hash: u64,
    /// A correct client loads it.
    sound: bool,
    /// ... and its content is as expected.
    right: bool,
    poison: bool,
}

impl Judged {
    pub(crate) fn new(herd: &Herd, changes: &Changes, posted: &Posted<'_>) -> Judged {
        let fate = (posted.id < herd.len).then(|| herd.fate(posted.id));
        let sound = fate == Some(Fate::Sound);
        let right = sound
            && posted.matches(&changes.animal(posted.id))
            && posted.has_checkups(herd.expected_checkups(posted.id).as_ref());
        Judged { id: posted.id, hash: posted.hash(), sound, right, poison: fate == Some(Fate::Poison) }
    }

    pub(crate) fn is_poison(&self) -> bool {
        self.poison
    }
}

impl Book {
    pub(crate) fn new(herd: Arc<Herd>, config: &Config) -> Book {
        Book {
            keep_payloads: config.keep_payloads,
            requests: config.keep_times.then(Mutex::default),
            opened: Instant::now(),
            tally: Tally::default(),
            listed: Marks::new(herd.len),
            fetched: Marks::new(herd.len),
            entries: Mutex::default(),
            changed: Notify::new(),
            watchers: AtomicUsize::new(0),
            herd,
        }
    }

    /// Writes down the animals of a POST that were stored, of which some were not.
    pub(crate) fn accept_in_part(&self, key: Option<Box<str>>, stored: &[Judged], raw: &[Box<str>]) {
        self.write(key, stored, raw, false, true);
        count(&self.tally.halved);
    }

    /// Writes a POST down. Strict stops at the first animal that is not expected, and says so with `false`.
    pub(crate) fn accept(&self, key: Option<Box<str>>, batch: &[Judged], raw: &[Box<str>], strict: bool) -> bool {
        let whole = self.write(key, batch, raw, strict, false);
        count(if whole { &self.tally.accepted_posts } else { &self.tally.cut_short });
        whole
    }

    fn write(&self, key: Option<Box<str>>, batch: &[Judged], raw: &[Box<str>], strict: bool, part: bool) -> bool {
        let at_ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut entries = self.entries();
        let number = u32::try_from(entries.posts.len()).unwrap_or(u32::MAX);
        let mut taken = 0;
        for judged in batch {
            if strict && (!judged.right || entries.times(judged.id, self.herd.len) > 0) {
                break;
            }
            entries.add(judged, number, self.herd.len);
            if let Some(payload) = raw.get(taken) {
                entries.payloads.entry(judged.id).or_default().push(payload.clone());
            }
            taken += 1;
        }
        let whole = taken == batch.len() && !part;
        if whole || taken > 0 {
            let ids = batch[..taken].iter().map(|judged| judged.id).collect();
            entries.posts.push(Post { at_ms, key, ids, whole });
        }
        drop(entries);
        self.tally.accepted_animals.fetch_add(taken as u64, Ordering::Relaxed);
        whole
    }

    /// A request has come.
    pub(crate) fn came(&self, limited: bool) {
        if let Some(requests) = &self.requests {
            let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests.push(Request { at: self.opened.elapsed(), limited });
        }
    }

    pub(crate) fn keeps_payloads(&self) -> bool {
        self.keep_payloads
    }

    /// Forgets everything: entries, marks and counters.
    pub fn reset(&self) {
        *self.entries() = Entries::default();
        if let Some(requests) = &self.requests {
            requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.listed.clear();
        self.fetched.clear();
        self.tally.reset();
        self.stir();
    }

    /// Waits until the book satisfies `done`; looks after every change. Bound it with a timeout of your own.
    pub async fn until(&self, mut done: impl FnMut(&Book) -> bool) {
        let _watching = Watching::new(&self.watchers);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Registered before looking, so that no change falls in between.
            changed.as_mut().enable();
            if done(self) {
                return;
            }
            changed.await;
        }
    }

    /// Something changed: whoever waits in [`Book::until`] looks again.
    pub(crate) fn stir(&self) {
        if self.watchers.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // A panic while it was held would have been in arithmetic on one entry; the others still tell the truth.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watching<'a>(&'a AtomicUsize);

impl Watching<'_> {
    fn new(watchers: &AtomicUsize) -> Watching<'_> {
        watchers.fetch_add(1, Ordering::SeqCst);
        Watching(watchers)
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Entries {
    fn cell(&self, id: u64, herd: u64) -> Option<&Cell> {
        let cell = if id < herd { self.cells.get(usize::try_from(id).ok()?) } else { self.beyond.get(&id) };
        cell.filter(|cell| cell.times > 0)
    }

    fn times(&self, id: u64, herd: u64) -> u32 {
        self.cell(id, herd).map_or(0, |cell| cell.times)
    }

    fn add(&mut self, judged: &Judged, post: u32, herd: u64) {
        let id = judged.id;
        let cell = match usize::try_from(id) {
            Ok(index) if id < herd => {
                if index >= self.cells.len() {
                    self.cells.resize(index + 1, Cell::default());
                }
                &mut self.cells[index]
            }
            _ => self.beyond.entry(id).or_default(),
        };
        cell.times += 1;
        if cell.times == 1 {
            (cell.first_post, cell.first_hash) = (post, judged.hash);
            self.distinct += 1;
            self.distinct_sound += u64::from(judged.sound);
        } else {
            self.copies += 1;
            self.again.entry(id).or_default().push(Seen { post, hash: judged.hash });
        }
        if judged.sound && !judged.right {
            *self.wrong.entry(id).or_default() += 1;
        }
    }
}
