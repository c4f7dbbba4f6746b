//! The schema's versions: each a file, applied in order. Forward only: whoever wants to go back restores a backup.

use sqlx::{Connection, PgConnection};

use super::open::OpenError;

/// All versions, oldest first. A released file never changes.
const MIGRATIONS: &[&str] =
    &[include_str!("migrations/0001_ledger.sql"), include_str!("migrations/0004_identities.sql")];

/// Whoever looks at or changes the schema holds this lock: "MSTR", and the ledger of which schema.
const LOCK: i32 = 0x4d53_5452;

/// The version that this program writes.
pub(super) fn current() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Brings the schema to the current version, from none at all or from an older one. All versions in one transaction, one
/// coordinator at a time: the others wait for it and find it done. An advisory lock, because there may be no table yet
/// that could be locked; not on the way of any transition.
pub(super) async fn apply(connection: &mut PgConnection, place: &str) -> Result<(), OpenError> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await?;
    let found = version(&mut transaction, place).await?;
    if found > current() {
        return Err(OpenError::TooNew { place: place.to_owned(), found, known: current() });
    }
    if found == current() {
        return Ok(());
    }
    for step in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
    }
    sqlx::query("UPDATE muster_schema SET version = $1").bind(current()).execute(&mut *transaction).await?;
    transaction.commit().await?;
    if found > 0 {
        tracing::info!(from = found, to = current(), database = place, "the ledger was upgraded");
    }
    Ok(())
}

/// The version of the schema, 0 of an empty one, which gets a place for it; an error for the tables of another program.
async fn version(connection: &mut PgConnection, place: &str) -> Result<i32, OpenError> {
    let tables = "SELECT count(*) FILTER (WHERE tablename = 'muster_schema'), count(*), current_schema()::text
                  FROM pg_tables WHERE schemaname = current_schema()";
    let (ours, all, schema): (i64, i64, Option<String>) = sqlx::query_as(tables).fetch_one(&mut *connection).await?;
    let schema = schema.ok_or_else(|| OpenError::NoSchema(place.to_owned()))?;
    if ours > 0 {
        return Ok(sqlx::query_scalar("SELECT version FROM muster_schema").fetch_one(connection).await?);
    }
    if all > 0 {
        return Err(OpenError::NotALedger { place: place.to_owned(), schema });
    }
    let place_for_it = "CREATE TABLE muster_schema (version integer NOT NULL); INSERT INTO muster_schema VALUES (0)";
    sqlx::raw_sql(place_for_it).execute(connection).await?;
    Ok(0)
}
