//! What the requests of a pipeline carry beside their URLs: headers, and who asks. References to secrets only.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::{Origin, Url};

use super::Get;
use super::credentials::{Proof, Resolved, basic};
use super::token::Client;
use crate::error::SpecError;
use crate::record_id::RecordId;
use crate::spec::template::Template;
use crate::spec::types::{Auth, Detail, Headers, KeyPlace, ListSpec, TargetSpec};
use crate::spec::value::{NoSecret, ValueTemplate};
use crate::spec::{LoadSpec, SourceSpec};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Which process sends requests. Each has the secrets that it needs itself, and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// It lists the source.
    Coordinator,
    /// It reads records and loads them.
    Worker,
    /// It does both, as `muster run` does.
    Alone,
    /// It reads the source and loads nothing, as the tools for whoever writes a pipeline do.
    Reader,
}

/// What a request is for; it decides what the request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Get(Get),
    Load,
}

/// Which side a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Target,
}

impl Purpose {
    pub(crate) fn side(self) -> Side {
        match self {
            Purpose::Get(Get::List | Get::Detail | Get::Enrich(_)) => Side::Source,
            Purpose::Get(Get::Probe) | Purpose::Load => Side::Target,
        }
    }
}

impl Process {
    fn sends(self, purpose: Purpose) -> bool {
        match self {
            Process::Coordinator => purpose == Purpose::Get(Get::List),
            Process::Worker => purpose != Purpose::Get(Get::List),
            Process::Alone => true,
            Process::Reader => !matches!(purpose, Purpose::Load | Purpose::Get(Get::Probe)),
        }
    }

    /// Where a secret is missing, and what to do about it, in words.
    fn lacks(self) -> (&'static str, &'static str) {
        match self {
            Process::Coordinator => (
                "the coordinator's process, which lists the source,",
                "let the coordinator have it (a variable only when it is started anew), then muster resume the run",
            ),
            Process::Worker => (
                "the worker's process",
                "let every worker have it (a variable only when it is started anew), then muster resume the run",
            ),
            Process::Alone | Process::Reader => ("this process", "let it have it and type the same command again"),
        }
    }
}

/// What the requests to source and target carry, with parameters filled in and secrets referred to.
#[derive(Debug)]
pub(crate) struct Access {
    parameters: BTreeMap<String, String>,
    source: Party,
    target: Party,
}

/// One side.
#[derive(Debug, Default)]
struct Party {
    auth: Auth,
    token_url: Option<Url>,
    requests: Vec<Request>,
}

/// One kind of request: what it carries, and where to alone.
#[derive(Debug)]
struct Request {
    purpose: Purpose,
    key: String,
    headers: Headers,
    origin: Origin,
}

