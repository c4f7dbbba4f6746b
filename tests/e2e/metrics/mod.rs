//! Metrics: a real Prometheus scrapes a run amid chaos, and what it has is held against the stand-in's book, against the
//! page of metrics, and against all that dashboards and alerts ask for.

mod files;
mod page;
mod pushed;
mod run;
