//! Whether one kind of signal is exported, and where to: by OpenTelemetry's own environment variables.

const DISABLED: &str = "OTEL_SDK_DISABLED";
/// Where a collector listens, for all kinds of signals.
pub(crate) const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// What it speaks, for all kinds of signals.
pub(crate) const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";

/// A variable whose value is no use: which, and what would be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is {value:?}: {advice}")]
pub struct BadSetting {
    /// Name of the variable.
    pub variable: &'static str,
    /// What it is.
    pub value: String,
    /// What it may be.
    pub advice: &'static str,
}

/// Names of the variables of one kind alone; they win over those for all.
pub(crate) struct Signal {
    /// By what it is exported.
    pub exporter: &'static str,
    /// Words there that mean by nothing of ours.
    pub off: &'static [&'static str],
    pub endpoint: &'static str,
    pub protocol: &'static str,
}

/// Where a kind of signal goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The variable that says so.
    pub variable: &'static str,
    pub endpoint: String,
    /// grpc or http/protobuf, if anything says so.
    pub protocol: Option<String>,
}

/// As the specification wants it, an empty variable is an unset one.
pub(crate) fn set(variable: impl Fn(&str) -> Option<String>) -> impl Fn(&str) -> Option<String> {
    move |name| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Where this kind goes in an environment; nothing when no endpoint is set, or somebody has switched it off.
pub(crate) fn destination(
    signal: &Signal,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Option<Destination>, BadSetting> {
    if variable(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    match variable(signal.exporter) {
        Some(word) if signal.off.contains(&word.as_str()) => return Ok(None),
        Some(word) if word != "otlp" => {
            let advice = "it is exported by OTLP alone: say otlp or none, or leave it out";
            return Err(BadSetting { variable: signal.exporter, value: word, advice });
        }
        _ => {}
    }
    for name in [signal.protocol, PROTOCOL] {
        if let Some(value) = variable(name).filter(|value| !matches!(value.as_str(), "grpc" | "http/protobuf")) {
            return Err(BadSetting { variable: name, value, advice: "say grpc or http/protobuf" });
        }
    }
    let found = [signal.endpoint, ENDPOINT].into_iter().find_map(|name| variable(name).map(|value| (name, value)));
    Ok(found.map(|(variable_name, endpoint)| Destination {
        variable: variable_name,
        endpoint,
        protocol: variable(signal.protocol).or_else(|| variable(PROTOCOL)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNAL: Signal = Signal {
        exporter: "EXPORTER",
        off: &["none", "prometheus"],
        endpoint: "OWN_ENDPOINT",
        protocol: "OWN_PROTOCOL",
    };

    fn with(variables: &[(&str, &str)]) -> Result<Option<Destination>, BadSetting> {
        let found =
            |name: &str| variables.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
        destination(&SIGNAL, &set(found))
    }

    #[test]
    fn nothing_goes_anywhere_unless_an_endpoint_is_set() {
        let there = (ENDPOINT, "http://collector:4318");
        assert_eq!(with(&[]), Ok(None));
        assert_eq!(with(&[(ENDPOINT, " ")]), Ok(None));
        for off in [(DISABLED, "TRUE"), ("EXPORTER", "none"), ("EXPORTER", "prometheus")] {
            assert_eq!(with(&[there, off]), Ok(None), "{off:?}");
        }
        let found = |variables: &[(&str, &str)]| with(variables).unwrap().unwrap();
        assert_eq!(found(&[there, ("EXPORTER", "otlp")]).endpoint, "http://collector:4318");
        let own =
            found(&[there, ("OWN_ENDPOINT", "http://own:1"), ("OWN_PROTOCOL", "grpc"), (PROTOCOL, "http/protobuf")]);
        assert_eq!(
            (own.variable, own.endpoint.as_str(), own.protocol.as_deref()),
            ("OWN_ENDPOINT", "http://own:1", Some("grpc"))
        );
    }

    #[test]
    fn words_that_nobody_knows_are_refused_with_those_that_are() {
        let there = (ENDPOINT, "http://collector:4318");
        for (wrong, right) in [
            (("EXPORTER", "zipkin"), "otlp"),
            ((PROTOCOL, "http/json"), "grpc"),
            (("OWN_PROTOCOL", "carrier-pigeon"), "http/protobuf"),
        ] {
            let error = with(&[there, wrong]).unwrap_err().to_string();
            assert!(error.starts_with(wrong.0) && error.contains(right), "{error}");
        }
    }
}
