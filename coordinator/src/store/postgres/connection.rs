//! Statements on a PostgreSQL connection, waited for on a thread that has nothing else to do.

use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Column, PgConnection, Postgres, Row as _, TypeInfo, ValueRef as _};
use tokio::runtime::{Handle, Runtime};

use crate::domain::BatchRef;
use crate::store::ledger::{Connection, Fault, Hold, Row, SqlResult, Statement, Value, params};
use crate::store::{StoreError, Swept};

/// How long a transition's statement may run in the database.
pub(super) const STATEMENT: Duration = Duration::from_secs(30);
/// How long a query's may: an audit counts the records of a run that may have ten millions.
pub(super) const QUERY: Duration = Duration::from_secs(600);
/// How long it waits for a row that another transaction holds.
pub(super) const LOCK: Duration = Duration::from_secs(5);
/// After so much longer without an answer nobody is there any more: the database would have ended the statement before.
const ANSWER: Duration = Duration::from_secs(5);

/// The same for the first statement on a connection that was kept: a machine that went away without a word leaves a pool of
/// these, which must not be found out one by one in the time of a long statement.
const KEPT: Duration = Duration::from_secs(3);

/// A statement that only this kind of database has.
macro_rules! own_sql {
    ($name:literal) => {
        &$crate::store::ledger::Statement {
            name: $name,
            sqlite: "",
            postgres: include_str!(concat!("sql/", $name, ".sql")),
        }
    };
}
pub(super) use own_sql;

/// Who looks at the sockets while a thread waits for an answer.
#[derive(Clone, Copy)]
pub(super) enum Driver<'a> {
    /// The threads of a runtime that does other things, too.
    Others(&'a Handle),
    /// The thread itself.
    Itself(&'a Runtime),
}

impl Driver<'_> {
    pub fn block_on<F: Future>(self, what: F) -> F::Output {
        match self {
            Self::Others(runtime) => runtime.block_on(what),
            Self::Itself(runtime) => runtime.block_on(what),
        }
    }
}

/// A connection as the thread of a transition has it.
pub(super) struct Wire<'a> {
    connection: RefCell<&'a mut PgConnection>,
    driver: Driver<'a>,
    /// How long an answer is waited for.
    patience: Duration,
}

impl<'a> Wire<'a> {
    /// For statements that may run for so long.
    pub fn new(connection: &'a mut PgConnection, driver: Driver<'a>, statement: Duration) -> Self {
        Self { connection: RefCell::new(connection), driver, patience: statement + ANSWER }
    }

    /// For the first statement on a connection that was kept.
    pub fn kept(connection: &'a mut PgConnection, driver: Driver<'a>) -> Self {
        Self { connection: RefCell::new(connection), driver, patience: KEPT }
    }

    /// Waits for an answer, but not for ever: the machine at the other end may be gone without a word.
    fn wait<T>(&self, answer: impl Future<Output = Result<T, sqlx::Error>>) -> SqlResult<T> {
        let answered = self.driver.block_on(async { tokio::time::timeout(self.patience, answer).await });
        let silent = || format!("no answer within {} s", self.patience.as_secs());
        match answered {
            Ok(answer) => answer.map_err(|error| classify(&error)),
            Err(_) => Err(Fault::Store(StoreError::Unavailable(silent()))),
        }
    }

    /// Runs statements that have no parameters.
    pub fn script(&self, text: &str) -> SqlResult<()> {
        let mut connection = self.connection.borrow_mut();
        self.wait(sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut **connection)).map(drop)
    }

    fn rows(&self, query: Query<'_, Postgres, PgArguments>) -> SqlResult<Vec<Row>> {
        let mut connection = self.connection.borrow_mut();
        let rows = self.wait(query.fetch_all(&mut **connection))?;
        rows.iter().map(read).collect()
    }

    fn run(&self, query: Query<'_, Postgres, PgArguments>) -> SqlResult<usize> {
        let mut connection = self.connection.borrow_mut();
        let done = self.wait(query.execute(&mut **connection))?;
        Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
    }
}

impl Connection for Wire<'_> {
    fn execute(&self, statement: &Statement, values: &[Value]) -> SqlResult<usize> {
        self.run(with(statement, values))
    }

    fn query(&self, statement: &Statement, values: &[Value]) -> SqlResult<Vec<Row>> {
        self.rows(with(statement, values))
    }

    fn execute_each(&self, statement: &Statement, values: &[Value], each: &[Vec<Value>]) -> SqlResult<usize> {
        if each.is_empty() { Ok(0) } else { self.run(with_columns(with(statement, values), each)) }
    }

    fn query_each(&self, statement: &Statement, values: &[Value], each: &[Vec<Value>]) -> SqlResult<Vec<Row>> {
        if each.is_empty() { Ok(Vec::new()) } else { self.rows(with_columns(with(statement, values), each)) }
    }

    fn hold(&self, run: i64, how: Hold) -> SqlResult<()> {
        let statement = match how {
            Hold::Together => own_sql!("run_hold_together"),
            Hold::Alone => own_sql!("run_hold_alone"),
        };
        self.query(statement, params![run]).map(drop)
    }

    fn hold_grants(&self, runs: &[(i64, u32)]) -> SqlResult<()> {
        let each: Vec<_> = runs.iter().map(|(run, round)| params![run, round].to_vec()).collect();
        self.query_each(own_sql!("round_hold_grants"), params![], &each).map(drop)
    }

    fn hold_batches(&self, batches: &[BatchRef]) -> SqlResult<()> {
        let each: Vec<_> = batches.iter().map(|of| params![of.run, of.round, of.batch].to_vec()).collect();
        self.query_each(own_sql!("batches_hold"), params![], &each).map(drop)
    }

    /// Autovacuum does.
    fn give_space_back(&self) -> SqlResult<Swept> {
        Ok(Swept::default())
    }
}

