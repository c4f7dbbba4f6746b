//! The audit: from the ledger's rows to a verdict. Reads what happened, never a running counter.

use super::{BatchLedger, RecordState, Timestamp, UnknownField};

/// Records by state. In a balanced round `listed` is the sum of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Rows of records, and of those that are unchanged.
    pub listed: u64,
    /// In no lease and without an outcome.
    pub pending: u64,
    /// In a leased batch and without an outcome.
    pub leased: u64,
    /// In an open delivery.
    pub delivering: u64,
    /// Acknowledged by the target.
    pub loaded: u64,
    /// Given up on.
    pub dead_letter: u64,
    /// The source says that they do not exist.
    pub gone: u64,
    /// In doubt.
    pub in_doubt: u64,
    /// Without an outcome when the run was cancelled.
    pub cancelled: u64,
    /// Not loaded again: an earlier run loaded the same version. Older verdicts do not speak of it.
    #[serde(default)]
    pub unchanged: u64,
}

impl Counts {
    fn sum_of_states(&self) -> u64 {
        self.pending
            + self.leased
            + self.delivering
            + self.loaded
            + self.dead_letter
            + self.gone
            + self.in_doubt
            + self.cancelled
            + self.unchanged
    }

    /// Each figure of both together.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        self.each(other, u64::saturating_add)
    }

    /// Without those of another, of which each is contained in these.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.each(other, u64::saturating_sub)
    }

    fn each(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            listed: f(self.listed, other.listed),
            pending: f(self.pending, other.pending),
            leased: f(self.leased, other.leased),
            delivering: f(self.delivering, other.delivering),
            loaded: f(self.loaded, other.loaded),
            dead_letter: f(self.dead_letter, other.dead_letter),
            gone: f(self.gone, other.gone),
            in_doubt: f(self.in_doubt, other.in_doubt),
            cancelled: f(self.cancelled, other.cancelled),
            unchanged: f(self.unchanged, other.unchanged),
        }
    }

    fn count(&mut self, state: RecordState) {
        *match state {
            RecordState::Pending => &mut self.pending,
            RecordState::Leased => &mut self.leased,
            RecordState::Delivering => &mut self.delivering,
            RecordState::Loaded => &mut self.loaded,
            RecordState::DeadLetter => &mut self.dead_letter,
            RecordState::Gone => &mut self.gone,
            RecordState::InDoubt => &mut self.in_doubt,
            RecordState::Cancelled => &mut self.cancelled,
            RecordState::Unchanged => &mut self.unchanged,
        } += 1;
    }
}

/// What a discrepancy stands against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum DiscrepancyKind {
    /// Something may be missing from the listing.
    Incomplete,
    /// The ledger contradicts itself.
    Unbalanced,
}

/// One thing that an audit found wrong or suspicious.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Discrepancy {
    /// A stable name.
    pub code: String,
    /// What and where.
    pub detail: String,
    /// What it stands against.
    pub kind: DiscrepancyKind,
}

/// The result of an audit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Verdict {
    /// Which round.
    pub round: u32,
    /// Records by state.
    pub counts: Counts,
    /// Copies that the target may hold beyond the first of each record.
    pub possible_copies: u64,
    /// Records repeated with another body.
    pub changed: u64,
    /// All that was found.
    pub discrepancies: Vec<Discrepancy>,
    /// When the ledger was read.
    pub audited_at: Timestamp,
    /// Fields that the schema does not know: they stand against nothing. Older verdicts do not speak of them.
    #[serde(default)]
    pub unknown_fields: Vec<UnknownField>,
    /// The database may have lost what it had acknowledged, as in [`ListingEvidence::degraded`].
    #[serde(default)]
    pub degraded: bool,
}

impl Verdict {
    /// Listing finished, totals agree, nothing suspected missing.
    pub fn is_complete(&self) -> bool {
        !self.discrepancies.iter().any(|found| found.kind == DiscrepancyKind::Incomplete)
    }

    /// Conservation holds.
    pub fn is_balanced(&self) -> bool {
        !self.discrepancies.iter().any(|found| found.kind == DiscrepancyKind::Unbalanced)
    }
}

