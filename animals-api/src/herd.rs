//! The animals themselves: each is a pure function of seed and ID, so a herd of ten million takes no memory.

use std::fmt::Write as _;
use std::ops::Range;

use crate::bits::{Bits, Permutation};
use crate::config::Config;
use crate::drift::Drift;
use crate::moment::iso8601;
use crate::names::NAMES;

/// 1950-01-01 and 2025-01-01, in epoch milliseconds: a good quarter of the dates is negative.
const EARLIEST: i64 = -631_152_000_000;
const SPAN: u64 = 2_366_841_600_000;
/// Of this many dated animals one was born at 0: a moment, though a falsy one.
const BORN_AT_ZERO: u64 = 64;

/// One animal as the source has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Animal {
    /// `0..animals`.
    pub id: u64,
    /// Not unique.
    pub name: &'static str,
    /// Epoch milliseconds, negative before 1970.
    pub born_at: Option<i64>,
    friends: [&'static str; 5],
    friend_count: usize,
}

impl Animal {
    pub(crate) fn with_id(self, id: u64) -> Animal {
        Animal { id, ..self }
    }

    /// None to five names, in order.
    pub fn friends(&self) -> &[&'static str] {
        &self.friends[..self.friend_count]
    }

    /// `born_at` as a correct client sends it: ISO 8601, UTC, with milliseconds.
    pub fn born_at_iso8601(&self) -> Option<String> {
        self.born_at.map(iso8601)
    }

    /// The whole animal as a correct client sends it, as compact JSON.
    pub fn loaded_json(&self) -> String {
        let born_at = self.born_at_iso8601().map_or("null".to_owned(), |iso| format!("\"{iso}\""));
        let mut json = format!(r#"{{"id":{},"name":"{}","born_at":{born_at},"friends":["#, self.id, self.name);
        for (index, friend) in self.friends().iter().enumerate() {
            let _ = write!(json, "{}\"{friend}\"", if index == 0 { "" } else { "," });
        }
        json.push_str("]}");
        json
    }
}

/// What is special about an animal. Nobody is special in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Sound,
    /// The target refuses it.
    Poison,
    /// Its detail is a 404.
    Gone,
    /// Its detail has the wrong shape.
    Malformed,
}

/// All animals of one seed.
#[derive(Clone, Debug)]
pub(crate) struct Herd {
    seed: u64,
    pub(crate) len: u64,
    pub(crate) page_size: u64,
    whole_items: bool,
    order: Permutation,
    /// The ends, in the shuffled order, of the poisonous, the gone and the malformed.
    ends: [u64; 3],
    pub(crate) drift: Drift,
    /// See [`Config::checkups`].
    pub(crate) sends_checkups: bool,
}

impl Herd {
    pub(crate) fn new(config: &Config) -> Herd {
        let len = config.animals;
        let mut end = 0;
        let ends = [config.poison, config.gone, config.malformed].map(|amount| {
            end += amount.of(len).min(len - end);
            end
        });
        let page_size = u64::from(config.page_size.max(1));
        let order = Permutation::new(config.seed, len);
        Herd {
            seed: config.seed,
            len,
            page_size,
            whole_items: config.whole_items,
            order,
            ends,
            drift: Drift::new(config),
            sends_checkups: config.checkups,
        }
    }

    /// Draws about an animal that are not those of its own content.
    pub(crate) fn bits(&self, salt: u64, id: u64) -> Bits {
        Bits::new(self.seed ^ salt, id)
    }

    pub(crate) fn pages(&self) -> u64 {
        self.len.div_ceil(self.page_size)
    }

    /// How many a correct client loads.
    pub(crate) fn sound(&self) -> u64 {
        self.count(Fate::Sound)
    }

    /// The fate of an ID below `len`.
    pub(crate) fn fate(&self, id: u64) -> Fate {
        if self.ends[2] == 0 {
            return Fate::Sound;
        }
        match self.order.slot(id) {
            slot if slot < self.ends[0] => Fate::Poison,
            slot if slot < self.ends[1] => Fate::Gone,
            slot if slot < self.ends[2] => Fate::Malformed,
            _ => Fate::Sound,
        }
    }

    /// How many have this fate.
    pub(crate) fn count(&self, fate: Fate) -> u64 {
        let slots = self.slots(fate);
        slots.end - slots.start
    }

