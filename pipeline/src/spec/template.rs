//! URLs with references: `${param:base_url}/animals/${record:id}`.
//!
//! References are a family, `${kind:name}`; a literal `${` is written `$${`.

use std::collections::BTreeMap;

use url::Url;

use crate::error::{SpecError, suggest};
use crate::spec::field::Field;
use crate::spec::types::Parameter;

mod record_url;

pub(crate) use record_url::RecordUrl;

/// A URL template, checked when the pipeline is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    text: String,
    parts: Vec<Part>,
}

/// A piece of a text with references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    Parameter(String),
    RecordId,
    /// A secret from the environment.
    Env(String),
    /// A secret from a file.
    File(String),
}

/// Which references may stand in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// Parameters; the record's ID must not stand there.
    Fixed,
    /// Parameters, and the record's ID must stand there.
    Record,
    /// Parameters, in what is no URL and goes out as it is.
    Text,
    /// Parameters and secrets.
    Value,
    /// Secrets: a parameter would put one into the ledger.
    Secret,
}

impl Template {
    /// Reads a template.
    pub(crate) fn read(field: &Field<'_>, parameters: &[Parameter], allowed: Allowed) -> Result<Self, SpecError> {
        let text = field.text()?;
        Ok(Self { text: text.to_owned(), parts: parse_checked(field, text, parameters, allowed)? })
    }

    /// The text as the file has it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Fills the parameters in, for what is no URL.
    pub(crate) fn fill_text(&self, parameters: &BTreeMap<String, String>) -> String {
        fill_parts(&self.parts, parameters)
    }

    /// Fills the parameters in and checks that the result is an http(s) URL whose host does not depend on the record.
    pub(crate) fn fill(&self, key: &str, parameters: &BTreeMap<String, String>) -> Result<RecordUrl, SpecError> {
        let mut literals = vec![String::new()];
        for part in &self.parts {
            let text = match part {
                Part::Literal(text) => text.as_str(),
                Part::Parameter(name) => parameters.get(name).map(String::as_str).unwrap_or_default(),
                Part::RecordId => {
                    literals.push(String::new());
                    continue;
                }
                // No URL has these: see `Allowed`.
                Part::Env(_) | Part::File(_) => continue,
            };
            if let Some(last) = literals.last_mut() {
                last.push_str(text);
            }
        }
        let filled = RecordUrl::new(literals);
        let wrong = |what: String| Err(SpecError::new("the pipeline with these parameters", what).key(key));
        let (one, other) = (filled.text_for("0"), filled.text_for("1"));
        match (http_url(&one), http_url(&other)) {
            (Ok(one), Ok(other)) if one.origin() == other.origin() => Ok(filled),
            (Ok(_), Ok(_)) => wrong("the record's ID must not stand in the host of the URL".to_owned()),
            (Err(what), _) | (_, Err(what)) => wrong(what),
        }
    }
}

/// Fills parameters into a text that [`parse_checked`] has seen.
pub(crate) fn fill_checked(text: &str, parameters: &BTreeMap<String, String>) -> String {
    parse(text).map_or_else(|_| text.to_owned(), |parts| fill_parts(&parts, parameters))
}

fn fill_parts(parts: &[Part], parameters: &BTreeMap<String, String>) -> String {
    let part = |part: &Part| match part {
        Part::Literal(text) => text.clone(),
        Part::Parameter(name) => parameters.get(name).cloned().unwrap_or_default(),
        // These may not stand in one: see `Allowed`.
        Part::RecordId | Part::Env(_) | Part::File(_) => String::new(),
    };
    parts.iter().map(part).collect()
}

