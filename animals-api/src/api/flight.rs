//! Requests on their way.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Api;
use crate::answer::Answer;
use crate::book::count;
use crate::chaos::Kind;

/// A request on its way: counted when it came, and, if its answer was never given, when its client left.
pub(super) struct Flight {
    api: Arc<Api>,
    landed: bool,
}

impl Flight {
    pub(super) fn new(api: Arc<Api>, kind: Kind) -> Flight {
        let tally = &api.book.tally;
        count(match kind {
            Kind::List => &tally.lists,
            Kind::Detail => &tally.details,
            Kind::Part => &tally.parts,
            Kind::Post => &tally.posts,
            Kind::Asked => &tally.asked,
            Kind::Other => &tally.others,
        });
        let now = api.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        if now > tally.most_in_flight.load(Ordering::Relaxed) {
            tally.most_in_flight.fetch_max(now, Ordering::Relaxed);
        }
        api.book.stir();
        Flight { api, landed: false }
    }

    pub(super) fn land(&mut self, answer: Answer) -> Answer {
        self.landed = true;
        answer
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.api.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.landed {
            count(&self.api.book.tally.clients_left);
        }
        self.api.book.stir();
    }
}
