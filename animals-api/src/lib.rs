//! A stand-in for the animals API: source and target of the first pipeline, with the pain points of the real one.
//!
//! Tests, the demo and benchmarks start a [`Server`] with a [`Config`], let a client load its animals, and then ask
//! its [`Book`] what really happened. The same book is at `GET /book`.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use animals_api::{Config, Server};
//!
//! let server = Server::start(Config { poison: 3_u64.into(), ..Config::calm(1000) }, ([127, 0, 0, 1], 0).into())?;
//! let book = server.book();
//! // ... load everything from and to server.base_url() ...
//! assert_eq!(book.poison().len(), 3);
//! assert_eq!(book.missing().len(), 997);
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod answer;
mod api;
mod bits;
mod book;
mod book_pages;
mod changes;
mod chaos;
mod checkups;
mod config;
mod drift;
mod faces;
mod guard;
mod herd;
mod knobs;
mod limits;
mod moment;
mod names;
mod posted;
mod refusal;
mod route;
mod server;
mod zoo_home;

pub use book::{Book, Counters, Entry, Post, Request, Sample, Summary};
pub use changes::Change;
pub use config::{Amount, BadValue, ChaosOn, Config, Disconnect, Shifting, parse_duration, parse_range};
pub use guard::{Guard, TokenLife};
pub use herd::{Animal, Fate};
pub use knobs::Knobs;
pub use limits::{RateLimit, WindowLimit};
pub use server::Server;