/// A text as the database takes it: no NUL, which JSON texts never have, but what a server said may.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn with<'q>(statement: &Statement, values: &[Value]) -> Query<'q, Postgres, PgArguments> {
    values.iter().fold(sqlx::query(statement.postgres), |query, value| match value {
        Value::Int(number) => query.bind(*number),
        Value::Real(number) => query.bind(*number),
        Value::Text(words) => query.bind(words.as_deref().map(text)),
        Value::Blob(bytes) => query.bind(bytes.clone()),
    })
}

/// Binds the columns of these rows as arrays.
fn with_columns<'q>(query: Query<'q, Postgres, PgArguments>, each: &[Vec<Value>]) -> Query<'q, Postgres, PgArguments> {
    let columns = each.first().map_or(0, Vec::len);
    (0..columns).fold(query, |query, column| {
        let values = each.iter().filter_map(|row| row.get(column));
        // What a column is, its first value says: all of one come from the same code.
        match each.first().and_then(|row| row.get(column)) {
            Some(Value::Int(_)) => query.bind(values.map(int).collect::<Vec<_>>()),
            Some(Value::Real(_)) => query.bind(values.map(real).collect::<Vec<_>>()),
            Some(Value::Text(_)) => query.bind(values.map(words).collect::<Vec<_>>()),
            Some(Value::Blob(_)) => query.bind(values.map(bytes).collect::<Vec<_>>()),
            None => query,
        }
    })
}

fn int(value: &Value) -> Option<i64> {
    if let Value::Int(number) = value { *number } else { None }
}

fn real(value: &Value) -> Option<f64> {
    if let Value::Real(number) = value { *number } else { None }
}

fn words(value: &Value) -> Option<String> {
    if let Value::Text(words) = value { words.as_deref().map(text) } else { None }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    if let Value::Blob(bytes) = value { bytes.clone() } else { None }
}

/// A row by the types of its columns.
fn read(row: &PgRow) -> SqlResult<Row> {
    let value = |column: usize| -> Result<Value, sqlx::Error> {
        let found = row.try_get_raw(column)?;
        if found.is_null() {
            return Ok(Value::Int(None));
        }
        let kind = found.type_info();
        Ok(match kind.name() {
            "INT8" => Value::Int(Some(row.try_get(column)?)),
            "INT4" => Value::Int(Some(row.try_get::<i32, _>(column)?.into())),
            "INT2" => Value::Int(Some(row.try_get::<i16, _>(column)?.into())),
            "BOOL" => Value::Int(Some(row.try_get::<bool, _>(column)?.into())),
            "FLOAT8" => Value::Real(Some(row.try_get(column)?)),
            "BYTEA" => Value::Blob(Some(row.try_get(column)?)),
            _ => Value::Text(Some(row.try_get(column)?)),
        })
    };
    let columns = row.columns().iter().map(|column| value(column.ordinal()));
    Ok(Row(columns.collect::<Result<_, _>>().map_err(|error| classify(&error))?))
}

/// Errors by what the caller does next. PostgreSQL's manual, appendix A, has the codes.
pub(super) fn classify(error: &sqlx::Error) -> Fault {
    let unavailable = |reason: String| Fault::Store(StoreError::Unavailable(reason));
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default().into_owned();
            let reason = format!("{} (SQLSTATE {code})", database.message());
            match code.as_str() {
                // Serialization, deadlock, a lock that was waited for too long; a row that another transaction wrote, or
                // took out, at the same moment.
                "40001" | "40P01" | "55P03" | "23505" | "23503" => Fault::InTheWay(reason),
                // Connection, resources, limits of the system; ended by somebody or starting up; a standby.
                _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => unavailable(reason),
                "25006" | "25P03" => unavailable(reason),
                _ => Fault::Store(StoreError::Damaged(reason)),
            }
        }
        sqlx::Error::PoolTimedOut => unavailable("no connection became free in time".to_owned()),
        sqlx::Error::PoolClosed => unavailable("the coordinator is shutting down".to_owned()),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            unavailable(error.to_string())
        }
        _ => Fault::Store(StoreError::Damaged(error.to_string())),
    }
}