impl Access {
    pub(crate) fn new(
        source: &SourceSpec,
        load: &LoadSpec,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Self, SpecError> {
        let request = |purpose, key: String, url: &Template, shared: &Headers, own: &Headers| {
            let origin = origin(&key, url, parameters)?;
            Ok(Request { purpose: Purpose::Get(purpose), key, headers: merged(shared, own), origin })
        };
        let mut requests = Vec::new();
        if let ListSpec::Paged(list) = &source.list {
            let (url, own) = (&list.request.url, &list.request.headers);
            requests.push(request(Get::List, "source.list.request".into(), url, &source.headers, own)?);
        }
        if let Detail::Request(detail) = &source.detail {
            let key = "source.detail.request".into();
            requests.push(request(Get::Detail, key, &detail.url, &source.headers, &detail.headers)?);
        }
        for (index, enrich) in source.enrich.iter().enumerate() {
            let (key, own) = (format!("source.enrich[{index}].request"), &enrich.request.headers);
            requests.push(request(Get::Enrich(index), key, &enrich.request.url, &source.headers, own)?);
        }
        let token = |auth: &Auth, key: &str| match auth {
            Auth::OAuth2(oauth2) => token_url(&oauth2.token_url, key, parameters).map(Some),
            _ => Ok(None),
        };
        let token_url = token(&source.auth, "source.auth.oauth2.token_url")?;
        let source = Party { auth: source.auth.clone(), token_url, requests };
        let target = match load.http() {
            None => Party::default(),
            Some(http) => {
                let key = "load.request".to_owned();
                let origin = origin(&key, &http.url, parameters)?;
                let mut requests = vec![Request { purpose: Purpose::Load, key, headers: http.headers.clone(), origin }];
                if let Some(probe) = &http.probe {
                    let key = "load.probe".into();
                    requests.push(request(Get::Probe, key, &probe.url, &http.headers, &Headers::new())?);
                }
                let token_url = token(&http.auth, "load.auth.oauth2.token_url")?;
                Party { auth: http.auth.clone(), token_url, requests }
            }
        };
        Ok(Self { parameters: parameters.clone(), source, target })
    }

    /// Looks the secrets of one side up, as far as this process sends requests there; what is missing is named.
    pub(crate) fn resolve(&self, side: Side, process: Process) -> Result<Resolved, String> {
        let (party, name) = match side {
            Side::Source => (&self.source, "source"),
            Side::Target => (&self.target, "load"),
        };
        let mut resolved = Resolved::default();
        let sent: Vec<&Request> = party.requests.iter().filter(|request| process.sends(request.purpose)).collect();
        if sent.is_empty() {
            return Ok(resolved);
        }
        for request in sent {
            let mut headers = HeaderMap::from_iter([(ACCEPT, JSON)]);
            for (header, value) in &request.headers {
                let key = format!("{}, header {header},", request.key);
                let text = self.value(value, &key, process, &mut resolved.secrets)?;
                headers.insert(header_name(header, &key)?, header_value(&text, value.is_secret(), &key)?);
            }
            resolved.requests.push((request.purpose, request.origin.clone(), headers));
        }
        resolved.proof = self.proof(party, &format!("{name}.auth"), process, &mut resolved.secrets)?;
        Ok(resolved)
    }

    /// Looks up what files and tables are reached with; what is missing is named.
    pub(crate) fn check_target(&self, target: &TargetSpec, process: Process) -> Result<(), String> {
        if !process.sends(Purpose::Load) {
            return Ok(());
        }
        let secrets = match target {
            TargetSpec::Http(_) => [None, None],
            TargetSpec::Postgres(table) => [Some(("load.postgres.url", &table.url)), None],
            TargetSpec::Files(files) => [
                files.access_key_id.as_ref().map(|id| ("load.files.access_key_id", id)),
                files.secret_access_key.as_ref().map(|key| ("load.files.secret_access_key", key)),
            ],
        };
        secrets
            .into_iter()
            .flatten()
            .try_for_each(|(key, secret)| self.value(secret, key, process, &mut Vec::new()).map(drop))
    }

    fn proof(
        &self,
        party: &Party,
        key: &str,
        process: Process,
        secrets: &mut Vec<SecretString>,
    ) -> Result<Proof, String> {
        let mut value = |value: &ValueTemplate| self.value(value, key, process, secrets);
        Ok(match &party.auth {
            Auth::None => Proof::None,
            Auth::Bearer(token) => {
                let text = format!("Bearer {}", value(token)?.expose_secret()).into();
                Proof::Header(AUTHORIZATION, header_value(&text, true, key)?)
            }
            Auth::Basic { user, password } => {
                let (user, password) = (value(user)?, value(password)?);
                if user.expose_secret().contains(':') {
                    return Err(format!("{key}.basic.user must not have a colon in it: RFC 7617 ends a name there"));
                }
                let text = basic(user.expose_secret(), password.expose_secret());
                secrets.push(encoded(&text));
                Proof::Header(AUTHORIZATION, header_value(&text, true, key)?)
            }
            Auth::ApiKey { place: KeyPlace::Header, name, value: secret } => {
                Proof::Header(header_name(name, key)?, header_value(&value(secret)?, true, key)?)
            }
            Auth::ApiKey { place: KeyPlace::Query, name, value: secret } => Proof::Query(name.clone(), value(secret)?),
            Auth::OAuth2(oauth2) => {
                let client = Client {
                    id: value(&oauth2.client_id)?,
                    secret: value(&oauth2.client_secret)?,
                    // Filled in when the pipeline was compiled.
                    url: party.token_url.clone().ok_or_else(|| format!("{key}.oauth2.token_url is missing"))?,
                    scope: oauth2.scope.as_ref().map(|scope| scope.fill_text(&self.parameters)),
                    audience: oauth2.audience.as_ref().map(|audience| audience.fill_text(&self.parameters)),
                    send: oauth2.send,
                };
                secrets.push(encoded(&client.basic()));
                Proof::Client(Box::new(client))
            }
        })
    }

    fn value(
        &self,
        value: &ValueTemplate,
        key: &str,
        process: Process,
        secrets: &mut Vec<SecretString>,
    ) -> Result<SecretString, String> {
        value.resolve(&self.parameters, secrets).map_err(|NoSecret { reference, what }| {
            let (whose, mend) = process.lacks();
            format!("{key} needs the secret {reference}, and {whose} does not have it: {what}; {mend}")
        })
    }
}

/// What a single request says takes the place of what all say.
fn merged(shared: &Headers, own: &Headers) -> Headers {
    let taken = |name: &str| own.iter().any(|(known, _)| known == name);
    shared.iter().filter(|(name, _)| !taken(name)).chain(own).cloned().collect()
}

/// Where the requests of a template go; it does not depend on the record.
fn origin(key: &str, url: &Template, parameters: &BTreeMap<String, String>) -> Result<Origin, SpecError> {
    let filled = url.fill(&format!("{key}.url"), parameters)?.of(&RecordId::from(0));
    filled.map(|url| url.origin()).map_err(|error| SpecError::new("the pipeline", error.to_string()).key(key))
}

fn token_url(url: &Template, key: &str, parameters: &BTreeMap<String, String>) -> Result<Url, SpecError> {
    url.fill(key, parameters)?.fixed().map_err(|error| SpecError::new("the pipeline", error.to_string()).key(key))
}

fn header_name(name: &str, key: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{key} is no name of a header"))
}

/// What stands behind `Basic`: who reads it reads the password. Without the padding, which says nothing.
fn encoded(basic: &SecretString) -> SecretString {
    basic.expose_secret().trim_start_matches("Basic ").trim_end_matches('=').into()
}

/// The value of a header. One that is secret is marked, so that no layer below logs it.
fn header_value(text: &SecretString, secret: bool, key: &str) -> Result<HeaderValue, String> {
    let text = text.expose_secret();
    let cannot = |what: &str| format!("{key} has a value that cannot stand in a header: {what} in it");
    // Some editors put one before what they save: nobody sees it, and no server takes it.
    if text.contains('\u{feff}') {
        return Err(cannot("there is a byte order mark"));
    }
    let mut value =
        HeaderValue::from_str(text).map_err(|_| cannot("there are line ends or other control characters"))?;
    value.set_sensitive(secret);
    Ok(value)
}
