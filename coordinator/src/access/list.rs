//! The access file: who may come in, as what, until when.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::roles::Role;
use super::session;

/// The longest token that is looked up: our own have 50 bytes.
pub(super) const MAX_TOKEN: usize = 512;
/// The largest file that is read, in bytes.
pub(super) const MAX_FILE: u64 = 1 << 20;
/// Entries that a file may have.
const MAX_ENTRIES: usize = 10_000;
/// Characters of a name, and of a certificate's.
const MAX_NAME: usize = 128;

/// A name, its role, and until when.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    /// Who. Of several entries of one name it is the same one who comes.
    pub name: Arc<str>,
    /// As what.
    pub role: Role,
    /// Nothing: for good.
    pub expires: Option<SystemTime>,
}

/// All who may come in.
///
/// Tokens are found by their SHA-256. How long that takes may tell of how many bits two hashes agree, and nobody can use
/// it: who could make tokens whose hashes come close to a known one would have to invert SHA-256, and a token is 256
/// random bits. For the same reason one round of it does: nothing can be guessed that a slow hash would protect.
#[derive(Debug, Default)]
pub(crate) struct AccessList {
    tokens: HashMap<[u8; 32], Grant>,
    /// Hashes by what sessions find them by.
    sessions: HashMap<[u8; 16], [u8; 32]>,
    certificates: HashMap<String, Grant>,
}

/// An entry as it is written. Nothing of it is repeated in an error: somebody may have written the token itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    role: Role,
    token_sha256: Option<String>,
    certificate: Option<String>,
    expires: Option<String>,
}

impl AccessList {
    /// Reads the text of a file. An error says which entry is wrong, and how.
    pub fn parse(text: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let entries: Option<Vec<Entry>> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let place = error.location().map(|at| format!(" in line {}", at.line())).unwrap_or_default();
            format!(
                "it is no list of entries{place}: each has name, role (viewer, operator or worker), token_sha256 or \
                 certificate, and expires if it ends"
            )
        })?;
        // Whoever empties a file by mistake would lock everybody out.
        let entries = entries.filter(|entries| !entries.is_empty()).ok_or("it has no entries")?;
        if entries.len() > MAX_ENTRIES {
            return Err(format!("it has more than {MAX_ENTRIES} entries"));
        }
        let mut list = Self::default();
        let mut roles = HashMap::new();
        for (number, entry) in (1..).zip(entries) {
            let wrong = |what: &str| format!("entry {number}: {what}");
            let key = entry.key().map_err(|what| wrong(&what))?;
            let grant = entry.grant().map_err(|what| wrong(&what))?;
            if *roles.entry(Arc::clone(&grant.name)).or_insert(grant.role) != grant.role {
                return Err(wrong("an entry before has the same name and another role"));
            }
            let before = match key {
                Key::Token(hash) => {
                    list.sessions.insert(session::id(&hash), hash);
                    list.tokens.insert(hash, grant)
                }
                Key::Certificate(name) => list.certificates.insert(name, grant),
            };
            if before.is_some() {
                return Err(wrong("an entry before has the same token or certificate"));
            }
        }
        Ok(list)
    }

    /// Whose token has this hash.
    pub fn of_token(&self, hash: &[u8; 32]) -> Option<&Grant> {
        self.tokens.get(hash)
    }

    /// The hash of the token by which a session was begun.
    pub fn of_session(&self, id: &[u8; 16]) -> Option<&[u8; 32]> {
        self.sessions.get(id)
    }

    /// Whose certificate has one of these names.
    pub fn of_certificate(&self, names: &[String]) -> Option<&Grant> {
        names.iter().find_map(|name| self.certificates.get(name))
    }

    /// How many tokens and certificates it has.
    pub fn sizes(&self) -> (usize, usize) {
        (self.tokens.len(), self.certificates.len())
    }
}

/// What an entry is found by.
enum Key {
    Token([u8; 32]),
    Certificate(String),
}

