//! More faces of the home, for loading in other forms: bodies of each are brought to the array that the home itself takes,
//! so that all of them write the same book.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Below this path each face has a name of its own.
const PARENT: &str = "/zoo/v1/home/";
/// The header with the key, unless `?key=NAME` says which.
const KEY: &str = "idempotency-key";

/// How a face takes animals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// A JSON array, as the home itself.
    Array,
    /// `{"animals": [...]}`, with whatever else.
    Wrapped,
    /// One animal a line.
    Lines,
    /// A JSON array, of which each animal is answered for itself with a 207.
    Each,
    /// The one animal of this ID.
    One(u64),
}

/// A face that is called, and where it finds the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    pub(crate) face: Face,
    key: HeaderName,
}

/// The face at a path, if there is one.
pub(crate) fn visit(path: &str, query: Option<&str>) -> Option<Visit> {
    let face = match path.strip_prefix(PARENT)? {
        "array" => Face::Array,
        "wrapped" => Face::Wrapped,
        "lines" => Face::Lines,
        "each" => Face::Each,
        id => Face::One(decoded(id).parse().ok()?),
    };
    let named = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("key="));
    Some(Visit { face, key: HeaderName::try_from(&*decoded(named.unwrap_or(KEY))).ok()? })
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// Why a body is not what its face takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Larger than allowed, once it is decompressed.
    TooLarge,
    /// Not of this form.
    Form(&'static str),
}

impl Visit {
    pub(crate) fn key(&self, headers: &HeaderMap) -> Option<Box<str>> {
        headers.get(&self.key).map(|key| String::from_utf8_lossy(key.as_bytes()).into())
    }

    /// The JSON array of what a body brings; at most so many bytes, also after decompression.
    pub(crate) fn array(&self, headers: &HeaderMap, body: &Bytes, most: usize) -> Result<Bytes, Unfit> {
        let body = decompressed(headers, body, most)?;
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let wanted = if self.face == Face::Lines { "application/x-ndjson" } else { "application/json" };
        if kind != wanted {
            return Err(Unfit::Form(if self.face == Face::Lines { "not application/x-ndjson" } else { "not JSON" }));
        }
        match self.face {
            Face::Array | Face::Each => Ok(body),
            Face::Wrapped => wrapped(&body),
            Face::Lines => lines(&body),
            Face::One(id) => one(&body, id),
        }
    }
}

fn decompressed(headers: &HeaderMap, body: &Bytes, most: usize) -> Result<Bytes, Unfit> {
    match headers.get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes()) {
        None => return Ok(body.clone()),
        Some(b"gzip") => {}
        Some(_) => return Err(Unfit::Form("an encoding other than gzip")),
    }
    let mut plain = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    let reading = flate2::read::GzDecoder::new(&body[..]).take(limit.saturating_add(1)).read_to_end(&mut plain);
    match reading {
        Ok(read) if read > most => Err(Unfit::TooLarge),
        Ok(_) => Ok(plain.into()),
        Err(_) => Err(Unfit::Form("not gzip")),
    }
}

fn wrapped(body: &Bytes) -> Result<Bytes, Unfit> {
    let object: HashMap<Cow<'_, str>, &RawValue> =
        serde_json::from_slice(body).map_err(|_| Unfit::Form("no JSON object"))?;
    let animals = object.get("animals").ok_or(Unfit::Form("no object with animals"))?;
    Ok(Bytes::copy_from_slice(animals.get().as_bytes()))
}

/// Each line is whole JSON, and the last one ends.
fn lines(body: &Bytes) -> Result<Bytes, Unfit> {
    let text = std::str::from_utf8(body).map_err(|_| Unfit::Form("not UTF-8"))?;
    let text = text.strip_suffix('\n').ok_or(Unfit::Form("the last line does not end"))?;
    let mut array = String::from("[");
    for line in text.split('\n') {
        let line: &RawValue = serde_json::from_str(line).map_err(|_| Unfit::Form("a line that is not JSON"))?;
        array.push_str(if array.len() > 1 { "," } else { "" });
        array.push_str(line.get());
    }
    array.push(']');
    Ok(array.into())
}

