//! What can be changed while the server runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{BadValue, ChaosOn, Config, Disconnect};
use crate::limits::{RateLimit, WindowLimit};

/// The part of [`Config`] that can be changed while the server runs, and outages. Also the JSON of `/book/knobs`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knobs {
    /// See [`Config::chaos`].
    pub chaos: f64,
    /// See [`Config::stall_share`].
    pub stall_share: f64,
    /// See [`Config::chaos_on`].
    pub chaos_on: ChaosOn,
    /// See [`Config::stall`]; the shortest and the longest, in milliseconds.
    pub stall_ms: [u64; 2],
    /// See [`Config::partial`].
    pub partial: f64,
    /// See [`Config::busy`].
    pub busy: f64,
    /// See [`Config::latency`]; in milliseconds.
    pub latency_ms: u64,
    /// See [`Config::jitter`]; in milliseconds.
    pub jitter_ms: u64,
    /// See [`Config::disconnect`].
    pub disconnect: Disconnect,
    /// See [`Config::rate_limit`].
    pub rate_limit: Option<RateLimit>,
    /// See [`Config::window_limit`].
    pub window_limit: Option<WindowLimit>,
    /// See [`Config::limit_on`].
    pub limit_on: ChaosOn,
    /// While true, every request but `/` and the book is answered 503 `Sorry!` and not processed.
    pub outage: bool,
}

impl Knobs {
    pub(crate) fn new(config: &Config) -> Knobs {
        Knobs {
            chaos: config.chaos,
            stall_share: config.stall_share,
            chaos_on: config.chaos_on,
            stall_ms: [millis(*config.stall.start()), millis(*config.stall.end())],
            partial: config.partial,
            busy: config.busy,
            latency_ms: millis(config.latency),
            jitter_ms: millis(config.jitter),
            disconnect: config.disconnect,
            rate_limit: config.rate_limit,
            window_limit: config.window_limit,
            limit_on: config.limit_on,
            outage: false,
        }
    }

    /// These knobs with the fields of a JSON object put over them.
    pub(crate) fn changed(self, change: &[u8]) -> Result<Knobs, String> {
        let change: Value = serde_json::from_slice(change).map_err(|error| error.to_string())?;
        let Value::Object(change) = change else { return Err("expected a JSON object of knobs".to_owned()) };
        let mut knobs = serde_json::to_value(self).map_err(|error| error.to_string())?;
        for (name, value) in change {
            knobs[name] = value;
        }
        let knobs: Knobs = serde_json::from_value(knobs).map_err(|error| error.to_string())?;
        knobs.check().map_err(|bad| bad.to_string())?;
        Ok(knobs)
    }

    /// Refuses what could not be meant.
    pub(crate) fn check(&self) -> Result<(), BadValue> {
        let share = 0.0..=1.0;
        if [self.chaos, self.stall_share, self.partial, self.busy].iter().any(|knob| !share.contains(knob)) {
            return Err(BadValue("chaos, stall_share, partial and busy are shares, from 0 to 1"));
        }
        if self.stall_ms[0] > self.stall_ms[1] {
            return Err(BadValue("the stall range ends before it begins"));
        }
        if self.window_limit.is_some_and(|limit| !limit.is_possible()) {
            return Err(BadValue("a window limit needs requests and window_ms of at least 1"));
        }
        match self.rate_limit {
            Some(limit) if !(limit.per_second.is_finite() && limit.per_second > 0.0 && limit.burst > 0) => {
                Err(BadValue("a rate limit needs per_second above 0 and a burst of at least 1"))
            }
            _ => Ok(()),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
