//! The schema's versions: each a file, applied in order. Nothing is undone: which programs may use what they lead to, see
//! `store/schema.rs`.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::connection::classify;
use super::open::OpenError;
use crate::store::ledger::Fault;
use crate::store::schema::{Fit, SchemaVersion, tell_of_newer};

/// All versions, oldest first. A released file never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_ledger.sql"),
    include_str!("migrations/0002_rates.sql"),
    include_str!("migrations/0003_shares.sql"),
    include_str!("migrations/0004_identities.sql"),
    include_str!("migrations/0005_resumed.sql"),
    include_str!("migrations/0006_lookups.sql"),
    include_str!("migrations/0007_traces.sql"),
    include_str!("migrations/0008_costs.sql"),
    include_str!("migrations/0009_notices.sql"),
    include_str!("migrations/0010_numbers.sql"),
    include_str!("migrations/0011_since.sql"),
];

/// Whoever looks at or changes the schema holds this lock: "MSTR", and the ledger of which schema.
const LOCK: i32 = 0x4d53_5452;

/// The version that a program must know to use a database that all of these were applied to: each but the first only adds to
/// what programs of version 1 use. It is what `muster_schema.version` says, where programs of version 1 look; what was
/// applied stands beside it.
const USABLE_FROM: i32 = 1;

/// How often an upgrade is tried that transactions of other coordinators, which go on meanwhile, are in the way of, ...
const TRIES: u32 = 20;
/// ... and how long it waits between two.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The version that this program writes.
pub(super) fn current() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Brings the schema to the current version, from none at all or from an older one. All versions in one transaction, one
/// coordinator at a time: the others wait for it and find it done.
pub(super) async fn apply(connection: &mut PgConnection, place: &str) -> Result<(), OpenError> {
    for _ in 1..TRIES {
        match attempt(connection, place).await {
            Err(OpenError::Sql(error)) if matches!(classify(&error), Fault::InTheWay(_)) => {
                tracing::info!(database = place, error = %error, "the upgrade of the ledger is tried again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            done => return done,
        }
    }
    attempt(connection, place).await
}

/// An advisory lock, because there may be no table yet that could be locked; not on the way of any transition. Coordinators
/// that serve meanwhile are waited for at each table only for a moment: whoever waits to change a table keeps everybody from it.
async fn attempt(connection: &mut PgConnection, place: &str) -> Result<(), OpenError> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql("SET LOCAL lock_timeout = '2s'").execute(&mut *transaction).await?;
    let found = version(&mut transaction, place).await?;
    match found.fit(current()) {
        Fit::Upgrade => {}
        Fit::Same => return Ok(()),
        Fit::NewerButUsable => {
            tell_of_newer(place, found, current());
            return Ok(());
        }
        Fit::TooNew => {
            return Err(OpenError::TooNew { place: place.to_owned(), found: found.newest(), known: current() });
        }
    }
    for step in MIGRATIONS.iter().skip(usize::try_from(found.applied).unwrap_or(0)) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
    }
    // Programs of version 1 made the table without it.
    sqlx::raw_sql("ALTER TABLE muster_schema ADD COLUMN IF NOT EXISTS applied integer")
        .execute(&mut *transaction)
        .await?;
    sqlx::query("UPDATE muster_schema SET version = $1, applied = $2")
        .bind(USABLE_FROM)
        .bind(current())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    if found.applied > 0 {
        tracing::info!(from = found.applied, to = current(), database = place, "the ledger was upgraded");
    }
    Ok(())
}

/// What the schema says of itself, 0 of an empty one, which gets a place for it; an error for the tables of another program.
async fn version(connection: &mut PgConnection, place: &str) -> Result<SchemaVersion, OpenError> {
    let tables = "SELECT count(*) FILTER (WHERE tablename = 'muster_schema'), count(*), current_schema()::text
                  FROM pg_tables WHERE schemaname = current_schema()";
    let (ours, all, schema): (i64, i64, Option<String>) = sqlx::query_as(tables).fetch_one(&mut *connection).await?;
    let schema = schema.ok_or_else(|| OpenError::NoSchema(place.to_owned()))?;
    if ours > 0 {
        // As JSON, because a statement cannot name a column that may not be there. Until version 1 both were the same.
        let told = "SELECT coalesce((to_jsonb(s) ->> 'applied')::integer, s.version), s.version FROM muster_schema s";
        let (applied, usable_from) = sqlx::query_as(told).fetch_one(connection).await?;
        return Ok(SchemaVersion { applied, usable_from });
    }
    if all > 0 {
        return Err(OpenError::NotALedger { place: place.to_owned(), schema });
    }
    let place_for_it = "CREATE TABLE muster_schema (version integer NOT NULL); INSERT INTO muster_schema VALUES (0)";
    sqlx::raw_sql(place_for_it).execute(connection).await?;
    Ok(SchemaVersion { applied: 0, usable_from: 0 })
}
