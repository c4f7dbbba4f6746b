//! Files that take records: one a delivery, in a folder or a bucket, a record a line.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use url::Url;

use self::bucket::Bucket;
use self::folder::Folder;
use super::Delivery;
use crate::error::SpecError;
use crate::http::{PostOutcome, Requester, Turn};
use crate::record_id::RecordId;
use crate::spec::types::{Compress, FilesTarget};

mod bucket;
mod folder;

/// What stands for itself in the name of a folder.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// A folder or bucket as a target.
#[derive(Debug, Clone)]
pub struct Files {
    url: String,
    place: Place,
    compress: Compress,
    timeout: Duration,
}

#[derive(Debug, Clone)]
enum Place {
    Folder(Folder),
    Bucket(Box<Bucket>),
}

impl Files {
    pub(crate) fn new(
        target: &FilesTarget,
        timeout: Duration,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Self, SpecError> {
        let url = target.url.fill_text(parameters);
        let wrong = |what: String| {
            SpecError::new("the pipeline with these parameters", what)
                .key("load.files.url")
                .help("write file:///folder or s3://bucket/prefix")
        };
        let shown: String = url.chars().take(200).collect();
        let parsed = Url::parse(&url).map_err(|error| wrong(format!("\"{shown}\" is not a URL ({error})")))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong("the URL of files must not carry a user name or password".to_owned()));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(wrong("the URL of files has neither ? nor #".to_owned()));
        }
        let place = match parsed.scheme() {
            "file" => {
                for (name, given) in [("endpoint", target.endpoint.is_some()), ("region", target.region.is_some())] {
                    if given {
                        let what = format!("{name} says nothing beside a folder");
                        return Err(SpecError::new("the pipeline", what).key(format!("load.files.{name}")));
                    }
                }
                let absolute =
                    parsed.host_str().is_none_or(str::is_empty).then(|| parsed.to_file_path().ok()).flatten();
                let path =
                    absolute.ok_or_else(|| wrong(format!("\"{shown}\" is not the URL of an absolute folder")))?;
                Place::Folder(Folder::new(path))
            }
            "s3" => Place::Bucket(Box::new(Bucket::new(&parsed, target, parameters, &wrong)?)),
            scheme => return Err(wrong(format!("files cannot go to {scheme}://"))),
        };
        Ok(Self { url, place, compress: target.compress, timeout })
    }

    /// How long the writing of one file may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Where files go.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// One record a line.
    pub(crate) fn body<'a>(&self, records: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
        let mut lines = Vec::new();
        for record in records {
            lines.extend_from_slice(record);
            lines.push(b'\n');
        }
        match self.compress {
            Compress::None => lines.into(),
            Compress::Gzip => gzip(&lines).into(),
        }
    }

    pub(crate) async fn turn(&self, requester: &Requester, repeats: bool) -> Turn {
        match &self.place {
            Place::Folder(_) => Turn::default(),
            Place::Bucket(bucket) => bucket.turn(requester, repeats).await,
        }
    }

    pub(crate) async fn reachable(&self, requester: &Requester) -> bool {
        match &self.place {
            Place::Folder(_) => true,
            Place::Bucket(bucket) => bucket.reachable(requester).await,
        }
    }

    pub(crate) async fn deliver(
        &self,
        requester: &Requester,
        delivery: Delivery<'_>,
        deadline: Instant,
        turn: Turn,
    ) -> PostOutcome {
        let until = deadline.min(Instant::now() + self.timeout);
        let ending = match self.compress {
            Compress::None => "ndjson",
            Compress::Gzip => "ndjson.gz",
        };
        let (run, name) = (folder_of(delivery.run), format!("{}.{ending}", key(delivery.run, &delivery.ids)));
        match &self.place {
            Place::Folder(folder) => folder.write(&run, &name, delivery.body, until).await,
            Place::Bucket(bucket) => {
                let kind = if self.compress == Compress::Gzip { "application/gzip" } else { "application/x-ndjson" };
                bucket.put(requester, &format!("{run}/{name}"), kind, delivery.body, until, turn).await
            }
        }
    }
}

/// A run's folder: its ID, unless something in it has a meaning in paths.
fn folder_of(run: &str) -> String {
    utf8_percent_encode(run, NAME).to_string()
}

/// What a delivery's file is called: a hash of run and record IDs in their order, and not of the body. When records are
/// sent again, some may have changed in the source meanwhile; their file must be the same one all the same, so that it
/// takes the place of the first.
fn key(run: &str, ids: &[&RecordId]) -> String {
    let mut hash = Sha256::new();
    // Each part ends with a byte that occurs in none of them: see `idempotency_key`.
    for part in std::iter::once(run).chain(ids.iter().map(|id| id.as_text())) {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}

/// The same bytes for the same lines: no time, no name.
fn gzip(lines: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing into memory does not fail.
    let _ = encoder.write_all(lines);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests;
