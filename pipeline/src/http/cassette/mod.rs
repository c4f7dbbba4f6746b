//! Cassettes: real answers on file, in the format of VCR as vcrpy writes it, so that tests need no mocks and no network.
//!
//! A [`Recorder`] writes down what goes over the wire, a [`Player`] answers from what was written down. Both stand behind
//! the seam of the transport: all else is the same as with a server.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

mod play;
mod record;
mod requesters;
mod scrub;

pub use play::{Played, Player};
pub use record::Recorder;

/// The version of the format.
const VERSION: u32 = 1;

/// What stands where a secret stood.
pub(crate) const REDACTED: &str = "REDACTED";

/// Requests with their answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cassette {
    interactions: Vec<Interaction>,
    #[serde(default = "version")]
    version: u32,
    /// How many records it was recorded for; programs other than this one do not look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    records: Option<usize>,
}

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Interaction {
    pub(crate) request: Asked,
    pub(crate) response: Answered,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    pub(crate) body: Option<Body>,
    #[serde(default)]
    pub(crate) headers: Headers,
    pub(crate) method: String,
    pub(crate) uri: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) body: AnswerBody,
    #[serde(default)]
    pub(crate) headers: Headers,
    pub(crate) status: Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AnswerBody {
    pub(crate) string: Body,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) message: Option<String>,
}

/// Headers by name, each with its values.
pub(crate) type Headers = BTreeMap<String, Values>;

/// vcrpy writes lists; some of its relatives a single text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Values {
    Many(Vec<String>),
    One(String),
}

impl Values {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Values::Many(values) => values.iter(),
            Values::One(value) => std::slice::from_ref(value).iter(),
        }
        .map(String::as_str)
    }
}

/// A text, also one under the tag `!!binary`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Body(pub(crate) Vec<u8>);

impl Serialize for Body {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(&self.0))
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_string(BodyVisitor)
    }
}

struct BodyVisitor;

impl Visitor<'_> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Body, E> {
        Ok(Body(text.as_bytes().to_vec()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Body, E> {
        Ok(Body::default())
    }
}

fn version() -> u32 {
    VERSION
}

/// A text that is no cassette.
#[derive(Debug, thiserror::Error)]
#[error("this is no cassette in the format of VCR: {0}")]
pub struct CassetteError(String);

impl Cassette {
    /// Reads a cassette.
    pub fn from_yaml(text: &str) -> Result<Self, CassetteError> {
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let read: Result<Self, _> = serde_saphyr::from_str_with_options(text, options);
        let cassette = read.map_err(|error| {
            let what = error.to_string();
            let compressed =
                what.contains("UTF-8").then_some("; is it compressed? vcrpy has decode_compressed_response=True");
            CassetteError(format!("{what}{}", compressed.unwrap_or_default()))
        })?;
        match cassette.version {
            VERSION => Ok(cassette),
            other => Err(CassetteError(format!("its version is {other}; only {VERSION} is known"))),
        }
    }

    /// Writes a cassette.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        // Texts are folded nowhere: other readers than this one differ in what they make of folds.
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        // Texts, numbers and lists of them: nothing that YAML cannot write.
        serde_saphyr::to_string_with_options(self, options).unwrap_or_default()
    }

    /// How many requests it has answers to.
    #[must_use]
    pub fn len(&self) -> usize {
        self.interactions.len()
    }

    /// Whether there is nothing on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.interactions.is_empty()
    }

    /// How many records it was recorded for, where it says so.
    #[must_use]
    pub fn records(&self) -> Option<usize> {
        self.records
    }
}

#[cfg(test)]
mod tests;
