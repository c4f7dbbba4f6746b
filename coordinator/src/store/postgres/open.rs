//! Opening a ledger on PostgreSQL: that it can be written, that what it commits is on a disk, which version it has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{LOCK, STATEMENT, own_sql};
use super::lane::Lanes;
use super::notices::{self, Channel};
use super::time::Time;
use super::transactions::BEGIN;
use super::{CONNECTIONS, PostgresStore, READERS, Shared, WRITERS, acquisitions, groups, migrations};
use crate::planted::{Bug, Planted};
use crate::store::ledger::{Database, Writable, expire_embedded};
use crate::store::{Events, StoreError};

/// How long a call waits for a connection, while the database is away for instance.
pub(super) const ACQUIRE: Duration = Duration::from_secs(4);
/// A transaction of a process that stands still holds rows no longer than this.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(60);
/// Statements that a connection keeps prepared: all that there are.
const PREPARED: usize = 256;

/// How long a database may take to start, and how often it is looked at.
const STARTS_WITHIN: Duration = Duration::from_secs(10);
const START_AGAIN: Duration = Duration::from_millis(250);

/// How to open a store.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Serve although the database may lose what it has committed; every verdict says so.
    pub accept_data_loss: bool,
    /// Bugs that tests switch on.
    pub planted: Planted,
}

/// Why a ledger cannot be opened: what, where, what to do. No password is in it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL.
    #[error("{0}")]
    Url(String),
    /// Not there, not reachable, not to be entered.
    #[error("the database {place} cannot be opened: {reason}{}", advice.map(|text| format!("; {text}")).unwrap_or_default())]
    Failed {
        /// Where, without a password.
        place: String,
        /// What was said.
        reason: String,
        /// What to do about it, where that is known.
        advice: Option<&'static str>,
    },
    /// A standby.
    #[error("{0} is a read replica (in recovery), and a ledger must be written: name its primary")]
    Replica(String),
    /// Commits are acknowledged before they are safe.
    #[error(
        "{place} runs with {setting}: what it acknowledges may be lost when its machine loses power, and records with it. \
         Set it to on (ALTER SYSTEM SET {}), or say --accept-data-loss: then every verdict says durability=degraded",
        setting.replace(" = off", " = on")
    )]
    NotDurable {
        /// Where.
        place: String,
        /// Which setting, and how it is.
        setting: String,
    },
    /// Not ours.
    #[error(
        "the schema {schema} of {place} has tables of another program and no ledger: name a database of its own, or a \
             schema of its own with ?options=-csearch_path%3DNAME"
    )]
    NotALedger {
        /// Where.
        place: String,
        /// Which.
        schema: String,
    },
    /// `search_path` names no schema that exists.
    #[error("{0} has no schema to work in: CREATE SCHEMA the one that its search_path names")]
    NoSchema(String),
    /// From the future.
    #[error("{place} has schema version {found}, this program knows up to {known}: use a newer muster")]
    TooNew {
        /// Where.
        place: String,
        /// Its version.
        found: i32,
        /// The newest this program knows.
        known: i32,
    },
    /// While it was looked at.
    #[error("the database cannot be prepared: {0}")]
    Sql(#[from] sqlx::Error),
    /// While it was looked at.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PostgresStore {
    /// Opens the ledger in the database at `url`, made if it is not there, upgraded if it is older.
    ///
    /// # Errors
    ///
    /// The database cannot be reached or entered, is a read replica, loses what it commits, or has something else in it.
    pub async fn open(url: &str, options: Options) -> Result<Self, OpenError> {
        Self::open_by(url, options, Time::new).await
    }

    /// The same, with the time as this makes it.
    pub(super) async fn open_by(
        url: &str,
        options: Options,
        time: impl FnOnce(Planted, bool) -> Time,
    ) -> Result<Self, OpenError> {
        let connect = muster_pipeline::postgres_options("the database's URL", url).map_err(OpenError::Url)?;
        let connect = connect.statement_cache_capacity(PREPARED);
        let place = format!(
            "postgres://{}:{}/{}",
            connect.get_host(),
            connect.get_port(),
            connect.get_database().unwrap_or_default()
        );
        let mut first = connect_first(&connect, &place).await?;
        let degraded = is_durable(&mut first, &place, options.accept_data_loss).await?.is_some();
        migrations::apply(&mut first, &place).await?;
        let schema = "SELECT oid::bigint FROM pg_namespace WHERE nspname = current_schema()";
        let schema: i64 = sqlx::query_scalar(schema).fetch_one(&mut first).await?;
        let notices = Channel::work_in(&mut first).await?;
        let together = own_sql!("begin_together").postgres;
        let looks_up = sqlx::raw_sql(together).execute(&mut first).await.is_ok();
        sqlx::raw_sql("ROLLBACK").execute(&mut first).await?;
        if options.planted.has(Bug::SeveralOpen) {
            // The schema would notice what the program does not.
            let not_unique = "DROP INDEX deliveries_open;
                CREATE INDEX deliveries_open ON deliveries (run, round, batch) WHERE state = 0;";
            sqlx::raw_sql(not_unique).execute(&mut first).await?;
        }
        first.close().await?;
        let mut own = [0; 8];
        getrandom::fill(&mut own).map_err(|error| StoreError::Unavailable(format!("no randomness: {error}")))?;
        let shared = Arc::new(Shared {
            pool: pool(CONNECTIONS).connect_lazy_with(connect.clone()),
            events: Events::default(),
            time: time(options.planted, degraded),
            notices: Channel::new(schema, hex::encode(own), notices),
            writable: Writable::new(Instant::now()),
            planted: options.planted,
            begin_together: if looks_up { together } else { BEGIN },
            place,
        });
        let permits = |connections: u32| Arc::new(Semaphore::new(connections as usize));
        let (writers, readers) = (permits(WRITERS), permits(READERS));
        let (closing, running) = (CancellationToken::new(), TaskTracker::new());
        let lanes = Lanes { pool: pool(2), connect, closing: closing.clone(), running: running.clone() };
        let threads = |error| StoreError::Unavailable(format!("no thread for transactions of many: {error}"));
        let groups = groups::start(&shared, &writers, &lanes).map_err(threads)?;
        let acquisitions = acquisitions::start(&shared, &lanes).map_err(threads)?;
        let store = Self { shared, writers, readers, groups, acquisitions, lanes: running, closing };
        store.begin_to_serve().await?;
        tokio::spawn(notices::listen(Arc::clone(&store.shared), store.closing.clone()));
        Ok(store)
    }

    /// The leases of workers that lived in a coordinator's process: a program that embeds workers is alone on its ledger.
    async fn begin_to_serve(&self) -> Result<(), StoreError> {
        self.call(|tx| expire_embedded(tx.connection, tx.now)).await
    }
}

