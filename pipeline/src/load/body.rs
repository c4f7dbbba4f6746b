//! Bodies of deliveries: records, which are compact JSON already, and what stands around and between them.

use std::collections::BTreeMap;
use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use serde_json::Value;

use crate::spec::BATCH;
use crate::spec::template::fill_checked;
use crate::spec::types::BodyForm;

/// The bytes around and between records, written once for a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    before: Vec<u8>,
    between: &'static [u8],
    after: Vec<u8>,
    pub(super) content_type: &'static str,
}

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

impl Frame {
    pub(super) fn new(form: &BodyForm, parameters: &BTreeMap<String, String>) -> Self {
        let frame = |before: &[u8], between, after: &[u8], content_type| Self {
            before: before.to_vec(),
            between,
            after: after.to_vec(),
            content_type,
        };
        match form {
            BodyForm::Array => frame(b"[", b",", b"]", JSON),
            BodyForm::Wrapped(object) => {
                let (mut before, mut after) = around_batch(object, parameters);
                before.push(b'[');
                after.insert(0, b']');
                frame(&before, b",", &after, JSON)
            }
            // Each line ends, the last one too: so readers know that it is whole.
            BodyForm::Ndjson => frame(b"", b"\n", b"\n", NDJSON),
            BodyForm::Record => frame(b"", b"", b"", JSON),
        }
    }

    /// The body of a delivery of these records, in their order.
    pub(super) fn around<'a>(&self, records: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
        let mut body = self.before.clone();
        let mut between: &[u8] = b"";
        for record in records {
            body.extend_from_slice(between);
            body.extend_from_slice(record);
            between = self.between;
        }
        body.extend_from_slice(&self.after);
        body.into()
    }
}

/// `[r1,r2,…]` of records that are JSON already.
pub(crate) fn array_body<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    Frame::new(&BodyForm::Array, &BTreeMap::new()).around(records)
}

/// The compact JSON of an object before and after its one text [`BATCH`].
fn around_batch(object: &Value, parameters: &BTreeMap<String, String>) -> (Vec<u8>, Vec<u8>) {
    let mut sides = Sides { parameters, before: Vec::new(), after: Vec::new(), met: false };
    sides.write(object);
    (sides.before, sides.after)
}

struct Sides<'a> {
    parameters: &'a BTreeMap<String, String>,
    before: Vec<u8>,
    after: Vec<u8>,
    /// The text was met: what comes now comes after it.
    met: bool,
}

impl Sides<'_> {
    fn put(&mut self, text: &str) {
        let side = if self.met { &mut self.after } else { &mut self.before };
        side.extend_from_slice(text.as_bytes());
    }

    fn write(&mut self, value: &Value) {
        match value {
            Value::String(text) if text == BATCH => self.met = true,
            Value::String(text) => self.put(&Value::from(fill_checked(text, self.parameters)).to_string()),
            Value::Array(items) => {
                self.put("[");
                for (place, item) in items.iter().enumerate() {
                    self.put(if place > 0 { "," } else { "" });
                    self.write(item);
                }
                self.put("]");
            }
            Value::Object(entries) => {
                self.put("{");
                for (place, (key, item)) in entries.iter().enumerate() {
                    self.put(if place > 0 { "," } else { "" });
                    self.put(&Value::from(key.as_str()).to_string());
                    self.put(":");
                    self.write(item);
                }
                self.put("}");
            }
            scalar => self.put(&scalar.to_string()),
        }
    }
}

/// The gzip (RFC 1952) of a body: without a time or a name, so that the same body gives the same bytes.
pub(super) fn gzip(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzBuilder::new().write(Vec::with_capacity(body.len() / 4 + 64), Compression::default());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::transform::Transform;

    fn body(form: &BodyForm, records: &[&str]) -> String {
        let body = Frame::new(form, &BTreeMap::new()).around(records.iter().map(|record| record.as_bytes()));
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn bodies_are_what_their_form_says() {
        assert_eq!(body(&BodyForm::Array, &[]), "[]");
        assert_eq!(body(&BodyForm::Array, &["{}"]), "[{}]");
        assert_eq!(body(&BodyForm::Array, &["1", "2"]), "[1,2]");
        assert_eq!(body(&BodyForm::Ndjson, &["1", "{}"]), "1\n{}\n");
        assert_eq!(body(&BodyForm::Record, &[r#"{"id":7}"#]), r#"{"id":7}"#);
        assert_eq!(Frame::new(&BodyForm::Ndjson, &BTreeMap::new()).content_type, "application/x-ndjson");
    }

    #[test]
    fn an_object_stands_around_the_array_wherever_that_goes() {
        for (object, expected) in [
            (json!({"items": "$batch"}), r#"{"items":[1,2]}"#),
            (
                json!({"a": 1, "b": {"c": [true, "$batch", null], "d": "$batches"}, "e": []}),
                r#"{"a":1,"b":{"c":[true,[1,2],null],"d":"$batches"},"e":[]}"#,
            ),
            (json!({"a \"b\"": "x", "$batch": ["$batch"]}), r#"{"a \"b\"":"x","$batch":[[1,2]]}"#),
        ] {
            let written = body(&BodyForm::Wrapped(object), &["1", "2"]);
            assert_eq!(written, expected);
            serde_json::from_str::<Value>(&written).unwrap();
        }
    }

    #[test]
    fn texts_around_the_records_have_their_parameters_filled_in() {
        let object = json!({"of": "${param:herd}", "$batches": ["$${x}", "a $ ${param:batch}"], "items": "$batch"});
        let parameters = [("herd", "\"cows\""), ("batch", "$batch")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let body = Frame::new(&BodyForm::Wrapped(object), &parameters).around([&b"1"[..]]);
        assert_eq!(body, r#"{"of":"\"cows\"","$batches":["${x}","a $ $batch"],"items":[1]}"#);
        let whole = json!({"a": "${param:batch}", "items": "$batch"});
        let body = Frame::new(&BodyForm::Wrapped(whole), &parameters).around([&b"1"[..]]);
        assert_eq!(body, r#"{"a":"$batch","items":[1]}"#, "what a parameter says is no place for records");
    }

    #[test]
    fn a_line_is_a_record_whatever_stands_in_it() {
        let pretty = b"{\n  \"id\": 7,\n  \"note\": \"two\\nlines \\u2028 and\\r more\"\n}";
        let record = Transform::identity().apply(pretty).unwrap();
        let body = Frame::new(&BodyForm::Ndjson, &BTreeMap::new()).around([&record[..], &record[..]]);
        let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines, [&record[..], &record[..], b""]);
        let read: Value = serde_json::from_slice(lines[0]).unwrap();
        assert_eq!(read["note"], "two\nlines \u{2028} and\r more");
    }

    #[test]
    fn gzip_is_the_same_for_the_same_body_and_names_no_time() {
        let body = "[1,2,3]".repeat(100);
        let zipped = gzip(body.as_bytes()).unwrap();
        assert_eq!(zipped, gzip(body.as_bytes()).unwrap());
        assert!(zipped.len() < body.len());
        assert_eq!((&zipped[..4], &zipped[4..8]), (&[0x1f, 0x8b, 8, 0][..], &[0; 4][..]), "RFC 1952: no name, MTIME 0");
        let mut read = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&zipped[..]), &mut read).unwrap();
        assert_eq!(read, body);
    }
}
