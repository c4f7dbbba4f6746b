//! Reading: the list, one animal, and whether the target has it.

use std::sync::atomic::Ordering;

use http::StatusCode;
use serde_json::Value;

use super::Api;
use crate::answer::{self, Answer};
use crate::herd::Fate;
use crate::moment::Moment;
use crate::refusal;
use crate::route::Number;

impl Api {
    pub(super) fn list(&self, page: Number) -> Answer {
        let Number::Whole(page) = page else {
            return answer::json(StatusCode::UNPROCESSABLE_ENTITY, refusal::no_integer("query", "page"));
        };
        let Some(page) = u64::try_from(page).ok().filter(|page| *page > 0) else {
            return answer::json(StatusCode::UNPROCESSABLE_ENTITY, refusal::no_such_page());
        };
        answer::json(StatusCode::OK, self.herd.write_page(page, self.shift(), |id| self.book.listed.set(id)))
    }

    /// By how many places the list is turned for the page that is served now.
    pub(super) fn shift(&self) -> i64 {
        self.shifting.map_or(0, |shifting| {
            let served = self.pages_served.fetch_add(1, Ordering::Relaxed) / shifting.every.max(1);
            i64::try_from(served).unwrap_or(i64::MAX).saturating_mul(shifting.by)
        })
    }

    /// The herd as it is now: not of the real API, but what many have.
    pub(super) fn dated(&self, page: Number, since: Option<&str>) -> Answer {
        let Number::Whole(page @ 1..) = page else {
            return answer::json(StatusCode::UNPROCESSABLE_ENTITY, refusal::no_such_page());
        };
        let from = since.and_then(Moment::parse);
        if since.is_some() && from.is_none() {
            return answer::detail(StatusCode::UNPROCESSABLE_ENTITY, "updated_since is no time");
        }
        let page = self.changes.write_page(page.unsigned_abs(), from, |id| self.book.listed.set(id));
        answer::json(StatusCode::OK, page)
    }

    pub(super) fn detail(&self, id: Number) -> Answer {
        let Number::Whole(id) = id else {
            return answer::json(StatusCode::UNPROCESSABLE_ENTITY, refusal::no_integer("path", "animal_id"));
        };
        let Some(id) = u64::try_from(id).ok().filter(|id| *id < self.herd.len) else {
            return answer::internal_error();
        };
        self.book.fetched.set(id);
        if !self.changes.has(id) {
            return answer::not_found();
        }
        match self.herd.fate(id) {
            Fate::Gone => answer::not_found(),
            Fate::Malformed => answer::json(StatusCode::OK, self.herd.write_malformed(id)),
            Fate::Sound | Fate::Poison => {
                answer::json(StatusCode::OK, self.herd.write_detail(&self.changes.animal(id)))
            }
        }
    }

    /// A part of an animal: not of the real API, but what many have.
    pub(super) fn checkups(&self, id: Number) -> Answer {
        let Number::Whole(id) = id else {
            return answer::json(StatusCode::UNPROCESSABLE_ENTITY, refusal::no_integer("path", "animal_id"));
        };
        let there = u64::try_from(id).ok().filter(|id| *id < self.herd.len && self.changes.has(*id));
        let there = there.filter(|id| self.herd.fate(*id) != Fate::Gone);
        match there.and_then(|id| self.herd.checkups(id)) {
            Some(checkups) => answer::json(StatusCode::OK, Value::Array(checkups).to_string()),
            None => answer::not_found(),
        }
    }

    /// Whether the target has an animal: not of the real API, but what many targets offer.
    pub(super) fn asked(&self, id: Number) -> Answer {
        let Number::Whole(id) = id else {
            return answer::json(StatusCode::UNPROCESSABLE_ENTITY, refusal::no_integer("path", "animal_id"));
        };
        match u64::try_from(id).ok().filter(|id| self.book.times(*id) > 0) {
            Some(id) => answer::json(StatusCode::OK, format!("{{\"id\":{id}}}")),
            None => answer::not_found(),
        }
    }
}
