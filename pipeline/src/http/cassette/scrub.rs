//! What is taken out before anything is written down: secrets, by where they stand and by what they are.

use std::collections::BTreeSet;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::de::IgnoredAny;
use url::Url;

use super::{Asked, Body, Headers, Interaction, REDACTED, Values};

/// Headers that carry secrets, whatever they are called elsewhere.
const SECRET_HEADERS: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "www-authenticate", "authentication-info"];

/// Parts of names that say that a header, a query parameter or a member of an answer is a secret.
const SECRET_WORDS: [&str; 9] =
    ["api-key", "apikey", "token", "secret", "password", "passwd", "signature", "credential", "session"];

/// Members of a form or of an answer that are secrets only in the exchange with a token endpoint.
const TOKENS: [&str; 6] =
    ["access_token", "refresh_token", "id_token", "client_secret", "client_assertion", "password"];

/// Secrets by what they are.
#[derive(Debug, Default)]
pub(super) struct Scrubber {
    /// Each secret in the forms in which it may stand in a text; the longest first, as one may contain another.
    forms: Vec<String>,
    cursors: Cursors,
}

impl Scrubber {
    pub(super) fn new(secrets: impl IntoIterator<Item = String>, cursors: Cursors) -> Self {
        let mut forms = Vec::new();
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty() && secret != REDACTED) {
            let json = serde_json::Value::from(secret.as_str()).to_string();
            let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            forms.extend([
                json[1..json.len() - 1].to_owned(),
                utf8_percent_encode(&secret, NON_ALPHANUMERIC).to_string(),
                form,
                secret,
            ]);
        }
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Self { forms, cursors }
    }

    /// Takes all secrets out of what is about to be written down.
    pub(super) fn clean(&self, interaction: &mut Interaction) {
        let Interaction { request, response } = interaction;
        request.uri = self.text(&uri(&request.uri, &self.cursors));
        self.headers(&mut request.headers);
        self.headers(&mut response.headers);
        if let Some(body) = &mut request.body {
            *body = self.body(&form(body, &request.headers));
        }
        response.body.string = self.body(&response.body.string);
    }

    fn headers(&self, headers: &mut Headers) {
        for (name, values) in headers {
            let secret = SECRET_HEADERS.contains(&name.as_str()) || is_secret_name(name);
            let clean = |value: &str| if secret { REDACTED.to_owned() } else { self.text(value) };
            *values = Values::Many(values.iter().map(clean).collect());
        }
    }

    fn body(&self, body: &Body) -> Body {
        match std::str::from_utf8(&body.0) {
            Ok(text) => Body(self.text(&json(text, &self.cursors)).into_bytes()),
            Err(_) => body.clone(),
        }
    }

    fn text(&self, text: &str) -> String {
        self.forms.iter().fold(queries(text, &self.cursors), |text, form| text.replace(form, REDACTED))
    }
}

/// The secrets that an exchange itself brings: tokens, of which later requests are made.
pub(super) fn brought(asked: &Asked, answer: &[u8]) -> Vec<String> {
    if asked.method == "GET" {
        return Vec::new();
    }
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    TOKENS.iter().filter_map(|name| answer[*name].as_str()).map(str::to_owned).collect()
}

/// What has a name like that of a secret, but is none: an answer said it before anybody asked with it, as a parameter or
/// in the path.
#[derive(Debug, Default)]
pub(super) struct Cursors(BTreeSet<String>);

impl Cursors {
    /// The cursors of these requests. Without them all pages of a list would look alike.
    pub(super) fn of(interactions: &[Interaction]) -> Self {
        let (mut said, mut cursors, mut own) = (String::new(), BTreeSet::new(), BTreeSet::new());
        for Interaction { request, response } in interactions.iter().filter(|one| one.request.method == "GET") {
            let url = Url::parse(&request.uri).ok();
            let pairs = url.iter().flat_map(Url::query_pairs).filter(|(name, _)| is_secret_name(name));
            for (_, value) in pairs.filter(|(_, value)| value != REDACTED) {
                // A key that a server says back was sent to it first.
                let kept = if said.contains(&*value) { &mut cursors } else { &mut own };
                kept.insert(value.into_owned());
            }
            for step in url.iter().filter_map(Url::path_segments).flatten() {
                let step = percent_decode_str(step).decode_utf8_lossy();
                if !step.is_empty() && said.contains(&*step) {
                    cursors.insert(step.into_owned());
                }
            }
            let headers = response.headers.values().flat_map(Values::iter);
            let body = std::str::from_utf8(&response.body.string.0).unwrap_or_default().replace("\\/", "/");
            for text in headers.chain([body.as_str()]) {
                said.push_str(&format!("{text}\n{}\n", percent_decode_str(text).decode_utf8_lossy()));
            }
        }
        Self(&cursors - &own)
    }
}

/// A URL without the secrets that the names of its query parameters tell. What is asked for in a replay is brought to the
/// same form.
pub(super) fn uri(uri: &str, cursors: &Cursors) -> String {
    let Ok(mut url) = Url::parse(uri) else { return uri.to_owned() };
    let is_secret = |name: &str, value: &str| is_secret_name(name) && !cursors.0.contains(value);
    if !url.query_pairs().any(|(name, value)| is_secret(&name, &value)) {
        return uri.to_owned();
    }
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let clean = |(name, value): &(String, String)| {
        let value = if is_secret(name, value) { REDACTED.to_owned() } else { value.clone() };
        (name.clone(), value)
    };
    url.query_pairs_mut().clear().extend_pairs(pairs.iter().map(clean));
    url.into()
}

