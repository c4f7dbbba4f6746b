//! Connections to one host, kept between requests.
//!
//! Over HTTP/1.1 whoever asks drives the connection itself until its answer is there: no task of its own stands between a request
//! and the socket, so that nothing has to be handed over and nobody be woken for it. Over HTTP/2 all share one connection, which a
//! task drives.
//!
//! A connection that is not kept is dropped as it is, without a last word of TLS: whoever was at its other end has said all that was
//! wanted, or is not listened to any more.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::Connection as _;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use tower::{BoxError, ServiceExt};
use url::{Position, Url};

use super::connect::{Connector, Line};

/// How long an unused connection is kept: less than the 5 s after which common servers close theirs, so that hardly a
/// request meets a connection that is being closed under it.
const IDLE: Duration = Duration::from_secs(4);

/// A connection of HTTP/2 that was quiet for so long is asked whether it is there, and given up when it does not say so within as
/// long again: everything goes over it.
const QUIET: Duration = Duration::from_secs(5);

/// What goes out.
pub(super) type Sending = Request<Full<Bytes>>;
type Sent = Result<Response<Incoming>, TrySendError<Sending>>;
type Stream = MaybeHttpsStream<Line>;

/// The connections to one host.
pub(super) struct Connections {
    scheme: Scheme,
    authority: Authority,
    /// The same as a header.
    pub(super) header: HeaderValue,
    connector: Connector,
    /// The most unused ones that are kept.
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Unused ones, and since when: the last that was given back is the first that is used again.
    idle: VecDeque<(Instant, Box<Own>)>,
    shared: Option<Shared>,
    /// Requests that wait for a connection, in their order.
    waiting: VecDeque<oneshot::Sender<Result<Connection, BoxError>>>,
    /// Connections that are being made.
    connecting: usize,
    /// A task closes what is unused for too long.
    is_watched: bool,
}

/// One of HTTP/2, and when it was last used.
struct Shared {
    sender: http2::SendRequest<Full<Bytes>>,
    used: Instant,
}

/// A connection to ask over.
pub(super) enum Connection {
    /// Of this request alone.
    Own(Box<Own>),
    /// Of all requests to the host, and whether it was kept for some time.
    Shared(http2::SendRequest<Full<Bytes>>, bool),
}

/// A connection of HTTP/1.1.
pub(super) struct Own {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Until it is over.
    driven: Option<http1::Connection<Stream, Full<Bytes>>>,
    /// A proxy at its other end reads the requests, and wants whole URLs in them.
    pub(super) is_proxied: bool,
    /// It was kept for some time, in which it may have been closed.
    pub(super) was_kept: bool,
}