    /// Everyone of this fate, in order of ID.
    pub(crate) fn special(&self, fate: Fate) -> Vec<u64> {
        let mut ids: Vec<u64> = self.slots(fate).map(|slot| self.order.id(slot)).collect();
        ids.sort_unstable();
        ids
    }

    /// Where they stand in the shuffled order.
    fn slots(&self, fate: Fate) -> Range<u64> {
        match fate {
            Fate::Poison => 0..self.ends[0],
            Fate::Gone => self.ends[0]..self.ends[1],
            Fate::Malformed => self.ends[1]..self.ends[2],
            Fate::Sound => self.ends[2]..self.len,
        }
    }

    pub(crate) fn animal(&self, id: u64) -> Animal {
        let mut bits = Bits::new(self.seed, id);
        let name = bits.pick(NAMES);
        let born_at = bits.below(6).eq(&0).then(|| {
            let millis = EARLIEST.wrapping_add_unsigned(bits.below(SPAN));
            if bits.below(BORN_AT_ZERO) == 0 { 0 } else { millis }
        });
        let friend_count = bits.pick(&[0, 1, 2, 3, 4, 5]);
        let mut friends = [""; 5];
        friends[..friend_count].fill_with(|| bits.pick(NAMES));
        Animal { id, name, born_at, friends, friend_count }
    }

    /// One page of the list, turned by `shift` places; also says which IDs are on it.
    pub(crate) fn write_page(&self, page: u64, shift: i64, listed: impl FnMut(u64)) -> Vec<u8> {
        let mut json = Vec::with_capacity(64 + 64 * usize::try_from(self.page_size.min(1000)).unwrap_or(0));
        json.extend_from_slice(b"{\"page\":");
        push(&mut json, page);
        json.extend_from_slice(b",\"total_pages\":");
        push(&mut json, self.pages());
        json.extend_from_slice(b",\"items\":");
        let first = page.saturating_sub(1).saturating_mul(self.page_size).min(self.len);
        let end = first.saturating_add(self.page_size).min(self.len);
        json.extend_from_slice(&self.write_items(first..end, shift, listed));
        json.push(b'}');
        json
    }

    /// The animals at these places of the list, turned by `shift` places, as a JSON list; also says which they are.
    pub(crate) fn write_items(&self, places: Range<u64>, shift: i64, mut listed: impl FnMut(u64)) -> Vec<u8> {
        let mut json = vec![b'['];
        let first = places.start;
        for place in places {
            let id = self.turned(place, shift);
            listed(id);
            if place > first {
                json.push(b',');
            }
            self.write_item(&mut json, &self.animal(id));
            json.push(b'}');
        }
        json.push(b']');
        json
    }

    /// An item of a list, without the closing brace.
    pub(crate) fn write_item(&self, json: &mut Vec<u8>, animal: &Animal) {
        match self.fate(animal.id) {
            _ if !self.whole_items => write_listed(json, animal),
            Fate::Malformed => {
                json.extend_from_slice(&self.write_malformed(animal.id));
                json.pop();
            }
            Fate::Sound | Fate::Poison | Fate::Gone => write_whole(json, animal),
        }
    }

    /// Who stands at `place` of a list of `len` that was turned forwards by `shift`.
    fn turned(&self, place: u64, shift: i64) -> u64 {
        if shift == 0 {
            return place;
        }
        let turned = (i128::from(place) - i128::from(shift)).rem_euclid(i128::from(self.len));
        u64::try_from(turned).unwrap_or(place)
    }

    pub(crate) fn write_detail(&self, animal: &Animal) -> Vec<u8> {
        let mut json = Vec::with_capacity(160);
        write_whole(&mut json, animal);
        json.push(b'}');
        self.drift.add_to_detail(animal.id, &mut json);
        json
    }

