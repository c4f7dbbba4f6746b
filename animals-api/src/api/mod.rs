//! The API itself: what a request meets, and what it is answered.

mod flight;
mod home;
mod parcel;
mod reading;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::answer::{self, Answer};
use crate::book::{Book, count};
use crate::book_pages;
use crate::changes::{Change, Changes};
use crate::chaos::{Chaos, Fortune, Kind, Outcome};
use crate::config::{Config, Disconnect, Shifting};
use crate::guard::{self, Door, NoToken};
use crate::herd::Herd;
use crate::knobs::Knobs;
use crate::route::{Call, Route, route};
use crate::zoo_home::Face;

use flight::Flight;
use parcel::Parcel;

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

impl Api {
    pub(crate) fn new(config: &Config, closing: CancellationToken) -> Api {
        let herd = Arc::new(Herd::new(config));
        Api {
            book: Arc::new(Book::new(herd.clone(), config)),
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

    pub(crate) fn throttle(&self, time: Duration) {
        self.chaos.limiter.wish(time);
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
        self.book.came(matches!(fortune.outcome, Outcome::Limited(_)));
        let tally = &self.book.tally;
        if let Some(stall) = fortune.stall {
            count(match kind {
                Kind::List => &tally.stalls_list,
                Kind::Detail => &tally.stalls_detail,
                Kind::Part => &tally.stalls_part,
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
            (Call::Checkups(id), _) => self.checkups(id),
            (Call::Home, Some(parcel)) => self.home(parcel, part, false),
            (Call::Visit(visit), Some(parcel)) => self.home(parcel, part, visit.face == Face::Each),
            (Call::Asked(id), _) => self.asked(id),
            (Call::Token, Some(parcel)) => self.token(&parcel),
            (Call::Docs, _) => answer::html(include_str!("../pages/docs.html")),
            (Call::OpenApi, _) => answer::json(StatusCode::OK, include_str!("../pages/openapi.json")),
            (Call::NotAllowed(allowed), _) => answer::not_allowed(allowed),
            (Call::Elsewhere(location), _) => answer::elsewhere(location),
            (Call::Unknown | Call::Home | Call::Visit(_) | Call::Token, _) => answer::not_found(),
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
}
