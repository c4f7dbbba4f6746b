//! The JSON API: what the services of gRPC offer to people, over plain HTTP. A request is read into the message of a call,
//! the call is made as whoever asks, and what it gives is shown as JSON: what a call means stands in `muster/v1/*.proto`.

mod call;
mod json;
mod openapi;
mod routes;
mod stream;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Map, Value};

use self::routes::{Answer, Found, Given, Route};
pub(super) use self::stream::following;
use super::inside::Caller;
use super::patience;
use super::problem::Problem;
use super::site::Site;

/// The largest body that is read.
pub(super) const MAX_BODY: usize = 1 << 20;
/// The most that is read of one that is larger.
const MAX_DROPPED: usize = 16 << 20;
/// Where everything is.
pub(super) const BELOW: &str = "/api/v1";

/// A message of the protocol by its full name, as the API shows it; null where there is no such message.
pub(crate) fn as_json(name: &str, message: &impl prost::Message) -> Value {
    let described = call::PROTOCOL.get_message_by_name(name).map(DynamicMessage::new);
    described.map_or(Value::Null, |mut shown| match shown.transcode_from(message) {
        Ok(()) => json::of_message(&shown),
        Err(_) => Value::Null,
    })
}

/// The document that describes all of it.
pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi::TEXT.as_str()).into_response()
}

/// Answers whatever is asked of the API.
pub(super) async fn serve(State(site): State<Site>, caller: Caller, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    // Asked for its head alone, an answer is the same, and hyper leaves its body out.
    let method = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
    match routes::find(method, parts.uri.path()) {
        Found::Route(route, given) => {
            // Nothing that a stranger sends is kept: he is judged before it is read, and again at the call itself.
            if let Err(status) = caller.judged(&site.access, route.call) {
                return Problem::from(status).into_response();
            }
            let members = match read(route, &parts, body).await {
                Ok(members) => members,
                Err(problem) => return problem.into_response(),
            };
            answer(&site, &caller, route, members, given).await.unwrap_or_else(IntoResponse::into_response)
        }
        Found::OtherMethods(allow) => {
            let detail = format!("{} is not for {} {}: it takes {allow}", BELOW, parts.method, parts.uri.path());
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "", detail);
            Problem { allow: Some(allow), ..problem }.into_response()
        }
        Found::Nothing => nothing(&parts.method, &parts.uri).into_response(),
    }
}

fn nothing(method: &Method, uri: &Uri) -> Problem {
    let detail = format!("there is no {method} {}: {BELOW}/openapi.json says what there is", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "", detail)
}

/// What a request says besides its path: a body that is an object, or a query.
async fn read(route: &Route, parts: &http::request::Parts, body: Body) -> Result<Map<String, Value>, Problem> {
    if route.method == "POST" {
        if parts.uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(Problem::invalid("what a POST says stands in its body, as JSON: it takes no query"));
        }
        let bytes = patience::body(whole(body)).await??;
        return object(parts, &bytes);
    }
    let method = call::method(route.call).ok_or_else(|| unknown(route))?;
    query(&method.input(), &parts.uri)
}

/// All of a body. One that is too large is read on for a while and dropped: who is answered while he still sends may see a
/// broken connection in place of the answer.
async fn whole(body: Body) -> Result<Vec<u8>, Problem> {
    let (mut chunks, mut bytes, mut length) = (body.into_data_stream(), Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::invalid("the body did not come whole"))?;
        length += chunk.len();
        if length <= MAX_BODY {
            bytes.extend_from_slice(&chunk);
        } else if length > MAX_DROPPED {
            break;
        }
    }
    if length > MAX_BODY {
        let detail = format!("a body has at most {} KiB", MAX_BODY >> 10);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "", detail));
    }
    Ok(bytes)
}

fn object(parts: &http::request::Parts, bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    // What a page of another site can send without asking is none of these.
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let detail = "the body must be application/json: curl sends it so with --json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "", detail));
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Problem::invalid("the body must be an object")),
        Err(error) => Err(Problem::invalid(format!("the body is no JSON: {error}"))),
    }
}

fn query(of: &MessageDescriptor, uri: &Uri) -> Result<Map<String, Value>, Problem> {
    let mut members = Map::new();
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
    for (name, text) in pairs.map_err(|error| Problem::invalid(error.body_text()))?.0 {
        let value =
            of.get_field_by_name(&name).map_or_else(|| Value::from(text.as_str()), |f| json::of_text(&f, &text));
        if members.insert(name.clone(), value).is_some() {
            return Err(Problem::invalid(format!("{name} is given twice")));
        }
    }
    Ok(members)
}

fn unknown(route: &Route) -> Problem {
    Problem::new(StatusCode::NOT_IMPLEMENTED, "", format!("there is no call {}", route.call))
}

async fn answer(
    site: &Site,
    caller: &Caller,
    route: &Route,
    mut members: Map<String, Value>,
    given: Given,
) -> Result<Response, Problem> {
    let method = call::method(route.call).ok_or_else(|| unknown(route))?;
    for (name, value) in given {
        if members.insert(name.to_owned(), value.into()).is_some() {
            return Err(Problem::invalid(format!("{name} stands in the path already")));
        }
    }
    let request = caller.asks(json::to_message(&method.input(), &members).map_err(Problem::invalid)?);
    if let Answer::Events(field) | Answer::Lines(field) = route.answer {
        let messages = call::streaming(&site.inside, &method, request).await?;
        // Whoever follows would hold up the end of this process.
        let stop = site.break_off.clone();
        return Ok(match route.answer {
            Answer::Events(_) => stream::events(field, messages.take_until(stop.cancelled_owned())),
            _ => stream::lines(field, stream::broken_off(messages, stop)),
        });
    }
    let message = call::unary(&site.inside, &method, request).await?;
    Ok(match route.answer {
        Answer::Nothing => StatusCode::NO_CONTENT.into_response(),
        Answer::Field(name) => Json(field(&message, name)).into_response(),
        _ => Json(json::of_message(&message)).into_response(),
    })
}

/// One member of what a message is as JSON.
fn field(message: &DynamicMessage, name: &str) -> Value {
    let mut whole = json::of_message(message);
    whole.get_mut(name).map(Value::take).unwrap_or_default()
}