impl Entry {
    fn key(&self) -> Result<Key, String> {
        match (&self.token_sha256, &self.certificate) {
            (Some(hash), None) => {
                let mut bytes = [0; 32];
                hex::decode_to_slice(hash, &mut bytes).map_err(|_| {
                    "token_sha256 must be the SHA-256 of a token, 64 hex digits: never the token itself".to_owned()
                })?;
                Ok(Key::Token(bytes))
            }
            (None, Some(name)) if (1..=MAX_NAME).contains(&name.chars().count()) => Ok(Key::Certificate(name.clone())),
            (None, Some(_)) => Err(format!("certificate must have 1 to {MAX_NAME} characters")),
            _ => Err("it must have either token_sha256 or certificate".to_owned()),
        }
    }

    fn grant(&self) -> Result<Grant, String> {
        let allowed = |character: char| character.is_ascii_alphanumeric() || "-_.@".contains(character);
        if !(1..=MAX_NAME).contains(&self.name.len()) || !self.name.chars().all(allowed) {
            return Err(format!("name must be 1 to {MAX_NAME} characters of A-Z a-z 0-9 - _ . @"));
        }
        let expires = match &self.expires {
            None => None,
            Some(text) => Some(
                text.parse::<jiff::Timestamp>()
                    .map(SystemTime::from)
                    .map_err(|_| "expires must be a time after RFC 3339, such as 2027-01-31T00:00:00Z".to_owned())?,
            ),
        };
        Ok(Grant { name: self.name.as_str().into(), role: self.role, expires })
    }
}

/// The hash by which a token is found.
pub(super) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, role: &str, token: &str, more: &str) -> String {
        format!("- name: {name}\n  role: {role}\n  token_sha256: {}\n{more}", hex::encode(hash(token)))
    }

    #[test]
    fn entries_are_found_by_token_and_by_certificate() {
        let text = entry("ops", "operator", "one", "  expires: 2027-01-31T00:00:00Z\n")
            + &entry("ops", "operator", "two", "")
            + "- {name: w1, role: worker, certificate: worker-1.example}\n";
        let list = AccessList::parse(&text).unwrap();
        assert_eq!(list.sizes(), (2, 1));
        let one = list.of_token(&hash("one")).unwrap();
        assert_eq!((&*one.name, one.role, one.expires.is_some()), ("ops", Role::Operator, true));
        assert!(list.of_token(&hash("two")).unwrap().expires.is_none());
        assert!(list.of_token(&hash("three")).is_none());
        let names = ["other".to_owned(), "worker-1.example".to_owned()];
        assert_eq!(&*list.of_certificate(&names).unwrap().name, "w1");
        assert!(list.of_certificate(&names[..1]).is_none());
    }

    #[test]
    fn what_is_wrong_is_named_and_nothing_of_it_repeated() {
        let two = entry("a", "viewer", "one", "");
        let cases = [
            (String::new(), "no entries"),
            ("[]".to_owned(), "no entries"),
            ("- {name: a, role: king, certificate: canary}".to_owned(), "no list of entries"),
            ("- {name: a, role: viewer, token: canary}".to_owned(), "no list of entries"),
            ("- {name: a, role: viewer, token_sha256: canary}".to_owned(), "entry 1: token_sha256 must be"),
            ("- {name: a, role: viewer}".to_owned(), "either token_sha256 or certificate"),
            ("- {name: 'a b', role: viewer, certificate: canary}".to_owned(), "name must be"),
            (entry("a", "viewer", "one", "  expires: canary\n"), "RFC 3339"),
            (two.clone() + &two, "entry 2: an entry before has the same token"),
            (two.clone() + &entry("a", "worker", "two", ""), "entry 2: an entry before has the same name"),
        ];
        for (text, expected) in cases {
            let error = AccessList::parse(&text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("canary"), "{text}: {error}");
        }
    }
}
