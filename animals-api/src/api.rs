//! The API itself: what a request meets, and what it is answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::answer::{self, Answer};
use crate::bits::Bits;
use crate::book::{Book, Judged, count};
use crate::book_pages;
use crate::changes::{Change, Changes};
use crate::chaos::{Chaos, Fortune, Kind, Outcome};
use crate::config::{Config, Disconnect, Shifting};
use crate::guard::{self, Door, NoToken};
use crate::herd::{Fate, Herd};
use crate::knobs::Knobs;
use crate::moment::Moment;
use crate::posted::{self, Posted};
use crate::refusal;
use crate::route::{Call, Number, Route, route};
use crate::zoo_home::{self, Face, Fared, Unfit, Visit};

/// The most animals a POST may bring.
const MOST: usize = 100;

/// Everything the requests share.
#[derive(Debug)]
pub(crate) struct Api {
    herd: Arc<Herd>,
    changes: Changes,
    pub(crate) book: Arc<Book>,
    strict: bool,
    shifting: Option<Shifting>,
    max_body: usize,
    knobs: RwLock<Knobs>,
    door: Door,
    echo: bool,
    chaos: Chaos,
    pages_served: AtomicU64,
    in_flight: AtomicU64,
    closing: CancellationToken,
}

/// What a POST brought besides its path.
struct Parcel {
    key: Option<Box<str>>,
    authorization: Option<HeaderValue>,
    /// Its content type lets FastAPI read it as JSON.
    is_json: bool,
    body: Bytes,
    /// What was wrong with its form, before it was brought to that of the home.
    unfit: Option<&'static str>,
}

impl Api {
    pub(crate) fn new(config: &Config, closing: CancellationToken) -> Api {
        let herd = Arc::new(Herd::new(config));
        Api {
            book: Arc::new(Book::new(herd.clone(), config.keep_payloads)),
            changes: Changes::new(herd.clone(), config.later),
            herd,
            strict: config.strict,
            shifting: config.shifting,
            max_body: config.max_body,
            knobs: RwLock::new(Knobs::new(config)),
            door: Door::new(config),
            echo: config.echo,
            chaos: Chaos::new(config.seed),
            pages_served: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            closing,
        }
    }

    pub(crate) fn knobs(&self) -> Knobs {
        *self.knobs.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self, change: &Change) {
        self.changes.make(change);
    }

    pub(crate) fn turn<E>(&self, turn: impl FnOnce(Knobs) -> Result<Knobs, E>) -> Result<Knobs, E> {
        let mut knobs = self.knobs.write().unwrap_or_else(PoisonError::into_inner);
        *knobs = turn(*knobs)?;
        Ok(*knobs)
    }

    pub(crate) async fn handle(self: Arc<Api>, request: Request<Incoming>) -> Answer {
        match route(&request) {
            Route::Hello => {
                count(&self.book.tally.hellos);
                answer::text(StatusCode::OK, "Hello!")
            }
            Route::Book => book_pages::answer(&self, request).await,
            Route::Api(call) => self.meet(call, request).await,
        }
    }

    /// Lets a request meet its fortune.
    async fn meet(self: Arc<Api>, call: Call, request: Request<Incoming>) -> Answer {
        let mut flight = Flight::new(self.clone(), call.kind());
        let said = self.echo.then(|| guard::said(request.uri(), request.headers()));
        let echoed = |answer| match &said {
            Some(said) => guard::echoed(answer, said),
            None => answer,
        };
        // Who asks for a token has none yet.
        let is_let_in = call == Call::Token || self.door.lets_in(request.uri(), request.headers());
        // The body is read even for a request that is not going to be processed: an early answer would reset a
        // connection that is still sending, and `Sorry!` would not arrive.
        let parcel = match &call {
            Call::Home | Call::Token => match self.receive(request, None).await {
                Ok(parcel) => Some(parcel),
                Err(answer) => return flight.land(answer),
            },
            Call::Visit(visit) => match self.receive(request, Some(visit)).await {
                Ok(parcel) => Some(parcel),
                Err(answer) => return flight.land(answer),
            },
            _ => None,
        };
        if !is_let_in {
            count(&self.book.tally.unauthorized);
            return flight.land(echoed(guard::unauthorized()));
        }
        let knobs = self.knobs();
        let fortune = self.chaos.draw(&knobs, call.kind());
        self.note(&fortune, call.kind());
        let answer = if fortune.wait.is_zero() {
            self.answer(&fortune, call, parcel)
        } else {
            let waiting = self.clone().wait(fortune, call, parcel);
            match knobs.disconnect {
                // On a task of its own, so that it goes on when the connection takes this future down with it.
                Disconnect::Process => tokio::spawn(waiting).await.unwrap_or_else(|_| answer::internal_error()),
                Disconnect::Drop => waiting.await,
            }
        };
        flight.land(echoed(answer))
    }

