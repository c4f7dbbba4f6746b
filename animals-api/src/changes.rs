//! A herd that lives: animals come, leave and change, and each says when it last did. What a client that goes on from an
//! earlier load has to find out.
//!
//! `GET /animals/v1/dated?page=1` lists the animals that are there, each with `updated_at`; with `&updated_since=TIME` only
//! those that changed then or later. Details and the target know the changed content. The plain list shows the herd as it
//! was born.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::herd::{Animal, Herd};
use crate::moment::{Moment, iso8601};

/// 2020-01-01, in epoch milliseconds: when the animal with ID 0 was last changed before anybody looked; each further one a
/// second later.
const FIRST: i64 = 1_577_836_800_000;

/// What happens to a herd. Also the JSON of `POST /book/changes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// These animals have another content from now on.
    pub changed: Vec<u64>,
    /// So many come, out of those that [`Config::later`](crate::Config::later) keeps back, in order of their IDs.
    pub added: u64,
    /// These animals leave.
    pub removed: Vec<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// IDs below it have come.
    born: u64,
    /// How often each was changed, and when last.
    changed: BTreeMap<u64, (u64, i64)>,
    removed: BTreeSet<u64>,
}

/// The herd as it is now.
#[derive(Debug)]
pub(crate) struct Changes {
    herd: Arc<Herd>,
    state: RwLock<State>,
    /// False while everything is as it was born: then nobody waits for the lock.
    any: AtomicBool,
}

impl Changes {
    pub(crate) fn new(herd: Arc<Herd>, later: u64) -> Changes {
        let state = State { born: herd.len.saturating_sub(later), ..State::default() };
        Changes { any: AtomicBool::new(later > 0), herd, state: RwLock::new(state) }
    }

    pub(crate) fn make(&self, change: &Change) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let born = state.born..self.herd.len.min(state.born.saturating_add(change.added));
        state.born = born.end;
        // Who comes is new, not another.
        state.changed.extend(born.map(|id| (id, (0, change.at_ms))));
        for id in &change.changed {
            let (times, at) = state.changed.entry(*id).or_default();
            (*times, *at) = (*times + 1, change.at_ms);
        }
        state.removed.extend(&change.removed);
        self.any.store(true, Ordering::Release);
    }

    /// Whether an animal of the herd is there.
    pub(crate) fn has(&self, id: u64) -> bool {
        !self.any.load(Ordering::Acquire) || self.read(|state| state.has(id))
    }

    /// An animal of the herd with the content that it has now.
    pub(crate) fn animal(&self, id: u64) -> Animal {
        if !self.any.load(Ordering::Acquire) {
            return self.herd.animal(id);
        }
        match self.read(|state| state.changed.get(&id).map_or(0, |(times, _)| *times)) {
            0 => self.herd.animal(id),
            // Somebody else's content, whom no herd is so large as to have.
            times => self.herd.animal(id.wrapping_add(times.wrapping_mul(1 << 40))).with_id(id),
        }
    }

    /// A page of those that are there and have changed since; also says which IDs are on it.
    pub(crate) fn write_page(&self, page: u64, since: Option<Moment>, mut listed: impl FnMut(u64)) -> Vec<u8> {
        let since = since.map_or(i64::MIN, |since| since.millis());
        let all: Vec<(u64, i64)> = self.read(|state| {
            let dated = (0..state.born).filter(|id| state.has(*id)).map(|id| (id, state.updated_at(id)));
            dated.filter(|(_, at)| *at >= since).collect()
        });
        let size = usize::try_from(self.herd.page_size).unwrap_or(usize::MAX).max(1);
        let first = usize::try_from(page.saturating_sub(1)).unwrap_or(usize::MAX).saturating_mul(size);
        let mut json = format!(r#"{{"page":{page},"total_pages":{},"items":["#, all.len().div_ceil(size)).into_bytes();
        for (place, (id, at)) in all.iter().skip(first).take(size).enumerate() {
            listed(*id);
            if place > 0 {
                json.push(b',');
            }
            self.herd.write_item(&mut json, &self.animal(*id));
            json.extend_from_slice(format!(r#","updated_at":"{}"}}"#, iso8601(*at)).as_bytes());
        }
        json.extend_from_slice(b"]}");
        json
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn has(&self, id: u64) -> bool {
        id < self.born && !self.removed.contains(&id)
    }

    fn updated_at(&self, id: u64) -> i64 {
        let at = || FIRST.saturating_add(i64::try_from(id).unwrap_or(i64::MAX).saturating_mul(1000));
        self.changed.get(&id).map_or_else(at, |(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::Config;

    const NOW: i64 = 1_800_000_000_000;

    fn changes() -> Changes {
        let herd = Herd::new(&Config { page_size: 4, ..Config::calm(10) });
        Changes::new(Arc::new(herd), 2)
    }

    fn ids(changes: &Changes, since: Option<&str>) -> Vec<u64> {
        let mut ids = Vec::new();
        for page in 1..=3 {
            let since = since.map(|since| Moment::parse(since).expect("a time"));
            let text = changes.write_page(page, since, |id| ids.push(id));
            let _: Value = serde_json::from_slice(&text).expect("JSON");
        }
        ids
    }

    #[test]
    fn animals_come_leave_and_change() {
        let changes = changes();
        assert_eq!(ids(&changes, None), (0..8).collect::<Vec<_>>());
        assert!(!changes.has(8));
        let before = changes.animal(3);
        changes.make(&Change { at_ms: NOW, changed: vec![3], added: 1, removed: vec![5] });
        assert_eq!(ids(&changes, None), [0, 1, 2, 3, 4, 6, 7, 8]);
        assert_eq!(ids(&changes, Some("2027-01-15T08:00:00Z")), [3, 8], "then or later");
        assert_eq!(ids(&changes, Some("2027-01-15T08:00:00.001Z")), [0; 0]);
        assert!(changes.animal(3) != before && changes.animal(3).id == 3);
        let again = changes.animal(3);
        changes.make(&Change { at_ms: NOW + 1, changed: vec![3], ..Change::default() });
        assert_ne!(changes.animal(3), again);
        assert_eq!(ids(&changes, Some("2027-01-15T08:00:00.001Z")), [3]);
    }

    #[test]
    fn items_say_when_they_changed() {
        let page: Value = serde_json::from_slice(&changes().write_page(2, None, |_| ())).expect("JSON");
        assert_eq!((&page["page"], &page["total_pages"]), (&json!(2), &json!(2)));
        assert_eq!(page["items"][0]["id"], 4);
        assert_eq!(page["items"][0]["updated_at"], "2020-01-01T00:00:04.000Z");
    }
}