    /// A detail of the wrong shape, in one of three ways that depend on the ID.
    pub(crate) fn write_malformed(&self, id: u64) -> Vec<u8> {
        let name = self.animal(id).name;
        let way = Bits::new(self.seed, !id).below(3);
        let json = match way {
            0 => format!(r#"{{"id":{id},"name":"{name}","born_at":"last spring","friends":""}}"#),
            1 => format!(r#"{{"id":{id},"name":"{name}","born_at":null,"friends":7}}"#),
            _ => format!(r#"{{"id":{id},"born_at":null,"friends":""}}"#),
        };
        json.into_bytes()
    }
}

/// All fields, without the closing brace.
fn write_whole(json: &mut Vec<u8>, animal: &Animal) {
    write_listed(json, animal);
    json.extend_from_slice(b",\"friends\":\"");
    for (index, friend) in animal.friends().iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        json.extend_from_slice(friend.as_bytes());
    }
    json.push(b'"');
}

/// The fields both list and detail have, without the closing brace.
fn write_listed(json: &mut Vec<u8>, animal: &Animal) {
    json.extend_from_slice(b"{\"id\":");
    push(json, animal.id);
    json.extend_from_slice(b",\"name\":\"");
    json.extend_from_slice(animal.name.as_bytes());
    json.extend_from_slice(b"\",\"born_at\":");
    match animal.born_at {
        None => json.extend_from_slice(b"null"),
        Some(millis) => push(json, millis),
    }
}

fn push(json: &mut Vec<u8>, number: impl itoa::Integer) {
    json.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Amount;

    fn herd(animals: u64) -> Herd {
        Herd::new(&Config::calm(animals))
    }

    #[test]
    fn names_need_no_escapes_and_no_quoting() {
        let plain = |c: char| c.is_ascii_alphabetic() || c == ' ';
        assert!(NAMES.iter().all(|name| !name.is_empty() && name.chars().all(plain)));
    }

    #[test]
    fn births_have_the_promised_mix() {
        let born: Vec<Option<i64>> = (0..60_000).map(|id| herd(1).animal(id).born_at).collect();
        let dated: Vec<i64> = born.iter().flatten().copied().collect();
        assert!((9_000..11_000).contains(&dated.len()), "{} of 60000 dated", dated.len());
        assert!(dated.iter().any(|millis| *millis < 0) && dated.contains(&0));
        assert!(dated.iter().filter(|millis| *millis % 1000 != 0).count() > dated.len() / 2);
    }

    #[test]
    fn zero_to_five_friends() {
        let counts: Vec<usize> = (0..1000).map(|id| herd(1).animal(id).friends().len()).collect();
        assert!((0..=5).all(|count| counts.contains(&count)) && counts.iter().all(|count| *count <= 5));
    }

    #[test]
    fn special_animals_are_exactly_as_many_as_wished_and_never_two_things() {
        let config =
            Config { poison: Amount::Count(7), gone: 0.01.into(), malformed: Amount::Count(5), ..Config::calm(1000) };
        let herd = Herd::new(&config);
        for (fate, count) in [(Fate::Poison, 7), (Fate::Gone, 10), (Fate::Malformed, 5)] {
            let special = herd.special(fate);
            assert_eq!(special.len(), count, "{fate:?}");
            assert!(special.iter().all(|id| herd.fate(*id) == fate));
        }
        assert_eq!((0..1000).filter(|id| herd.fate(*id) == Fate::Sound).count(), 978);
        assert_eq!(herd.sound(), 978);
    }

    #[test]
    fn a_turned_list_still_has_everyone_once() {
        let herd = herd(25);
        for shift in [-30, -1, 0, 1, 24, 60] {
            let mut ids = Vec::new();
            for page in 1..=herd.pages() {
                herd.write_page(page, shift, |id| ids.push(id));
            }
            assert_eq!(ids[0], u64::try_from((-shift).rem_euclid(25)).expect("not negative"));
            ids.sort_unstable();
            assert!(ids.into_iter().eq(0..25), "turned by {shift}");
        }
    }

    #[test]
    fn all_of_it_is_json() {
        let herd = herd(50);
        for id in 0..50 {
            for json in [
                herd.write_detail(&herd.animal(id)),
                herd.write_malformed(id),
                herd.animal(id).loaded_json().into_bytes(),
            ] {
                let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
                assert_eq!(value["id"], id);
            }
        }
        let page: serde_json::Value = serde_json::from_slice(&herd.write_page(9, 0, |_| ())).expect("JSON");
        assert_eq!(page, serde_json::json!({"page": 9, "total_pages": 5, "items": []}));
    }
}