/// An absolute http or https URL without credentials; the error says what to do.
pub(crate) fn http_url(text: &str) -> Result<Url, String> {
    let shown: String = text.chars().take(200).collect();
    let url = Url::parse(text).map_err(|error| {
        format!("\"{shown}\" is not a URL ({error}); write it whole, such as http://127.0.0.1:3123")
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("\"{shown}\" is not an http or https URL; write it whole, such as http://127.0.0.1:3123"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Not echoed: what stands there is a secret.
        return Err("a URL must not carry a user name or password".to_owned());
    }
    Ok(url)
}

/// Reads a text with references and checks that each may stand where it stands.
pub(crate) fn parse_checked(
    field: &Field<'_>,
    text: &str,
    parameters: &[Parameter],
    allowed: Allowed,
) -> Result<Vec<Part>, SpecError> {
    let parts = parse(text).map_err(|(what, help)| field.error(what).help(help))?;
    for part in &parts {
        match part {
            Part::Parameter(_) if allowed == Allowed::Secret => {
                return Err(field
                    .error("a secret must not be a parameter: those stand in the ledger")
                    .help("write ${env:NAME} or ${file:PATH}"));
            }
            Part::Parameter(name) if !parameters.iter().any(|known| known.name == *name) => {
                return Err(field
                    .error(format!("the parameter \"{name}\" is not declared under parameters"))
                    .help(suggest(name, parameters.iter().map(|known| known.name.as_str()))));
            }
            Part::Env(_) | Part::File(_) if matches!(allowed, Allowed::Fixed | Allowed::Record) => {
                return Err(field
                    .error("a secret must not stand in a URL: URLs are shown and logged")
                    .help("put it under auth or headers; auth.api_key has a place for one in the query"));
            }
            Part::Env(_) | Part::File(_) if allowed == Allowed::Text => {
                return Err(field
                    .error("a secret must not stand here: this is shown, and goes out as part of what is sent")
                    .help(
                        "put it under auth or headers; ${param:NAME} may stand here, and a plain ${ is written $${",
                    ));
            }
            Part::RecordId if allowed != Allowed::Record => {
                return Err(field
                    .error("${record:id} has no meaning here")
                    .help("it stands in URLs that are asked for one record only"));
            }
            _ => {}
        }
    }
    if allowed == Allowed::Record && !parts.contains(&Part::RecordId) {
        return Err(field.error("this URL is the same for every record").help("put ${record:id} into it"));
    }
    Ok(parts)
}

/// Takes a text with references apart.
pub(crate) fn parse(text: &str) -> Result<Vec<Part>, (String, String)> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        literal.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$${") {
            literal.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let end = after
                .find('}')
                .ok_or_else(|| ("a reference is not closed".to_owned(), "write ${param:name}".to_owned()))?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(reference(&after[..end])?);
            rest = &after[end + 1..];
        } else {
            literal.push('$');
            rest = &rest[1..];
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

fn reference(inner: &str) -> Result<Part, (String, String)> {
    let unknown = |what: String| Err((what, suggest(inner, ["param:NAME", "record:id", "env:NAME", "file:PATH"])));
    match inner.split_once(':') {
        Some(("param", name)) if !name.is_empty() => Ok(Part::Parameter(name.to_owned())),
        Some(("record", "id")) => Ok(Part::RecordId),
        Some(("env", name)) if !name.is_empty() => Ok(Part::Env(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(Part::File(path.to_owned())),
        Some((kind, _)) => unknown(format!("${{{kind}:…}} is not a reference that may stand here")),
        None => Err((
            format!("\"${{{inner}}}\" does not say what kind of reference it is"),
            format!("write ${{param:{inner}}} for a parameter"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_literals_are_told_apart() {
        let parts = parse("${param:base}/a/$5/$${x}/${record:id}.json").unwrap();
        assert_eq!(
            parts,
            [
                Part::Parameter("base".into()),
                Part::Literal("/a/$5/${x}/".into()),
                Part::RecordId,
                Part::Literal(".json".into())
            ]
        );
        assert!(parse("${base}").unwrap_err().1.contains("${param:base}"));
        assert!(parse("${params:base}").is_err());
        assert!(parse("${param:base").unwrap_err().0.contains("not closed"));
    }

    #[test]
    fn credentials_are_neither_taken_nor_echoed() {
        let error = http_url("http://user:canary@host.test/").unwrap_err();
        assert!(!error.contains("canary"));
        for text in ["ftp://host.test/", "host.test", "/animals", "http://", "file:///etc/passwd", "javascript:1"] {
            assert!(http_url(text).is_err(), "{text}");
        }
    }
}
