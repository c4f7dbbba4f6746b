//! Who asks, and whether that is enough.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::list::{AccessList, Grant, MAX_TOKEN, hash};
use super::roles::{Admits, Role};
use crate::service::DOMAIN;

/// Who a call came from, once that is known. Never a secret: a name of the access file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity(pub Arc<str>);

/// A client's certificate, verified when its connection was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Its common names and alternative names.
    pub names: Vec<String>,
    /// Not good after this.
    pub expires: SystemTime,
}

/// What a call brings to show who makes it.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    token: Token,
    certificate: Option<Arc<Certificate>>,
}

/// What stands in `authorization`. The token itself is not kept.
#[derive(Debug, Clone, Copy)]
enum Token {
    None,
    Hash([u8; 32]),
    /// No bearer token, or one that nobody can have.
    Unusable,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Neither token nor certificate.
    Missing,
    /// Nobody has such a token, or no entry names such a certificate.
    Unknown,
    /// It was good once. Only who has it is told so.
    Expired,
    /// Known, but not for this.
    Role { has: Role, needed: &'static [Role] },
}

impl Credentials {
    /// Of a request's headers, and of the connection it came by.
    pub fn of(headers: &HeaderMap, certificate: Option<Arc<Certificate>>) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let token = match (values.next(), values.next()) {
            (None, _) => Token::None,
            (Some(value), None) => value.to_str().ok().and_then(bearer).map_or(Token::Unusable, Token::Hash),
            // Two of them: it is not for us to choose.
            _ => Token::Unusable,
        };
        Self { token, certificate }
    }

    /// Whether whoever has these may make a call that admits these.
    pub fn judge(&self, list: &AccessList, admits: Admits, now: SystemTime) -> Result<Grant, Refused> {
        let grant = self.grant(list)?;
        let certificate = self.certificate.as_ref().filter(|_| matches!(self.token, Token::None));
        let ends = [grant.expires, certificate.map(|certificate| certificate.expires)];
        let expires = ends.into_iter().flatten().min();
        if expires.is_some_and(|expires| expires <= now) {
            return Err(Refused::Expired);
        }
        match admits {
            Admits::Roles(needed) if !admits.role(grant.role) => Err(Refused::Role { has: grant.role, needed }),
            _ => Ok(Grant { expires, ..grant.clone() }),
        }
    }

    /// A token is what the caller chose to show for this call, and wins over the connection's certificate.
    fn grant<'a>(&self, list: &'a AccessList) -> Result<&'a Grant, Refused> {
        match (&self.token, &self.certificate) {
            (Token::Hash(hash), _) => list.of_token(hash).ok_or(Refused::Unknown),
            (Token::Unusable, _) => Err(Refused::Unknown),
            (Token::None, Some(certificate)) => list.of_certificate(&certificate.names).ok_or(Refused::Unknown),
            (Token::None, None) => Err(Refused::Missing),
        }
    }
}

fn bearer(value: &str) -> Option<[u8; 32]> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && (1..=MAX_TOKEN).contains(&token.len())).then(|| hash(token))
}

impl Refused {
    /// In words, for people.
    pub fn words(self) -> String {
        match self {
            Refused::Missing => {
                "this coordinator asks who comes: send a token (authorization: Bearer ...) or come with a client certificate"
                    .to_owned()
            }
            Refused::Unknown => "this coordinator knows no such token or certificate".to_owned(),
            Refused::Expired => "this token or certificate has expired: ask for a new one".to_owned(),
            Refused::Role { has, needed } => {
                let needed: Vec<_> = needed.iter().map(|role| role.word()).collect();
                format!("this call needs the role {}, and you have come as {}", needed.join(" or "), has.word())
            }
        }
    }

    /// On the wire.
    pub fn status(self) -> Status {
        let (code, reason) = match self {
            Refused::Missing => (Code::Unauthenticated, "CREDENTIALS_MISSING"),
            Refused::Unknown => (Code::Unauthenticated, "CREDENTIALS_UNKNOWN"),
            Refused::Expired => (Code::Unauthenticated, "CREDENTIALS_EXPIRED"),
            Refused::Role { .. } => (Code::PermissionDenied, "ROLE_REQUIRED"),
        };
        let roles = match self {
            Refused::Role { needed, .. } => {
                let needed: Vec<_> = needed.iter().map(|role| role.word()).collect();
                vec![("roles".to_owned(), needed.join(","))]
            }
            _ => Vec::new(),
        };
        let details = ErrorDetails::with_error_info(
            reason,
            DOMAIN,
            roles.into_iter().collect::<std::collections::HashMap<_, _>>(),
        );
        Status::with_error_details(code, self.words(), details)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::roles::VIEWER;
    use super::*;

    fn with_header(value: &str) -> Credentials {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        Credentials::of(&headers, None)
    }

    fn list() -> AccessList {
        let token = |token: &str| hex::encode(hash(token));
        AccessList::parse(&format!(
            "- {{name: v, role: viewer, token_sha256: {}, expires: 1970-01-01T00:01:40Z}}\n\
             - {{name: w, role: worker, token_sha256: {}}}\n- {{name: c, role: operator, certificate: ops}}\n",
            token("viewer"),
            token("worker")
        ))
        .unwrap()
    }

    #[test]
    fn each_kind_of_refusal_has_its_name() {
        let (list, then) = (list(), SystemTime::UNIX_EPOCH + Duration::from_secs(99));
        let judge = |credentials: &Credentials, now| credentials.judge(&list, VIEWER, now).map(|grant| grant.name);
        assert_eq!(judge(&with_header("Bearer viewer"), then).as_deref(), Ok("v"));
        assert_eq!(judge(&with_header("bearer  viewer "), then).as_deref(), Ok("v"));
        assert_eq!(judge(&with_header("Bearer viewer"), then + Duration::from_secs(1)), Err(Refused::Expired));
        for unknown in ["Bearer nobody", "Basic viewer", "viewer", "Bearer ", ""] {
            assert_eq!(judge(&with_header(unknown), then), Err(Refused::Unknown), "{unknown}");
        }
        assert_eq!(judge(&Credentials::of(&HeaderMap::new(), None), then), Err(Refused::Missing));
        let Err(Refused::Role { has: Role::Worker, .. }) = judge(&with_header("Bearer worker"), then) else {
            panic!("a worker is no viewer")
        };
        let mut twice = HeaderMap::new();
        twice.append(AUTHORIZATION, "Bearer viewer".parse().unwrap());
        twice.append(AUTHORIZATION, "Bearer worker".parse().unwrap());
        assert_eq!(judge(&Credentials::of(&twice, None), then), Err(Refused::Unknown));
    }

    #[test]
    fn a_certificate_lets_in_while_it_is_good_and_no_token_is_shown() {
        let (list, then) = (list(), SystemTime::UNIX_EPOCH + Duration::from_secs(99));
        let names = vec!["ops".to_owned()];
        let certificate = Some(Arc::new(Certificate { names, expires: then + Duration::from_secs(1) }));
        let by_itself = Credentials::of(&HeaderMap::new(), certificate.clone());
        assert_eq!(by_itself.judge(&list, VIEWER, then).unwrap().role, Role::Operator);
        assert_eq!(by_itself.judge(&list, VIEWER, then + Duration::from_secs(1)).unwrap_err(), Refused::Expired);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "Bearer nobody".parse().unwrap());
        assert_eq!(Credentials::of(&headers, certificate).judge(&list, VIEWER, then).unwrap_err(), Refused::Unknown);
    }
}
