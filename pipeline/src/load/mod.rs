//! Loading into an HTTP API: what a delivery carries, its key, where it goes, and what answers mean.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use url::Url;

use crate::error::SpecError;
use crate::record_id::RecordId;
use crate::spec::template::RecordUrl;
use crate::spec::types::{
    Answer, AnswerPattern, Compress, HttpTarget, Limits, LoadMethod, LoadSpec, PerRecord, ProbeSpec,
};

mod answer;
mod body;
mod key;

pub use answer::RecordAnswer;
use body::Frame;
pub(crate) use body::array_body;
pub use key::{idempotency_key, sha256};

/// The load request of a compiled pipeline, and how its answers are to be understood.
#[derive(Debug, Clone)]
pub struct Loader {
    pub(crate) method: Method,
    /// Where deliveries go; without the record's ID where each record has a URL of its own.
    url: Url,
    record_url: RecordUrl,
    /// What all requests carry, unless the pipeline's headers say otherwise.
    pub(crate) headers: HeaderMap,
    frame: Frame,
    gzip: bool,
    /// The header that carries a delivery's key, if one does.
    pub(crate) key_header: Option<HeaderName>,
    pub(crate) timeout: Duration,
    pub(crate) answer_size: usize,
    pub(crate) answer: Answer,
    pub(crate) not_applied: Vec<AnswerPattern>,
    pub(crate) rejected: Vec<u16>,
    per_record: Option<PerRecord>,
    pub(crate) prober: Option<Prober>,
}

/// How the target of a compiled pipeline is asked whether it has a record, and what its answers mean.
#[derive(Debug, Clone)]
pub struct Prober {
    url: RecordUrl,
    pub(crate) present: Vec<u16>,
    pub(crate) absent: Vec<u16>,
}

impl Prober {
    /// Where the target is asked for one record.
    #[must_use]
    pub fn url(&self, id: &RecordId) -> Url {
        // Checked with its parameters when the pipeline was compiled, as the URL of a detail.
        self.url.of(id).expect("a checked template with an encoded record ID is a URL")
    }
}

impl Loader {
    pub(crate) fn new(
        http: &HttpTarget,
        load: &LoadSpec,
        limits: &Limits,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Self, SpecError> {
        let key = "load.request.url";
        let record_url = http.url.fill(key, parameters)?;
        let url = record_url.fixed();
        let frame = Frame::new(&http.body, parameters);
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(frame.content_type))]);
        let gzip = http.compress == Compress::Gzip;
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let key_header = http.idempotency_header.as_deref().map(|name| {
            let wrong =
                |_| SpecError::new("the pipeline", "this is not the name of a header").key("load.idempotency_header");
            HeaderName::try_from(name).map_err(wrong)
        });
        Ok(Self {
            method: match http.method {
                LoadMethod::Post => Method::POST,
                LoadMethod::Put => Method::PUT,
                LoadMethod::Patch => Method::PATCH,
            },
            url: url.map_err(|error| SpecError::new("the pipeline", error.to_string()).key(key))?,
            record_url,
            headers,
            frame,
            gzip,
            key_header: key_header.transpose()?,
            timeout: load.post_timeout,
            answer_size: limits.record_size,
            answer: http.answer,
            not_applied: http.not_applied.clone(),
            rejected: http.rejected.clone(),
            per_record: http.per_record.clone(),
            prober: http.probe.as_ref().map(|probe| prober(probe, parameters)).transpose()?,
        })
    }

    /// How the target is asked for records in doubt, when the pipeline says so.
    #[must_use]
    pub fn prober(&self) -> Option<&Prober> {
        self.prober.as_ref()
    }

    /// The body of a delivery of these records, in their order, before compression.
    pub(crate) fn body<'a>(&self, records: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
        self.frame.around(records)
    }

    /// Where a delivery of these records goes.
    pub(crate) fn url_of(&self, ids: &[&RecordId]) -> Url {
        // Checked with its parameters when the pipeline was compiled, as the URL of a detail.
        let of =
            |id: &&RecordId| self.record_url.of(id).expect("a checked template with an encoded record ID is a URL");
        ids.first().map_or_else(|| self.url.clone(), of)
    }

    /// A body as it goes over the wire.
    pub(crate) fn wire(&self, body: &Bytes) -> std::io::Result<Bytes> {
        if self.gzip { body::gzip(body) } else { Ok(body.clone()) }
    }

    /// How an answer with this status says what became of each record, where it does.
    pub(crate) fn about_each(&self, status: u16) -> Option<&PerRecord> {
        self.per_record.as_ref().filter(|per_record| per_record.status.contains(&status))
    }

    /// Whether it matters what a 2xx with this status carries.
    pub(crate) fn reads(&self, status: u16) -> bool {
        self.answer == Answer::Json || self.about_each(status).is_some()
    }

    /// Whether an answer says what became of each record of a delivery.
    #[must_use]
    pub fn is_per_record(&self) -> bool {
        self.per_record.is_some()
    }

    /// Where deliveries go; without the record's ID where each record has a URL of its own.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// POST, PUT or PATCH.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// How long one POST may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

fn prober(probe: &ProbeSpec, parameters: &BTreeMap<String, String>) -> Result<Prober, SpecError> {
    let url = probe.url.fill("load.probe.url", parameters)?;
    Ok(Prober { url, present: probe.present.clone(), absent: probe.absent.clone() })
}
