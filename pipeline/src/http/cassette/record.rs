//! Writing down what goes over the wire.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use tower::Service;
use tower::util::BoxCloneSyncService;

use super::scrub::{self, Cursors, Scrubber};
use super::{AnswerBody, Answered, Asked, Body, Cassette, Headers, Interaction, Status, VERSION, Values};
use crate::http::lock;
use crate::http::transport::{Answer, BodyEnd, Exchange, Transport, TransportError};

/// Headers of an answer that say how it came over the wire, which is not how it is kept.
const OF_THE_WIRE: [&str; 5] = ["content-encoding", "content-length", "transfer-encoding", "connection", "keep-alive"];

/// Writes down requests with their answers.
///
/// Answers that are only a reason to ask again (a timeout, 429, 5xx) are not kept: the next one is.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    tape: Arc<Mutex<Tape>>,
}

#[derive(Debug, Default)]
struct Tape {
    interactions: Vec<Interaction>,
    tokens: Vec<String>,
}

impl Recorder {
    /// The transport that passes everything on to another one and writes it down.
    pub(crate) fn before(&self, inner: Transport) -> Transport {
        BoxCloneSyncService::new(Recording { inner, recorder: self.clone() })
    }

    /// What was written down so far, for so many records, without any of these secrets, wherever they stood, and without
    /// what its place gives away as one.
    #[must_use]
    pub fn cassette(&self, records: usize, secrets: &[SecretString]) -> Cassette {
        let tape = lock(&self.tape);
        let secrets = secrets.iter().map(|secret| secret.expose_secret().to_owned());
        let cursors = Cursors::of(&tape.interactions);
        let scrubber = Scrubber::new(secrets.chain(tape.tokens.iter().cloned()), cursors);
        let mut interactions = tape.interactions.clone();
        drop(tape);
        interactions.iter_mut().for_each(|interaction| scrubber.clean(interaction));
        Cassette { interactions, version: VERSION, records: Some(records) }
    }

    fn keep(&self, asked: Asked, answer: &Answer) {
        let again = matches!(answer.status.as_u16(), 408 | 425 | 429 | 500..=599);
        if again || answer.end != BodyEnd::Whole {
            return;
        }
        let mut tape = lock(&self.tape);
        tape.tokens.extend(scrub::brought(&asked, &answer.body));
        let reason = answer.status.canonical_reason().map(str::to_owned);
        let response = Answered {
            body: AnswerBody { string: Body(answer.body.to_vec()) },
            headers: headers(&answer.headers, &OF_THE_WIRE),
            status: Status { code: answer.status.as_u16(), message: reason },
        };
        tape.interactions.push(Interaction { request: asked, response });
    }
}

fn headers(map: &HeaderMap, without: &[&str]) -> Headers {
    let mut headers = Headers::new();
    for name in map.keys().filter(|name| !without.contains(&name.as_str())) {
        let values = map.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        headers.insert(name.as_str().to_owned(), Values::Many(values.collect()));
    }
    headers
}

#[derive(Clone)]
struct Recording {
    inner: Transport,
    recorder: Recorder,
}

impl Service<Exchange> for Recording {
    type Response = Answer;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, TransportError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        let asked = Asked {
            body: (!exchange.body.is_empty()).then(|| Body(exchange.body.to_vec())),
            headers: headers(&exchange.headers, &[]),
            method: exchange.method.to_string(),
            uri: exchange.url.to_string(),
        };
        let recorder = self.recorder.clone();
        let answering = self.inner.call(exchange);
        Box::pin(async move {
            let answer = answering.await?;
            recorder.keep(asked, &answer);
            Ok(answer)
        })
    }
}