/// What the ledger says of a round's listing.
#[derive(Debug, Clone, Default)]
pub struct ListingEvidence {
    /// Has listing come to its end?
    pub closed: bool,
    /// Pages the source says it has; 0 when it does not say.
    pub pages_total: u64,
    /// Rows of committed pages.
    pub pages_committed: u64,
    /// Fresh IDs that the committed pages brought, added up over their rows; of a later round, what it took over.
    pub pages_fresh: u64,
    /// Rows of records.
    pub records: u64,
    /// Highest sequence number of a record plus one; equals `records` when none is missing.
    pub records_end: u64,
    /// Rows of unchanged records: only the first round has any.
    pub unchanged: u64,
    /// IDs that have both.
    pub unchanged_and_not: u64,
    /// Whether what was acknowledged may have been lost with the power of the database's machine: it ran without fsync or
    /// synchronous_commit, and somebody said that this will do.
    pub degraded: bool,
    /// Recorded suspicions: code and detail.
    pub problems: Vec<(String, String)>,
}

/// What the ledger says of one batch.
#[derive(Debug, Clone, Default)]
pub struct BatchEvidence {
    /// Its number.
    pub batch: i64,
    /// Sequence number of its first record.
    pub first: u64,
    /// Is it leased?
    pub leased: bool,
    /// Is it finished?
    pub done: bool,
    /// Deliveries and exceptions.
    pub ledger: BatchLedger,
}

/// Most discrepancies of one kind of error that are spelt out.
const SPELT_OUT: usize = 20;

/// Reads evidence, batch by batch in ascending order, into a verdict. Needs no memory for the number of batches.
pub struct Audit {
    round: u32,
    cancelled: bool,
    counts: Counts,
    possible_copies: u64,
    changed: u64,
    /// Sequence number up to which batches have claimed records.
    claimed: u64,
    unbalanced: Vec<(&'static str, String)>,
    unbalanced_more: usize,
}

impl Audit {
    /// `cancelled`: are records without an outcome given up?
    pub fn new(round: u32, cancelled: bool) -> Self {
        Self {
            round,
            cancelled,
            counts: Counts::default(),
            possible_copies: 0,
            changed: 0,
            claimed: 0,
            unbalanced: Vec::new(),
            unbalanced_more: 0,
        }
    }

    /// Takes in the next batch.
    pub fn batch(&mut self, evidence: &BatchEvidence) {
        let BatchEvidence { batch, first, leased, done, ledger } = evidence;
        if *first != self.claimed {
            let detail = format!("batch {batch} begins at record {first}, the one before ended at {}", self.claimed);
            self.unbalanced("BATCHES_NOT_CONTIGUOUS", detail);
        }
        self.claimed = first + u64::from(ledger.size);
        let unresolved = match (self.cancelled, *leased) {
            (true, _) => RecordState::Cancelled,
            (false, true) => RecordState::Leased,
            (false, false) => RecordState::Pending,
        };
        let states = ledger.states(unresolved);
        if *done && states.iter().any(|state| *state == unresolved || *state == RecordState::Delivering) {
            self.unbalanced(
                "BATCH_DONE_TOO_EARLY",
                format!("batch {batch} is finished, but not all of its records are"),
            );
        }
        let out_of_range = ledger.deliveries.iter().any(|delivery| delivery.positions.end() > ledger.size)
            || ledger.exceptions.iter().any(|exception| exception.position >= ledger.size);
        if out_of_range {
            self.unbalanced("POSITION_OUT_OF_RANGE", format!("a row of batch {batch} names a record it does not have"));
        }
        if ledger.is_delivered_twice_at_once() {
            self.unbalanced("RECORD_IN_SEVERAL_OPEN_DELIVERIES", format!("open deliveries of batch {batch} overlap"));
        }
        for delivery in ledger.deliveries.iter().filter(|delivery| delivery.contradicted) {
            let number = delivery.number;
            self.unbalanced(
                "SETTLEMENT_CONTRADICTED",
                format!(
                    "delivery {number} was settled by a probe or an operator, and its worker learnt otherwise since"
                ),
            );
        }
        if !*leased && ledger.open_delivery().is_some() {
            self.unbalanced("DELIVERY_WITHOUT_LEASE", format!("batch {batch} has an open delivery and no lease"));
        }
        states.into_iter().for_each(|state| self.counts.count(state));
        self.possible_copies += ledger.possible_copies();
        self.changed += ledger.changed();
    }

