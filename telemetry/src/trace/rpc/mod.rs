//! One span for each call, on both sides, and the W3C trace context between them.

mod call;
mod client;
mod server;
mod wire;

pub use client::Traced;
pub use server::{ServerLayer, TracedServer};

use std::pin::Pin;

use futures::future::Either;

/// What is answered: as it comes where nothing is traced, without another allocation.
type Answer<F, O> = Either<F, Pin<Box<dyn Future<Output = O> + Send>>>;

/// What a method is called that is none of ours: its name is the caller's, and may be of any length.
const OTHER: &str = "_OTHER";

/// Service and method of a path, where they are ours: health, reflection and the like are asked for all the time and tell
/// nothing.
fn method(path: &str) -> Option<&str> {
    path.strip_prefix('/').filter(|method| method.starts_with("muster."))
}
