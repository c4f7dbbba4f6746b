//! Muster's worker: leases batches of a coordinator, fetches their records, delivers them to the target and reports.
//!
//! ```no_run
//! # async fn example() -> Result<(), muster_worker::WorkerError> {
//! use muster_worker::{Worker, WorkerConfig, connect};
//! use tokio_util::sync::CancellationToken;
//!
//! let shutdown = CancellationToken::new();
//! let worker = Worker::new(WorkerConfig::default(), connect("http://127.0.0.1:7470")?);
//! let summary = worker.run(shutdown).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The way of a batch: `lease_loop` acquires it, `batch` takes it through `fetch` (by `items`, where records came with the
//! list) and `delivery` to `report`; meanwhile `attend` renews its lease in `held` and stops the work when the lease is lost
//! or the run ends, or when no work on it has begun and others have nothing to do.

#![forbid(unsafe_code)]

mod announce;
mod attend;
mod backoff;
mod batch;
mod capacity;
mod config;
mod connect;
mod coordinator;
mod delivery;
mod error;
mod fetch;
mod held;
mod items;
mod lease_loop;
mod measures;
mod open_files;
mod page;
mod pipelines;
mod plan;
mod planted;
mod probe;
mod rates;
mod ready;
mod report;
mod serve;
mod session;
mod slots;
mod standing;
mod trace;
mod unknown;
mod worker;

pub use config::{WorkerArgs, WorkerConfig};
pub use connect::{Bearer, CallChannel, CredentialArgs, Endpoints, Way, connect, connect_as};
pub use error::WorkerError;
pub use serve::serve;
pub use worker::{Worker, WorkerSummary};
