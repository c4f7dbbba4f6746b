//! Benchmarks of whole runs: Muster's programs beside a bare HTTP client, against the same stand-in, in the same round.
//!
//! `docs/PERFORMANCE.md` says how to read what they print. No test asserts a figure.

pub mod control;
pub mod outage;
pub mod page;
pub mod runs;
pub mod sheet;
pub mod tracing;

mod scene;
mod simulated;

pub use sheet::Sheet;
