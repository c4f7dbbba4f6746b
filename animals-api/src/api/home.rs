//! The home: what becomes of animals that are sent.

use http::StatusCode;
use serde_json::value::RawValue;

use super::Api;
use super::parcel::Parcel;
use crate::answer::{self, Answer};
use crate::bits::Bits;
use crate::book::{Judged, count};
use crate::posted::{self, Posted};
use crate::refusal;
use crate::zoo_home::{self, Fared};

/// The most animals a POST may bring.
const MOST: usize = 100;

impl Api {
    /// `each`: of each animal is said what became of it.
    pub(super) fn home(&self, parcel: Parcel, part: Option<u64>, each: bool) -> Answer {
        let tally = &self.book.tally;
        let unprocessable = |detail: String| answer::json(StatusCode::UNPROCESSABLE_ENTITY, detail);
        if let Some(what) = parcel.unfit {
            count(&tally.refused_422);
            return answer::detail(StatusCode::UNPROCESSABLE_ENTITY, what);
        }
        let posted = match posted::parse(&parcel.body) {
            Some(posted) if parcel.is_json => posted,
            _ => {
                count(&tally.refused_422);
                let readable = parcel.is_json || parcel.body.is_empty();
                return unprocessable(if readable { refusal::explain(&parcel.body) } else { refusal::no_list() });
            }
        };
        if posted.len() > MOST {
            count(&tally.refused_400);
            return answer::detail(StatusCode::BAD_REQUEST, "Sorry, only 100 animals at a time");
        }
        let batch: Vec<Judged> = posted.iter().map(|posted| Judged::new(&self.herd, &self.changes, posted)).collect();
        if each && part.is_none() {
            let ids: Vec<u64> = posted.iter().map(|posted| posted.id).collect();
            return self.each(parcel, &ids, batch);
        }
        let poison: Vec<usize> = (0..batch.len()).filter(|place| batch[*place].is_poison()).collect();
        if !poison.is_empty() {
            count(&tally.refused_poison);
            return unprocessable(refusal::poison(&poison));
        }
        if let Some(bits) = part {
            return self.store_half(parcel, batch, bits);
        }
        let payloads = if self.book.keeps_payloads() { payloads(&parcel.body) } else { Vec::new() };
        if self.book.accept(parcel.key, &batch, &payloads, self.strict) {
            answer::json(StatusCode::OK, helped(&posted))
        } else {
            answer::internal_error()
        }
    }

    /// Stores what is neither refused nor met while the home is busy, and says so of each.
    fn each(&self, parcel: Parcel, ids: &[u64], batch: Vec<Judged>) -> Answer {
        let busy = self.chaos.draw_busy(self.knobs().busy, batch.len());
        let fared: Vec<(u64, Fared)> = (ids.iter().zip(&batch).zip(busy))
            .map(|((id, judged), busy)| match (judged.is_poison(), busy) {
                (true, _) => (*id, Fared::Refused),
                (false, true) => (*id, Fared::Busy),
                (false, false) => (*id, Fared::Stored),
            })
            .collect();
        let payloads = if self.book.keeps_payloads() { payloads(&parcel.body) } else { Vec::new() };
        let is_stored = |place: usize| fared.get(place).is_some_and(|(_, fared)| *fared == Fared::Stored);
        let stored: Vec<Judged> =
            batch.into_iter().enumerate().filter(|(place, _)| is_stored(*place)).map(|(_, it)| it).collect();
        let raw: Vec<Box<str>> =
            payloads.into_iter().enumerate().filter(|(place, _)| is_stored(*place)).map(|(_, it)| it).collect();
        // A POST of which nothing was stored is none that the book has.
        if stored.is_empty() || self.book.accept(parcel.key, &stored, &raw, self.strict) {
            answer::json(StatusCode::MULTI_STATUS, zoo_home::answer(&fared))
        } else {
            answer::internal_error()
        }
    }

    fn store_half(&self, parcel: Parcel, batch: Vec<Judged>, bits: u64) -> Answer {
        let places = half(batch.len(), bits);
        let payloads = if self.book.keeps_payloads() { payloads(&parcel.body) } else { Vec::new() };
        let stored: Vec<Judged> =
            batch.into_iter().enumerate().filter(|(place, _)| places.contains(place)).map(|(_, it)| it).collect();
        let raw: Vec<Box<str>> = places.iter().filter_map(|place| payloads.get(*place).cloned()).collect();
        self.book.accept_in_part(parcel.key, &stored, &raw);
        answer::internal_error()
    }
}

/// Which animals of a POST are stored when it is stored in part: half of them, rounded down, each as likely as the others.
fn half(of: usize, bits: u64) -> Vec<usize> {
    let mut bits = Bits::new(bits, 0);
    let mut drawn: Vec<(u64, usize)> = (0..of).map(|place| (bits.next(), place)).collect();
    drawn.sort_unstable();
    let mut places: Vec<usize> = drawn[..of / 2].iter().map(|(_, place)| *place).collect();
    places.sort_unstable();
    places
}

fn helped(posted: &[Posted<'_>]) -> String {
    format!("{{\"message\":\"Helped {} find home\"}}", posted.len())
}

/// The animals of a good body, each as it was spelt.
fn payloads(body: &[u8]) -> Vec<Box<str>> {
    let raw: Vec<&RawValue> = serde_json::from_slice(body).unwrap_or_default();
    raw.into_iter().map(|raw| raw.get().into()).collect()
}
