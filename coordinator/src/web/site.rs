//! What all pages and calls have at hand.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::inside::Inside;
use crate::access::Access;

/// One coordinator's HTTP side.
#[derive(Clone)]
pub(crate) struct Site {
    pub inside: Inside,
    pub access: Arc<Access>,
    /// Names by which people may call it, besides addresses and this machine's own.
    pub hosts: Arc<[String]>,
    /// What is followed ends when this is cancelled.
    pub stop: CancellationToken,
}
