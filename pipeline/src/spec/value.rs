//! Values of headers and credentials: `${param:NAME}`, and references to secrets, `${env:NAME}` and `${file:PATH}`.
//!
//! A secret is never part of a pipeline: it is looked up by the process that uses it, when it is about to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use secrecy::{ExposeSecret, SecretString};

use crate::error::SpecError;
use crate::spec::field::Field;
use crate::spec::template::{Allowed, Part, parse_checked};
use crate::spec::types::Parameter;

/// The longest secret in a file, in bytes.
const MAX_SECRET: u64 = 64 << 10;

/// A value with references, checked when the pipeline is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ValueTemplate {
    text: String,
    parts: Vec<Part>,
}

/// What a reference to a secret refers to cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the secret {reference} cannot be had: {what}")]
pub(crate) struct NoSecret {
    /// As the pipeline has it.
    pub(crate) reference: String,
    /// What is wrong.
    pub(crate) what: String,
}

impl ValueTemplate {
    /// Reads a value that may be anybody's business, and may refer to secrets.
    pub(crate) fn read(field: &Field<'_>, parameters: &[Parameter]) -> Result<Self, SpecError> {
        let text = field.text()?;
        Ok(Self { text: text.to_owned(), parts: parse_checked(field, text, parameters, Allowed::Value)? })
    }

    /// Reads a secret: it must be referred to, for whoever reads the file or the ledger would read it as well.
    pub(crate) fn read_secret(field: &Field<'_>) -> Result<Self, SpecError> {
        let text = field.text()?;
        let parts = parse_checked(field, text, &[], Allowed::Secret)?;
        if !parts.iter().any(|part| matches!(part, Part::Env(_) | Part::File(_))) {
            return Err(field
                .error("a secret must not stand in the pipeline itself")
                .help("refer to it: ${env:NAME} or ${file:PATH}, resolved where it is used"));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The value of a single reference.
    pub(crate) fn of_part(part: Part) -> Self {
        Self { text: String::new(), parts: vec![part] }
    }

    /// The text as the file has it, references and all.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it refers to a secret.
    pub(crate) fn is_secret(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Env(_) | Part::File(_)))
    }

    /// The value, with the secrets of this process, which are also put into `secrets`: they must never be shown.
    pub(crate) fn resolve(
        &self,
        parameters: &BTreeMap<String, String>,
        secrets: &mut Vec<SecretString>,
    ) -> Result<SecretString, NoSecret> {
        let mut value = String::new();
        let mut put = |value: &mut String, secret: SecretString| {
            value.push_str(secret.expose_secret());
            secrets.push(secret);
        };
        for part in &self.parts {
            match part {
                Part::Literal(text) => value.push_str(text),
                Part::Parameter(name) => value.push_str(parameters.get(name).map(String::as_str).unwrap_or_default()),
                Part::Env(name) => put(&mut value, from_env(name)?),
                Part::File(path) => put(&mut value, from_file(path)?),
                Part::RecordId => {}
            }
        }
        Ok(value.into())
    }
}

fn from_env(name: &str) -> Result<SecretString, NoSecret> {
    let failed = |what: String| NoSecret { reference: format!("${{env:{name}}}"), what };
    let value = std::env::var_os(name).ok_or_else(|| failed(format!("the variable {name} is not set")))?;
    let value = value.into_string().map_err(|_| failed(format!("the variable {name} is no text")))?;
    not_empty(value).ok_or_else(|| failed(format!("the variable {name} is empty")))
}

/// The file's content without line ends after it: editors and `echo` leave one there.
fn from_file(path: &str) -> Result<SecretString, NoSecret> {
    let failed = |what: String| NoSecret { reference: format!("${{file:{path}}}"), what };
    let unreadable = |error: std::io::Error| failed(format!("the file {path} cannot be read: {error}"));
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    let read = file.take(MAX_SECRET + 1).read_to_string(&mut text).map_err(unreadable)?;
    if read as u64 > MAX_SECRET {
        return Err(failed(format!("the file {path} is longer than {MAX_SECRET} bytes")));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    not_empty(text).ok_or_else(|| failed(format!("the file {path} is empty")))
}

/// An empty secret is one that somebody forgot.
fn not_empty(text: String) -> Option<SecretString> {
    (!text.is_empty()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(parts: Vec<Part>) -> ValueTemplate {
        ValueTemplate { text: String::new(), parts }
    }

    #[test]
    fn secrets_come_from_where_they_are_referred_to() {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("muster-secret-{}", std::process::id()));
        std::fs::write(&path, "s3cret\r\n\n").unwrap();
        let file = Part::File(path.to_string_lossy().into_owned());
        let parameters = BTreeMap::from([("who".to_owned(), "me".to_owned())]);
        let value = template(vec![Part::Literal("a ".into()), Part::Parameter("who".into()), file]);
        let mut secrets = Vec::new();
        assert_eq!(value.resolve(&parameters, &mut secrets).unwrap().expose_secret(), "a mes3cret");
        assert_eq!(secrets.iter().map(|secret| secret.expose_secret()).collect::<Vec<_>>(), ["s3cret"]);
        assert!(!format!("{:?}", value.resolve(&parameters, &mut secrets).unwrap()).contains("s3cret"));
        std::fs::write(&path, "\n").unwrap();
        let error = value.resolve(&parameters, &mut secrets).unwrap_err().to_string();
        assert!(error.contains("is empty"), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = value.resolve(&parameters, &mut secrets).unwrap_err().to_string();
        assert!(error.contains("cannot be read: No such file"), "{error}");
        let of = |name: &str| template(vec![Part::Env(name.into())]).resolve(&parameters, &mut Vec::new());
        assert!(!of("PATH").unwrap().expose_secret().is_empty());
        let error = of("MUSTER_NO_SUCH").unwrap_err().to_string();
        assert!(error.contains("MUSTER_NO_SUCH is not set"), "{error}");
    }
}
