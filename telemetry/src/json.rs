//! Log lines for machines, with the trace that they belong to.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::names;
use crate::trace::Ids;

/// Adds trace and span to the JSON object that `0` makes of an event.
pub(crate) struct InTrace<E>(pub(crate) E);

impl<S, N, E> FormatEvent<S, N> for InTrace<E>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    E: FormatEvent<S, N>,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(Ids { trace, span }) = Ids::current() else { return self.0.format_event(ctx, writer, event) };
        let mut line = String::new();
        self.0.format_event(ctx, Writer::new(&mut line), event)?;
        match line.trim_end().strip_suffix('}') {
            Some(object) => {
                let (trace_name, span_name) = (names::TRACE, names::SPAN);
                writeln!(writer, r#"{object},"{trace_name}":"{trace}","{span_name}":"{span}"}}"#)
            }
            None => writer.write_str(&line),
        }
    }
}

#[cfg(test)]
mod tests {

    use opentelemetry::Context;
    use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::kept::Kept;

    #[test]
    fn a_line_in_a_trace_names_it_and_another_does_not() {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).map_event_format(InTrace);
        let layer = layer.with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(herd = "} ", "outside");
            let span = SpanContext::new(7_u128.into(), 9_u64.into(), TraceFlags::SAMPLED, false, TraceState::NONE);
            let _current = Context::new().with_remote_span_context(span).attach();
            tracing::info!(herd = "} ", "inside");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let [outside, inside] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert!(outside.contains("outside") && !outside.contains("trace_id"), "{outside}");
        let end = r#","trace_id":"00000000000000000000000000000007","span_id":"0000000000000009"}"#;
        assert!(inside.contains("\"herd\":\"} \"") && inside.ends_with(end), "{inside}");
    }
}
