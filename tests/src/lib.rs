//! The harness of the end-to-end tests: real processes, and the stand-in's book as the judge.
//!
//! Nothing here looks at Muster from inside but [`ledger`], which reads the ledger's file as it is, to hold it against
//! the book.

pub mod bench;
pub mod browser;
pub mod capture;
pub mod cluster;
pub mod datasette;
pub mod deadline;
pub mod disk;
pub mod http;
pub mod judge;
pub mod ledger;
pub mod otlp;
pub mod pipelines;
pub mod powerless;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod scale;
pub mod terminal;
pub mod turn;
pub mod wire;

pub use muster_postgres as postgres;
