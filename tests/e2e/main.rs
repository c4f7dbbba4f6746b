//! End to end: real processes against a stand-in, whose book is the judge.

mod announced;
mod audit_files;
mod cancel;
mod commands;
mod demo;
mod doubt;
mod drain;
mod grpcurl;
mod kills;
mod listing;
mod live;
mod resume;
mod scale;
mod terminal;
mod versions;

use animals_api::{Config, Server};

/// A stand-in in this process, on a port of its own.
fn stand_in(config: Config) -> Server {
    Server::start(config, ([127, 0, 0, 1], 0).into()).expect("a stand-in")
}

/// What a run of it must be told.
fn base_url(server: &Server) -> String {
    format!("base_url={}", server.base_url())
}
