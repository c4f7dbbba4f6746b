//! A trace of which is decided at its end whether it is exported.

use std::mem::take;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind};
use opentelemetry_sdk::trace::SpanData;

use super::place::Place;
use super::traces::Traces;
use crate::spans;

/// The most spans of one trace, beside its root.
pub const MOST_SPANS: usize = 2_000;

/// One trace, from its beginning to its end. The ratio decides about it at once; what happens in it may decide otherwise
/// later on.
#[derive(Debug)]
pub struct Tail {
    traces: Arc<Traces>,
    root: Place,
    by_ratio: bool,
    kept: AtomicBool,
    why: OnceLock<&'static str>,
    began: SystemTime,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    spans: Vec<SpanData>,
    dropped: i64,
}

impl Tail {
    /// A trace that began then.
    #[must_use]
    pub fn begin(traces: &Arc<Traces>, root: Place, began: SystemTime) -> Arc<Self> {
        let by_ratio = traces.samples(root.trace);
        Arc::new(Self {
            traces: Arc::clone(traces),
            root,
            by_ratio,
            kept: AtomicBool::new(by_ratio),
            why: OnceLock::new(),
            began,
            noted: Mutex::default(),
        })
    }

    /// It is exported, whatever the ratio says; the reason in a word or two.
    pub fn keep(&self, why: &'static str) {
        let _ = self.why.set(why);
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Whether it is exported, as far as is known now.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// Its root span, as it is passed on.
    pub(super) fn context(&self) -> SpanContext {
        self.root.context(self.is_kept())
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> Place {
        self.root
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> SystemTime {
        self.began
    }

    /// A span right under its root, from then to then, to be [noted](Self::note).
    #[must_use]
    pub fn span(&self, name: &'static str, kind: SpanKind, from: SystemTime, until: SystemTime) -> SpanData {
        let place = Place { trace: self.root.trace, span: self.traces.new_span_id() };
        SpanData { parent_span_id: self.root.span, ..self.traces.span(place, name.into(), kind, from, until) }
    }

    /// Takes a span in.
    pub fn note(&self, span: SpanData) {
        let mut noted = self.lock();
        if noted.spans.len() < MOST_SPANS {
            noted.spans.push(span);
        } else {
            noted.dropped += 1;
        }
    }

    /// So many more were not even made, because there are [too many](MOST_SPANS).
    pub fn note_dropped(&self, spans: usize) {
        self.lock().dropped += i64::try_from(spans).unwrap_or(i64::MAX);
    }

    /// Ends one that is not kept.
    pub fn forget(&self) {
        let _ = take(&mut *self.lock());
    }

    /// Ends it: exports its spans, the root before all others, or forgets them. What is noted later is lost.
    pub fn end(&self, name: &'static str, mut attributes: Vec<KeyValue>, links: Vec<Link>, error: Option<String>) {
        let Noted { spans, dropped } = take(&mut *self.lock());
        if !self.is_kept() {
            return;
        }
        if dropped > 0 {
            attributes.push(KeyValue::new(spans::DROPPED, dropped));
        }
        if let Some(why) = self.why.get().filter(|_| !self.by_ratio) {
            attributes.push(KeyValue::new(spans::KEPT, *why));
        }
        let mut root = self.traces.span(self.root, name.into(), SpanKind::Internal, self.began, SystemTime::now());
        root.parent_span_id = SpanId::INVALID;
        root.attributes = attributes;
        root.links.links = links;
        if let Some(words) = error {
            root.status = opentelemetry::trace::Status::error(words);
        }
        // Where there is no room for all, the root says at least that there was something.
        self.traces.export(root);
        for span in spans {
            self.traces.export(span);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        // Each critical section leaves it whole.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