/// Names of cursors often have "token" in them: those are no secrets.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let cursor = ["page", "next", "continuation", "cursor"].iter().any(|word| name.contains(word));
    !cursor && SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// What ends the name of a member that tells of a secret without being one.
const ABOUT_SECRETS: [&str; 6] = ["-type", "-url", "-uri", "-endpoint", "-at", "-in"];

/// Whether a member of an answer or of a form is a secret.
fn is_secret_member(name: &str) -> bool {
    let spelled = name.to_ascii_lowercase().replace('_', "-");
    TOKENS.contains(&name) || (is_secret_name(name) && !ABOUT_SECRETS.iter().any(|end| spelled.ends_with(end)))
}

/// A form of which the secret fields are taken out; anything else as it is.
fn form(body: &Body, headers: &Headers) -> Body {
    let Ok(text) = std::str::from_utf8(&body.0) else { return body.clone() };
    let said =
        headers.get("content-type").is_some_and(|values| values.iter().any(|value| value.contains("urlencoded")));
    if !said && !TOKENS.iter().any(|name| text.contains(&format!("{name}="))) {
        return body.clone();
    }
    let mut clean = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        clean.append_pair(&name, if is_secret_member(&name) { REDACTED } else { &value });
    }
    Body(clean.finish().into_bytes())
}

/// JSON, or lines of it, of which the secret members are taken out at any depth; anything else, and what has none, as it
/// is.
fn json(text: &str, cursors: &Cursors) -> String {
    let clean = |text: &str| {
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        members(text, cursors)
    };
    let lines =
        || text.split('\n').map(|line| if line.trim().is_empty() { Some(line.to_owned()) } else { clean(line) });
    let whole = clean(text).or_else(|| Some(lines().collect::<Option<Vec<_>>>()?.join("\n")));
    whole.unwrap_or_else(|| text.to_owned())
}

/// Takes the secret members out of what is JSON; what has none is as it was. What stands there is as before: a text is
/// another text, an object has the same members, a number its digits.
fn members(json: &str, cursors: &Cursors) -> Option<String> {
    let (mut clean, mut rest, mut any) = (String::with_capacity(json.len()), json, false);
    // Whether a text that comes now is a secret, and whether one was where each list and object around it began.
    let (mut is_secret, mut around) = (false, Vec::new());
    while let Some(at) = rest.find(['"', '{', '[', '}', ']']) {
        let (before, from) = rest.split_at(at);
        clean.push_str(before);
        let Some((token, after)) = string(from) else {
            let (bracket, after) = from.split_at(1);
            match bracket {
                "{" | "[" => around.push(is_secret),
                _ => is_secret = around.pop()?,
            }
            clean.push_str(bracket);
            rest = after;
            continue;
        };
        rest = after;
        let said: Option<String> = serde_json::from_str(token).ok();
        let text = said.as_deref().unwrap_or(token);
        if rest.trim_start().starts_with(':') {
            is_secret = is_secret_member(text);
        } else if is_secret && text != REDACTED && !cursors.0.contains(text) {
            clean.push_str(&format!("\"{REDACTED}\""));
            any = true;
            continue;
        }
        // Whatever its escapes, in the one spelling in which known secrets are looked for.
        clean.push_str(&said.map_or_else(|| token.to_owned(), |said| serde_json::Value::from(said).to_string()));
    }
    clean.push_str(rest);
    Some(if any { clean } else { json.to_owned() })
}

/// The string that JSON begins with, quotes and all, and what comes after it.
fn string(json: &str) -> Option<(&str, &str)> {
    let mut is_escaped = false;
    let inner = json.strip_prefix('"')?.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })?;
    json.split_at_checked(inner + 2)
}

/// A text without the secrets that the names of query parameters tell, in whatever URL in it.
fn queries(text: &str, cursors: &Cursors) -> String {
    let (mut clean, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(['?', '&', '\\']) {
        let lead = ["?", "&amp;", "&", "\\u0026"].into_iter().find(|lead| rest[at..].starts_with(lead)).unwrap_or("\\");
        let (before, after) = rest.split_at(at + lead.len());
        clean.push_str(before);
        rest = after;
        let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.~%[]".contains(letter);
        let Some(end) = rest.find(|letter| !is_of_name(letter)).filter(|end| rest[*end..].starts_with('=')) else {
            continue;
        };
        let (name, after) = (&rest[..end], &rest[end + 1..]);
        let value =
            &after[..after.find(|end: char| "&#\"'<>\\`".contains(end) || end.is_whitespace()).unwrap_or(after.len())];
        let said = value.replace('+', " ");
        let said = percent_decode_str(&said).decode_utf8_lossy();
        if lead != "\\" && !value.is_empty() && is_secret_name(name) && !cursors.0.contains(&*said) {
            clean.push_str(&format!("{name}={REDACTED}"));
            rest = &after[value.len()..];
        }
    }
    clean.push_str(rest);
    clean
}