    /// First the wait, then the answer; a server that closes meanwhile processes nothing more.
    async fn wait(self: Arc<Api>, fortune: Fortune, call: Call, parcel: Option<Parcel>) -> Answer {
        tokio::select! {
            () = tokio::time::sleep(fortune.wait) => {
                let answer = self.answer(&fortune, call, parcel);
                // Nobody else says so when the client has left.
                self.book.stir();
                answer
            }
            () = self.closing.cancelled() => answer::sorry(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    fn note(&self, fortune: &Fortune, kind: Kind) {
        let tally = &self.book.tally;
        if let Some(stall) = fortune.stall {
            count(match kind {
                Kind::List => &tally.stalls_list,
                Kind::Detail => &tally.stalls_detail,
                Kind::Post => &tally.stalls_post,
                Kind::Asked => &tally.stalls_asked,
                Kind::Other => &tally.stalls_other,
            });
            if kind == Kind::Post {
                let millis = u64::try_from(stall.as_millis()).unwrap_or(u64::MAX);
                tally.longest_post_stall_ms.fetch_max(millis, Ordering::Relaxed);
            }
            self.book.stir();
        }
    }

    async fn receive(&self, request: Request<Incoming>, visit: Option<&Visit>) -> Result<Parcel, Answer> {
        let (head, body) = request.into_parts();
        let too_large = || -> Answer {
            count(&self.book.tally.refused_413);
            answer::detail(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
        };
        match Limited::new(body, self.max_body).collect().await {
            Ok(body) => {
                let (headers, body) = (&head.headers, body.to_bytes());
                let authorization = headers.get(AUTHORIZATION).cloned();
                let Some(visit) = visit else {
                    let (key, is_json) = (key(headers), is_json(headers));
                    return Ok(Parcel { key, authorization, is_json, body, unfit: None });
                };
                let (body, unfit) = match visit.array(headers, &body, self.max_body) {
                    Ok(array) => (array, None),
                    Err(Unfit::TooLarge) => return Err(too_large()),
                    Err(Unfit::Form(what)) => (body, Some(what)),
                };
                Ok(Parcel { key: visit.key(headers), authorization, is_json: true, body, unfit })
            }
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            // The client broke off; nobody reads this.
            Err(_) => Err(answer::detail(StatusCode::BAD_REQUEST, "There was an error parsing the body")),
        }
    }

    fn answer(&self, fortune: &Fortune, call: Call, parcel: Option<Parcel>) -> Answer {
        let tally = &self.book.tally;
        match fortune.outcome {
            Outcome::Processed => self.process(call, parcel, None),
            Outcome::InPart(bits) => self.process(call, parcel, Some(bits)),
            Outcome::Sorry(status) => {
                count(&tally.sorry);
                answer::sorry(status)
            }
            Outcome::Outage => {
                count(&tally.outage);
                answer::sorry(StatusCode::SERVICE_UNAVAILABLE)
            }
            Outcome::Limited(wait) => {
                count(&tally.limited);
                answer::too_many(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
            }
        }
    }

    /// `part`: bits that draw which animals of a POST are stored.
    fn process(&self, call: Call, parcel: Option<Parcel>, part: Option<u64>) -> Answer {
        match (call, parcel) {
            (Call::List(page), _) => self.list(page),
            (Call::Face(asked), _) => asked.answer(&self.herd, self.shift(), |id| self.book.listed.set(id)),
            (Call::Dated(page, since), _) => self.dated(page, since.as_deref()),
            (Call::Detail(id), _) => self.detail(id),
            (Call::Home, Some(parcel)) => self.home(parcel, part, false),
            (Call::Visit(visit), Some(parcel)) => self.home(parcel, part, visit.face == Face::Each),
            (Call::Asked(id), _) => self.asked(id),
            (Call::Token, Some(parcel)) => self.token(&parcel),
            (Call::Docs, _) => answer::html(include_str!("pages/docs.html")),
            (Call::OpenApi, _) => answer::json(StatusCode::OK, include_str!("pages/openapi.json")),
            (Call::NotAllowed(allowed), _) => answer::not_allowed(allowed),
            (Call::Elsewhere(location), _) => answer::elsewhere(location),
            (Call::Unknown | Call::Home | Call::Visit(_) | Call::Token, _) => answer::not_found(),
        }
    }

    fn list(&self, page: Number) -> Answer {
        let Number::Whole(page) = page else {
            return answer::json(StatusCode::UNPROCESSABLE_ENTITY, refusal::no_integer("query", "page"));
        };
        let Some(page) = u64::try_from(page).ok().filter(|page| *page > 0) else {
            return answer::json(StatusCode::UNPROCESSABLE_ENTITY, refusal::no_such_page());
        };
        answer::json(StatusCode::OK, self.herd.write_page(page, self.shift(), |id| self.book.listed.set(id)))
    }

    /// By how many places the list is turned for the page that is served now.
    fn shift(&self) -> i64 {
        self.shifting.map_or(0, |shifting| {
            let served = self.pages_served.fetch_add(1, Ordering::Relaxed) / shifting.every.max(1);
            i64::try_from(served).unwrap_or(i64::MAX).saturating_mul(shifting.by)
        })
    }

    /// The herd as it is now: not of the real API, but what many have.
    fn dated(&self, page: Number, since: Option<&str>) -> Answer {
        let Number::Whole(page @ 1..) = page else {
            return answer::json(StatusCode::UNPROCESSABLE_ENTITY, refusal::no_such_page());
        };
        let from = since.and_then(Moment::parse);
        if since.is_some() && from.is_none() {
            return answer::detail(StatusCode::UNPROCESSABLE_ENTITY, "updated_since is no time");
        }
        let page = self.changes.write_page(page.unsigned_abs(), from, |id| self.book.listed.set(id));
        answer::json(StatusCode::OK, page)
    }

    fn detail(&self, id: Number) -> Answer {
        let Number::Whole(id) = id else {
            return answer::json(StatusCode::UNPROCESSABLE_ENTITY, refusal::no_integer("path", "animal_id"));
        };
        let Some(id) = u64::try_from(id).ok().filter(|id| *id < self.herd.len) else {
            return answer::internal_error();
        };
        self.book.fetched.set(id);
        if !self.changes.has(id) {
            return answer::not_found();
        }
        match self.herd.fate(id) {
            Fate::Gone => answer::not_found(),
            Fate::Malformed => answer::json(StatusCode::OK, self.herd.write_malformed(id)),
            Fate::Sound | Fate::Poison => answer::json(StatusCode::OK, Herd::write_detail(&self.changes.animal(id))),
        }
    }

    /// Whether the target has an animal: not of the real API, but what many targets offer.
    fn asked(&self, id: Number) -> Answer {
        let Number::Whole(id) = id else {
            return answer::json(StatusCode::UNPROCESSABLE_ENTITY, refusal::no_integer("path", "animal_id"));
        };
        match u64::try_from(id).ok().filter(|id| self.book.times(*id) > 0) {
            Some(id) => answer::json(StatusCode::OK, format!("{{\"id\":{id}}}")),
            None => answer::not_found(),
        }
    }

    /// A token for a client that is known: not of the real API, but what many APIs want.
    fn token(&self, parcel: &Parcel) -> Answer {
        let tally = &self.book.tally;
        let error = |status, code: &str| answer::json(status, format!("{{\"error\":\"{code}\"}}"));
        match self.door.token(parcel.authorization.as_ref(), &parcel.body) {
            Ok(granted) => {
                count(&tally.tokens);
                answer::json(StatusCode::OK, granted)
            }
            Err(NoToken::NoneHere) => answer::not_found(),
            Err(NoToken::Wrong(code)) => error(StatusCode::BAD_REQUEST, code),
            Err(NoToken::Stranger) => {
                count(&tally.unauthorized);
                answer::with_challenge(error(StatusCode::UNAUTHORIZED, "invalid_client"))
            }
        }
    }

    /// `each`: of each animal is said what became of it.
    fn home(&self, parcel: Parcel, part: Option<u64>, each: bool) -> Answer {
        let tally = &self.book.tally;
        let unprocessable = |detail: String| answer::json(StatusCode::UNPROCESSABLE_ENTITY, detail);
        if let Some(what) = parcel.unfit {
            count(&tally.refused_422);
            return answer::detail(StatusCode::UNPROCESSABLE_ENTITY, what);
        }
        let posted = match posted::parse(&parcel.body) {
            Some(posted) if parcel.is_json => posted,
            _ => {
                count(&tally.refused_422);
                let readable = parcel.is_json || parcel.body.is_empty();
                return unprocessable(if readable { refusal::explain(&parcel.body) } else { refusal::no_list() });
            }
        };
        if posted.len() > MOST {
            count(&tally.refused_400);
            return answer::detail(StatusCode::BAD_REQUEST, "Sorry, only 100 animals at a time");
        }
        let batch: Vec<Judged> = posted.iter().map(|posted| Judged::new(&self.herd, &self.changes, posted)).collect();
        if each && part.is_none() {
            let ids: Vec<u64> = posted.iter().map(|posted| posted.id).collect();
            return self.each(parcel, &ids, batch);
        }
        let poison: Vec<usize> = (0..batch.len()).filter(|place| batch[*place].is_poison()).collect();
        if !poison.is_empty() {
            count(&tally.refused_poison);
            return unprocessable(refusal::poison(&poison));
        }
        if let Some(bits) = part {
            return self.store_half(parcel, batch, bits);
        }
        let payloads = if self.book.keeps_payloads() { payloads(&parcel.body) } else { Vec::new() };
        if self.book.accept(parcel.key, &batch, &payloads, self.strict) {
            answer::json(StatusCode::OK, helped(&posted))
        } else {
            answer::internal_error()
        }
    }

    /// Stores what is neither refused nor met while the home is busy, and says so of each.
    fn each(&self, parcel: Parcel, ids: &[u64], batch: Vec<Judged>) -> Answer {
        let busy = self.chaos.draw_busy(self.knobs().busy, batch.len());
        let fared: Vec<(u64, Fared)> = (ids.iter().zip(&batch).zip(busy))
            .map(|((id, judged), busy)| match (judged.is_poison(), busy) {
                (true, _) => (*id, Fared::Refused),
                (false, true) => (*id, Fared::Busy),
                (false, false) => (*id, Fared::Stored),
            })
            .collect();
        let payloads = if self.book.keeps_payloads() { payloads(&parcel.body) } else { Vec::new() };
        let is_stored = |place: usize| fared.get(place).is_some_and(|(_, fared)| *fared == Fared::Stored);
        let stored: Vec<Judged> =
            batch.into_iter().enumerate().filter(|(place, _)| is_stored(*place)).map(|(_, it)| it).collect();
        let raw: Vec<Box<str>> =
            payloads.into_iter().enumerate().filter(|(place, _)| is_stored(*place)).map(|(_, it)| it).collect();
        // A POST of which nothing was stored is none that the book has.
        if stored.is_empty() || self.book.accept(parcel.key, &stored, &raw, self.strict) {
            answer::json(StatusCode::MULTI_STATUS, zoo_home::answer(&fared))
        } else {
            answer::internal_error()
        }
    }

    fn store_half(&self, parcel: Parcel, batch: Vec<Judged>, bits: u64) -> Answer {
        let places = half(batch.len(), bits);
        let payloads = if self.book.keeps_payloads() { payloads(&parcel.body) } else { Vec::new() };
        let stored: Vec<Judged> =
            batch.into_iter().enumerate().filter(|(place, _)| places.contains(place)).map(|(_, it)| it).collect();
        let raw: Vec<Box<str>> = places.iter().filter_map(|place| payloads.get(*place).cloned()).collect();
        self.book.accept_in_part(parcel.key, &stored, &raw);
        answer::internal_error()
    }
}

/// Which animals of a POST are stored when it is stored in part: half of them, rounded down, each as likely as the others.
fn half(of: usize, bits: u64) -> Vec<usize> {
    let mut bits = Bits::new(bits, 0);
    let mut drawn: Vec<(u64, usize)> = (0..of).map(|place| (bits.next(), place)).collect();
    drawn.sort_unstable();
    let mut places: Vec<usize> = drawn[..of / 2].iter().map(|(_, place)| *place).collect();
    places.sort_unstable();
    places
}

fn helped(posted: &[Posted<'_>]) -> String {
    format!("{{\"message\":\"Helped {} find home\"}}", posted.len())
}

/// The animals of a good body, each as it was spelt.
fn payloads(body: &[u8]) -> Vec<Box<str>> {
    let raw: Vec<&RawValue> = serde_json::from_slice(body).unwrap_or_default();
    raw.into_iter().map(|raw| raw.get().into()).collect()
}

fn key(headers: &HeaderMap) -> Option<Box<str>> {
    headers.get("idempotency-key").map(|key| String::from_utf8_lossy(key.as_bytes()).into())
}

/// FastAPI reads JSON from a body without a content type, or with `application/json` or `application/*+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.strip_prefix("application/").is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}

/// A request on its way: counted when it came, and, if its answer was never given, when its client left.
struct Flight {
    api: Arc<Api>,
    landed: bool,
}

impl Flight {
    fn new(api: Arc<Api>, kind: Kind) -> Flight {
        let tally = &api.book.tally;
        count(match kind {
            Kind::List => &tally.lists,
            Kind::Detail => &tally.details,
            Kind::Post => &tally.posts,
            Kind::Asked => &tally.asked,
            Kind::Other => &tally.others,
        });
        let now = api.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        if now > tally.most_in_flight.load(Ordering::Relaxed) {
            tally.most_in_flight.fetch_max(now, Ordering::Relaxed);
        }
        api.book.stir();
        Flight { api, landed: false }
    }

    fn land(&mut self, answer: Answer) -> Answer {
        self.landed = true;
        answer
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.api.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.landed {
            count(&self.api.book.tally.clients_left);
        }
        self.api.book.stir();
    }
}
