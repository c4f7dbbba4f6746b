//! Connections: plain or TLS, and what is wrong with them in words that say what to do.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use super::credentials::CredentialArgs;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// What was wrong with the last connection, if it was more than that nobody answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    pub(crate) fn words(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, words: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }

    /// Notes it, and gives it as an error.
    fn error(&self, words: String) -> io::Error {
        self.note(Some(words.clone()));
        io::Error::other(words)
    }
}

/// Makes the connections to one coordinator.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    tcp: HttpConnector,
    credentials: CredentialArgs,
    pub(super) trouble: Trouble,
}

impl Connector {
    pub(super) fn new(credentials: CredentialArgs, patience: std::time::Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(patience));
        Self { tcp, credentials, trouble: Trouble::default() }
    }

    async fn connect(mut self, uri: Uri) -> io::Result<TokioIo<Wire>> {
        self.trouble.note(None);
        std::future::poll_fn(|cx| self.tcp.poll_ready(cx)).await.map_err(io::Error::other)?;
        let stream = self.tcp.call(uri.clone()).await.map_err(io::Error::other)?.into_inner();
        let io = if uri.scheme_str() == Some("https") {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let config = config(&self.credentials)
                .map_err(|(file, why)| self.trouble.error(format!("{} cannot be used: {why}", file.display())))?;
            let name = ServerName::try_from(host.clone()).map_err(|_| io::ErrorKind::InvalidInput)?;
            let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
            Io::Tls(Box::new(shaken.map_err(|error| match words(&error, &host) {
                Some(words) => self.trouble.error(words),
                None => error,
            })?))
        } else {
            Io::Plain { stream, begun: false }
        };
        Ok(TokioIo::new(Wire { io, trouble: self.trouble }))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Wire>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// The settings of a connection, of files as they are now: a certificate that is renewed is shown by the next connection.
/// An error has the file.
pub(super) fn config(credentials: &CredentialArgs) -> Result<ClientConfig, (PathBuf, String)> {
    let mut roots = RootCertStore::empty();
    match &credentials.tls_ca {
        Some(path) => {
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| (path.clone(), error.to_string()))?;
            }
        }
        None => {
            // Some of a system's may be of a kind that is not known here.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| (PathBuf::new(), error.to_string()))?.with_root_certificates(roots);
    let mut config = match credentials.tls_cert.as_ref().zip(credentials.tls_key.as_ref()) {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let pem = read_bounded(key).map_err(|why| (key.clone(), why))?;
            let parsed = PrivateKeyDer::from_pem_slice(&pem);
            let parsed = parsed.map_err(|_| (key.clone(), "it has no private key in PEM".to_owned()))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, parsed)
                .map_err(|error| (certificate.clone(), format!("it makes no pair with {}: {error}", key.display())))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, (PathBuf, String)> {
    let pem = read_bounded(path).map_err(|why| (path.to_owned(), why))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let read = read.ok().filter(|chain| !chain.is_empty());
    read.ok_or_else(|| (path.to_owned(), "it has no certificates in PEM".to_owned()))
}

/// A small file.
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("it cannot be read: {error}");
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("it is larger than {} KiB", MAX_FILE >> 10));
    }
    Ok(bytes)
}

/// What an error of TLS means, and what to do; nothing: it is of another kind.
fn words(error: &io::Error, host: &str) -> Option<String> {
    use CertificateError as Bad;
    if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        return Some(match error {
            rustls::Error::InvalidCertificate(bad) => match bad {
                Bad::UnknownIssuer | Bad::BadSignature => {
                    "its certificate comes from an authority that is not trusted here: give the right one with --tls-ca"
                        .to_owned()
                }
                Bad::Expired | Bad::ExpiredContext { .. } => {
                    "its certificate has expired: whoever runs the coordinator must renew it".to_owned()
                }
                Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                    "its certificate is not valid yet: is the clock of this machine right?".to_owned()
                }
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                    let presented = match bad {
                        Bad::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
                            format!(
                                ", but for {}",
                                presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ")
                            )
                        }
                        _ => String::new(),
                    };
                    format!(
                        "its certificate is not for the name {host}{presented}: use a name that it is for, or have one \
                         made for this name"
                    )
                }
                other => format!("its certificate cannot be used: {other}"),
            },
            rustls::Error::InvalidMessage(_) => {
                "it does not speak TLS: if it is the right port, its URL begins with http://".to_owned()
            }
            rustls::Error::AlertReceived(alert) => match alert {
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::DecryptError
                | AlertDescription::AccessDenied => format!(
                    "it does not take this client's certificate ({alert:?}): give one of the authority that the \
                     coordinator believes, with --tls-cert and --tls-key"
                ),
                AlertDescription::NoApplicationProtocol => {
                    "it does not speak gRPC: is it the HTTP side of a coordinator? Give its --listen address".to_owned()
                }
                other => format!("it breaks off the TLS handshake ({other:?})"),
            },
            other => format!("TLS with it fails: {other}"),
        });
    }
    let broke_off = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset].contains(&error.kind());
    broke_off.then(|| {
        "it closes the connection before TLS stands: it may speak none, or have as many connections as it takes"
            .to_owned()
    })
}

/// A name without its kind: of `DnsName("localhost")`, localhost.
fn bare(presented: &str) -> &str {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(presented).trim_matches('"')
}

/// A connection.
pub(super) struct Wire {
    io: Io,
    trouble: Trouble,
}

enum Io {
    Plain { stream: TcpStream, begun: bool },
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    fn poll(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match &mut self.io {
            Io::Plain { stream, begun } => {
                std::task::ready!(Pin::new(stream).poll_read(cx, buffer))?;
                if std::mem::replace(begun, true) {
                    return Poll::Ready(Ok(()));
                }
                // HTTP/2 begins with the length of its settings. A record of TLS begins with its kind, an alert mostly.
                let words = match buffer.filled().get(before) {
                    Some(0x15 | 0x16) => "it speaks TLS: its URL begins with https://",
                    Some(b'H') => {
                        "it does not speak gRPC: is it the HTTP side of a coordinator? Give its --listen address"
                    }
                    _ => return Poll::Ready(Ok(())),
                };
                Poll::Ready(Err(self.trouble.error(words.to_owned())))
            }
            Io::Tls(stream) => {
                let read = std::task::ready!(Pin::new(stream.as_mut()).poll_read(cx, buffer));
                // With TLS 1.3 a client's certificate is refused only here.
                Poll::Ready(read.map_err(|error| match words(&error, "") {
                    Some(words) if error.get_ref().is_some() => self.trouble.error(words),
                    _ => error,
                }))
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain { stream, .. } => Pin::new(stream).poll_write(cx, bytes),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain { stream, .. } => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain { stream, .. } => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
