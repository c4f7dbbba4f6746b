//! Spans of traces of which another process has not decided yet whether they are exported.

use std::collections::{HashMap, VecDeque};

use opentelemetry::trace::TraceId;
use opentelemetry_sdk::trace::SpanData;

/// The most traces that are held: the oldest give way.
const MOST_TRACES: usize = 4_096;
/// The most spans of one of them.
const MOST_SPANS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Held {
    spans: HashMap<TraceId, Vec<SpanData>>,
    /// Oldest first; those that were taken out meanwhile are passed over.
    order: VecDeque<TraceId>,
}

impl Held {
    pub(super) fn hold(&mut self, span: SpanData) {
        let trace = span.span_context.trace_id();
        let spans = self.spans.entry(trace).or_insert_with(|| {
            self.order.push_back(trace);
            Vec::with_capacity(1)
        });
        if spans.len() < MOST_SPANS {
            spans.push(span);
        }
        while self.order.len() > MOST_TRACES {
            if let Some(oldest) = self.order.pop_front() {
                self.spans.remove(&oldest);
            }
        }
    }

    /// The trace is exported: so are these.
    pub(super) fn release(&mut self, trace: TraceId) -> Vec<SpanData> {
        self.spans.remove(&trace).unwrap_or_default()
    }
}
