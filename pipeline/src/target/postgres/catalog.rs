//! What the database says of a table, and the statements that follow from it.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::outcome::Failure;
use crate::error::suggest;
use crate::record_id::RecordId;

/// The table of marks, in the schema of the table that takes the records.
const MARKS: &str = "muster_loaded";
/// Whoever makes a table of marks holds this lock: a number that nobody else is likely to use.
const MAKING: i64 = 0x006d_7573_7465_7201;

const DESCRIBE: &str = "
    SELECT n.nspname::text, c.relname::text, array_agg(a.attname::text ORDER BY a.attnum),
           EXISTS (SELECT 1 FROM pg_class m WHERE m.relnamespace = n.oid AND m.relname = 'muster_loaded')
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.oid = to_regclass($1)
    GROUP BY n.oid, n.nspname, c.relname";

/// A table that takes records.
#[derive(Debug)]
pub(super) struct Table {
    schema: String,
    name: String,
    columns: Vec<String>,
}

impl Table {
    /// Asks the database about a table, and makes sure that there is a table of marks beside it. A transaction is open and
    /// has done nothing; `begin` begins it anew.
    pub(super) async fn describe(connection: &mut PgConnection, name: &str, begin: &str) -> Result<Self, Failure> {
        let quoted = name.split('.').map(quote).collect::<Vec<_>>().join(".");
        let Some(row) = sqlx::query(DESCRIBE).bind(quoted).fetch_optional(&mut *connection).await? else {
            return Err(Failure::Wrong(format!(
                "the database has no table {name}, or its user does not see it; CREATE TABLE it, or check \
                 load.postgres.table (capitals count; without a schema the user's search_path decides)"
            )));
        };
        let table = Self { schema: row.try_get(0)?, name: row.try_get(1)?, columns: row.try_get(2)? };
        if !row.try_get::<bool, _>(3)? {
            // On its own: whoever knows of the table must not lose it again with a delivery that is taken back.
            let making = format!("ROLLBACK; {}; {begin}", table.make_marks());
            sqlx::raw_sql(AssertSqlSafe(making)).execute(connection).await?;
        }
        Ok(table)
    }

    /// Whether it has this column.
    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|known| known == column)
    }

    /// That it lacks a column, in words.
    pub(super) fn has_no_column(&self, column: &str, record: &RecordId) -> String {
        let shown: String = column.chars().take(80).collect();
        format!(
            "the table {}.{} has no column \"{shown}\", which record {record} has ({}); rename or drop it in the \
             transform, or ALTER TABLE … ADD COLUMN",
            self.schema,
            self.name,
            suggest(&shown, self.columns.iter().map(String::as_str))
        )
    }

    /// Makes the table of marks: IF NOT EXISTS alone fails when two do it at once.
    fn make_marks(&self) -> String {
        format!(
            "BEGIN; SELECT pg_advisory_xact_lock({MAKING}); CREATE TABLE IF NOT EXISTS {} (run text NOT NULL, record_id text \
             NOT NULL, delivery_key text NOT NULL, loaded_at timestamptz NOT NULL, PRIMARY KEY (run, record_id)); COMMIT",
            self.beside(MARKS)
        )
    }

    /// Marks records: run, IDs, key of the delivery. In one order, so that two deliveries wait for each other instead of
    /// standing in each other's way.
    pub(super) fn mark(&self) -> String {
        format!(
            "INSERT INTO {} (run, record_id, delivery_key, loaded_at) SELECT $1, id, $3, now() FROM unnest($2) AS id \
             ORDER BY id ON CONFLICT DO NOTHING RETURNING record_id",
            self.beside(MARKS)
        )
    }

    /// Inserts a JSON array of records with these keys; where `update_by` names columns, a row that is there already with
    /// the same values in them is overwritten.
    pub(super) fn insert(&self, columns: &[&str], update_by: &[String]) -> String {
        let table = self.beside(&self.name);
        let list = |columns: &mut dyn Iterator<Item = String>| columns.collect::<Vec<_>>().join(", ");
        let names = list(&mut columns.iter().map(|column| quote(column)));
        let insert = format!(
            "INSERT INTO {table} ({names}) SELECT {names} FROM json_populate_recordset(NULL::{table}, $1::json)"
        );
        if update_by.is_empty() {
            return insert;
        }
        let by = list(&mut update_by.iter().map(|column| quote(column)));
        let others = columns.iter().filter(|column| !update_by.iter().any(|by| by == *column));
        let set = list(&mut others.map(|column| format!("{0} = EXCLUDED.{0}", quote(column))));
        match set.is_empty() {
            true => format!("{insert} ON CONFLICT ({by}) DO NOTHING"),
            false => format!("{insert} ON CONFLICT ({by}) DO UPDATE SET {set}"),
        }
    }

    /// A table of the same schema.
    fn beside(&self, name: &str) -> String {
        format!("{}.{}", quote(&self.schema), quote(name))
    }
}

/// A name as SQL has it, whatever is in it.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table { schema: "zoo".into(), name: "Odd\"one".into(), columns: vec!["id".into(), "name".into()] }
    }

    #[test]
    fn names_are_quoted_whatever_is_in_them() {
        assert_eq!(quote("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
        let table = table();
        assert_eq!(
            table.insert(&["id", "na\"me"], &[]),
            "INSERT INTO \"zoo\".\"Odd\"\"one\" (\"id\", \"na\"\"me\") SELECT \"id\", \"na\"\"me\" FROM \
             json_populate_recordset(NULL::\"zoo\".\"Odd\"\"one\", $1::json)"
        );
        assert!(table.mark().starts_with("INSERT INTO \"zoo\".\"muster_loaded\" "));
    }

    #[test]
    fn rows_are_overwritten_where_that_is_wished() {
        let by = ["id".to_owned()];
        let insert = table().insert(&["id", "name"], &by);
        assert!(insert.ends_with("ON CONFLICT (\"id\") DO UPDATE SET \"name\" = EXCLUDED.\"name\""), "{insert}");
        let insert = table().insert(&["id"], &by);
        assert!(insert.ends_with("ON CONFLICT (\"id\") DO NOTHING"), "{insert}");
    }

    #[test]
    fn a_missing_column_is_named_with_one_that_is_near() {
        let words = table().has_no_column("nmae", &RecordId::from(7));
        assert!(words.contains("\"nmae\", which record 7 has (did you mean \"name\"?)"), "{words}");
    }
}