impl Connections {
    /// To the host of this URL.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(super) fn to(url: &Url, connector: Connector, most: usize) -> Result<Self, http::Error> {
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        Ok(Self {
            scheme: url.scheme().parse()?,
            authority: authority.parse()?,
            header: HeaderValue::from_str(authority)?,
            connector,
            most,
            state: Mutex::default(),
        })
    }

    pub(super) fn serves(&self, url: &Url) -> bool {
        *self.authority.as_str() == url[Position::BeforeHost..Position::AfterPort]
            && self.scheme.as_str() == url.scheme()
    }

    /// A URL of this host, whole or as the host itself wants it.
    pub(super) fn uri(&self, url: &Url, whole: bool) -> Result<Uri, http::Error> {
        let path = Bytes::copy_from_slice(url[Position::BeforePath..Position::AfterQuery].as_bytes());
        let path = PathAndQuery::from_maybe_shared(path)?;
        if !whole {
            return Ok(path.into());
        }
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        uri.path_and_query(path).build()
    }

    /// A connection: an unused one, or the first that is made or given back.
    ///
    /// # Errors
    /// When none can be made.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Connection, BoxError> {
        let told = {
            let mut state = super::lock(&self.state);
            if let Some(connection) = state.at_once(Instant::now()) {
                return Ok(connection);
            }
            let (tell, told) = oneshot::channel();
            state.waiting.push_back(tell);
            state.connecting += 1;
            told
        };
        // By a task of its own: when one is given back earlier, this one is there for the next. Not while the state is locked: a
        // runtime that ends drops the task at once, which says so there.
        tokio::spawn(Making { of: Arc::clone(self), made: None }.make());
        // Whatever becomes of those that are made, each that waits is told.
        told.await.unwrap_or_else(|_| Err(broken_off()))
    }

    async fn connect(&self) -> Result<Connection, BoxError> {
        let to = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query("/");
        let stream = self.connector.clone().oneshot(to.build()?).await?;
        let connected = stream.connected();
        if connected.is_negotiated_h2() {
            let mut speaking = http2::Builder::new(TokioExecutor::new());
            speaking.timer(TokioTimer::new()).keep_alive_interval(QUIET).keep_alive_timeout(QUIET);
            let (sender, driven) = speaking.handshake(stream).await?;
            // Whoever asks over it hears how it ends.
            tokio::spawn(async { drop(driven.await) });
            return Ok(Connection::Shared(sender, false));
        }
        let (sender, driven) = http1::handshake(stream).await?;
        let own = Own { sender, driven: Some(driven), is_proxied: connected.is_proxied(), was_kept: false };
        Ok(Connection::Own(Box::new(own)))
    }

    /// A connection was made, or could not be.
    fn made(self: &Arc<Self>, made: Result<Connection, BoxError>) {
        // What is left over is closed when the state is locked no more.
        let left_over = {
            let mut state = super::lock(&self.state);
            state.connecting -= 1;
            match made {
                Ok(Connection::Own(own)) => self.keep(&mut state, own),
                Ok(Connection::Shared(sender, _)) => Some(self.share(&mut state, sender)),
                Err(error) => {
                    // Those that wait no more do not count. Each other has one that is being made: this error is for the one that
                    // has none any more.
                    state.waiting.retain(|tell| !tell.is_closed());
                    let is_short = state.connecting < state.waiting.len();
                    is_short.then(|| state.tell(Err(error))).flatten().and_then(Result::ok)
                }
            }
        };
        drop(left_over);
    }

    /// An answer is there: its connection is for the next.
    pub(super) fn give_back(self: &Arc<Self>, mut own: Box<Own>) {
        // One that is not ready has been closed, or a request was not written, or an answer not read, to its end.
        if own.driven.is_some() && own.sender.is_ready() {
            own.was_kept = true;
            let left_over = self.keep(&mut super::lock(&self.state), own);
            drop(left_over);
        }
    }

    /// Gives a connection to who waits for one, or keeps it; gives it back when there are enough.
    fn keep(self: &Arc<Self>, state: &mut State, own: Box<Own>) -> Option<Connection> {
        match state.tell(Ok(Connection::Own(own)))?.ok()? {
            Connection::Own(mut own) if state.idle.len() < self.most => {
                own.was_kept = true;
                state.idle.push_back((Instant::now(), own));
                self.watch(state);
                None
            }
            left_over => Some(left_over),
        }
    }

    /// Gives a connection to all who wait, and keeps it; gives back the one that is not needed any more.
    fn share(self: &Arc<Self>, state: &mut State, sender: http2::SendRequest<Full<Bytes>>) -> Connection {
        // Several may have been made before it was known that one is enough.
        let (shared, left_over, was_kept) = match state.shared.take() {
            Some(shared) if shared.sender.is_ready() => (shared.sender, sender, true),
            Some(shared) => (sender, shared.sender, false),
            None => (sender.clone(), sender, false),
        };
        for tell in state.waiting.drain(..) {
            // One that waits no more needs none.
            let _ = tell.send(Ok(Connection::Shared(shared.clone(), was_kept)));
        }
        state.shared = Some(Shared { sender: shared, used: Instant::now() });
        self.watch(state);
        Connection::Shared(left_over, was_kept)
    }

    /// Sees to it that what is unused for too long is closed.
    fn watch(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.is_watched, true) {
            tokio::spawn(watch(Arc::downgrade(self), Instant::now() + IDLE));
        }
    }
}

