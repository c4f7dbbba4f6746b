//! Answering from what was written down.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tower::Service;
use tower::util::BoxCloneSyncService;
use url::Url;

use super::scrub::{self, Cursors};
use super::{Answered, Asked, Cassette, Interaction, REDACTED};
use crate::http::lock;
use crate::http::transport::{Answer, BodyEnd, Exchange, Transport, TransportError};

/// Answers requests from a cassette, strictly: each answer once, in the order in which the same request got them, and none
/// to a request that is not on it.
#[derive(Debug, Clone)]
pub struct Player {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// What is on the cassette, and whether it was asked for.
    interactions: Vec<(Interaction, bool)>,
    cursors: Cursors,
    missing: Vec<String>,
}

/// What came of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Played {
    /// Requests that are not on the cassette, in words, each with the nearest that is.
    pub missing: Vec<String>,
    /// Requests on the cassette that nobody asked for, as `GET URL`.
    pub unused: Vec<String>,
}

impl Player {
    /// Plays this cassette from its beginning.
    #[must_use]
    pub fn new(cassette: Cassette) -> Self {
        let cursors = Cursors::of(&cassette.interactions);
        let interactions = cassette.interactions.into_iter().map(|interaction| (interaction, false)).collect();
        Self { state: Arc::new(Mutex::new(State { interactions, cursors, missing: Vec::new() })) }
    }

    /// The transport that answers from it.
    pub(crate) fn transport(&self) -> Transport {
        BoxCloneSyncService::new(Playing { player: self.clone() })
    }

    /// What has come of it so far.
    #[must_use]
    pub fn played(&self) -> Played {
        let state = lock(&self.state);
        let unused = state.interactions.iter().filter(|(_, used)| !used);
        Played {
            missing: state.missing.clone(),
            unused: unused.map(|(interaction, _)| named(&interaction.request, &state.cursors)).collect(),
        }
    }

    fn answer(&self, exchange: &Exchange) -> Result<Answer, TransportError> {
        let mut state = lock(&self.state);
        let State { interactions, cursors, missing } = &mut *state;
        let (method, uri) = (exchange.method.as_str(), normal(exchange.url.as_str(), cursors));
        let is_it = |asked: &Asked| asked.method.eq_ignore_ascii_case(method) && normal(&asked.uri, cursors) == uri;
        if let Some((interaction, used)) =
            interactions.iter_mut().find(|(interaction, used)| !used && is_it(&interaction.request))
        {
            *used = true;
            return answer_of(&interaction.response, exchange.limit).map_err(TransportError::Broken);
        }
        let asked = format!("{method} {uri}");
        let what = if interactions.iter().any(|(interaction, _)| is_it(&interaction.request)) {
            format!("{asked} is asked more often than the cassette has answers to it")
        } else {
            let all = interactions.iter().map(|(interaction, _)| named(&interaction.request, cursors));
            match all.min_by_key(|known| strsim::levenshtein(known, &asked)) {
                Some(nearest) => format!("{asked} is not on the cassette; the nearest that is: {nearest}"),
                None => format!("{asked} is not on the cassette: nothing is"),
            }
        };
        missing.push(what.clone());
        // Not a failure of the connection: such requests are sent again, for as long as the host may be down.
        let body = Bytes::from(what);
        Ok(Answer { status: StatusCode::BAD_REQUEST, headers: HeaderMap::new(), body, end: BodyEnd::Whole })
    }
}

fn named(asked: &Asked, cursors: &Cursors) -> String {
    format!("{} {}", asked.method, normal(&asked.uri, cursors))
}

/// A URL in the one form in which it is compared: without secrets, which a replay does not have, the query parameters
/// sorted.
fn normal(uri: &str, cursors: &Cursors) -> String {
    let uri = scrub::uri(uri, cursors);
    let Ok(mut url) = Url::parse(&uri) else { return uri };
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    pairs.retain(|(_, value)| value != REDACTED);
    pairs.sort();
    url.set_query(None);
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    url.into()
}

fn answer_of(response: &Answered, limit: usize) -> Result<Answer, String> {
    let status = StatusCode::from_u16(response.status.code)
        .map_err(|_| format!("the cassette has the status {}, which is none", response.status.code))?;
    let mut headers = HeaderMap::new();
    for (name, values) in &response.headers {
        for value in values.iter() {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
                headers.append(name, value);
            }
        }
    }
    let body = &response.body.string.0;
    let end = if body.len() > limit { BodyEnd::TooLarge } else { BodyEnd::Whole };
    Ok(Answer { status, headers, body: Bytes::copy_from_slice(&body[..body.len().min(limit)]), end })
}

#[derive(Clone)]
struct Playing {
    player: Player,
}

impl Service<Exchange> for Playing {
    type Response = Answer;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, TransportError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        let answer = self.player.answer(&exchange);
        Box::pin(async move { answer })
    }
}
