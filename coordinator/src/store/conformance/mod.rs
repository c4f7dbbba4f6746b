//! What every store must do: plain async functions over the traits alone, so that each backend runs the same suite and a
//! failure names its line. A backend's tests implement [`Backend`] and call the groups.

#![allow(clippy::unwrap_used, reason = "a suite fails by panicking")]

mod acquiring;
mod announcing;
pub(crate) mod bench;
mod cancelling;
mod costs;
mod declined;
mod doubts;
mod expiring;
mod holding;
mod identities;
mod items;
mod list_guards;
mod listing;
mod outbox;
mod partly;
mod probing;
pub mod promises;
mod protecting;
mod random;
mod rates;
mod reading;
mod reporting;
mod rounds;
mod runs;
mod settling;
pub(crate) mod sharing;
mod since;
mod stock;
mod unknown;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use acquiring::acquiring;
pub use announcing::announcing;
pub use bench::Bench;
pub use cancelling::cancelling;
pub use costs::costs;
pub use declined::declined;
pub use doubts::doubts;
pub use expiring::expiring;
pub use holding::holding;
pub use identities::identities;
pub use items::items;
pub use list_guards::list_guards;
pub use listing::listing;
pub use outbox::{outbox, stalls};
pub use partly::partly_applied;
pub use probing::probing;
pub use protecting::{deleting, protecting};
pub use random::{assert_all_seen, assert_all_shares_seen, random, random_shares};
pub use rates::rates;
pub use reading::reading;
pub use reporting::reporting;
pub use rounds::rounds;
pub use runs::runs;
pub use settling::settling;
pub use sharing::sharing;
pub use since::since;
pub use stock::stock;
pub use unknown::unknown_fields;

use super::Store;

/// A kind of store under test.
#[async_trait]
pub trait Backend: Send + Sync {
    /// A database of its own, empty, with a coordinator's process on it.
    async fn fresh(&self) -> Box<dyn Harness>;
}

/// One database and the time that goes by on it. Time stands still but for the calls here.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;
    /// Lets time pass.
    async fn advance(&self, span: Duration);
    /// Somebody sets the wall clock, by so many milliseconds; no time passes.
    async fn set_wall_clock(&self, by_millis: i64);
    /// The coordinator's process ends, and another one starts on the same database.
    async fn restart(&mut self);
}

#[cfg(test)]
mod tests {
    const BACKENDS: [(&str, &str); 2] =
        [("SQLite", include_str!("../sqlite/tests.rs")), ("PostgreSQL", include_str!("../postgres/tests.rs"))];

    /// Of what a group is about, a backend that leaves it out agrees with the others only on paper.
    #[test]
    fn every_backend_runs_every_group() {
        let exported = |line: &'static str| line.strip_prefix("pub use ")?.split_once("::");
        let exported = include_str!("mod.rs").lines().filter_map(exported);
        let names = exported.flat_map(|(_, names)| names.trim_matches(['{', '}', ';']).split(", "));
        // The others are a type, and what campaigns must have met.
        let is_group = |name: &&str| name.starts_with(char::is_lowercase) && !name.starts_with("assert_");
        let groups: Vec<&str> = names.filter(is_group).collect();
        assert!(groups.len() >= 29, "{groups:?}");
        for (backend, tests) in BACKENDS {
            let is_missing = |group: &&&str| !tests.contains(&format!("conformance::{group}("));
            let missing: Vec<_> = groups.iter().filter(is_missing).collect();
            assert!(missing.is_empty(), "{backend} does not run {missing:?}");
        }
    }
}
