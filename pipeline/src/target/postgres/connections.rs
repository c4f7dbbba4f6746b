//! Connections to a database: opened when one is needed, kept for a while.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::Instant;
use url::Url;

use super::outcome::Failure;
use crate::spec::value::ValueTemplate;

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);
/// What may stand in the query of a URL: sqlx shows others, with their values, in the log.
const SETTINGS: [&str; 13] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

pub(super) struct Connections {
    /// Resolved for each connection, so that a password may be changed while a worker runs.
    url: ValueTemplate,
    kept: Arc<Kept>,
    away: AtomicBool,
}

#[derive(Default)]
struct Kept {
    idle: Mutex<Vec<(Instant, PgConnection)>>,
    swept: AtomicBool,
}

impl Connections {
    pub(super) fn new(url: ValueTemplate) -> Self {
        Self { url, kept: Arc::default(), away: AtomicBool::new(false) }
    }

    /// A connection that was kept, if there is one.
    pub(super) fn take(&self) -> Option<PgConnection> {
        self.kept.idle().pop().map(|(_, connection)| connection)
    }

    /// Keeps a connection on which no transaction is open.
    pub(super) fn give_back(&self, connection: PgConnection) {
        self.kept.idle().push((Instant::now(), connection));
        if !self.kept.swept.swap(true, Ordering::Relaxed) {
            tokio::spawn(sweep(Arc::downgrade(&self.kept)));
        }
    }

    /// A new connection.
    pub(super) async fn open(&self) -> Result<PgConnection, Failure> {
        let options = self.options()?;
        let opened = PgConnection::connect_with(&options).await.map_err(Failure::from_connecting);
        self.tell(&opened);
        opened
    }

    fn options(&self) -> Result<PgConnectOptions, Failure> {
        // It has references to secrets only: a parameter would put the URL into the ledger.
        let url =
            self.url.resolve(&BTreeMap::new(), &mut Vec::new()).map_err(|error| Failure::Wrong(error.to_string()))?;
        connect_options("what load.postgres.url refers to", url.expose_secret()).map_err(Failure::Wrong)
    }

    /// One line when the database goes away, and one when it is back.
    fn tell(&self, opened: &Result<PgConnection, Failure>) {
        match opened {
            Err(Failure::Unreachable(reason)) => {
                if !self.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        muster.reason = reason,
                        muster.next = "deliveries wait, with their records kept; a line tells when it is back",
                        "the database that takes the records cannot be reached"
                    );
                }
            }
            _ => {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("the database that takes the records can be reached again");
                }
            }
        }
    }
}

impl Kept {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, PgConnection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes connections that nobody uses any more, until there is none left or nobody to use them.
async fn sweep(kept: Weak<Kept>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut idle = kept.idle();
        idle.retain(|(since, _)| since.elapsed() < IDLE);
        if idle.is_empty() {
            // Under the lock: who gives one back next starts the next sweep.
            kept.swept.store(false, Ordering::Relaxed);
            return;
        }
    }
}

/// How to connect by what a URL such as `postgres://user:password@host:5432/database?sslmode=verify-full` says.
///
/// # Errors
///
/// It cannot be used: a sentence that calls it `named` and shows nothing of it.
pub fn connect_options(named: &str, url: &str) -> Result<PgConnectOptions, String> {
    let wrong = |what: &str| format!("{named} {what}; it is written like postgres://user:password@host:5432/database");
    let url = Url::parse(url.trim()).map_err(|_| wrong("is not a URL"))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(wrong("is not the URL of a PostgreSQL database"));
    }
    if url.query_pairs().any(|(name, _)| !SETTINGS.contains(&&*name) && !name.starts_with("options[")) {
        return Err(format!("{}; known settings in its query: {}", wrong("has an unknown one"), SETTINGS.join(", ")));
    }
    let options = PgConnectOptions::from_url(&url).map_err(|_| wrong("cannot be used"))?;
    let named = url.query_pairs().any(|(name, _)| name == "application_name");
    let options = if named { options } else { options.application_name("muster") };
    Ok(options.disable_statement_logging())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_url_is_shown_when_it_cannot_be_used() {
        for url in [
            "canary",
            "mysql://me:canary@host.test/db",
            "postgres://me:canary@host.test/db?passwrod=canary",
            "postgres://me:canary@host.test/db?sslmode=canary",
            "postgres://me:canary@host.test:canary/db",
        ] {
            let error = connect_options("the URL", url).unwrap_err();
            assert!(error.contains("the URL") && !error.contains("canary"), "{error}");
        }
        connect_options("it", "postgres://me:secret@host.test/db?sslmode=verify-full\n").unwrap();
    }
}
