//! An OTLP receiver as a process: OpenTelemetry's own messages in Python take what programs export (`tests/otlp/receiver.py`).

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::deadline::until_some;
use crate::process::{Process, Start};
use crate::programs;

/// A receiver. Dropped, it is killed.
#[derive(Debug)]
pub struct Receiver {
    spans: PathBuf,
    points: PathBuf,
    ports: Ports,
    _process: Process,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Ports {
    grpc: u16,
    http: u16,
}

/// How traces travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP.
    Http,
}

/// A span as it arrived.
#[derive(Clone, Debug, Deserialize)]
pub struct Span {
    /// How it came: grpc or http.
    pub by: String,
    /// Who sent it.
    pub resource: Map<String, Value>,
    /// Its trace, in hex.
    pub trace: String,
    /// Its own ID, in hex.
    pub span: String,
    /// Its parent's; empty: it has none.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// internal, client, server, ...
    pub kind: String,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// The same.
    pub end: u64,
    /// Whether it failed.
    pub error: bool,
    /// Why, if it says so.
    pub words: String,
    /// What is said of it.
    pub attributes: Map<String, Value>,
    /// What it points to.
    pub links: Vec<Link>,
}

/// A data point as it arrived.
#[derive(Clone, Debug, Deserialize)]
pub struct Point {
    /// How it came: grpc or http.
    pub by: String,
    /// Who sent it.
    pub service: String,
    /// The metric's name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// sum, gauge or histogram.
    pub kind: String,
    /// Whether it counts from the beginning.
    pub cumulative: bool,
    /// Its labels.
    pub attributes: BTreeMap<String, Value>,
    /// Its value; of a histogram: how many it has.
    pub number: f64,
}

/// What a span points to.
#[derive(Clone, Debug, Deserialize)]
pub struct Link {
    /// Trace of the other one.
    pub trace: String,
    /// Its ID.
    pub span: String,
    /// What is said of the link.
    pub attributes: Map<String, Value>,
}

impl Receiver {
    /// Starts one that keeps what it gets in this folder.
    pub async fn start(folder: &Path) -> Receiver {
        let [spans, points] = ["spans.jsonl", "points.jsonl"].map(|name| folder.join(name));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("otlp/receiver.py");
        let line = [script.as_os_str(), spans.as_os_str(), points.as_os_str()];
        let mut process = Start::program(&programs::python(), folder, line).start();
        let ports = until_some("the receiver listens", async || {
            assert_eq!(process.has_ended(), None, "the receiver has ended:\n{}", process.stderr());
            serde_json::from_str(process.stdout().lines().next()?).ok()
        })
        .await;
        Receiver { spans, points, ports, _process: process }
    }

    /// Where it listens: host and port.
    pub fn address(&self, by: By) -> String {
        let port = match by {
            By::Grpc => self.ports.grpc,
            By::Http => self.ports.http,
        };
        format!("127.0.0.1:{port}")
    }

    /// The environment of a program that exports to it.
    pub fn env(&self, by: By) -> Vec<(&'static str, String)> {
        let protocol = match by {
            By::Grpc => "grpc",
            By::Http => "http/protobuf",
        };
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.address(by))),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
        ]
    }

    /// The same with a sampling ratio.
    pub fn env_at(&self, by: By, ratio: &str) -> Vec<(&'static str, String)> {
        let mut env = self.env(by);
        env.push(("OTEL_TRACES_SAMPLER", "parentbased_traceidratio".to_owned()));
        env.push(("OTEL_TRACES_SAMPLER_ARG", ratio.to_owned()));
        env
    }

    /// All that it got so far.
    pub fn spans(&self) -> Vec<Span> {
        written(&self.spans)
    }

    /// All data points that it got so far.
    pub fn points(&self) -> Vec<Point> {
        written(&self.points)
    }

    /// The same by their traces.
    pub fn traces(&self) -> HashMap<String, Vec<Span>> {
        let mut traces: HashMap<String, Vec<Span>> = HashMap::new();
        for span in self.spans() {
            traces.entry(span.trace.clone()).or_default().push(span);
        }
        traces
    }
}

/// The whole lines of a file that is being written.
fn written<T: DeserializeOwned>(file: &Path) -> Vec<T> {
    let text = std::fs::read_to_string(file).expect("it writes");
    let whole = text.lines().filter(|line| line.ends_with('}'));
    whole.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

impl Span {
    /// An attribute that is a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.attributes.get(name)?.as_i64()
    }

    /// An attribute that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.as_str()
    }

    /// The program that it came from.
    pub fn service(&self) -> &str {
        self.resource.get("service.name").and_then(Value::as_str).unwrap_or_default()
    }
}
