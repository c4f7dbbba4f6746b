//! All metrics: what each is called, in what unit, by what it is told apart, and what it tells.
//!
//! Names that OpenTelemetry's semantic conventions have are theirs; our own begin with `muster.`. Prometheus has them with
//! underscores and the unit, counters with `_total` (see [`Metric::in_prometheus`]). Whatever tells the series of a metric
//! apart is bounded: pipelines by name, hosts by origin, a few runs, and words.

use crate::names::{OUTCOME, PIPELINE, RUN};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows, from 0 at the start of the process.
    Counter,
    /// How it is now.
    Gauge,
    /// How often values of which size were seen.
    Histogram,
}

/// Who has a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Coordinators.
    Coordinator,
    /// Workers.
    Worker,
    /// Both: whoever sends requests.
    Both,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As OpenTelemetry has it.
    pub name: &'static str,
    /// In UCUM; in braces: what is counted; nothing: yes (1) or no (0).
    pub unit: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Who has it.
    pub by: By,
    /// What tells its series apart.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub tells: &'static str,
}

impl Metric {
    /// Its name in Prometheus' text: after "OpenTelemetry metrics to Prometheus" of both projects.
    #[must_use]
    pub fn in_prometheus(&self) -> String {
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "",
        };
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{unit}{total}", self.name.replace('.', "_"))
    }
}

/// Which state a batch is in: `ready`, `leased`, `done`.
pub const BATCH_STATE: &str = "muster.batch.state";
/// Which pages: `committed`, or the `total` that the source says.
pub const PAGE_STATE: &str = "muster.page.state";
/// Which state a run is in: `running`, `paused`, `cancelling`, `cancelled`, `finished`.
pub const RUN_STATE: &str = "muster.run.state";
/// What a verdict says yes or no to: `complete`, `balanced`.
pub const VERDICT: &str = "muster.verdict";
/// Whether a verdict is complete.
pub const COMPLETE: &str = "muster.verdict.complete";
/// Whether a verdict is balanced.
pub const BALANCED: &str = "muster.verdict.balanced";
/// Which database: OpenTelemetry's `sqlite`, `postgresql`.
pub const DATABASE: &str = "db.system.name";
/// What a request is for: `list`, `detail`, `enrich`, `probe`, `load`, `token`.
pub const REQUEST: &str = "muster.request";
/// A request's method.
pub const METHOD: &str = "http.request.method";
/// The host's name, or its address.
pub const SERVER: &str = "server.address";
/// The host's port.
pub const PORT: &str = "server.port";
/// What became of copies of slow requests: `sent`, `won`.
pub const HEDGE: &str = "muster.hedge";
/// What a request waits for before it is sent: `rate`, `left_alone`, `retry_budget`, `concurrency`.
pub const WAIT: &str = "muster.wait";
/// What a worker's slot does: `busy`, `free`.
pub const SLOT_STATE: &str = "muster.slot.state";
/// How the work on a batch ended: `completed`, `late`, `refused`, `released`.
pub const BATCH_END: &str = "muster.batch.end";
/// What became of a POST: `applied`, `partly_applied`, `rejected`, `not_applied`, `not_sent`, `in_doubt`,
/// `pipeline_wrong`.
pub const DELIVERY_OUTCOME: &str = "muster.delivery.outcome";

/// What somebody outside is told: `run.ended`, `run.stalled`.
pub const EVENT: &str = "muster.event";
/// How a try to tell it went: `delivered`, `failed`, `given_up`.
pub const NOTICE_OUTCOME: &str = "muster.notice.outcome";

const OF_RUN: &[&str] = &[PIPELINE, RUN];
const OF_HOST: &[&str] = &[SERVER, PORT];

