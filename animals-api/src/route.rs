//! Which request is which.

use std::borrow::Cow;

use http::header::{HOST, HeaderValue};
use http::{Method, Request};
use percent_encoding::percent_decode_str;

use crate::chaos::Kind;
use crate::faces::Asked;
use crate::zoo_home::{self, Face, Visit};

const LIST: &str = "/animals/v1/animals";
const DATED: &str = "/animals/v1/dated";
const HOME: &str = "/animals/v1/home";
const TOKEN: &str = "/zoo/v1/token";
const ZOO_HOME: &str = "/zoo/v1/home/";

/// Where a request goes.
#[derive(Debug, PartialEq)]
pub(crate) enum Route {
    /// `/`, which never fails.
    Hello,
    /// The book, under the rest of the path; never fails either.
    Book,
    /// Anything else meets chaos.
    Api(Call),
}

/// A call of the API itself. Owns what it needs, so that it can outlive its connection.
#[derive(Debug, PartialEq)]
pub(crate) enum Call {
    List(Number),
    /// The list with another face.
    Face(Asked),
    /// The herd as it is now, from this time on if one is given.
    Dated(Number, Option<String>),
    Detail(Number),
    /// A part of an animal.
    Checkups(Number),
    Home,
    /// The home in another form.
    Visit(Visit),
    /// Whether an animal has found home.
    Asked(Number),
    /// For a token, where they are given.
    Token,
    Docs,
    OpenApi,
    Unknown,
    NotAllowed(&'static str),
    Elsewhere(HeaderValue),
}

impl Call {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Call::List(_) | Call::Face(_) | Call::Dated(..) => Kind::List,
            Call::Detail(_) => Kind::Detail,
            Call::Checkups(_) => Kind::Part,
            Call::Home | Call::Visit(_) => Kind::Post,
            Call::Asked(_) => Kind::Asked,
            _ => Kind::Other,
        }
    }
}

/// A parameter that should be a whole number. What does not fit is brought to the nearest that does: it is beyond
/// every page and every animal anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Whole(i64),
    Not,
}

impl Number {
    fn parse(text: &str) -> Number {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Number::Not;
        }
        let extreme = if text.starts_with('-') { i64::MIN } else { i64::MAX };
        Number::Whole(text.parse().unwrap_or(extreme))
    }
}

pub(crate) fn route<B>(request: &Request<B>) -> Route {
    let (method, path) = (request.method(), request.uri().path());
    if path == "/" {
        return if method == Method::GET { Route::Hello } else { Route::Api(Call::NotAllowed("GET")) };
    }
    if path == "/book" || path.starts_with("/book/") {
        return Route::Book;
    }
    if let Some(asked) = Asked::of(request) {
        return Route::Api(if method == Method::GET { Call::Face(asked) } else { Call::NotAllowed("GET") });
    }
    Route::Api(call(method, path, request.uri().query()).unwrap_or_else(|| stray(request)))
}

/// The call at a path of the API, if there is one.
fn call(method: &Method, path: &str, query: Option<&str>) -> Option<Call> {
    let get = |call| if method == Method::GET { call } else { Call::NotAllowed("GET") };
    match path {
        LIST => Some(get(Call::List(page(query.unwrap_or_default())))),
        DATED => Some(get(dated(query.unwrap_or_default()))),
        HOME if method == Method::POST => Some(Call::Home),
        HOME => Some(Call::NotAllowed("POST")),
        TOKEN if method == Method::POST => Some(Call::Token),
        "/docs" => Some(get(Call::Docs)),
        "/openapi.json" => Some(get(Call::OpenApi)),
        _ if path.starts_with(ZOO_HOME) => visit(method, path, query),
        _ => {
            let below = |parent| path.strip_prefix(parent)?.strip_prefix('/');
            let id = |parent| below(parent).filter(|id| !id.is_empty() && !id.contains('/')).map(decoded);
            let detail = id(LIST).map(|id| Call::Detail(Number::parse(&id)));
            let of_animal = below(LIST).and_then(|path| path.strip_suffix("/checkups"));
            let of_animal = of_animal.filter(|id| !id.is_empty() && !id.contains('/')).map(decoded);
            let checkups = || of_animal.map(|id| Call::Checkups(Number::parse(&id)));
            detail.or_else(checkups).or_else(|| id(HOME).map(|id| Call::Asked(Number::parse(&id)))).map(get)
        }
    }
}

/// The home in another form: animals are sent by any of these methods, and one may be asked for.
fn visit(method: &Method, path: &str, query: Option<&str>) -> Option<Call> {
    let visit = zoo_home::visit(path, query)?;
    match (method, &visit.face) {
        (&Method::POST | &Method::PUT | &Method::PATCH, _) => Some(Call::Visit(visit)),
        (&Method::GET, Face::One(id)) => Some(Call::Asked(Number::Whole(i64::try_from(*id).unwrap_or(i64::MAX)))),
        _ => Some(Call::NotAllowed("POST, PUT, PATCH")),
    }
}

/// No path of the API; but with one slash less it may be.
fn stray<B>(request: &Request<B>) -> Call {
    let path = request.uri().path();
    let known = path.strip_suffix('/').filter(|path| call(request.method(), path, None).is_some());
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let location = known.zip(host).and_then(|(path, host)| {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        HeaderValue::try_from(format!("http://{host}{path}{query}")).ok()
    });
    location.map_or(Call::Unknown, Call::Elsewhere)
}

