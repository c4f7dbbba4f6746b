//! Which records of a batch: a set of places, sent and stored in ascending order.

/// Places in a batch, ascending and without repetition.
///
/// Nearly all deliveries carry a whole batch or all but a few, so the set is kept as ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Positions {
    /// Half-open, ascending, not touching.
    ranges: Vec<(u32, u32)>,
}

impl Positions {
    /// All places of a batch of `size` records.
    pub fn all(size: u32) -> Self {
        Self { ranges: if size == 0 { Vec::new() } else { vec![(0, size)] } }
    }

    /// From places in strictly ascending order; `None` when they are not.
    pub fn from_ascending(places: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for place in places {
            match ranges.last_mut() {
                Some((_, end)) if place < *end => return None,
                Some((_, end)) if place == *end => *end = place.checked_add(1)?,
                _ => ranges.push((place, place.checked_add(1)?)),
            }
        }
        Some(Self { ranges })
    }

    /// How many.
    pub fn len(&self) -> u32 {
        self.ranges.iter().map(|(start, end)| end - start).sum()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Is this place one of them?
    pub fn contains(&self, place: u32) -> bool {
        let after = self.ranges.partition_point(|(start, _)| *start <= place);
        after > 0 && place < self.ranges[after - 1].1
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().flat_map(|(start, end)| *start..*end)
    }

    /// One past the highest; 0 when empty.
    pub fn end(&self) -> u32 {
        self.ranges.last().map_or(0, |(_, end)| *end)
    }

    /// The lower and the upper half; the lower is the larger one of an odd number.
    pub fn halves(&self) -> (Self, Self) {
        let lower = self.len().div_ceil(2) as usize;
        let pick = |places: &mut dyn Iterator<Item = u32>| Self::from_ascending(places).unwrap_or_default();
        (pick(&mut self.iter().take(lower)), pick(&mut self.iter().skip(lower)))
    }

    /// All of either.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut ranges: Vec<(u32, u32)> = self.ranges.iter().chain(&other.ranges).copied().collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (start, end) in ranges {
            match merged.last_mut() {
                Some((_, before)) if start <= *before => *before = end.max(*before),
                _ => merged.push((start, end)),
            }
        }
        Self { ranges: merged }
    }

    /// Those that are also in `other`.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        Self::from_ascending(self.iter().filter(|place| other.contains(*place))).unwrap_or_default()
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        Self::from_ascending(self.iter().filter(|place| !other.contains(*place))).unwrap_or_default()
    }

    /// As bytes: start and length of each range, LEB128. Stored in the ledger, so the form must not change.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.ranges.len() * 3);
        for (start, end) in &self.ranges {
            push_leb128(&mut bytes, *start);
            push_leb128(&mut bytes, end - start);
        }
        bytes
    }

    /// From the bytes that `encode` made; `None` when they were not.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        while !bytes.is_empty() {
            let start = pull_leb128(&mut bytes)?;
            let length = pull_leb128(&mut bytes)?;
            let end = start.checked_add(length)?;
            if length == 0 || ranges.last().is_some_and(|(_, before)| start <= *before) {
                return None;
            }
            ranges.push((start, end));
        }
        Some(Self { ranges })
    }
}

fn push_leb128(bytes: &mut Vec<u8>, mut value: u32) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

fn pull_leb128(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0u32;
    for shift in (0..35).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u32::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_survive_storage() {
        for places in [vec![], vec![0], vec![0, 1, 2, 5, 6, 99], (0..300).step_by(2).collect::<Vec<u32>>()] {
            let set = Positions::from_ascending(places.iter().copied()).unwrap();
            assert_eq!(Positions::decode(&set.encode()).unwrap(), set);
            assert_eq!(set.iter().collect::<Vec<_>>(), places);
            assert_eq!(set.len() as usize, places.len());
            assert!((0..310).all(|place| set.contains(place) == places.contains(&place)));
        }
    }

    #[test]
    fn order_and_repetition_are_refused() {
        assert_eq!(Positions::from_ascending([1, 1]), None);
        assert_eq!(Positions::from_ascending([2, 1]), None);
        assert_eq!(Positions::decode(&[5, 1, 2, 1]), None);
        assert_eq!(Positions::decode(&[0x80]), None);
    }

    #[test]
    fn sets_are_joined_and_cut() {
        let set = |places: &[u32]| Positions::from_ascending(places.iter().copied()).unwrap();
        let (some, others) = (set(&[1, 2, 3, 8]), set(&[0, 3, 4, 9]));
        assert_eq!(some.with(&others), set(&[0, 1, 2, 3, 4, 8, 9]));
        assert_eq!(some.within(&others), set(&[3]));
        assert_eq!(some.without(&others), set(&[1, 2, 8]));
        assert_eq!((some.with(&Positions::default()), some.without(&Positions::default())), (some.clone(), some));
    }

    #[test]
    fn halves_are_disjoint_and_whole() {
        let (lower, upper) = Positions::from_ascending([1, 2, 9]).unwrap().halves();
        assert_eq!((lower.iter().collect::<Vec<_>>(), upper.iter().collect::<Vec<_>>()), (vec![1, 2], vec![9]));
    }
}
