//! What takes the records of a run, whichever kind of place it is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::error::SpecError;
use crate::http::{PostOutcome, Requester, Turn};
use crate::load::{Loader, Prober};
use crate::record_id::RecordId;
use crate::spec::types::{Limits, LoadSpec, TargetSpec};

mod files;
mod postgres;

pub use files::Files;
pub use postgres::{PostgresTable, connect_options as postgres_options};

/// Where a compiled pipeline's records go.
#[derive(Debug, Clone)]
pub enum Target {
    /// An HTTP API.
    Http(Box<Loader>),
    /// Files in a folder or a bucket, one a delivery.
    Files(Box<Files>),
    /// A table of a PostgreSQL database.
    Postgres(PostgresTable),
}

/// What is sent at once, and was announced as such.
#[derive(Debug, Clone)]
pub struct Delivery<'a> {
    /// The run that it belongs to.
    pub run: &'a str,
    /// The IDs of its records, in their order.
    pub ids: Vec<&'a RecordId>,
    /// The records as transformed, in the same order.
    pub records: Vec<&'a [u8]>,
    /// What [`Target::body`] makes of the records.
    pub body: Bytes,
    /// Its [`crate::idempotency_key`].
    pub key: &'a str,
}

impl Target {
    pub(crate) fn new(
        load: &LoadSpec,
        limits: &Limits,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Self, SpecError> {
        match &load.target {
            TargetSpec::Http(http) => Ok(Self::Http(Box::new(Loader::new(http, load, limits, parameters)?))),
            TargetSpec::Files(files) => Ok(Self::Files(Box::new(Files::new(files, load.post_timeout, parameters)?))),
            TargetSpec::Postgres(table) => Ok(Self::Postgres(PostgresTable::new(table, load.post_timeout))),
        }
    }

    /// The HTTP API that takes the records, where one does.
    #[must_use]
    pub fn http(&self) -> Option<&Loader> {
        match self {
            Self::Http(loader) => Some(loader),
            Self::Files(_) | Self::Postgres(_) => None,
        }
    }

    /// How the target is asked for records in doubt, when the pipeline says so.
    #[must_use]
    pub fn prober(&self) -> Option<&Prober> {
        self.http()?.prober()
    }

    /// How long one delivery may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        match self {
            Self::Http(loader) => loader.timeout(),
            Self::Files(files) => files.timeout(),
            Self::Postgres(table) => table.timeout(),
        }
    }

    /// Where records go, as it may be shown: without what may be secret in it.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        match self {
            Self::Http(loader) => loader.url().as_str().split('?').next().unwrap_or_default().into(),
            Self::Files(files) => files.url().into(),
            Self::Postgres(table) => format!("the table {}", table.name()).into(),
        }
    }

    /// Whether an answer may say what became of each record of a delivery.
    #[must_use]
    pub fn is_per_record(&self) -> bool {
        self.http().is_some_and(Loader::is_per_record)
    }

    /// What goes out for these records, in the order given; before compression.
    #[must_use]
    pub fn body<'a>(&self, records: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
        match self {
            Self::Http(loader) => loader.body(records),
            Self::Postgres(_) => crate::load::array_body(records),
            Self::Files(files) => files.body(records),
        }
    }

    /// Waits until a delivery may be announced: one that `repeats` another may have to wait longer.
    pub async fn turn(&self, requester: &Requester, repeats: bool) -> Turn {
        match self {
            Self::Http(loader) => requester.turn(loader.url(), repeats).await,
            Self::Files(files) => files.turn(requester, repeats).await,
            Self::Postgres(table) => table.turn().await,
        }
    }

    /// Whether the target can be reached, without sending it anything.
    pub async fn reachable(&self, requester: &Requester) -> bool {
        match self {
            Self::Http(loader) => requester.reachable(loader.url()).await,
            Self::Files(files) => files.reachable(requester).await,
            Self::Postgres(table) => table.reachable().await,
        }
    }

    /// Sends a delivery that was announced, once, and says what became of it.
    ///
    /// `deadline` is when the caller's right to send ends: nothing is sent or waited for beyond it. Dropping the future
    /// leaves the delivery in doubt.
    pub async fn deliver(
        &self,
        requester: &Requester,
        delivery: Delivery<'_>,
        deadline: Instant,
        turn: Turn,
    ) -> PostOutcome {
        match self {
            Self::Http(loader) => requester.post(loader, &delivery, deadline, turn).await,
            Self::Files(files) => files.deliver(requester, delivery, deadline, turn).await,
            Self::Postgres(table) => {
                let outcome = table.deliver(&delivery, deadline).await;
                drop(turn);
                outcome
            }
        }
    }
}