/// The last `page` of a query, 1 without one.
fn page(query: &str) -> Number {
    last(query, "page").map_or(Number::Whole(1), |page| Number::parse(&page))
}

fn dated(query: &str) -> Call {
    Call::Dated(page(query), last(query, "updated_since").map(Cow::into_owned))
}

/// The last value of this name in a query.
fn last<'a>(query: &'a str, wanted: &str) -> Option<Cow<'a, str>> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.rfind(|(name, _)| decoded(name) == wanted).map(|(_, value)| decoded(value))
}

pub(crate) fn decoded(text: &str) -> Cow<'_, str> {
    if text.contains('%') { percent_decode_str(text).decode_utf8_lossy() } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(method: Method, uri: &str) -> Route {
        let request = Request::builder().method(method).uri(uri).header(HOST, "zoo:3123").body(());
        route(&request.expect("a request"))
    }

    fn get(uri: &str) -> Route {
        at(Method::GET, uri)
    }

    #[test]
    fn calls_are_told_apart() {
        assert_eq!(get("/"), Route::Hello);
        assert_eq!(get("/book"), Route::Book);
        assert_eq!(get("/book/animals/7"), Route::Book);
        assert_eq!(get("/bookish"), Route::Api(Call::Unknown));
        assert_eq!(get("/docs"), Route::Api(Call::Docs));
        assert_eq!(at(Method::POST, HOME), Route::Api(Call::Home));
        assert_eq!(get(HOME), Route::Api(Call::NotAllowed("POST")));
        assert_eq!(at(Method::POST, TOKEN), Route::Api(Call::Token));
        assert_eq!(get(TOKEN), Route::Api(Call::Unknown));
        assert_eq!(at(Method::DELETE, LIST), Route::Api(Call::NotAllowed("GET")));
        assert_eq!(get("/animals/v1/animals/7/friends"), Route::Api(Call::Unknown));
        assert_eq!(get("/animals/v1/animals/7/checkups"), Route::Api(Call::Checkups(Number::Whole(7))));
        assert_eq!(get("/animals/v1/animals//checkups"), Route::Api(Call::Unknown));
    }

    #[test]
    fn pages_are_read() {
        let page = |query: &str| match get(&format!("{LIST}{query}")) {
            Route::Api(Call::List(page)) => page,
            other => panic!("{query} is {other:?}"),
        };
        assert_eq!(page(""), Number::Whole(1));
        assert_eq!(page("?page=7"), Number::Whole(7));
        assert_eq!(page("?x=1&page=2&page=%33"), Number::Whole(3));
        assert_eq!(page("?page=99999999999999999999"), Number::Whole(i64::MAX));
        assert_eq!(page("?page=-1"), Number::Whole(-1));
        for junk in ["?page=", "?page", "?page=one", "?page=1.5", "?page=1e3", "?page=--1"] {
            assert_eq!(page(junk), Number::Not, "{junk}");
        }
    }

    #[test]
    fn times_are_read() {
        let since = "2026-01-31T00:00:00Z".to_owned();
        let dated = |query: &str| get(&format!("{DATED}{query}"));
        assert_eq!(dated("?page=2"), Route::Api(Call::Dated(Number::Whole(2), None)));
        assert_eq!(
            dated("?updated_since=2026-01-31T00%3A00%3A00Z"),
            Route::Api(Call::Dated(Number::Whole(1), Some(since)))
        );
    }

    #[test]
    fn ids_are_read() {
        let id = |id: &str| get(&format!("{LIST}/{id}"));
        assert_eq!(id("0"), Route::Api(Call::Detail(Number::Whole(0))));
        assert_eq!(id("%31"), Route::Api(Call::Detail(Number::Whole(1))));
        assert_eq!(id("cat"), Route::Api(Call::Detail(Number::Not)));
        let home = |method, id: &str| at(method, &format!("{HOME}/{id}"));
        assert_eq!(home(Method::GET, "7"), Route::Api(Call::Asked(Number::Whole(7))));
        assert_eq!(home(Method::GET, "7/x"), Route::Api(Call::Unknown));
        assert_eq!(home(Method::POST, "7"), Route::Api(Call::NotAllowed("GET")));
    }

    #[test]
    fn the_home_has_more_faces() {
        let visited = |method, uri: &str| matches!(at(method, uri), Route::Api(Call::Visit(_)));
        for face in ["array", "wrapped", "lines?key=x-id", "each", "7"] {
            assert!(visited(Method::PUT, &format!("/zoo/v1/home/{face}")), "{face}");
        }
        assert_eq!(get("/zoo/v1/home/7"), Route::Api(Call::Asked(Number::Whole(7))));
        assert_eq!(get("/zoo/v1/home/each"), Route::Api(Call::NotAllowed("POST, PUT, PATCH")));
    }

    #[test]
    fn one_slash_too_many_goes_elsewhere() {
        let location = |text: &'static str| Route::Api(Call::Elsewhere(HeaderValue::from_static(text)));
        assert_eq!(get("/animals/v1/animals/?page=2"), location("http://zoo:3123/animals/v1/animals?page=2"));
        assert_eq!(get("/animals/v1/animals/7/"), location("http://zoo:3123/animals/v1/animals/7"));
        assert_eq!(get("/zoo/"), Route::Api(Call::Unknown));
    }
}
