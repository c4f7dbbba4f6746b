//! Deliveries: their bodies, their keys, and where they are posted.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use url::Url;

use crate::error::SpecError;
use crate::record_id::RecordId;
use crate::spec::template::RecordUrl;
use crate::spec::types::{Answer, AnswerPattern, Limits, LoadSpec, ProbeSpec};

/// The load request of a compiled pipeline, and how its answers are to be understood.
#[derive(Debug, Clone)]
pub struct Loader {
    pub(crate) url: Url,
    pub(crate) timeout: Duration,
    pub(crate) answer_size: usize,
    pub(crate) answer: Answer,
    pub(crate) not_applied: Vec<AnswerPattern>,
    pub(crate) rejected: Vec<u16>,
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
        load: &LoadSpec,
        limits: &Limits,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Self, SpecError> {
        let key = "load.request.url";
        let Some(http) = load.http() else {
            return Err(SpecError::new("the pipeline", "this target is not built yet").key("load"));
        };
        let url = http.url.fill(key, parameters)?.fixed();
        Ok(Self {
            url: url.map_err(|error| SpecError::new("the pipeline", error.to_string()).key(key))?,
            timeout: load.post_timeout,
            answer_size: limits.record_size,
            answer: http.answer,
            not_applied: http.not_applied.clone(),
            rejected: http.rejected.clone(),
            prober: http.probe.as_ref().map(|probe| prober(probe, parameters)).transpose()?,
        })
    }

    /// How the target is asked for records in doubt, when the pipeline says so.
    #[must_use]
    pub fn prober(&self) -> Option<&Prober> {
        self.prober.as_ref()
    }

    /// Where batches are posted.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
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

/// The SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The `Idempotency-Key` of a delivery: a hash of run, record IDs in their order, and body.
///
/// The same records with the same content under the same run give the same key, in whichever process and attempt.
#[must_use]
pub fn idempotency_key<'a>(run: &str, ids: impl IntoIterator<Item = &'a RecordId>, body_sha256: &[u8; 32]) -> String {
    let mut hash = Sha256::new();
    // Each part ends with a byte that occurs in none of them (canonical JSON escapes control characters), so that no
    // two lists of parts run together into the same input.
    hash.update(run.as_bytes());
    hash.update([0]);
    for id in ids {
        hash.update(id.as_text().as_bytes());
        hash.update([0]);
    }
    hash.update(body_sha256);
    hex::encode(hash.finalize())
}

/// `[r1,r2,…]` of records that are JSON already.
pub(crate) fn array_body<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut body = vec![b'['];
    for record in records {
        if body.len() > 1 {
            body.push(b',');
        }
        body.extend_from_slice(record);
    }
    body.push(b']');
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_run_ids_order_and_body() {
        let ids = [RecordId::from(1), RecordId::from(23)];
        let moved = [RecordId::from(12), RecordId::from(3)];
        let body = sha256(b"[]");
        let key = idempotency_key("run", &ids, &body);
        assert_eq!(key, idempotency_key("run", &ids, &body));
        assert_eq!(key.len(), 64);
        let others = [
            idempotency_key("run2", &ids, &body),
            idempotency_key("run", ids.iter().rev(), &body),
            idempotency_key("run", &moved, &body),
            idempotency_key("run", &ids[..1], &body),
            idempotency_key("run", &ids, &sha256(b"[1]")),
        ];
        assert!(others.iter().all(|other| *other != key));
    }

    #[test]
    fn bodies_are_arrays() {
        assert_eq!(array_body([]), "[]");
        assert_eq!(array_body([b"{}".as_slice()]), "[{}]");
        assert_eq!(array_body([b"1".as_slice(), b"2"]), "[1,2]");
    }
}
