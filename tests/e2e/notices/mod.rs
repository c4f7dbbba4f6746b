//! Somebody outside is told when a run ends or stalls: by a receiver that checks each signature with a key of its own, and refuses
//! what it is told to.

mod hooks;
pub mod receiver;
mod signed;
mod stalls;
mod told;

use muster_tests::deadline::within;
use muster_tests::process::{Ended, Start};
use serde_json::{Value, json};

use self::receiver::{Receiver, SECRET};