fn one(body: &Bytes, id: u64) -> Result<Bytes, Unfit> {
    let animal: Value = serde_json::from_slice(body).map_err(|_| Unfit::Form("not JSON"))?;
    if animal["id"].as_u64() != Some(id) {
        return Err(Unfit::Form("an animal of another ID than the URL's"));
    }
    Ok([b"[", &body[..], b"]"].concat().into())
}

/// What becomes of one of the animals that are answered each for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fared {
    Stored,
    Refused,
    Busy,
}

/// The answer to animals of these IDs, in their order.
pub(crate) fn answer(fared: &[(u64, Fared)]) -> String {
    let one = |(id, fared): &(u64, Fared)| match fared {
        Fared::Stored => json!({"id": id, "status": 201}),
        Fared::Refused => json!({"id": id, "status": 422, "error": "this animal is refused"}),
        Fared::Busy => json!({"id": id, "status": 503, "error": "busy"}),
    };
    json!({"animals": fared.iter().map(one).collect::<Vec<_>>()}).to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn headers(kind: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().expect("a header"))])
    }

    fn array(path: &str, kind: &'static str, body: &str) -> Result<String, Unfit> {
        let visit = visit(path, None).expect("a face");
        let array = visit.array(&headers(kind), &Bytes::copy_from_slice(body.as_bytes()), 100)?;
        Ok(String::from_utf8(array.to_vec()).expect("text"))
    }

    #[test]
    fn each_face_gives_an_array() {
        let json = "application/json";
        assert_eq!(array("/zoo/v1/home/array", json, "[1]"), Ok("[1]".to_owned()));
        assert_eq!(array("/zoo/v1/home/wrapped", json, "{\"by\":1,\"animals\":[1, 2]}"), Ok("[1, 2]".to_owned()));
        assert_eq!(array("/zoo/v1/home/lines", "application/x-ndjson", "1\n{}\n"), Ok("[1,{}]".to_owned()));
        assert_eq!(array("/zoo/v1/home/7", json, "{\"id\":7}"), Ok("[{\"id\":7}]".to_owned()));
    }

    #[test]
    fn other_forms_are_refused() {
        let (json, lines) = ("application/json", "application/x-ndjson");
        for (path, kind, body) in [
            ("/zoo/v1/home/wrapped", json, "[1]"),
            ("/zoo/v1/home/lines", json, "1\n"),
            ("/zoo/v1/home/lines", lines, "1\n2"),
            ("/zoo/v1/home/lines", lines, "{\n}\n"),
            ("/zoo/v1/home/7", json, "{\"id\":8}"),
            ("/zoo/v1/home/array", lines, "[1]"),
        ] {
            assert!(matches!(array(path, kind, body), Err(Unfit::Form(_))), "{path} {kind} {body}");
        }
        assert_eq!((visit("/zoo/v1/home", None), visit("/zoo/v1/home/x/y", None)), (None, None));
    }

    #[test]
    fn the_limit_holds_after_decompression() {
        let zipped = |length: usize| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&vec![b' '; length - 2]).and_then(|()| encoder.write_all(b"[]")).expect("memory");
            Bytes::from(encoder.finish().expect("memory"))
        };
        let visit = visit("/zoo/v1/home/array", Some("a=b&key=X-Request-Id")).expect("a face");
        let mut headers = headers("application/json");
        headers.insert(CONTENT_ENCODING, "gzip".parse().expect("a header"));
        headers.insert("x-request-id", "k".parse().expect("a header"));
        assert_eq!(visit.key(&headers).as_deref(), Some("k"));
        assert_eq!(visit.array(&headers, &zipped(100), 100).map(|array| array.len()), Ok(100));
        assert_eq!(visit.array(&headers, &zipped(101), 100), Err(Unfit::TooLarge));
        assert_eq!(visit.array(&headers, &Bytes::from_static(b"[]"), 100), Err(Unfit::Form("not gzip")));
    }
}
