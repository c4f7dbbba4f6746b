//! What a pipeline refers to without having it: secrets.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

use super::Pipeline;
use crate::spec::template::{Part, parse};
use crate::spec::value::ValueTemplate;

/// Keys whose texts are no templates: a program, a regular expression, or somebody else's object.
const NO_TEMPLATES: [&str; 3] = ["outcomes", "wrap", "not_applied"];

/// A reference to a secret, and where in the pipeline it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    /// The dotted key, such as `source.auth.bearer`.
    pub key: String,
    /// The reference as the pipeline has it, such as `${env:TOKEN}`.
    pub text: String,
    part: Part,
}

impl SecretReference {
    /// Why this process cannot have the secret, if it cannot. Others may: each resolves what it uses.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.value().err()
    }

    fn value(&self) -> Result<SecretString, String> {
        ValueTemplate::of_part(self.part.clone())
            .resolve(&BTreeMap::new(), &mut Vec::new())
            .map_err(|error| error.to_string())
    }
}

impl Pipeline {
    /// The secrets that the pipeline refers to, each reference once for each place where it stands.
    #[must_use]
    pub fn secret_references(&self) -> Vec<SecretReference> {
        let canonical: Value = serde_json::from_str(self.canonical()).unwrap_or_default();
        let mut found = Vec::new();
        for section in ["source", "load"] {
            collect(section, &canonical[section], &mut found);
        }
        found
    }

    /// The secrets themselves, those that this process can have: for whoever must keep them out of what it writes.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretString> {
        self.secret_references().iter().filter_map(|reference| reference.value().ok()).collect()
    }
}

fn collect(key: &str, value: &Value, found: &mut Vec<SecretReference>) {
    match value {
        Value::String(text) => {
            // What is no template was refused, or is none: nothing is lost.
            for part in parse(text).unwrap_or_default() {
                let text = match &part {
                    Part::Env(name) => format!("${{env:{name}}}"),
                    Part::File(path) => format!("${{file:{path}}}"),
                    _ => continue,
                };
                found.push(SecretReference { key: key.to_owned(), text, part });
            }
        }
        Value::Object(entries) => {
            for (name, value) in entries.iter().filter(|(name, _)| !NO_TEMPLATES.contains(&name.as_str())) {
                collect(&format!("{key}.{name}"), value, found);
            }
        }
        _ => {}
    }
}
