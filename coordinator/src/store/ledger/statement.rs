//! Statements and what goes in and comes out of them, the same for every kind of database.

use crate::domain::BatchRef;
use crate::store::{StoreError, Swept};

/// One statement: its text for each kind of database, from the file of its name in `sql/`.
pub(in crate::store) struct Statement {
    /// That of its file.
    pub name: &'static str,
    /// Parameters are `?1`, `?2`, ...
    pub sqlite: &'static str,
    /// Parameters are `$1`, `$2`, ...
    pub postgres: &'static str,
}

/// The statement of this name.
macro_rules! sql {
    ($name:literal) => {{
        const STATEMENT: &$crate::store::ledger::Statement = &$crate::store::ledger::Statement {
            name: $name,
            sqlite: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/sqlite/sql/", $name, ".sql")),
            postgres: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/postgres/sql/", $name, ".sql")),
        };
        STATEMENT
    }};
}
pub(in crate::store) use sql;

/// What a statement is given, or gives. Nothing has a type too: PostgreSQL asks for it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) enum Value {
    /// Numbers, codes, times; flags as 0 and 1.
    Int(Option<i64>),
    /// Shares.
    Real(Option<f64>),
    /// Words.
    Text(Option<String>),
    /// Digests, places, bodies.
    Blob(Option<Vec<u8>>),
}

/// Can be given to a statement.
pub(in crate::store) trait ToValue {
    fn to_value(&self) -> Value;
}

macro_rules! to_value {
    ($kind:ident, $as:ty: $($type:ty => $convert:expr),* $(,)?) => { $(
        impl ToValue for $type {
            fn to_value(&self) -> Value {
                let convert: fn(&$type) -> $as = $convert;
                Value::$kind(Some(convert(self)))
            }
        }
        impl ToValue for Option<$type> {
            fn to_value(&self) -> Value {
                let convert: fn(&$type) -> $as = $convert;
                Value::$kind(self.as_ref().map(convert))
            }
        }
    )* };
}

to_value!(Int, i64:
    i64 => |value| *value, u32 => |value| i64::from(*value), i32 => |value| i64::from(*value),
    u16 => |value| i64::from(*value), bool => |value| i64::from(*value));
to_value!(Real, f64: f64 => |value| *value);
to_value!(Text, String: String => |value| value.clone(), &str => |value| (*value).to_owned());
to_value!(Blob, Vec<u8>:
    Vec<u8> => |value| value.clone(), &[u8] => |value| value.to_vec(), [u8; 16] => |value| value.to_vec(),
    [u8; 32] => |value| value.to_vec());

impl<T: ToValue> ToValue for &T {
    fn to_value(&self) -> Value {
        (*self).to_value()
    }
}

/// Values for a statement's parameters, in order.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::store::ledger::ToValue::to_value(&$value)),*] as &[$crate::store::ledger::Value]
    };
}
pub(in crate::store) use params;

/// Can be read from a row. `None`: the value is of another kind or out of bounds.
pub(in crate::store) trait FromValue: Sized {
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Int(number) => *number,
            _ => None,
        }
    }
}

macro_rules! from_number {
    ($($type:ty),*) => { $(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                i64::from_value(value).and_then(|number| Self::try_from(number).ok())
            }
        }
    )* };
}
from_number!(i32, u32, u16);

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        i64::from_value(value).map(|number| number != 0)
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Real(number) => *number,
            _ => None,
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => text.clone(),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Blob(bytes) => bytes.clone(),
            _ => None,
        }
    }
}

impl<const N: usize> FromValue for [u8; N] {
    fn from_value(value: &Value) -> Option<Self> {
        Vec::from_value(value).and_then(|bytes| bytes.try_into().ok())
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Int(None) | Value::Real(None) | Value::Text(None) | Value::Blob(None) => Some(None),
            some => T::from_value(some).map(Some),
        }
    }
}

/// A row that a statement gave.
#[derive(Debug, Clone)]
pub(in crate::store) struct Row(pub Vec<Value>);

