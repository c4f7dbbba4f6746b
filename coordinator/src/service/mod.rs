//! The gRPC services: each handler parses, makes one call and renders.

mod audit;
mod error;
mod failures;
mod fleet;
mod history;
mod items;
mod operate;
mod page;
mod parse;
mod pipeline;
mod rates;
mod render;
mod run;
mod run_report;
mod scaler;
mod share;
mod since;
mod speakers;
mod stock;
mod worker;

pub(crate) use audit::Audits;
pub(crate) use error::DOMAIN;
#[cfg(test)]
pub(crate) use error::status;
pub(crate) use fleet::Fleets;
pub(crate) use pipeline::Pipelines;
pub(crate) use rates::Paces;
pub(crate) use run::{Runs, shown};
pub(crate) use scaler::Scaler;
pub(crate) use worker::Workers;
