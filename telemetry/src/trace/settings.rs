//! Whether traces are exported, and which: by OpenTelemetry's own environment variables.

use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;

use crate::otlp::{self, BadSetting, Destination, Signal};

/// Names of what is said of traces alone.
pub(super) const SIGNAL: Signal = Signal {
    exporter: "OTEL_TRACES_EXPORTER",
    off: &["none"],
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
};
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
/// How many spans may wait to be exported.
pub(super) const QUEUE_SIZE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
/// Milliseconds that an export may take, for traces alone; it wins over [`TIMEOUT`].
const TRACES_TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
/// Milliseconds that an export may take.
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
/// The same when nobody says anything, as the specification has it.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";

/// What is to be exported, and where to.
#[derive(Debug)]
pub(super) struct Settings {
    /// As it may be shown: without what may be a password.
    pub(super) endpoint: String,
    /// Whether there is a password in it.
    pub(super) has_secret: bool,
    /// Whether by gRPC; else by HTTP.
    pub(super) by_grpc: bool,
    /// How long an export may take.
    pub(super) timeout: Duration,
    /// Which traces, by their IDs.
    pub(super) sampler: Sampler,
}

impl Settings {
    /// The settings of an environment; nothing when no endpoint is set, or somebody has switched all off.
    pub(super) fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Settings>, BadSetting> {
        let variable = otlp::set(variable);
        let Some(Destination { variable: place, endpoint, protocol }) = otlp::destination(&SIGNAL, &variable)? else {
            return Ok(None);
        };
        let sampler = sampler(variable(SAMPLER).as_deref(), variable(SAMPLER_ARGUMENT))?;
        let (endpoint, has_secret) = shown(&endpoint);
        let by_grpc = protocol.as_deref() == Some("grpc");
        // The TLS of tonic would take the place of ours in the ways to coordinators.
        if by_grpc && !endpoint.starts_with("http://") {
            let advice = "by grpc traces go to an http:// URL alone, as in http://127.0.0.1:4317; to a collector behind \
                          https:// they go with OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf";
            return Err(BadSetting { variable: place, value: endpoint, advice });
        }
        // As the exporter reads them: what is no number counts as unset.
        let timeout = [TRACES_TIMEOUT, TIMEOUT].into_iter().find_map(|name| variable(name)?.parse().ok());
        let timeout = timeout.map_or(USUAL_TIMEOUT, Duration::from_millis);
        Ok(Some(Settings { endpoint, has_secret, by_grpc, timeout, sampler }))
    }
}

/// A URL without user, password and query, and whether it had any.
fn shown(url: &str) -> (String, bool) {
    let place = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = place.split_once("://").map_or(("", place), |(scheme, rest)| (scheme, rest));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let shown = if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") };
    let has_secret = shown != url;
    (shown, has_secret)
}

/// All of them are based on the parent where there is one: it is our own, and decided by the same rule.
fn sampler(name: Option<&str>, argument: Option<String>) -> Result<Sampler, BadSetting> {
    match name {
        None | Some("always_on" | "parentbased_always_on") => Ok(Sampler::AlwaysOn),
        Some("always_off" | "parentbased_always_off") => Ok(Sampler::AlwaysOff),
        Some("traceidratio" | "parentbased_traceidratio") => {
            let value = argument.unwrap_or_else(|| "1".to_owned());
            match value.parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Sampler::TraceIdRatioBased(ratio)),
                _ => Err(BadSetting { variable: SAMPLER_ARGUMENT, value, advice: "say a number from 0 to 1" }),
            }
        }
        Some(other) => {
            let advice = "say always_on, always_off or traceidratio, or one of these with parentbased_ before it";
            Err(BadSetting { variable: SAMPLER, value: other.to_owned(), advice })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::ENDPOINT;

    fn settings(variables: &[(&str, &str)]) -> Result<Option<Settings>, BadSetting> {
        Settings::of(|name| variables.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn where_traces_go_is_read() {
        assert!(settings(&[(SAMPLER, "always_on")]).unwrap().is_none());
        let there = (ENDPOINT, "http://collector:4318");
        let found = settings(&[there]).unwrap().unwrap();
        assert!(matches!(found.sampler, Sampler::AlwaysOn), "as the specification has it");
        assert_eq!((found.endpoint.as_str(), found.has_secret), ("http://collector:4318", false));
        let own = settings(&[there, (SIGNAL.endpoint, "http://traces:4317")]).unwrap().unwrap();
        assert_eq!(own.endpoint, "http://traces:4317");
        assert!(settings(&[there, (SIGNAL.exporter, "prometheus")]).is_err(), "that is for metrics");
    }

    #[test]
    fn a_ratio_is_read_and_a_wrong_one_is_refused() {
        let with = |argument| {
            settings(&[(ENDPOINT, "http://c:1"), (SAMPLER, "parentbased_traceidratio"), (SAMPLER_ARGUMENT, argument)])
        };
        assert!(matches!(with("0.01").unwrap().unwrap().sampler, Sampler::TraceIdRatioBased(ratio) if ratio == 0.01));
        for wrong in ["1%", "2", "-0.1", "NaN"] {
            let error = with(wrong).unwrap_err().to_string();
            assert!(error.contains(SAMPLER_ARGUMENT) && error.ends_with("from 0 to 1"), "{error}");
        }
    }

    #[test]
    fn a_sampler_that_nobody_knows_is_refused_with_those_that_are() {
        let error = settings(&[(ENDPOINT, "http://c:1"), (SAMPLER, "xray")]).unwrap_err().to_string();
        assert!(error.starts_with(SAMPLER) && error.contains("always_on"), "{error}");
    }

    #[test]
    fn tls_is_for_http() {
        let behind = |url, protocol| settings(&[(ENDPOINT, url), (SIGNAL.protocol, protocol)]);
        assert!(behind("https://c:1", "http/protobuf").is_ok());
        for url in ["https://c:1", "c:1"] {
            let error = behind(url, "grpc").unwrap_err().to_string();
            assert!(error.contains(url) && error.contains("PROTOCOL=http/protobuf"), "{error}");
        }
    }

    #[test]
    fn how_long_an_export_may_take_is_read() {
        let timeout = |set: &[(&str, &str)]| {
            let set: Vec<_> = [(ENDPOINT, "http://c:1")].iter().chain(set).copied().collect();
            settings(&set).unwrap().unwrap().timeout.as_millis()
        };
        assert_eq!((timeout(&[]), timeout(&[(TIMEOUT, "soon")])), (10_000, 10_000));
        assert_eq!(timeout(&[(TIMEOUT, "700"), (TRACES_TIMEOUT, "500")]), 500);
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(shown("https://me:canary@host:1/x?key=canary"), ("https://host:1/x".to_owned(), true));
    }
}
