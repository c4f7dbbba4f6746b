//! Checkups: a part of each animal that is read by a request of its own. Not of the real API, but what many have.
//!
//! `GET /animals/v1/animals/{id}/checkups` lists them, none to three. One animal in eight has no such list: a 404.

use serde_json::{Value, json};

use crate::herd::Herd;
use crate::names::NAMES;

/// Keeps these draws apart from those of the animals themselves.
const SALT: u64 = 0xc4ec_0000;

impl Herd {
    /// The checkups of an animal; nothing for one that has no list.
    pub(crate) fn checkups(&self, id: u64) -> Option<Vec<Value>> {
        let mut bits = self.bits(SALT, id);
        if bits.below(8) == 0 {
            return None;
        }
        let mut checkup = |_| {
            let mut checkup = json!({ "vet": bits.pick(NAMES), "fee": bits.below(500) });
            if self.drift.has_notes(id) {
                checkup["note"] = json!("see the other file");
            }
            checkup
        };
        let count = self.bits(!SALT, id).below(4);
        Some((0..count).map(&mut checkup).collect())
    }

    /// What a correct client sends as the checkups of an animal, if it is to send any: `null` for one without a list.
    pub(crate) fn expected_checkups(&self, id: u64) -> Option<Value> {
        self.sends_checkups.then(|| self.checkups(id).map_or(Value::Null, Value::Array))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::herd::Herd;

    #[test]
    fn most_have_some_a_few_have_no_list() {
        let herd = Herd::new(&Config::calm(1_000));
        let lists: Vec<_> = (0..1_000).map(|id| herd.checkups(id)).collect();
        assert!((80..180).contains(&lists.iter().filter(|list| list.is_none()).count()));
        for count in 0..4 {
            assert!(lists.iter().flatten().any(|list| list.len() == count), "{count}");
        }
        assert_eq!(lists[7], herd.checkups(7), "always the same");
        assert_eq!(herd.expected_checkups(7), None, "nobody is to send them");
    }
}
