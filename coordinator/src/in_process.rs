//! gRPC within one process: over pipes in memory, so that nobody else can connect.

use std::sync::Arc;

use hyper_util::rt::TokioIo;
use muster_telemetry::trace::ServerLayer;
use tokio::io::DuplexStream;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint, Server, Uri};

use crate::access::METHOD_NAMES;

/// Bytes on their way in one direction.
const PIPE: usize = 256 * 1024;

/// Serves these routes to one channel until `stop`.
pub(crate) fn channel(routes: Routes, stop: CancellationToken) -> Channel {
    let (connect, connections) = mpsc::channel::<Result<DuplexStream, std::io::Error>>(1);
    let serve = Server::builder()
        .layer(ServerLayer::new(METHOD_NAMES))
        .add_routes(routes)
        .serve_with_incoming(ReceiverStream::new(connections));
    tokio::spawn(async move {
        if let Some(Err(error)) = stop.run_until_cancelled(serve).await {
            tracing::error!(error = %error, { muster_telemetry::names::NEXT } = "calls fail", "the in-process server has ended");
        }
    });
    let connect = Arc::new(Mutex::new(connect));
    let connector = tower::service_fn(move |_: Uri| {
        let connect = Arc::clone(&connect);
        async move {
            let (ours, theirs) = tokio::io::duplex(PIPE);
            let gone = |_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            connect.lock().await.send(Ok(theirs)).await.map_err(gone)?;
            Ok::<_, std::io::Error>(TokioIo::new(ours))
        }
    });
    Endpoint::from_static("http://in-process").connect_with_connector_lazy(connector)
}