/// A connection that is being made, and what came of that; told whatever ends it.
struct Making {
    of: Arc<Connections>,
    made: Option<Result<Connection, BoxError>>,
}

impl Making {
    async fn make(mut self) {
        self.made = Some(self.of.connect().await);
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        let made = self.made.take().unwrap_or_else(|| Err(broken_off()));
        self.of.made(made);
    }
}

/// The error of a connection whose making ended before it was there or failed: by a bug, or because its runtime ends.
fn broken_off() -> BoxError {
    "connecting was broken off".into()
}

/// Closes what is unused for too long, for as long as there is anything.
async fn watch(connections: Weak<Connections>, mut next: Instant) {
    loop {
        sleep_until(next).await;
        let Some(connections) = connections.upgrade() else { return };
        // Closed when the state is locked no more.
        let (_old, left) = {
            let mut state = super::lock(&connections.state);
            let (old, left) = state.take_old(Instant::now());
            state.is_watched = left.is_some();
            (old, left)
        };
        let Some(left) = left else { return };
        next = left;
    }
}

impl State {
    /// A connection that is there. None that is too old: where this process stood still, nothing has closed it meanwhile.
    fn at_once(&mut self, now: Instant) -> Option<Connection> {
        if let Some(shared) = self.shared.as_mut().filter(|shared| shared.is_good(now)) {
            shared.used = now;
            return Some(Connection::Shared(shared.sender.clone(), true));
        }
        self.idle.pop_back_if(|(since, _)| *since + IDLE > now).map(|(_, own)| Connection::Own(own))
    }

    /// Tells the first who waits; gives back what nobody waits for.
    fn tell(&mut self, made: Result<Connection, BoxError>) -> Option<Result<Connection, BoxError>> {
        let mut made = made;
        while let Some(tell) = self.waiting.pop_front() {
            match tell.send(made) {
                Ok(()) => return None,
                // It waits no more.
                Err(back) => made = back,
            }
        }
        Some(made)
    }

    /// Takes out what is unused for too long; gives when the next will be.
    fn take_old(&mut self, now: Instant) -> (Vec<Connection>, Option<Instant>) {
        let mut old = Vec::new();
        while let Some((_, own)) = self.idle.pop_front_if(|(since, _)| *since + IDLE <= now) {
            old.push(Connection::Own(own));
        }
        if let Some(shared) = self.shared.take_if(|shared| !shared.is_good(now)) {
            old.push(Connection::Shared(shared.sender, true));
        }
        let idle = self.idle.front().map(|(since, _)| *since);
        let unused = idle.into_iter().chain(self.shared.as_ref().map(|shared| shared.used));
        (old, unused.min().map(|since| since + IDLE))
    }
}

impl Shared {
    fn is_good(&self, now: Instant) -> bool {
        self.sender.is_ready() && self.used + IDLE > now
    }
}

impl Own {
    /// Sends a request, and drives the connection until the head of its answer is there. An error that has the request in it
    /// says that nothing of it was sent.
    pub(super) async fn send(&mut self, request: Sending) -> Sent {
        let answering = self.sender.try_send_request(request);
        self.drive(answering).await
    }

    /// What this future gives, which waits for this connection and for nothing else.
    pub(super) async fn drive<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|context| {
            // What it ends with, the request hears; and it hears it when the connection is gone.
            if let Some(driven) = &mut self.driven
                && let Poll::Ready(_) = Pin::new(driven).poll(context)
            {
                self.driven = None;
            }
            future.as_mut().poll(context)
        })
        .await
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
