//! Connections, from the socket to the first byte of a call. Whoever is slow, says nothing, or is one too many goes before
//! anything is spent on it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::judge::Certificate;
use super::tls::{Speaks, TlsConfigs, of_client};

/// From the connection to the end of its handshakes: TLS, and the first bytes of HTTP/2.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often one line says that connections were turned away.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// A pause when the system gives no more connections: they come from a limit that somebody else may have reached.
const NO_MORE: Duration = Duration::from_millis(100);
/// What every HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Said to whoever speaks something else, in the one language that all of them show: to a client that speaks TLS the first
/// byte says that there is none.
const NOT_HERE: &[u8] = b"HTTP/1.1 415 Unsupported Media Type\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    This is a port for gRPC (HTTP/2), without TLS.\n";

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guest {
    /// Verified; nothing: none was shown.
    pub certificate: Option<Arc<Certificate>>,
}

/// A listening port.
pub(crate) struct Door {
    pub listener: TcpListener,
    pub speaks: Speaks,
    pub(super) tls: Option<watch::Receiver<TlsConfigs>>,
    pub(super) max_connections: usize,
}

impl Door {
    /// Lets connections in, for as long as the result is read from.
    pub fn open(self) -> mpsc::Receiver<io::Result<Connection>> {
        let (sender, connections) = mpsc::channel(1);
        tokio::spawn(async move {
            tokio::select! {
                () = self.accept(&sender) => {}
                () = sender.closed() => {}
            }
        });
        connections
    }

    async fn accept(&self, connections: &mpsc::Sender<io::Result<Connection>>) {
        let places = Arc::new(Semaphore::new(self.max_connections));
        let mut shaking = JoinSet::new();
        let mut turned_away = TurnedAway::default();
        loop {
            while shaking.try_join_next().is_some() {}
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    turned_away.say(&format!("the system gives no connection: {error}"));
                    tokio::time::sleep(NO_MORE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                turned_away.say(&format!("{} connections are open, which is --max-connections", self.max_connections));
                continue;
            };
            let (tls, speaks, connections) = (self.tls.clone(), self.speaks, connections.clone());
            shaking.spawn(async move {
                match timeout(HANDSHAKE, shake_hands(stream, tls, speaks, place)).await {
                    Ok(Ok(connection)) => {
                        // Nobody reads any more: the server ends.
                        let _ = connections.send(Ok(connection)).await;
                    }
                    Ok(Err(error)) => tracing::debug!(error = %error, "a connection came to nothing"),
                    Err(_) => tracing::debug!("a connection took too long to shake hands"),
                }
            });
        }
    }
}

/// So that a flood of connections is no flood of lines.
#[derive(Default)]
struct TurnedAway {
    said: Option<Instant>,
    since: u64,
}

impl TurnedAway {
    fn say(&mut self, why: &str) {
        self.since += 1;
        if self.said.is_some_and(|said| said.elapsed() < SAY_EVERY) {
            return;
        }
        self.said = Some(Instant::now());
        tracing::warn!(
            turned_away = std::mem::take(&mut self.since),
            { muster_telemetry::names::REASON } = why,
            { muster_telemetry::names::NEXT } = "who is connected is served; others may come when some have gone",
            "connections are turned away"
        );
    }
}

async fn shake_hands(
    stream: TcpStream,
    tls: Option<watch::Receiver<TlsConfigs>>,
    speaks: Speaks,
    place: OwnedSemaphorePermit,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let mut connection = match tls {
        None => Connection { io: Io::Plain(stream), begun: Bytes::new(), guest: Guest::default(), _place: place },
        Some(tls) => {
            let config = tls.borrow().of(speaks);
            let stream = match TlsAcceptor::from(config).accept(stream).into_fallible().await {
                Ok(stream) => stream,
                Err((error, stream)) => {
                    leave(stream).await?;
                    return Err(error);
                }
            };
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let certificate = shown.map(of_client).transpose().map_err(io::Error::other)?.map(Arc::new);
            Connection {
                io: Io::Tls(Box::new(stream)),
                begun: Bytes::new(),
                guest: Guest { certificate },
                _place: place,
            }
        }
    };
    if speaks == Speaks::Http2
        && let Err(error) = connection.read_preface().await
    {
        if let (io::ErrorKind::InvalidData, Io::Plain(mut stream)) = (error.kind(), connection.io) {
            stream.write_all(NOT_HERE).await?;
            leave(stream).await?;
        }
        return Err(error);
    }
    Ok(connection)
}

/// Closes a connection so that what was said last arrives: what is unread when a socket is closed takes it along.
async fn leave(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// A connection that has shaken hands. Its place is free when it is dropped.
pub(crate) struct Connection {
    io: Io,
    /// Read before, to be read again.
    begun: Bytes,
    guest: Guest,
    _place: OwnedSemaphorePermit,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Who is at the other end.
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// HTTP/2's own pings begin only behind this, so that nobody else would notice a peer that never says it.
    async fn read_preface(&mut self) -> io::Result<()> {
        let mut read = [0; PREFACE.len()];
        let mut length = 0;
        while length < PREFACE.len() {
            let more = match &mut self.io {
                Io::Plain(stream) => stream.read(&mut read[length..]).await?,
                Io::Tls(stream) => stream.read(&mut read[length..]).await?,
            };
            if more == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            length += more;
            if read[..length] != PREFACE[..length] {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP/2"));
            }
        }
        self.begun = Bytes::copy_from_slice(&read);
        Ok(())
    }
}

impl Connected for Connection {
    type ConnectInfo = Guest;

    fn connect_info(&self) -> Guest {
        self.guest.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.begun.has_remaining() {
            let length = self.begun.len().min(buffer.remaining());
            buffer.put_slice(&self.begun.split_to(length));
            return Poll::Ready(Ok(()));
        }
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
