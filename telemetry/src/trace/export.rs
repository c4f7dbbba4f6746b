//! Exporting, with one word about it when it does not work, and one when it does again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_otlp::{SpanExporter as Otlp, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tracing::{info, warn};

use super::queue::Queue;
use super::settings::Settings;
use crate::names;

/// The exporter of these settings; else why there is none.
pub(super) fn exporter(settings: &Settings) -> Result<Otlp, String> {
    let built = match settings.by_grpc {
        true => Otlp::builder().with_tonic().build(),
        false => Otlp::builder().with_http().with_http_client(client(settings.timeout)?).build(),
    };
    built.map_err(|error| error.to_string())
}

/// What traces go out with by HTTP: to the collector that is named and to nobody that it or the environment names instead,
/// because what the headers hold may be a key.
fn client(timeout: Duration) -> Result<reqwest::blocking::Client, String> {
    let build = move || {
        let client = reqwest::blocking::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        client.timeout(timeout).build()
    };
    // It has a runtime of its own, which must not be made within another.
    let built = std::thread::spawn(build).join().map_err(|_| "its client cannot be made".to_owned())?;
    built.map_err(|error| error.to_string())
}

/// An exporter of whose failures the log tells once.
#[derive(Debug)]
pub(super) struct Told<E> {
    inner: E,
    endpoint: String,
    has_secret: bool,
    fails: AtomicBool,
    queue: Arc<Queue>,
}

impl<E> Told<E> {
    pub(super) fn new(inner: E, settings: &Settings, queue: Arc<Queue>) -> Self {
        let Settings { endpoint, has_secret, .. } = settings;
        Self { inner, endpoint: endpoint.clone(), has_secret: *has_secret, fails: AtomicBool::new(false), queue }
    }

    fn tell(&self, result: &OTelSdkResult) {
        match result {
            Ok(()) if self.fails.swap(false, Ordering::Relaxed) => {
                info!({ names::URL } = self.endpoint, "traces are exported again");
            }
            Ok(()) => {}
            Err(_) if self.fails.swap(true, Ordering::Relaxed) => {}
            Err(error) => warn!(
                { names::URL } = self.endpoint,
                { names::REASON } = self.reason(error),
                { names::NEXT } = "the work goes on, and traces are lost until it answers: does a collector listen there, \
                    and does it speak what OTEL_EXPORTER_OTLP_PROTOCOL says (grpc, mostly on port 4317; http/protobuf, \
                    which is the default, on 4318)?",
                "traces cannot be exported"
            ),
        }
    }

    /// What went wrong; its words may hold the URL, and that a password.
    fn reason(&self, error: &OTelSdkError) -> String {
        match self.has_secret {
            true => "the collector was not reached, or has refused them".to_owned(),
            false => error.to_string(),
        }
    }
}

impl<E: SpanExporter> SpanExporter for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.queue.left_by(batch.len());
        let result = self.inner.export(batch).await;
        self.tell(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_collector_cannot_send_what_it_is_told_elsewhere() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let elsewhere =
            format!("HTTP/1.1 307 Elsewhere\r\nLocation: {url}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        // It answers one request alone.
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4_096]).unwrap();
            stream.write_all(elsewhere.as_bytes()).unwrap();
        });
        let answer = client(Duration::from_secs(60)).unwrap().get(url).send().unwrap();
        assert_eq!(answer.status(), 307);
        server.join().unwrap();
    }
}
