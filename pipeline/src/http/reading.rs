//! The body of an answer, up to a limit.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::transport::{Answer, BodyEnd, reason_of};

/// How much of an answer that refuses or fails is read: enough for what it says.
pub(crate) const MAX_REASON: usize = 2 << 10;

/// Reads at most so many bytes of a 2xx, counted after decompression.
pub(super) async fn read(response: Response<Incoming>, limit: usize) -> Answer {
    let (head, mut body) = response.into_parts();
    let (status, mut headers) = (head.status, head.headers);
    let limit = if status.is_success() { limit } else { limit.min(MAX_REASON) };
    let mut came = Came::new(is_zipped(&mut headers), limit);
    let end = loop {
        let chunk = match body.frame().await {
            None => break came.finish(),
            Some(Err(error)) => break BodyEnd::Broken(reason_of(&error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(chunk) => chunk,
                // What comes after the body is none.
                Err(_trailers) => continue,
            },
        };
        if let Err(end) = came.add(&chunk) {
            break end;
        }
    };
    let bytes = came.into_bytes();
    // The end of a connection may have come too soon, any other end says that this is all: from here on in one way.
    if bytes.is_empty() && end == BodyEnd::Whole && (body.is_end_stream() || is_chunked(&headers)) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Answer { status, headers, body: bytes, end }
}

/// Whether a body has an end of its own in HTTP/1.1: the last coding counts (RFC 9112, section 6.1).
fn is_chunked(headers: &HeaderMap) -> bool {
    let last = headers.get_all(TRANSFER_ENCODING).iter().next_back().and_then(|codings| codings.to_str().ok());
    last.and_then(|codings| codings.rsplit(',').next()).is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
}

/// Whether a body is compressed; headers that tell of that are true no more once it is read.
fn is_zipped(headers: &mut HeaderMap) -> bool {
    let is_zipped = headers.get(CONTENT_ENCODING).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"));
    if is_zipped {
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
    }
    is_zipped
}

/// What came of a body so far.
enum Came {
    /// Most answers are one chunk: it is passed on as it came, without a copy.
    Plain { first: Bytes, rest: BytesMut, limit: usize },
    /// What was in it, as far as it could be unpacked.
    Zipped { decoder: Box<MultiGzDecoder<Bounded>>, has_begun: bool },
}

impl Came {
    fn new(is_zipped: bool, limit: usize) -> Self {
        if is_zipped {
            let bounded = Bounded { bytes: BytesMut::new(), limit, is_over: false };
            return Self::Zipped { decoder: Box::new(MultiGzDecoder::new(bounded)), has_begun: false };
        }
        Self::Plain { first: Bytes::new(), rest: BytesMut::new(), limit }
    }

    /// # Errors
    /// How the body ends, when no more of it is wanted.
    fn add(&mut self, chunk: &Bytes) -> Result<(), BodyEnd> {
        match self {
            Self::Plain { first, rest, limit } => {
                let room = *limit - first.len() - rest.len();
                let is_over = chunk.len() > room;
                let chunk = chunk.slice(..chunk.len().min(room));
                if first.is_empty() {
                    *first = chunk;
                } else {
                    rest.extend_from_slice(&chunk);
                }
                if is_over { Err(BodyEnd::TooLarge) } else { Ok(()) }
            }
            Self::Zipped { decoder, has_begun } => {
                *has_begun |= !chunk.is_empty();
                decoder.write_all(chunk).map_err(|error| unpacking(decoder, &error))
            }
        }
    }

    fn finish(&mut self) -> BodyEnd {
        // No body at all is none that lacks its end, whatever the headers say: a 204 has none.
        let Self::Zipped { decoder, has_begun: true } = self else { return BodyEnd::Whole };
        match decoder.try_finish() {
            Ok(()) => BodyEnd::Whole,
            Err(error) => unpacking(decoder, &error),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Plain { first, rest, .. } if rest.is_empty() => first,
            Self::Plain { first, rest, .. } => [&first[..], &rest[..]].concat().into(),
            Self::Zipped { mut decoder, .. } => std::mem::take(&mut decoder.get_mut().bytes).freeze(),
        }
    }
}

fn unpacking(decoder: &MultiGzDecoder<Bounded>, error: &io::Error) -> BodyEnd {
    if decoder.get_ref().is_over { BodyEnd::TooLarge } else { BodyEnd::Broken(format!("gzip: {error}")) }
}

/// So many bytes and no more, however many are packed into few.
struct Bounded {
    bytes: BytesMut,
    limit: usize,
    is_over: bool,
}

impl Write for Bounded {
    fn write(&mut self, unpacked: &[u8]) -> io::Result<usize> {
        let fitting = unpacked.len().min(self.limit - self.bytes.len());
        self.bytes.extend_from_slice(&unpacked[..fitting]);
        if fitting < unpacked.len() {
            self.is_over = true;
            return Err(io::Error::other("more than is wanted"));
        }
        Ok(fitting)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::Request;
    use http_body_util::Empty;
    use hyper::service::service_fn;
    use hyper::{client, server};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    use super::*;

    fn zipped(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// What comes of these bytes in chunks of so many.
    fn came(bytes: &[u8], is_zipped: bool, chunk: usize, limit: usize) -> (Bytes, BodyEnd) {
        let mut came = Came::new(is_zipped, limit);
        for chunk in bytes.chunks(chunk) {
            if let Err(end) = came.add(&Bytes::copy_from_slice(chunk)) {
                return (came.into_bytes(), end);
            }
        }
        let end = came.finish();
        (came.into_bytes(), end)
    }

    #[test]
    fn a_body_is_read_whole_however_it_is_cut() {
        let text = "Prairie Dog, Badger, Blue Whale. ".repeat(50);
        let packed = zipped(text.as_bytes());
        for chunk in [1, 7, 1_000, 100_000] {
            for (bytes, is_zipped) in [(text.as_bytes(), false), (&packed[..], true)] {
                let (body, end) = came(bytes, is_zipped, chunk, text.len());
                assert_eq!((&body[..], end), (text.as_bytes(), BodyEnd::Whole), "{chunk} {is_zipped}");
            }
        }
    }

    #[test]
    fn no_more_is_kept_than_is_wanted() {
        let text = "0".repeat(1 << 20);
        let packed = zipped(text.as_bytes());
        assert!(packed.len() < 2_000, "a megabyte of zeros in {} bytes", packed.len());
        for chunk in [1, 1_000, 2 << 20] {
            for (bytes, is_zipped) in [(text.as_bytes(), false), (&packed[..], true)] {
                let (body, end) = came(bytes, is_zipped, chunk, 100);
                assert_eq!((&body[..], end), (&text.as_bytes()[..100], BodyEnd::TooLarge), "{chunk} {is_zipped}");
            }
        }
    }

    #[test]
    fn what_cannot_be_unpacked_is_broken() {
        let packed = zipped(b"a goat");
        for wrong in [&packed[..packed.len() - 3], b"no gzip"] {
            assert!(matches!(came(wrong, true, 5, 100).1, BodyEnd::Broken(reason) if reason.starts_with("gzip: ")));
        }
        assert_eq!(came(b"", true, 5, 100), (Bytes::new(), BodyEnd::Whole));
        let twice = [&packed[..], &packed[..]].concat();
        assert_eq!(came(&twice, true, 5, 100), (Bytes::from_static(b"a goata goat"), BodyEnd::Whole));
    }

    #[tokio::test]
    async fn over_http_2_an_answer_says_of_itself_that_it_is_empty() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let nothing = |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) };
        let serving = server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(serving.serve_connection(TokioIo::new(far), service_fn(nothing)));
        let (mut sender, connection) =
            client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder().uri("http://host.test/").body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert!(!response.headers().contains_key(CONTENT_LENGTH), "in no header");
        let answer = read(response, 100).await;
        assert_eq!((answer.headers[CONTENT_LENGTH].as_bytes(), answer.end), (&b"0"[..], BodyEnd::Whole));
    }
}