/// The first connection. Databases and coordinators are often started together: it is waited for a little.
async fn connect_first(connect: &PgConnectOptions, place: &str) -> Result<PgConnection, OpenError> {
    let mut waited = Duration::ZERO;
    loop {
        let error = match PgConnection::connect_with(connect).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let starting = match &error {
            sqlx::Error::Io(_) => true,
            sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
            _ => false,
        };
        if !starting || waited >= STARTS_WITHIN {
            return Err(refused(place, &error));
        }
        if waited.is_zero() {
            tracing::warn!(
                database = place,
                error = %error,
                { muster_telemetry::names::NEXT } = "tried again for 10 s",
                "the database cannot be reached"
            );
        }
        tokio::time::sleep(START_AGAIN).await;
        waited += START_AGAIN;
    }
}

fn pool(connections: u32) -> PgPoolOptions {
    let set = format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}",
        STATEMENT.as_millis(),
        LOCK.as_millis(),
        IDLE_IN_TRANSACTION.as_millis()
    );
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        // Asked for with the first statement instead, which costs no time of its own: see `first`.
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let set = sqlx::raw_sql(sqlx::AssertSqlSafe(set.clone()));
            Box::pin(async move { connection.execute(set).await.map(drop) })
        })
}

/// Refuses what cannot be written, and what loses what was written, unless that will do. Gives what is wrong.
async fn is_durable(
    connection: &mut PgConnection,
    place: &str,
    accept_data_loss: bool,
) -> Result<Option<String>, OpenError> {
    if sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut *connection).await? {
        return Err(OpenError::Replica(place.to_owned()));
    }
    let settings =
        "SELECT name FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit') AND setting = 'off' ORDER BY name";
    let off: Option<String> = sqlx::query_scalar(settings).fetch_optional(connection).await?;
    let Some(name) = off else { return Ok(None) };
    let setting = format!("{name} = off");
    if !accept_data_loss {
        return Err(OpenError::NotDurable { place: place.to_owned(), setting });
    }
    tracing::warn!(
        database = place,
        setting,
        { muster_telemetry::names::NEXT } = "every verdict of a run of this time says durability=degraded",
        "the database may lose what it has acknowledged, and somebody said that this will do"
    );
    Ok(Some(setting))
}

/// What was said, and what to do about it.
fn refused(place: &str, error: &sqlx::Error) -> OpenError {
    let (reason, advice) = match error {
        sqlx::Error::Io(error) => (error.to_string(), Some("is it running there, and may this machine reach it?")),
        sqlx::Error::Tls(error) => (error.to_string(), Some("look at sslmode and sslrootcert in the URL")),
        sqlx::Error::Database(error) => {
            let advice = match error.code().as_deref() {
                Some("28P01" | "28000") => Some(
                    "look at user and password in the URL (better in MUSTER_DATABASE_URL or ~/.pgpass than in a flag)",
                ),
                Some("3D000") => Some("CREATE DATABASE it first"),
                Some("53300") => Some("raise its max_connections: each coordinator takes up to 19"),
                Some("57P03") => Some("it is starting up or shutting down: try again"),
                _ => None,
            };
            (error.message().to_owned(), advice)
        }
        other => (other.to_string(), None),
    };
    OpenError::Failed { place: place.to_owned(), reason, advice }
}
