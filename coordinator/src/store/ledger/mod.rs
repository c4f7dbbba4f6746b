//! The ledger's transitions and queries, as they run on every kind of database: what is decided is here, how a database is
//! asked stands in `sqlite/sql` and `postgres/sql`, a file for each statement.
//!
//! They are plain code on one connection: SQLite has no wire to wait for, and on PostgreSQL each runs on a thread of its
//! own, of which there are as many as connections, or in a group, for which `postgres/ahead.rs` reads and writes.
//!
//! Where transactions run at the same time, they take what they change in one order, so that they wait for each other and
//! never in a circle: the worker's session, the run (together with others, or alone), its listing or its batch, then the run's
//! counters. An acquisition that counts workers holds the granting of these runs before it takes batches, and waits for nothing
//! after that.

mod acquire;
mod batches;
mod dead_letters;
mod declined;
mod deliveries;
mod doubts;
mod evidence;
mod export;
mod fleet;
mod history;
mod items;
mod leases;
mod listing;
mod outbox;
mod page_ids;
mod pages;
mod protection;
mod queries;
mod rates;
mod reports;
mod retention;
mod rounds;
mod rows;
mod run_report;
mod runs;
mod serving;
mod sessions;
mod settling;
mod shares;
mod statement;
mod stock;
mod stories;
mod suspects;
mod transitions;
mod tx;
mod unchanged;
mod unknown;
mod writable;

pub(super) use acquire::acquire;
pub(super) use leases::expire_embedded;
pub(super) use listing::free_all;
pub(super) use outbox::free_notices;
pub(super) use serving::Serving;
pub(super) use statement::{
    Connection, Fault, Hold, OptionalRow, Row, SqlResult, Statement, ToValue, Value, params, sql,
};
pub(super) use tx::{Database, Halt, Tx, View, words_of};
pub(super) use writable::{News, Writable};
