//! Logging, traces and metrics of all of Muster's programs: one set-up, one place for the names of attributes.
//!
//! Logs go to standard error, never to standard output, which belongs to what a command was asked for. A program logs
//! a failure once, where it is handled, with the fields of [`names`].

mod json;
#[cfg(test)]
mod kept;
mod otlp;
mod stderr;
mod text;

pub mod crash;
pub mod metrics;
pub mod names;
pub mod spans;
pub mod trace;

use std::io::IsTerminal;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, fmt};

pub use stderr::{Attached, Screen, Stderr};

/// Environment variable that holds a filter in the syntax of [`EnvFilter`]; it wins over the program's default.
pub const FILTER_VARIABLE: &str = "RUST_LOG";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: time of day (UTC), level, message, fields. Control characters are escaped, so that one event is one
    /// line whatever a record holds.
    Text,
    /// For machines: one JSON object a line, the attributes' full names at its top, RFC 3339 timestamps.
    Json,
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
}

impl std::str::FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Format, UnknownFormat> {
        match text {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            "auto" => Ok(Format::Auto),
            _ => Err(UnknownFormat(text.to_owned())),
        }
    }
}

/// A word that names no [`Format`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat(String);

impl std::fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} is no log format: say text, json or auto", self.0)
    }
}

impl std::error::Error for UnknownFormat {}

/// What [`init`] is told.
#[derive(Clone, Debug)]
pub struct Logging {
    /// How lines look.
    pub format: Format,
    /// What is logged when [`FILTER_VARIABLE`] says nothing: a level or any [`EnvFilter`] directives.
    pub default_filter: String,
    /// Whether levels are coloured in [`Format::Text`]; `None`: on a terminal, unless NO_COLOR is set.
    pub coloured: Option<bool>,
    /// Where lines go.
    pub writer: Stderr,
}

impl Default for Logging {
    /// `info` and above to standard error, [`Format::Auto`].
    fn default() -> Logging {
        Logging { format: Format::Auto, default_filter: "info".to_owned(), coloured: None, writer: Stderr::default() }
    }
}

/// Why logging could not be set up.
#[derive(Debug)]
pub enum InitError {
    /// [`FILTER_VARIABLE`], or the program's default when `from_environment` is false, is no filter.
    Filter {
        /// The filter as given.
        filter: String,
        /// Whether it came from the environment.
        from_environment: bool,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The process has a subscriber already.
    AlreadySet(TryInitError),
    /// A test names a place to die at that is none.
    #[cfg(feature = "planted-bugs")]
    CrashPoint(crash::NoPoint),
}

impl std::fmt::Display for InitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            InitError::Filter { filter, from_environment, source } => {
                let origin = if *from_environment { FILTER_VARIABLE } else { "the log filter" };
                write!(f, "{origin} is {filter:?}, which is no filter ({source}); ")?;
                f.write_str("give a level such as debug, or directives such as muster_worker=debug,warn")
            }
            InitError::AlreadySet(_) => f.write_str("logging was set up before in this process"),
            #[cfg(feature = "planted-bugs")]
            InitError::CrashPoint(none) => write!(f, "{none}"),
        }
    }
}

impl std::error::Error for InitError {}

/// Sets logging up for this process, once.
///
/// # Errors
/// [`InitError`] when the filter does not parse or the process has a subscriber already.
pub fn init(logging: Logging) -> Result<(), InitError> {
    #[cfg(feature = "planted-bugs")]
    crash::check().map_err(InitError::CrashPoint)?;
    let filter = filter(std::env::var(FILTER_VARIABLE).ok(), logging.default_filter)?;
    let layer = layer(logging.format, logging.coloured, logging.writer);
    tracing_subscriber::registry().with(filter).with(layer).try_init().map_err(InitError::AlreadySet)
}

/// The filter of the environment, else the default; blank counts as unset.
fn filter(environment: Option<String>, default: String) -> Result<EnvFilter, InitError> {
    let environment = environment.filter(|filter| !filter.trim().is_empty());
    let from_environment = environment.is_some();
    let filter = environment.unwrap_or(default);
    EnvFilter::try_new(&filter).map_err(|source| InitError::Filter { filter, from_environment, source })
}

/// The layer that writes events in `format`.
fn layer<S>(format: Format, coloured: Option<bool>, writer: Stderr) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let terminal = std::io::stderr().is_terminal();
    // A closed standard error must not end the program: what cannot be logged is lost (Stderr swallows it too).
    let layer = fmt::layer().log_internal_errors(false).with_writer(writer);
    if format == Format::Json || (format == Format::Auto && !terminal) {
        let layer = layer.json().flatten_event(true).with_current_span(false).with_span_list(true);
        return Box::new(layer.map_event_format(json::InTrace));
    }
    // https://no-color.org: any value but the empty one switches colours off.
    let wanted = || terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let colours = coloured.unwrap_or_else(wanted);
    Box::new(layer.fmt_fields(text::TextFields).event_format(text::TextEvent).with_ansi(colours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_unless_it_is_blank() {
        let shown = |environment: Option<&str>| {
            filter(environment.map(str::to_owned), "warn".to_owned()).expect("a filter").to_string()
        };
        assert_eq!(shown(None), "warn");
        assert_eq!(shown(Some(" ")), "warn");
        assert_eq!(shown(Some("debug")), "debug");
    }

    #[test]
    fn a_broken_filter_says_whose_it_is_and_what_would_be_one() {
        let error = filter(Some("muster=loud".to_owned()), "info".to_owned()).expect_err("no filter");
        let text = error.to_string();
        assert!(text.starts_with("RUST_LOG is \"muster=loud\""), "{text}");
        assert!(text.contains("such as debug"), "{text}");
    }

    #[test]
    fn formats_are_named() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!("auto".parse(), Ok(Format::Auto));
        assert!("xml".parse::<Format>().expect_err("none").to_string().contains("text, json or auto"));
    }
}
