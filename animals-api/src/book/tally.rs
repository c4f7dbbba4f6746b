//! Counters of what came and what became of it.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What came and what became of it, since the start or the last reset. The book's own paths are not counted.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        /// The live counters behind [`Counters`].
        #[derive(Debug, Default)]
        pub(crate) struct Tally {
            $(pub(crate) $name: AtomicU64,)+
        }

        impl Tally {
            pub(crate) fn read(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }

            pub(crate) fn reset(&self) {
                $(self.$name.store(0, Ordering::Relaxed);)+
            }
        }
    };
}

counters! {
    /// Requests for `/`.
    hellos,
    /// Requests for a page of the list, whatever became of them.
    lists,
    /// Requests for one animal, whatever became of them.
    details,
    /// Requests for a further part of one animal, whatever became of them.
    parts,
    /// POSTs to the home, whatever became of them.
    posts,
    /// Requests whether one animal has found home, whatever became of them.
    asked,
    /// Any other request.
    others,
    /// Answers `Sorry!` drawn by chaos; not processed.
    sorry,
    /// Answers `Sorry!` because of an outage; not processed.
    outage,
    /// Stalls of a list request.
    stalls_list,
    /// Stalls of a detail request.
    stalls_detail,
    /// Stalls of a request for a further part.
    stalls_part,
    /// Stalls of a POST.
    stalls_post,
    /// Stalls of a request whether an animal has found home.
    stalls_asked,
    /// Stalls of any other request.
    stalls_other,
    /// The longest stall a POST met, in milliseconds.
    longest_post_stall_ms,
    /// Requests whose client left before the answer.
    clients_left,
    /// Answers 429 of the rate limit; not processed.
    limited,
    /// Answers 401 to requests without the credentials that are wanted, or to a client that asks for a token and is not
    /// known; not processed.
    unauthorized,
    /// Tokens that were given.
    tokens,
    /// POSTs that were accepted whole.
    accepted_posts,
    /// Animals in them, copies included.
    accepted_animals,
    /// POSTs of strict mode that met something unexpected: a 500, with what went before it crossed off.
    cut_short,
    /// POSTs of which a random half was stored: a 500.
    halved,
    /// POSTs refused with 400: too many animals.
    refused_400,
    /// POSTs refused with 413: too many bytes.
    refused_413,
    /// POSTs refused with 422 for their form.
    refused_422,
    /// POSTs refused with 422 for poison in them.
    refused_poison,
    /// The most requests that were in flight at once.
    most_in_flight,
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A set of IDs below a limit that was fixed at the start.
#[derive(Debug)]
pub(crate) struct Marks(Vec<AtomicU64>);

impl Marks {
    pub(crate) fn new(len: u64) -> Marks {
        Marks((0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn set(&self, id: u64) {
        let bit = 1 << (id % 64);
        if let Some(word) = self.word(id)
            // Most are marked already when a benchmark goes round: spare the cache line.
            && word.load(Ordering::Relaxed) & bit == 0
        {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    pub(crate) fn has(&self, id: u64) -> bool {
        self.word(id).is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (id % 64)) != 0)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.load(Ordering::Relaxed).count_ones())).sum()
    }

    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    fn word(&self, id: u64) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(id / 64).ok()?)
    }
}
