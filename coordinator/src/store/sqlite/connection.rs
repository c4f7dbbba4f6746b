//! Statements on a SQLite connection.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::classify;
use crate::domain::BatchRef;
use crate::store::Swept;
use crate::store::ledger::{Connection as Statements, Fault, Hold, Row, SqlResult, Statement, Value};

/// Free pages that are given back at once at most.
const PAGES: u32 = 2_000;

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Int(Some(number)) => ValueRef::Integer(*number),
            Self::Real(Some(number)) => ValueRef::Real(*number),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Blob(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Int(None) | Self::Real(None) | Self::Text(None) | Self::Blob(None) => ValueRef::Null,
        }))
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(classify(&error))
    }
}

fn value(found: ValueRef<'_>) -> SqlResult<Value> {
    Ok(match found {
        // Which kind of nothing makes no difference to whoever reads it.
        ValueRef::Null => Value::Int(None),
        ValueRef::Integer(number) => Value::Int(Some(number)),
        ValueRef::Real(number) => Value::Real(Some(number)),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(Some(text.to_owned())),
            Err(error) => return Err(Fault::bad(format!("a text is no UTF-8: {error}"))),
        },
        ValueRef::Blob(bytes) => Value::Blob(Some(bytes.to_vec())),
    })
}

/// All rows that a statement gives.
fn gather(mut rows: rusqlite::Rows<'_>, columns: usize, into: &mut Vec<Row>) -> SqlResult<()> {
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| value(row.get_ref(column)?));
        into.push(Row(values.collect::<SqlResult<_>>()?));
    }
    Ok(())
}

impl Statements for Connection {
    fn execute(&self, statement: &Statement, values: &[Value]) -> SqlResult<usize> {
        Ok(self.prepare_cached(statement.sqlite)?.execute(params_from_iter(values))?)
    }

    fn query(&self, statement: &Statement, values: &[Value]) -> SqlResult<Vec<Row>> {
        self.query_each(statement, values, &[Vec::new()])
    }

    fn execute_each(&self, statement: &Statement, values: &[Value], each: &[Vec<Value>]) -> SqlResult<usize> {
        let mut statement = self.prepare_cached(statement.sqlite)?;
        let mut rows = 0;
        for more in each {
            rows += statement.execute(params_from_iter(values.iter().chain(more)))?;
        }
        Ok(rows)
    }

    fn query_each(&self, statement: &Statement, values: &[Value], each: &[Vec<Value>]) -> SqlResult<Vec<Row>> {
        let mut statement = self.prepare_cached(statement.sqlite)?;
        let columns = statement.column_count();
        let mut found = Vec::new();
        for more in each {
            gather(statement.query(params_from_iter(values.iter().chain(more)))?, columns, &mut found)?;
        }
        Ok(found)
    }

    /// The whole file is held: one transaction writes at a time.
    fn hold(&self, _run: i64, _how: Hold) -> SqlResult<()> {
        Ok(())
    }

    fn hold_grants(&self, _runs: &[(i64, u32)]) -> SqlResult<()> {
        Ok(())
    }

    fn hold_batches(&self, _batches: &[BatchRef]) -> SqlResult<()> {
        Ok(())
    }

    /// The file gets shorter with the next checkpoint.
    fn give_space_back(&self) -> SqlResult<Swept> {
        let free = |name: &str| self.query_row(name, [], |row| row.get::<_, u32>(0));
        let before = free("PRAGMA freelist_count")?;
        if before == 0 {
            return Ok(Swept::default());
        }
        // Each step gives one page back.
        let mut statement = self.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
        let mut steps = statement.query([])?;
        while steps.next()?.is_some() {}
        let after = free("PRAGMA freelist_count")?;
        // A file that cannot give pages back (made before this was possible) is not asked again and again.
        Ok(Swept { rows: 0, more: after > 0 && after < before })
    }
}
