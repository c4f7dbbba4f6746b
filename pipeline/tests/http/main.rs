//! The requester against a server on a real socket.
// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

mod auth;
mod get;
mod load_forms;
mod post;
mod proxied;
mod rate;
mod support;
