//! Drift: some animals have fields that the documentation does not know, as when an API has moved on.

use std::collections::BTreeMap;

use crate::bits::{Bits, Permutation};
use crate::config::Config;
use crate::herd::{Fate, Herd};
use crate::names::NAMES;

/// Keeps these draws apart from those of the animals themselves.
const SALT: u64 = 0xd21f_7000;

/// Which animals have such fields.
#[derive(Clone, Debug)]
pub(crate) struct Drift {
    seed: u64,
    order: Permutation,
    /// The end, in the shuffled order, of those that drift.
    end: u64,
}

/// The fields that one animal has; at least one of an animal that drifts and has had a checkup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Odd {
    wings: bool,
    keeper: bool,
    /// Of each checkup.
    note: bool,
}

impl Drift {
    pub(crate) fn new(config: &Config) -> Drift {
        let seed = config.seed ^ SALT;
        Drift { seed, order: Permutation::new(seed, config.animals), end: config.drift.of(config.animals) }
    }

    fn odd(&self, id: u64) -> Odd {
        if self.end == 0 || self.order.slot(id) >= self.end {
            return Odd::default();
        }
        let drawn = Bits::new(self.seed, id).below(7) + 1;
        Odd { wings: drawn & 1 > 0, keeper: drawn & 2 > 0, note: drawn & 4 > 0 }
    }

    /// Adds what an animal has to its detail.
    pub(crate) fn add_to_detail(&self, id: u64, json: &mut Vec<u8>) {
        let odd = self.odd(id);
        let mut add = |field: String| {
            json.pop();
            json.extend_from_slice(field.as_bytes());
        };
        if odd.wings {
            add(r#","wings":2}"#.to_owned());
        }
        if odd.keeper {
            let name = Bits::new(self.seed, !id).pick(NAMES);
            add(format!(r#","keeper":{{"name":"{name}","pager":{id}}}}}"#));
        }
    }

    /// Whether each checkup of an animal has a note.
    pub(crate) fn has_notes(&self, id: u64) -> bool {
        self.odd(id).note
    }
}

impl Herd {
    /// Fields that the documentation does not know and the animals that have them, ascending, by path in an animal that
    /// was joined with its checkups; only of those that have a detail of the right shape.
    pub(crate) fn drifting(&self) -> BTreeMap<&'static str, Vec<u64>> {
        let mut found: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
        if self.drift.end == 0 {
            return found;
        }
        for id in (0..self.len).filter(|id| matches!(self.fate(*id), Fate::Sound | Fate::Poison)) {
            let odd = self.drift.odd(id);
            let noted = odd.note && self.checkups(id).is_some_and(|checkups| !checkups.is_empty());
            for (path, has) in [("/wings", odd.wings), ("/keeper", odd.keeper), ("/checkups/*/note", noted)] {
                if has {
                    found.entry(path).or_default().push(id);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::config::Amount;

    #[test]
    fn exactly_those_animals_drift_that_are_said_to() {
        let config = Config { drift: Amount::Count(300), malformed: Amount::Count(100), ..Config::calm(1_000) };
        let herd = Herd::new(&config);
        let drifting = herd.drifting();
        assert_eq!(drifting.len(), 3);
        for id in (0..1_000).filter(|id| herd.fate(*id) == Fate::Sound) {
            let detail: Value = serde_json::from_slice(&herd.write_detail(&herd.animal(id))).expect("JSON");
            let has = |path| drifting[path].binary_search(&id).is_ok();
            assert_eq!(
                (detail.get("wings").is_some(), detail.get("keeper").is_some()),
                (has("/wings"), has("/keeper"))
            );
            assert_eq!(
                detail.as_object().map(|fields| fields.len()),
                Some(4 + usize::from(has("/wings")) + usize::from(has("/keeper")))
            );
            let noted = herd.checkups(id).unwrap_or_default().iter().any(|checkup| checkup.get("note").is_some());
            assert_eq!(noted, has("/checkups/*/note"));
        }
        assert!(drifting.values().flatten().all(|id| herd.fate(*id) != Fate::Malformed));
        assert!(Herd::new(&Config::calm(10)).drifting().is_empty());
    }
}
