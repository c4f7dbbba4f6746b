//! A bucket of an S3-compatible store: a signed PUT by the same requester as all other requests, so that outages,
//! `Retry-After` and the one attempt on the wire are what they are for every host.

use std::collections::BTreeMap;
use std::env;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use rusty_s3::{Credentials, S3Action, UrlStyle};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use url::Url;

use crate::error::SpecError;
use crate::http::classify::told;
use crate::http::{Answer, Exchange, PostOutcome, Requester, TransportError, Turn, excerpt};
use crate::spec::types::FilesTarget;
use crate::spec::value::ValueTemplate;

/// How much of an answer is of interest.
const ANSWER: usize = 2 << 10;
/// How long a signature is good for beyond the time that a PUT may take: clocks differ.
const SPARE: Duration = Duration::from_mins(5);
/// Where S3 itself is, when nobody says anything else.
const REGION: &str = "us-east-1";

#[derive(Debug, Clone)]
pub(super) struct Bucket {
    name: String,
    prefix: String,
    endpoint: Option<Url>,
    region: Option<String>,
    credentials: Option<(ValueTemplate, ValueTemplate)>,
}

impl Bucket {
    pub(super) fn new(
        url: &Url,
        target: &FilesTarget,
        parameters: &BTreeMap<String, String>,
        wrong: &dyn Fn(String) -> SpecError,
    ) -> Result<Self, SpecError> {
        let name = url.host_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| wrong("the bucket is missing".to_owned()))?.to_owned();
        let endpoint = target.endpoint.as_ref().map(|endpoint| {
            let key = "load.files.endpoint";
            endpoint.fill(key, parameters)?.fixed().map_err(|error| wrong(error.to_string()).key(key))
        });
        let credentials = match (&target.access_key_id, &target.secret_access_key) {
            (Some(id), Some(secret)) => Some((id.clone(), secret.clone())),
            (None, None) => None,
            (id, _) => {
                let missing = if id.is_some() { "secret_access_key" } else { "access_key_id" };
                let what = format!("{missing} is missing: both or neither");
                let help = "without them AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the worker's environment count";
                return Err(SpecError::new("the pipeline", what).key("load.files").help(help));
            }
        };
        let prefix = prefix_of(url).map_err(wrong)?;
        let region = target.region.as_ref().map(|region| region.fill_text(parameters));
        Ok(Self { name, prefix, endpoint: endpoint.transpose()?, region, credentials })
    }

    pub(super) async fn turn(&self, requester: &Requester, repeats: bool) -> Turn {
        match self.bucket() {
            Ok(bucket) => requester.turn(bucket.base_url(), repeats).await,
            // The delivery will say why.
            Err(_) => Turn::default(),
        }
    }

    pub(super) async fn reachable(&self, requester: &Requester) -> bool {
        match self.bucket() {
            Ok(bucket) => requester.reachable(bucket.base_url()).await,
            Err(_) => true,
        }
    }

    /// Puts an object, over one of the same name.
    pub(super) async fn put(
        &self,
        requester: &Requester,
        object: &str,
        content_type: &'static str,
        body: Bytes,
        until: Instant,
        turn: Turn,
    ) -> PostOutcome {
        let time = until.saturating_duration_since(Instant::now()) + SPARE;
        let url = match self.signed(object, time) {
            Ok(url) => url,
            Err(detail) => return PostOutcome::PipelineWrong { status: 0, detail },
        };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        let exchange = Exchange { method: Method::PUT, url, headers, body, limit: ANSWER };
        self.outcome(requester.once(exchange, until, turn).await)
    }

    fn signed(&self, object: &str, time: Duration) -> Result<Url, String> {
        let (bucket, credentials) = (self.bucket()?, self.credentials()?);
        let object = match self.prefix.as_str() {
            "" => object.to_owned(),
            prefix => format!("{prefix}/{object}"),
        };
        Ok(bucket.put_object(Some(&credentials), &object).sign_with_time(time, &Timestamp::now()))
    }

    /// The bucket with what the worker's environment says where the pipeline says nothing.
    fn bucket(&self) -> Result<rusty_s3::Bucket, String> {
        let region = self.region.clone().or_else(|| first(["AWS_REGION", "AWS_DEFAULT_REGION"]));
        let region = region.unwrap_or_else(|| REGION.to_owned());
        let named = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
        let endpoint = match &self.endpoint {
            Some(endpoint) => Some(endpoint.clone()),
            None => {
                let text = first(named);
                text.map(|text| crate::spec::template::http_url(&text))
                    .transpose()
                    .map_err(|what| format!("{} in the worker's environment: {what}", named.join(" or ")))?
            }
        };
        let (endpoint, style) = match endpoint {
            // Few but AWS itself have a host for each bucket.
            Some(endpoint) => (endpoint, UrlStyle::Path),
            None => {
                let url = Url::parse(&format!("https://s3.{region}.amazonaws.com"));
                let url = url.map_err(|_| format!("\"{region}\" is not a region; check load.files.region"))?;
                // A certificate for all buckets covers no name with a dot.
                (url, if self.name.contains('.') { UrlStyle::Path } else { UrlStyle::VirtualHost })
            }
        };
        rusty_s3::Bucket::new(endpoint, style, self.name.clone(), region)
            .map_err(|error| format!("the bucket {} cannot be addressed: {error}; check load.files", self.name))
    }

    fn credentials(&self) -> Result<Credentials, String> {
        if let Some((id, secret)) = &self.credentials {
            let resolve = |value: &ValueTemplate| {
                value.resolve(&BTreeMap::new(), &mut Vec::new()).map_err(|error| error.to_string())
            };
            let (id, secret) = (resolve(id)?, resolve(secret)?);
            return Ok(Credentials::new(id.expose_secret(), secret.expose_secret()));
        }
        let text = |name| env::var(name).ok().filter(|text| !text.is_empty());
        match (text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY"), text("AWS_SESSION_TOKEN")) {
            (Some(id), Some(secret), Some(token)) => Ok(Credentials::new_with_token(id, secret, token)),
            (Some(id), Some(secret), None) => Ok(Credentials::new(id, secret)),
            _ => {
                Err("there are no credentials for the bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the \
                      environment of the workers, or refer to them under load.files"
                    .to_owned())
            }
        }
    }

    fn outcome(&self, result: Result<Answer, TransportError>) -> PostOutcome {
        let answer = match result {
            Ok(answer) => answer,
            Err(TransportError::NotSent(reason)) => return PostOutcome::NotSent { reason },
            Err(TransportError::Broken(reason)) => {
                return PostOutcome::InDoubt { status: None, reason, detail: String::new() };
            }
        };
        let status = answer.status.as_u16();
        let detail = told(&answer.body);
        let code = between(&detail, "<Code>", "</Code>").unwrap_or_default();
        match (status, code) {
            (200..=299, _) => PostOutcome::Applied { status },
            // The store had not begun: too much to do, a body that came too slowly, or another PUT of the same object.
            (429, _) | (503, "SlowDown") | (400, "RequestTimeout") | (409, _) => {
                let retry_after = crate::http::classify::retry_after(&answer.headers);
                PostOutcome::NotApplied { status, retry_after, detail }
            }
            (413, _) | (400, "EntityTooLarge") => PostOutcome::Rejected { status, detail },
            (408 | 500..=599, _) => {
                let reason = "the answer does not say whether the object is there".to_owned();
                PostOutcome::InDoubt { status: Some(status), reason, detail }
            }
            _ => {
                let said = match between(&detail, "<Message>", "</Message>") {
                    Some(message) => format!("{code}: {message}"),
                    None => excerpt(&detail),
                };
                let detail = format!(
                    "the bucket {} takes no objects, {status}: {said}; check load.files (endpoint, region, bucket) and \
                     what its credentials may do",
                    self.name
                );
                PostOutcome::PipelineWrong { status: 0, detail }
            }
        }
    }
}

