//! The queue in front of the exporter, which the SDK lets run over without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tracing::warn;

use super::settings::QUEUE_SIZE;
use crate::names;

/// How many spans wait, and how many found no room.
#[derive(Debug)]
pub(super) struct Queue {
    most: usize,
    waiting: AtomicUsize,
    lost: AtomicU64,
}

impl Queue {
    /// One that takes as many as the SDK's own, so that this one is full first.
    pub(super) fn of(most: usize) -> Arc<Self> {
        Arc::new(Self { most, waiting: AtomicUsize::new(0), lost: AtomicU64::new(0) })
    }

    /// A span wants to wait: whether there is room.
    fn takes_one(&self) -> bool {
        let one_more = |waiting| (waiting < self.most).then_some(waiting + 1);
        let has_room = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        if !has_room && self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
            warn!(
                waiting = self.most,
                { names::NEXT } = "what comes while it is full is lost, and is counted at the end of the process: let a \
                    smaller ratio of the batches be exported (OTEL_TRACES_SAMPLER_ARG), or make room (OTEL_BSP_MAX_QUEUE_SIZE)",
                "spans come faster than they are exported"
            );
        }
        has_room
    }

    /// So many go to the exporter.
    pub(super) fn left_by(&self, spans: usize) {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
    }
}

/// A processor with a queue that says when it is full.
#[derive(Debug)]
pub(super) struct Bounded<P> {
    inner: P,
    queue: Arc<Queue>,
}

impl<P> Bounded<P> {
    /// Whatever `inner` exports has to [leave](Queue::left_by) the queue.
    pub(super) fn new(inner: P, queue: Arc<Queue>) -> Self {
        Self { inner, queue }
    }
}

impl<P: SpanProcessor> SpanProcessor for Bounded<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.queue.takes_one() {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let lost = self.queue.lost.load(Ordering::Relaxed);
        if lost > 0 {
            warn!(spans = lost, { names::NEXT } = "see the first warning", "spans were lost for want of room");
        }
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// The size of the queue, as the environment wants it; else `ours`.
pub(super) fn size(variable: impl Fn(&str) -> Option<String>, ours: usize) -> usize {
    variable(QUEUE_SIZE).and_then(|size| size.trim().parse().ok()).filter(|size| *size > 0).unwrap_or(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted() {
        let queue = Queue::of(2);
        assert_eq!([queue.takes_one(), queue.takes_one(), queue.takes_one()], [true, true, false]);
        queue.left_by(1);
        assert_eq!([queue.takes_one(), queue.takes_one()], [true, false]);
        assert_eq!(queue.lost.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn the_environment_says_how_long_it_is() {
        let of = |told: &str| size(|name| (name == QUEUE_SIZE).then(|| told.to_owned()), 7);
        assert_eq!((of(" 64 "), of("0"), of("many"), size(|_| None, 7)), (64, 7, 7, 7));
    }
}