impl Row {
    /// The value of a column, from 0.
    pub fn get<T: FromValue>(&self, column: usize) -> SqlResult<T> {
        let value = self.0.get(column);
        value.and_then(T::from_value).ok_or_else(|| {
            let found = value.map_or("nothing".to_owned(), |value| format!("{value:?}"));
            let wanted = std::any::type_name::<T>();
            Fault::bad(format!("column {column} is {found}, which is no {wanted}"))
        })
    }
}

/// Why a statement gave nothing.
#[derive(Debug, Clone)]
pub(in crate::store) enum Fault {
    /// One row was asked for, and there is none.
    NoRow,
    /// Another transaction was in the way: the whole transition may be tried again.
    InTheWay(String),
    /// By what the caller does next.
    Store(StoreError),
}

impl Fault {
    /// A value that the schema does not allow.
    pub fn bad(what: impl Into<String>) -> Self {
        Self::Store(StoreError::Damaged(what.into()))
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NoRow => Self::Damaged("a row that must be there is not".to_owned()),
            Fault::InTheWay(reason) => Self::Unavailable(reason),
            Fault::Store(error) => error,
        }
    }
}

/// What a statement gives.
pub(in crate::store) type SqlResult<T> = Result<T, Fault>;

/// For rows that need not be there.
pub(in crate::store) trait OptionalRow<T> {
    fn optional(self) -> SqlResult<Option<T>>;
}

impl<T> OptionalRow<T> for SqlResult<T> {
    fn optional(self) -> SqlResult<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Fault::NoRow) => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

/// How a transition holds a run: so that it stays as it is, or so that nobody else changes anything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Hold {
    /// Others may hold it too.
    Together,
    /// Nobody else does.
    Alone,
}

/// A connection within a transaction. What runs several times takes `columns`: for each of these rows of values, put
/// behind `values`, once; one statement on the wire where there is a wire.
pub(in crate::store) trait Connection {
    /// Runs a statement; gives how many rows it changed.
    fn execute(&self, statement: &Statement, values: &[Value]) -> SqlResult<usize>;
    /// Runs a statement; gives all its rows.
    fn query(&self, statement: &Statement, values: &[Value]) -> SqlResult<Vec<Row>>;
    /// Runs a statement for each of these; gives how many rows it changed in all.
    fn execute_each(&self, statement: &Statement, values: &[Value], each: &[Vec<Value>]) -> SqlResult<usize>;
    /// Runs a statement for each of these; gives all its rows, in no order.
    fn query_each(&self, statement: &Statement, values: &[Value], each: &[Vec<Value>]) -> SqlResult<Vec<Row>>;
    /// Holds a run until the transaction ends. Before anything else of the run is held.
    fn hold(&self, run: i64, how: Hold) -> SqlResult<()>;
    /// Holds the granting of batches of these runs (and rounds) alone until the transaction ends.
    fn hold_grants(&self, runs: &[(i64, u32)]) -> SqlResult<()>;
    /// Holds batches alone until the transaction ends.
    fn hold_batches(&self, batches: &[BatchRef]) -> SqlResult<()>;
    /// Gives space of deleted rows back to the file system, where somebody must.
    fn give_space_back(&self) -> SqlResult<Swept>;
}

impl dyn Connection + '_ {
    /// The first row of a statement.
    pub fn query_row<T>(
        &self,
        statement: &Statement,
        values: &[Value],
        read: impl FnOnce(&Row) -> SqlResult<T>,
    ) -> SqlResult<T> {
        self.query(statement, values)?.first().ok_or(Fault::NoRow).and_then(read)
    }

    /// All rows of a statement.
    pub fn query_map<T>(
        &self,
        statement: &Statement,
        values: &[Value],
        read: impl FnMut(&Row) -> SqlResult<T>,
    ) -> SqlResult<Vec<T>> {
        self.query(statement, values)?.iter().map(read).collect()
    }
}
