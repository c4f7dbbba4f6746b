//! Requesters that write down what they do, and such that only do what was written down.

use std::time::Duration;

use super::{Player, Recorder};
use crate::compiled::CompiledPipeline;
use crate::http::credentials::Credentials;
use crate::http::transport::{self, TransportConfig};
use crate::http::{Process, Requester, RequesterConfig, RequesterError};
use crate::spec::Limits;

impl Requester {
    /// A requester whose requests and answers are written down. It asks one at a time and never twice for the same, so
    /// that what is written down is in order.
    pub fn recording(
        pipeline: &CompiledPipeline,
        config: &RequesterConfig,
        recorder: &Recorder,
    ) -> Result<Self, RequesterError> {
        let credentials = Credentials::of(pipeline.access(), Process::Reader).map_err(RequesterError)?;
        let limits = Limits { concurrency: 1, hedge_copies: 1, ..pipeline.limits().clone() };
        let transport = transport::over_hyper(&TransportConfig {
            user_agent: &config.user_agent,
            proxy: config.proxy.as_ref(),
            connections: 2,
            connect_timeout: limits.connect_timeout(),
        })?;
        Ok(Self::with(recorder.before(transport), limits, credentials, config))
    }

    /// A requester that is answered from a cassette. It asks as nobody, so that it needs no secrets, and waits for nothing: there is nobody to spare.
    #[must_use]
    pub fn playing(limits: &Limits, config: &RequesterConfig, player: &Player) -> Self {
        let short = Duration::from_millis(1);
        let limits = Limits {
            concurrency: 1,
            hedge_copies: 1,
            rate: None,
            backoff: short,
            backoff_max: short,
            retry_after_max: short,
            retry_budget: 1.0,
            ..limits.clone()
        };
        Self::with(player.transport(), limits, Credentials::nobody(), config)
    }
}
