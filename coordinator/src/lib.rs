//! Muster's coordinator: lists sources, leases batches to workers, keeps the ledger and audits it.

mod access;
mod args;
mod audit;
mod audit_files;
mod catalog;
mod concluder;
mod coordinator;
pub mod domain;
mod grpc;
mod in_process;
mod lister;
mod measures;
mod notify;
pub mod planted;
mod rates;
mod reaper;
pub mod report;
mod service;
pub mod store;
mod sweeper;
mod traces;
mod web;
pub mod words;

pub use access::{Access, AccessArgs, AccessError};
pub use args::{CoordinatorArgs, is_usage, serve};
pub use catalog::{Catalog, CatalogError};
pub use coordinator::{Config, Coordinator, OpenError};
pub use notify::{Notify, NotifyArgs};
pub use web::HttpOptions;
