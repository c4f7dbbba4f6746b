//! `auth` and `headers`: who asks.

use crate::error::SpecError;
use crate::spec::field::{Field, Table};
use crate::spec::template::{Allowed, Template};
use crate::spec::types::{Auth, Headers, KeyPlace, OAuth2, Parameter, SendSecret};
use crate::spec::value::ValueTemplate;

pub(crate) const SEND_SECRET: [(&str, SendSecret); 2] = [("basic", SendSecret::Basic), ("body", SendSecret::Body)];

/// Headers that the requester sets itself, or that decide what a request is.
const OURS: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "content-encoding",
    "accept-encoding",
    "te",
    "upgrade",
    "expect",
];

/// The key `auth` of a table.
pub(super) fn auth(table: &Table<'_>, parameters: &[Parameter]) -> Result<Auth, SpecError> {
    table.or("auth", Auth::None, |field| read(&field, parameters))
}

fn read(field: &Field<'_>, parameters: &[Parameter]) -> Result<Auth, SpecError> {
    if field.is_word("none") {
        return Ok(Auth::None);
    }
    let (kind, field) = field.only_one_of(&["bearer", "basic", "api_key", "oauth2"])?;
    Ok(match kind {
        "bearer" => Auth::Bearer(ValueTemplate::read_secret(&field)?),
        "basic" => {
            let table = field.table(&["user", "password"])?;
            Auth::Basic {
                user: ValueTemplate::read(&table.need("user")?, parameters)?,
                password: ValueTemplate::read_secret(&table.need("password")?)?,
            }
        }
        "api_key" => {
            let table = field.table(&["header", "query", "value"])?;
            let value = ValueTemplate::read_secret(&table.need("value")?)?;
            match (table.get("header"), table.get("query")) {
                (Some(field), None) => Auth::ApiKey { place: KeyPlace::Header, name: header_name(&field)?, value },
                (None, Some(field)) => Auth::ApiKey { place: KeyPlace::Query, name: field.text()?.to_owned(), value },
                _ => {
                    return Err(field
                        .error("an API key goes into a header or into the query: name one of them")
                        .help("such as header: X-Api-Key, or query: api_key"));
                }
            }
        }
        _ => Auth::OAuth2(oauth2(&field, parameters)?),
    })
}

fn oauth2(field: &Field<'_>, parameters: &[Parameter]) -> Result<OAuth2, SpecError> {
    let table = field.table(&["token_url", "client_id", "client_secret", "scope", "audience", "send"])?;
    let text = |name: &str| table.get(name).map(|field| Template::read(&field, parameters, Allowed::Text)).transpose();
    Ok(OAuth2 {
        token_url: Template::read(&table.need("token_url")?, parameters, Allowed::Fixed)?,
        client_id: ValueTemplate::read(&table.need("client_id")?, parameters)?,
        client_secret: ValueTemplate::read_secret(&table.need("client_secret")?)?,
        scope: text("scope")?,
        audience: text("audience")?,
        send: table.or("send", SendSecret::Basic, |field| field.one_of(&SEND_SECRET))?,
    })
}

/// The key `headers` of a table.
pub(super) fn headers(table: &Table<'_>, parameters: &[Parameter]) -> Result<Headers, SpecError> {
    let Some(field) = table.get("headers") else { return Ok(Headers::new()) };
    let mut headers = Headers::new();
    for (name, field) in field.any_table()?.entries() {
        let name = checked_name(&field, name)?;
        if name == "authorization" {
            return Err(field
                .error("who asks is said under auth")
                .help("write auth: { bearer: ... }, { basic: ... } or { api_key: ... }"));
        }
        if headers.iter().any(|(known, _)| *known == name) {
            return Err(field
                .error("this header stands here twice")
                .help("give each once; their case does not matter"));
        }
        headers.push((name, ValueTemplate::read(&field, parameters)?));
    }
    // As in the canonical form, which sorts all keys.
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(headers)
}

/// A header's name, in lower case.
pub(super) fn header_name(field: &Field<'_>) -> Result<String, SpecError> {
    checked_name(field, field.text()?)
}

fn checked_name(field: &Field<'_>, name: &str) -> Result<String, SpecError> {
    let parsed = http::HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| field.error(format!("\"{name}\" is not a header's name")))?;
    if OURS.contains(&parsed.as_str()) {
        return Err(field
            .error(format!("{name} is not for a pipeline to set"))
            .help("drop it: it follows from the request"));
    }
    Ok(parsed.as_str().to_owned())
}
