//! Who may ask: credentials that requests must carry, the tokens that are given for them, and a server that says them
//! back.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::answer::{self, Answer, Body};
use crate::bits::Bits;
use crate::config::{BadValue, Config, parse_duration};

/// What every token begins with, so that a test can look for them all.
const TOKEN: &str = "zoo-token-";

/// What requests must carry, all but those for `/` and the book; without it they are answered 401 and not processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// `Authorization: Bearer TOKEN`.
    Bearer(String),
    /// `Authorization: Basic …` (RFC 7617).
    Basic {
        /// Who asks.
        user: String,
        /// And how that is known.
        password: String,
    },
    /// A header with a key.
    Header {
        /// Its name.
        name: String,
        /// The key.
        value: String,
    },
    /// A parameter of the query with a key.
    Query {
        /// Its name.
        name: String,
        /// The key.
        value: String,
    },
    /// A bearer token that `POST /zoo/v1/token` gives to this client (client credentials, RFC 6749), which names itself
    /// by `Authorization: Basic …` or in the form.
    OAuth2 {
        /// The client's ID.
        client: String,
        /// Its secret.
        secret: String,
    },
}

impl FromStr for Guard {
    type Err = BadValue;

    /// `bearer:TOKEN`, `basic:USER:PASSWORD`, `header:NAME:KEY`, `query:NAME:KEY` or `oauth2:CLIENT:SECRET`.
    fn from_str(text: &str) -> Result<Guard, BadValue> {
        let bad = BadValue(
            "expected bearer:TOKEN, basic:USER:PASSWORD, header:NAME:KEY, query:NAME:KEY or oauth2:CLIENT:SECRET",
        );
        let (kind, rest) = text.split_once(':').ok_or(bad)?;
        if kind == "bearer" && !rest.is_empty() {
            return Ok(Guard::Bearer(rest.to_owned()));
        }
        let (first, second) = rest.split_once(':').filter(|(first, _)| !first.is_empty()).ok_or(bad)?;
        let (first, second) = (first.to_owned(), second.to_owned());
        match kind {
            "basic" => Ok(Guard::Basic { user: first, password: second }),
            "header" => Ok(Guard::Header { name: first, value: second }),
            "query" => Ok(Guard::Query { name: first, value: second }),
            "oauth2" => Ok(Guard::OAuth2 { client: first, secret: second }),
            _ => Err(bad),
        }
    }
}

/// How long a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenLife {
    /// For so many requests. The answer with the token does not say so: its end comes as a surprise.
    Requests(u64),
    /// For so long, in whole seconds, as `expires_in` says.
    Time(Duration),
}

impl FromStr for TokenLife {
    type Err = BadValue;

    /// `500` is a number of requests; `30s` and `5m` are times.
    fn from_str(text: &str) -> Result<TokenLife, BadValue> {
        let bad = BadValue("expected a number of requests such as 500, or a time such as 30s");
        match text.trim().parse() {
            Ok(0) => Err(bad),
            Ok(requests) => Ok(TokenLife::Requests(requests)),
            Err(_) => match parse_duration(text) {
                Ok(time) if time >= Duration::from_secs(1) => Ok(TokenLife::Time(time)),
                _ => Err(bad),
            },
        }
    }
}

/// The guard at work, with the tokens that it gave.
#[derive(Debug)]
pub(crate) struct Door {
    guard: Option<Guard>,
    life: TokenLife,
    given: Mutex<Given>,
}

#[derive(Debug)]
struct Given {
    bits: Bits,
    tokens: HashMap<String, Left>,
}

/// What is left of a token's life.
#[derive(Debug)]
enum Left {
    Requests(u64),
    Until(Instant),
}

/// Why there is no token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoToken {
    /// None are given here.
    NoneHere,
    /// The request is wrong: an error code of RFC 6749.
    Wrong(&'static str),
    /// Nobody knows the client, or its secret is another.
    Stranger,
}

impl Door {
    pub(crate) fn new(config: &Config) -> Door {
        // Neither the stream of an animal nor that of chaos.
        let given = Given { bits: Bits::new(config.seed, u64::MAX - 2), tokens: HashMap::new() };
        Door { guard: config.guard.clone(), life: config.token_life, given: Mutex::new(given) }
    }

