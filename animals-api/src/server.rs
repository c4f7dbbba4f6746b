//! Listening, and stopping.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::book::Book;
use crate::changes::Change;
use crate::config::Config;
use crate::knobs::Knobs;

/// Connections that wait to be accepted; a benchmark opens many at once.
const BACKLOG: u32 = 4096;
/// How long answers that are being written may take after a shutdown began.
const GRACE: Duration = Duration::from_secs(2);

/// A running stand-in. Stops at once when it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, with the port that was picked for port 0.
    pub addr: SocketAddr,
    api: Arc<Api>,
    closing: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    /// Starts listening. To be called inside a Tokio runtime; returns as soon as connections are taken.
    ///
    /// # Errors
    /// `InvalidInput` for a knob that makes no sense; else whatever kept it from listening, such as `AddrInUse`.
    #[expect(clippy::needless_pass_by_value, reason = "a configuration is made for one server")]
    pub fn start(config: Config, bind: SocketAddr) -> io::Result<Server> {
        config.check().map_err(|bad| io::Error::new(io::ErrorKind::InvalidInput, bad))?;
        let socket = if bind.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restarted stand-in gets its port back at once.
        socket.set_reuseaddr(true)?;
        socket.bind(bind)?;
        let listener = socket.listen(BACKLOG)?;
        let closing = CancellationToken::new();
        let server = Server {
            addr: listener.local_addr()?,
            api: Arc::new(Api::new(&config, closing.clone())),
            closing,
            connections: TaskTracker::new(),
        };
        let accepting = accept(listener, server.api.clone(), server.closing.clone(), server.connections.clone());
        server.connections.spawn(accepting);
        Ok(server)
    }

    /// `http://127.0.0.1:3123`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it was asked for and what it was sent.
    pub fn book(&self) -> Arc<Book> {
        self.api.book.clone()
    }

    /// The knobs as they stand.
    pub fn knobs(&self) -> Knobs {
        self.api.knobs()
    }

    /// Turns knobs; for every request that comes after.
    pub fn turn(&self, turn: impl FnOnce(&mut Knobs)) {
        let turned: Result<Knobs, Infallible> = self.api.turn(|mut knobs| {
            turn(&mut knobs);
            Ok(knobs)
        });
        let _ = turned;
    }

    /// Animals come, leave and change, for every request that comes after: see `GET /animals/v1/dated`.
    pub fn change(&self, change: &Change) {
        self.api.change(change);
    }

    /// Sets the chance of chaos, 0 to 1.
    pub fn set_chaos(&self, chaos: f64) {
        self.turn(|knobs| knobs.chaos = chaos);
    }

    /// Begins or ends an outage: a 503 `Sorry!` to everything but `/` and the book.
    pub fn set_outage(&self, outage: bool) {
        self.turn(|knobs| knobs.outage = outage);
    }

    /// The next request that limits concern is answered 429 and told to come again after so long, in whole seconds rounded
    /// up; those after it are taken as ever, so that the book can tell who comes all the same.
    pub fn throttle(&self, time: Duration) {
        self.api.throttle(time);
    }

    /// Stops: no new connections, no new requests. Requests that wait are answered 503 `Sorry!` unprocessed, answers on
    /// their way get two seconds. Afterwards the port is free and the book stays as it is.
    pub async fn shutdown(self) {
        self.closing.cancel();
        self.connections.close();
        self.connections.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

async fn accept(listener: TcpListener, api: Arc<Api>, closing: CancellationToken, connections: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(serve(stream, api.clone(), closing.clone()))),
            // Out of file descriptors, or a client that left before it was accepted: neither passes by trying harder.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(stream: TcpStream, api: Arc<Api>, closing: CancellationToken) {
    // Without it small answers may wait for the acknowledgement of the ones before. A socket that refuses is closed.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let api = api.clone();
        async move { Ok::<_, Infallible>(api.handle(request).await) }
    });
    // No timer: this server would only pay for it, and slow clients are its tests' own.
    let connection = http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        // An error is a client that left; the book has counted it if it was owed an answer.
        _ = connection.as_mut() => return,
        () = closing.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(GRACE, connection).await;
}
