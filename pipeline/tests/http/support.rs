//! A tiny HTTP server whose every answer is scripted, byte for byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_pipeline::{CompiledPipeline, Pipeline, Requester, RequesterConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a request gets.
#[derive(Clone)]
pub enum Reply {
    /// These bytes, and the connection stays.
    Bytes(Vec<u8>),
    /// These bytes, and the connection ends.
    Last(Vec<u8>),
    /// A reset, after the whole request was read.
    Reset,
    /// Nothing, ever.
    Stall,
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub head: String,
    pub body: Vec<u8>,
}

pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Answers the n-th request (from 0) by `script`.
    pub async fn start(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(script);
        let book = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&book), Arc::clone(&script)));
            }
        });
        Self { address, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve<F: Fn(usize, &Seen) -> Reply>(mut stream: TcpStream, book: Arc<Mutex<Vec<Seen>>>, script: Arc<F>) {
    while let Some(request) = read(&mut stream).await {
        let number = {
            let mut book = book.lock().unwrap();
            book.push(request.clone());
            book.len() - 1
        };
        match script(number, &request) {
            Reply::Bytes(bytes) => stream.write_all(&bytes).await.unwrap_or_default(),
            Reply::Last(bytes) => {
                stream.write_all(&bytes).await.unwrap_or_default();
                stream.shutdown().await.unwrap_or_default();
                return;
            }
            Reply::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
            Reply::Stall => std::future::pending().await,
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let length = head
        .lines()
        .filter_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().to_owned()))
        .find_map(|length| length.parse::<usize>().ok())
        .unwrap_or(0);
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    let line = head.lines().next().unwrap_or_default().to_owned();
    Some(Seen { line, head, body: bytes[head_end..head_end + length].to_vec() })
}

/// An answer with these headers (each ended by `\r\n`) and body.
pub fn answer(status: u16, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Bytes(format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes())
}

pub fn json(status: u16, body: &str) -> Reply {
    answer(status, "content-type: application/json\r\n", body)
}

/// The pipeline of these tests against a server, with more lines for its load and limits.
pub fn pipeline(base: &str, load: &str, limits: &str) -> CompiledPipeline {
    let yaml = format!(
        r#"
muster: 1
name: test
source:
  list:
    request: {{ url: "{base}/list" }}
    pagination: {{ page_number: {{ total_pages: $.total_pages }} }}
    items: $.items
    id: $.id
  detail: {{ request: {{ url: "{base}/detail/${{record:id}}" }} }}
load:
  request: {{ url: "{base}/home" }}
  post_timeout: 300ms
  not_applied:
    - {{ status: [500, 502, 503, 504], body: "^Sorry!" }}
{load}
limits:
  get_timeout: 1s
  backoff: 1ms
{limits}
"#
    );
    let pipeline = Pipeline::from_yaml(&yaml, "test.yaml").unwrap_or_else(|error| panic!("{error}"));
    pipeline.compile(&std::collections::BTreeMap::new()).unwrap()
}

pub fn requester(limits: impl FnOnce(&mut muster_pipeline::Limits)) -> Requester {
    let mut all = muster_pipeline::Limits {
        get_timeout: Duration::from_secs(1),
        backoff: Duration::from_millis(1),
        get_attempts: 4,
        ..Default::default()
    };
    limits(&mut all);
    Requester::new(&all, &RequesterConfig::default()).unwrap()
}