    /// Whether a request carries what it must. A token has one request less from then on.
    pub(crate) fn lets_in(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        match &self.guard {
            None => true,
            Some(Guard::Bearer(token)) => bearer(headers) == Some(token),
            Some(Guard::Basic { user, password }) => {
                basic(headers.get(AUTHORIZATION)).is_some_and(|text| text == format!("{user}:{password}"))
            }
            Some(Guard::Header { name, value }) => {
                headers.get(name).is_some_and(|sent| sent.as_bytes() == value.as_bytes())
            }
            Some(Guard::Query { name, value }) => {
                pairs(uri.query().unwrap_or_default()).any(|(known, sent)| known == *name && sent == *value)
            }
            Some(Guard::OAuth2 { .. }) => bearer(headers).is_some_and(|token| self.spend(token)),
        }
    }

    fn spend(&self, token: &str) -> bool {
        match self.given.lock().unwrap_or_else(PoisonError::into_inner).tokens.get_mut(token) {
            None | Some(Left::Requests(0)) => false,
            Some(Left::Requests(left)) => {
                *left -= 1;
                true
            }
            Some(Left::Until(end)) => Instant::now() < *end,
        }
    }

    /// Gives a token, as the JSON that says so.
    pub(crate) fn token(&self, authorization: Option<&HeaderValue>, form: &[u8]) -> Result<String, NoToken> {
        let Some(Guard::OAuth2 { client, secret }) = &self.guard else { return Err(NoToken::NoneHere) };
        let form = String::from_utf8_lossy(form);
        let field = |name: &str| pairs(&form).find(|(known, _)| known == name).map(|(_, value)| value);
        match field("grant_type").as_deref() {
            Some("client_credentials") => {}
            Some(_) => return Err(NoToken::Wrong("unsupported_grant_type")),
            None => return Err(NoToken::Wrong("invalid_request")),
        }
        let asks = match basic(authorization) {
            Some(text) => text.split_once(':').map(|(id, secret)| (decoded(id), decoded(secret))),
            None => field("client_id").zip(field("client_secret")),
        };
        if asks.is_none_or(|(id, sent)| id != *client || sent != *secret) {
            return Err(NoToken::Stranger);
        }
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let token = format!("{TOKEN}{:016x}", given.bits.next());
        let mut granted = json!({ "access_token": token, "token_type": "Bearer" });
        let left = match self.life {
            TokenLife::Requests(requests) => Left::Requests(requests),
            TokenLife::Time(time) => {
                granted["expires_in"] = time.as_secs().into();
                Left::Until(Instant::now() + time)
            }
        };
        given.tokens.insert(token, left);
        Ok(granted.to_string())
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// What stands behind `Basic`, decoded.
fn basic(authorization: Option<&HeaderValue>) -> Option<String> {
    let text = authorization?.to_str().ok()?.strip_prefix("Basic ")?;
    String::from_utf8(BASE64_STANDARD.decode(text).ok()?).ok()
}

/// The pairs of a query, or of a form.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (decoded(name), decoded(value)))
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// All that a request carried, in the forms in which servers say it.
pub(crate) fn said(uri: &Uri, headers: &HeaderMap) -> String {
    let mut said = uri.to_string();
    for (name, value) in pairs(uri.query().unwrap_or_default()) {
        // Writing to a string cannot fail; and so below.
        let _ = write!(said, "; {name}={value}");
    }
    for (name, value) in headers {
        let _ = write!(said, "; {name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    if let Some(basic) = basic(headers.get(AUTHORIZATION)) {
        let _ = write!(said, "; {basic}");
    }
    said
}

/// An answer that says back what the request carried: in a field of its own where it is a JSON object, else behind it.
pub(crate) fn echoed(answer: Answer, said: &str) -> Answer {
    answer.map(|body| match body {
        Body::Whole(Some(bytes)) => Body::Whole(Some(match bytes.strip_prefix(b"{\"") {
            Some(rest) => {
                let field = format!("{{\"you_sent\":{},\"", json!(said));
                [field.as_bytes(), rest].concat().into()
            }
            None => Bytes::from([&bytes, format!(" You sent: {said}").as_bytes()].concat()),
        })),
        other => other,
    })
}

/// 401, as FastAPI has it.
pub(crate) fn unauthorized() -> Answer {
    answer::with_challenge(answer::detail(StatusCode::UNAUTHORIZED, "Not authenticated"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(guard: &str, life: &str) -> Door {
        let (guard, token_life) = (Some(guard.parse().expect("a guard")), life.parse().expect("a life"));
        Door::new(&Config { guard, token_life, ..Config::calm(1) })
    }

    fn lets_in(door: &Door, uri: &str, header: Option<(&'static str, &str)>) -> bool {
        let pairs = header.map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        door.lets_in(&uri.parse().expect("a URI"), &pairs.into_iter().collect())
    }

    #[test]
    fn each_kind_lets_in_who_carries_it_and_nobody_else() {
        for (guard, uri, right, wrong) in [
            ("bearer:a:b", "/", Some(("authorization", "Bearer a:b")), Some(("authorization", "Bearer a"))),
            ("basic:me:p:w", "/", Some(("authorization", "Basic bWU6cDp3")), Some(("authorization", "Basic bWU6cA=="))),
            ("header:X-Key:k", "/", Some(("x-key", "k")), Some(("x-key", "K"))),
        ] {
            let door = door(guard, "1");
            assert!(lets_in(&door, uri, right), "{guard}");
            assert!(!lets_in(&door, uri, wrong) && !lets_in(&door, uri, None), "{guard}");
        }
        let door = door("query:key:a/b c", "1");
        assert!(lets_in(&door, "/x?page=1&key=a%2Fb+c", None));
        assert!(!lets_in(&door, "/x?key=a", None) && !lets_in(&door, "/x", None));
    }

    #[test]
    fn guards_and_lives_are_read() {
        for text in ["bearer", "bearer:", "basic:me", "header::x", "cookie:a:b", ""] {
            assert!(text.parse::<Guard>().is_err(), "{text}");
        }
        assert_eq!("500".parse(), Ok(TokenLife::Requests(500)));
        assert_eq!("30s".parse(), Ok(TokenLife::Time(Duration::from_secs(30))));
        assert!("0".parse::<TokenLife>().is_err() && "10ms".parse::<TokenLife>().is_err());
    }

    fn carries(granted: &str) -> String {
        let granted: serde_json::Value = serde_json::from_str(granted).expect("JSON");
        format!("Bearer {}", granted["access_token"].as_str().expect("a token"))
    }

    #[test]
    fn a_token_is_good_for_its_requests() {
        let door = door("oauth2:me:s/c", "2");
        let form = b"grant_type=client_credentials&client_id=me&client_secret=s%2Fc";
        let granted = door.token(None, form).expect("a token");
        assert!(!granted.contains("expires_in"), "{granted}");
        let token = carries(&granted);
        let asks = || lets_in(&door, "/", Some(("authorization", &token)));
        assert_eq!([asks(), asks(), asks()], [true, true, false]);
        let next = carries(&door.token(None, form).expect("another"));
        assert_ne!(next, token);
        assert!(lets_in(&door, "/", Some(("authorization", &next))));
        assert!(!lets_in(&door, "/", Some(("authorization", "Bearer zoo-token-"))));
    }

    #[test]
    fn clients_name_themselves_in_a_header_too() {
        let door = door("oauth2:me:s/c", "30s");
        // me:s%2Fc
        let header = HeaderValue::from_static("Basic bWU6cyUyRmM=");
        let granted = door.token(Some(&header), b"grant_type=client_credentials").expect("a token");
        assert!(granted.contains("\"expires_in\":30"), "{granted}");
        let wrong = HeaderValue::from_static("Basic bWU6cw==");
        assert_eq!(door.token(Some(&wrong), b"grant_type=client_credentials"), Err(NoToken::Stranger));
        assert_eq!(door.token(None, b"grant_type=client_credentials"), Err(NoToken::Stranger));
        assert_eq!(door.token(Some(&header), b""), Err(NoToken::Wrong("invalid_request")));
        assert_eq!(door.token(Some(&header), b"grant_type=x"), Err(NoToken::Wrong("unsupported_grant_type")));
        assert_eq!(self::door("bearer:x", "1").token(Some(&header), b""), Err(NoToken::NoneHere));
    }

    #[test]
    fn what_was_said_is_said_back() {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Basic bWU6cDp3"))]);
        let said = said(&"/x?key=a%2Fb".parse().expect("a URI"), &headers);
        assert_eq!(said, "/x?key=a%2Fb; key=a/b; authorization: Basic bWU6cDp3; me:p:w");
        let body = |answer: Answer| match echoed(answer, "a \"b\"").into_body() {
            Body::Whole(Some(bytes)) => String::from_utf8(bytes.to_vec()).expect("text"),
            other => panic!("{other:?}"),
        };
        assert_eq!(body(answer::sorry(StatusCode::BAD_GATEWAY)), "Sorry! You sent: a \"b\"");
        assert_eq!(body(answer::not_found()), r#"{"you_sent":"a \"b\"","detail":"Not Found"}"#);
    }
}