macro_rules! metrics {
    ($($constant:ident = $name:literal, $unit:literal, $kind:ident, $by:ident, $labels:expr, $tells:literal;)+) => {
        $(
            #[doc = $tells]
            pub const $constant: Metric = Metric {
                name: $name, unit: $unit, kind: Kind::$kind, by: By::$by, labels: $labels, tells: $tells,
            };
        )+
        /// All of them, in the order of their documentation.
        pub const ALL: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    RUN_RECORDS = "muster.run.records", "{record}", Gauge, Coordinator, &[PIPELINE, RUN, OUTCOME],
        "Records of the run's round by what has become of them; together they are what was listed.";
    RUN_BATCHES = "muster.run.batches", "{batch}", Gauge, Coordinator, &[PIPELINE, RUN, BATCH_STATE],
        "Batches of the run's round by their state; those that are leased are the leases that workers hold.";
    RUN_PAGES = "muster.run.pages", "{page}", Gauge, Coordinator, &[PIPELINE, RUN, PAGE_STATE],
        "How far the listing is: pages committed, and the pages that the source says it has.";
    RUN_DELIVERIES_OPEN = "muster.run.deliveries.open", "{delivery}", Gauge, Coordinator, OF_RUN,
        "Deliveries announced and not settled.";
    RUN_WORKERS = "muster.run.workers", "{worker}", Gauge, Coordinator, OF_RUN,
        "Workers that hold a lease of the run.";
    RUN_AGE = "muster.run.age", "s", Gauge, Coordinator, OF_RUN,
        "From the opening of the run's round until now, or until it was over.";
    RUN_STATUS = "muster.run.status", "", Gauge, Coordinator, &[PIPELINE, RUN, RUN_STATE],
        "1, with the state that the run is in.";
    RUN_VERDICT = "muster.run.verdict", "", Gauge, Coordinator, &[PIPELINE, RUN, VERDICT],
        "Of a run that is over: whether its verdict is complete, and whether it is balanced.";
    VERDICTS = "muster.verdicts", "{verdict}", Counter, Coordinator, &[PIPELINE, COMPLETE, BALANCED],
        "Rounds that this coordinator has ended, by what their verdicts say.";
    NOTICES = "muster.notices", "{try}", Counter, Coordinator, &[EVENT, NOTICE_OUTCOME],
        "Tries of this coordinator to tell somebody outside of a run, by how they went.";
    FLEET_WORKERS = "muster.fleet.workers", "{worker}", Gauge, Coordinator, &[],
        "Workers heard of in the last minute.";
    LEASES_GRANTED = "muster.leases.granted", "{lease}", Counter, Coordinator, &[PIPELINE],
        "Leases granted by this coordinator.";
    LEASES_EXPIRED = "muster.leases.expired", "{lease}", Counter, Coordinator, &[],
        "Leases that this coordinator ended because their workers were not heard of in time.";
    STORE_WRITABLE = "muster.store.writable", "", Gauge, Coordinator, &[],
        "Whether the ledger can be written, by what came of the last transactions.";
    COMMIT_DURATION = "muster.store.commit.duration", "s", Histogram, Coordinator, &[DATABASE],
        "Transactions that change the ledger, from their beginning to the answer to their COMMIT.";
    COMMIT_TRANSITIONS = "muster.store.commit.transitions", "{transition}", Histogram, Coordinator, &[DATABASE],
        "Transitions that shared a transaction.";
    COMMIT_FAILURES = "muster.store.commit.failures", "{transaction}", Counter, Coordinator, &[DATABASE],
        "Transactions that could not be committed.";
    HTTP_DURATION = "http.client.request.duration", "s", Histogram, Both,
        &[METHOD, SERVER, PORT, REQUEST, crate::names::HTTP_STATUS, crate::names::ERROR],
        "Attempts of requests: of a GET from its first copy to the first answer of any, of a POST to its answer, or until no answer was waited for any more.";
    HTTP_ACTIVE = "http.client.active_requests", "{request}", Gauge, Both, OF_HOST,
        "GETs in flight, copies of slow ones not counted.";
    HTTP_LIMIT = "muster.http.concurrency.limit", "{request}", Gauge, Both, OF_HOST,
        "The adaptive limit: how many GETs at once the host bears, as far as is known.";
    HTTP_RETRIES = "muster.http.retries", "{request}", Counter, Both, OF_HOST,
        "GETs sent again after they failed.";
    HTTP_RETRY_BUDGET = "muster.http.retry_budget", "{request}", Gauge, Both, OF_HOST,
        "Retries that may go out at once before the budget delays them.";
    HTTP_HEDGES = "muster.http.hedges", "{request}", Counter, Both, &[SERVER, PORT, HEDGE],
        "Further copies of slow GETs that were sent, and those that answered first.";
    HTTP_THROTTLED = "muster.http.throttled", "{answer}", Counter, Both, OF_HOST,
        "Answers that asked to be left alone: 429, and 503 with Retry-After.";
    HTTP_WAITED = "muster.http.waited", "s", Counter, Both, &[SERVER, PORT, WAIT],
        "What requests have waited before they were sent, added up: so its rate is how many wait at a time.";
    HTTP_RECEIVED = "muster.http.received", "By", Counter, Both, OF_HOST,
        "Bodies received, decompressed.";
    HTTP_SENT = "muster.http.sent", "By", Counter, Both, OF_HOST,
        "Bodies sent.";
    HOST_DOWN = "muster.host.down", "", Gauge, Both, OF_HOST,
        "Whether the host serves nothing at the moment, so that requests to it wait.";
    RATE_ALLOWED = "muster.rate.allowed", "{request}", Counter, Both, OF_HOST,
        "Requests that the host's rate has allowed to this process: its rate is the process's share.";
    WORKER_LEASES = "muster.worker.leases", "{lease}", Gauge, Worker, &[],
        "Leases that the worker holds.";
    WORKER_LEASES_LOST = "muster.worker.leases.lost", "{lease}", Counter, Worker, &[],
        "Leases that the worker lost before their batches were over.";
    WORKER_UNFETCHED = "muster.worker.records.unfetched", "{record}", Gauge, Worker, &[],
        "Records under the worker's leases that are still to be fetched.";
    WORKER_SLOTS = "muster.worker.slots", "{slot}", Gauge, Worker, &[SLOT_STATE],
        "The worker's fetch slots.";
    WORKER_BATCHES = "muster.worker.batches", "{batch}", Counter, Worker, &[BATCH_END],
        "Batches by how the work on them ended.";
    WORKER_LOADED = "muster.worker.records.loaded", "{record}", Counter, Worker, &[PIPELINE],
        "Records in deliveries that the target acknowledged.";
    DELIVERIES = "muster.deliveries", "{delivery}", Counter, Worker, &[PIPELINE, DELIVERY_OUTCOME],
        "POSTs by what became of them.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_has_them_with_their_units() {
        assert_eq!(RUN_AGE.in_prometheus(), "muster_run_age_seconds");
        assert_eq!(HTTP_RECEIVED.in_prometheus(), "muster_http_received_bytes_total");
        assert_eq!(HTTP_DURATION.in_prometheus(), "http_client_request_duration_seconds");
        assert_eq!(RUN_RECORDS.in_prometheus(), "muster_run_records");
    }

    #[test]
    fn no_two_have_one_name() {
        let mut names: Vec<_> = ALL.iter().map(Metric::in_prometheus).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