/// What stands before the names of all objects. The URL has it percent-encoded, and signing encodes it anew.
fn prefix_of(url: &Url) -> Result<String, String> {
    let encoded = url.path().trim_matches('/');
    let prefix = percent_decode_str(encoded).decode_utf8();
    let prefix = prefix.map_err(|_| format!("the prefix {encoded} is not UTF-8 when its % are decoded"))?;
    if prefix.split('/').any(|step| matches!(step, "." | "..")) {
        return Err(format!("the prefix {prefix} cannot stand in a URL: . and .. lead elsewhere there"));
    }
    Ok(prefix.into_owned())
}

fn first<const N: usize>(names: [&str; N]) -> Option<String> {
    names.into_iter().find_map(|name| env::var(name).ok().filter(|text| !text.is_empty()))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let rest = &text[text.find(start)? + start.len()..];
    Some(&rest[..rest.find(end)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::template::Part;

    #[test]
    fn a_prefix_is_encoded_once() {
        let secret = || ValueTemplate::of_part(Part::Literal("canary".to_owned()));
        for (url, path) in [
            ("s3://herd", "/herd/run/key"),
            ("s3://herd/all/", "/herd/all/run/key"),
            ("s3://herd/my zoo", "/herd/my%20zoo/run/key"),
            ("s3://herd/my%20zoo", "/herd/my%20zoo/run/key"),
            ("s3://herd/löwen/100%25", "/herd/l%C3%B6wen/100%25/run/key"),
            ("s3://herd/a+b%2Fc", "/herd/a%2Bb/c/run/key"),
        ] {
            let bucket = Bucket {
                name: "herd".to_owned(),
                prefix: prefix_of(&Url::parse(url).unwrap()).unwrap(),
                endpoint: Some(Url::parse("http://s3.test").unwrap()),
                region: Some("here".to_owned()),
                credentials: Some((secret(), secret())),
            };
            assert_eq!(bucket.signed("run/key", SPARE).unwrap().path(), path, "{url}");
        }
    }
}
