//! What all pages and calls have at hand.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::inside::Inside;
use crate::access::Access;

/// What stands for a trace's ID in the URL of one.
pub(crate) const TRACE_ID: &str = "{trace_id}";

/// What may be said of the HTTP side.
#[derive(Debug, Clone, Default)]
pub struct HttpOptions {
    /// Names by which people may call it, besides addresses and this machine's own.
    pub hosts: Vec<String>,
    /// Where people look at traces: a URL with `{trace_id}` in it.
    pub trace_url: Option<String>,
}

/// A trace, and where one can look at it.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub id: String,
    pub address: Option<String>,
}

/// One coordinator's HTTP side.
#[derive(Clone)]
pub(crate) struct Site {
    pub inside: Inside,
    pub access: Arc<Access>,
    pub options: Arc<HttpOptions>,
    /// What is followed ends when this is cancelled.
    pub break_off: CancellationToken,
}

impl Site {
    /// The trace of this ID, if it is one.
    pub fn trace(&self, id: &str) -> Option<Trace> {
        Trace::of(id, self.options.trace_url.as_deref())
    }
}

impl Trace {
    fn of(id: &str, url: Option<&str>) -> Option<Self> {
        let is_id = !id.is_empty() && id.chars().all(|digit| digit.is_ascii_hexdigit());
        is_id.then(|| Self { id: id.to_owned(), address: url.map(|url| url.replace(TRACE_ID, id)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_led_to_where_it_is_known_how() {
        let url = Some("https://traces.example/{trace_id}?from=muster");
        let address = |id: &str, url| Trace::of(id, url).map(|trace| trace.address);
        assert_eq!(address("0af7", url), Some(Some("https://traces.example/0af7?from=muster".to_owned())));
        assert_eq!(address("0af7", None), Some(None));
        assert_eq!((address("", url), address("../x", url)), (None, None));
    }
}