    fn unbalanced(&mut self, code: &'static str, detail: String) {
        if self.unbalanced.len() < SPELT_OUT {
            self.unbalanced.push((code, detail));
        } else {
            self.unbalanced_more += 1;
        }
    }

    /// The verdict, once all batches were taken in.
    pub fn verdict(mut self, listing: &ListingEvidence, audited_at: Timestamp) -> Verdict {
        let listed = listing.records + listing.unchanged;
        self.counts.listed = listed;
        self.counts.unchanged = listing.unchanged;
        // Records that no batch was cut for yet wait for a full one; once listing is closed there must be none.
        let waiting = listing.records.saturating_sub(self.claimed);
        *(if self.cancelled { &mut self.counts.cancelled } else { &mut self.counts.pending }) += waiting;
        // Only the first round lists.
        if waiting > 0 && (listing.closed || self.round > 1) && !self.cancelled {
            self.unbalanced("RECORD_WITHOUT_BATCH", format!("{waiting} listed records are in no batch"));
        }
        if listing.records != listing.records_end {
            let lost = listing.records_end.abs_diff(listing.records);
            self.unbalanced(
                "RECORD_ROW_MISSING",
                format!("{lost} records below number {} have no row", listing.records_end),
            );
        }
        if listing.unchanged_and_not > 0 {
            let both = listing.unchanged_and_not;
            self.unbalanced("UNCHANGED_AND_NOT", format!("{both} records are unchanged and are to be loaded as well"));
        }
        if listing.pages_fresh != listed {
            let detail = match self.round {
                1 => format!("committed pages brought {} IDs, the ledger has {listed}", listing.pages_fresh),
                _ => format!("the round took over {} records, it has {}", listing.pages_fresh, listing.records),
            };
            self.unbalanced(if self.round == 1 { "PAGE_WITHOUT_ITS_IDS" } else { "ROUND_WITHOUT_ITS_IDS" }, detail);
        }
        let sum = self.counts.sum_of_states();
        if sum != listed {
            self.unbalanced("STATES_DO_NOT_ADD_UP", format!("the states add up to {sum}, listed are {listed}"));
        }
        let mut discrepancies = incompleteness(listing);
        let unbalanced = |(code, detail): (&str, String)| Discrepancy {
            code: code.to_owned(),
            detail,
            kind: DiscrepancyKind::Unbalanced,
        };
        discrepancies.extend(self.unbalanced.into_iter().map(unbalanced));
        if self.unbalanced_more > 0 {
            discrepancies.push(unbalanced(("MORE", format!("{} more contradictions", self.unbalanced_more))));
        }
        Verdict {
            round: self.round,
            counts: self.counts,
            possible_copies: self.possible_copies,
            changed: self.changed,
            discrepancies,
            audited_at,
            unknown_fields: Vec::new(),
            degraded: listing.degraded,
        }
    }
}

fn incompleteness(listing: &ListingEvidence) -> Vec<Discrepancy> {
    let mut found = Vec::new();
    let mut add = |code: &str, detail: String| {
        found.push(Discrepancy { code: code.to_owned(), detail, kind: DiscrepancyKind::Incomplete });
    };
    if !listing.closed {
        add("LISTING_OPEN", "the source has not been listed to its end".to_owned());
    }
    for (code, detail) in &listing.problems {
        add(code, detail.clone());
    }
    if listing.closed && listing.pages_total > 0 && listing.pages_committed < listing.pages_total {
        let missing = listing.pages_total - listing.pages_committed;
        add("PAGES_MISSING", format!("{missing} of {} pages are not in the ledger", listing.pages_total));
    }
    found
}

#[cfg(test)]
mod tests;
