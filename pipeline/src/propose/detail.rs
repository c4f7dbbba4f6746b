//! Where each record is read by itself: tried, with the IDs of the first items.

use http::HeaderMap;
use serde_json::{Map, Value, json};
use url::Url;

use super::{Wish, guess, write};
use crate::http::{RequesterConfig, look};
use crate::record_id::RecordId;
use crate::spec::json_path::JsonPath;

/// How many records are read one by one, where that works.
const RECORDS: usize = 3;

/// How deep in an answer a record is looked for.
const DEPTH: usize = 2;

/// Where a record is read, and what was read there.
pub(super) struct Details {
    place: Place,
    within: Vec<Step>,
    /// The records.
    pub(super) records: Vec<Value>,
}

/// A URL with a gap for the ID, from the path on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    before: String,
    after: String,
}

/// A step from an answer to the record in it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    /// The one entry of a list.
    Only,
}

/// The list, as far as it is known.
pub(super) struct Listed<'a> {
    pub(super) items: &'a [Value],
    /// The path of the ID in an item.
    pub(super) id: &'a str,
    /// Query parameters that the style of listing sets.
    pub(super) sets: &'a [String],
}

/// Reads a few records, at the first place where that works.
pub(super) async fn read(
    wish: &Wish,
    headers: &HeaderMap,
    config: &RequesterConfig,
    listed: &Listed<'_>,
) -> Option<Details> {
    let path = JsonPath::parse(listed.id).ok()?;
    let ids: Option<Vec<RecordId>> = listed.items.iter().take(RECORDS).map(|item| id_in(item, &path)).collect();
    let ids = ids?;
    for place in places(&wish.url, listed.sets) {
        let mut found: Option<Details> = None;
        for id in &ids {
            let Some(answer) = ask(wish, headers, config, &place, id).await else { break };
            // Something else may stand there: a record has the ID that it was asked for.
            let Some((within, record)) = record_in(&answer, &path, id) else { break };
            let details = found.get_or_insert_with(|| Details {
                place: place.clone(),
                within: within.clone(),
                records: Vec::new(),
            });
            if details.within == within {
                details.records.push(record.clone());
            }
        }
        if let Some(details) = found.filter(|details| details.records.len() == ids.len()) {
            return Some(details);
        }
    }
    None
}

/// Where APIs have a record, as their lists are called: below the list's path, which may end with a slash or, as a file
/// does, with a kind; the likeliest first.
fn places(url: &Url, sets: &[String]) -> Vec<Place> {
    let list = write::plain_path(url);
    let query = write::path_of(url, sets)[list.len()..].to_owned();
    let below = format!("{}/", list.trim_end_matches('/'));
    let place = |before: &str, after: String| Place { before: before.to_owned(), after };
    let mut places = vec![place(&below, String::new()), place(&below, query.clone())];
    if list.ends_with('/') {
        places.insert(0, place(&below, "/".to_owned()));
        places.insert(1, place(&below, format!("/{query}")));
    }
    if let Some((name, kind)) = list.rsplit_once('.').filter(|(_, kind)| !kind.contains('/')) {
        places.insert(0, place(&format!("{name}/"), format!(".{kind}{query}")));
    }
    places.dedup();
    places
}

async fn ask(
    wish: &Wish,
    headers: &HeaderMap,
    config: &RequesterConfig,
    place: &Place,
    id: &RecordId,
) -> Option<Value> {
    let path = format!("{}{}{}", place.before, id.path_segment(), place.after).replace("$${", "${");
    let mut url = wish.url.join(&path).ok()?;
    for (name, value) in write::secret_queries(&wish.url) {
        url.query_pairs_mut().append_pair(&name, &value);
    }
    let looked = look(&url, headers, config).await.ok()?;
    serde_json::from_slice(&looked.body).ok()
}

fn id_in(value: &Value, path: &JsonPath) -> Option<RecordId> {
    RecordId::from_json(path.find(value.to_string().as_bytes()).ok()??).ok()
}

/// The record with this ID: the answer itself, or what it is wrapped in.
fn record_in<'a>(answer: &'a Value, path: &JsonPath, id: &RecordId) -> Option<(Vec<Step>, &'a Value)> {
    // In a list of IDs no place for one in a record is known.
    if path.to_string() == "$" {
        return answer.is_object().then(|| (Vec::new(), answer));
    }
    within(answer, path, id, DEPTH)
}

fn within<'a>(value: &'a Value, path: &JsonPath, id: &RecordId, depth: usize) -> Option<(Vec<Step>, &'a Value)> {
    if value.is_object() && id_in(value, path).as_ref() == Some(id) {
        return Some((Vec::new(), value));
    }
    let depth = depth.checked_sub(1)?;
    let led = |step: Step, value| {
        let (mut steps, record) = within(value, path, id, depth)?;
        steps.insert(0, step);
        Some((steps, record))
    };
    match value {
        Value::Object(entries) => entries.iter().find_map(|(name, value)| led(Step::Member(name.clone()), value)),
        Value::Array(values) if values.len() == 1 => led(Step::Only, &values[0]),
        _ => None,
    }
}

impl Details {
    /// The URL, from the path on, with this in place of the ID.
    pub(super) fn path(&self, id: &str) -> String {
        format!("{}{id}{}", self.place.before, self.place.after)
    }

    /// Where the record stands in the answer.
    pub(super) fn within(&self) -> String {
        self.within.iter().fold("$".to_owned(), |path, step| match step {
            Step::Member(name) => guess::under(&path, name),
            Step::Only => format!("{path}[0]"),
        })
    }

    /// The jq program that takes the record out of the answer.
    pub(super) fn transform(&self) -> String {
        if self.within.is_empty() {
            return ".".to_owned();
        }
        let plain = |name: &str| {
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        self.within.iter().fold(String::new(), |program, step| match step {
            Step::Member(name) if plain(name) => format!("{program}.{name}"),
            Step::Member(name) => format!("{program}.[{}]", Value::from(name.as_str())),
            Step::Only if program.is_empty() => ".[0]".to_owned(),
            Step::Only => format!("{program}[0]"),
        })
    }

    /// The schema of the answers, from that of the records. What else stands around a record may change.
    pub(super) fn around(&self, schema: Value) -> Value {
        self.within.iter().rev().fold(schema, |schema, step| match step {
            Step::Member(name) => {
                let properties: Map<String, Value> = [(name.clone(), schema)].into_iter().collect();
                json!({"type": "object", "required": [name], "properties": properties, "additionalProperties": true})
            }
            Step::Only => json!({"type": "array", "minItems": 1, "items": schema}),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(url: &str) -> Vec<String> {
        let places = places(&Url::parse(url).unwrap(), &["page".to_owned()]);
        places.iter().map(|place| format!("{}ID{}", place.before, place.after)).collect()
    }

    #[test]
    fn records_are_looked_for_where_apis_have_them() {
        assert_eq!(paths("http://h/items?page=1"), ["/items/ID"]);
        assert_eq!(paths("http://h/items?lang=de&page=1&key=k"), ["/items/ID", "/items/ID?lang=de"]);
        assert_eq!(paths("http://h/api/items/"), ["/api/items/ID/", "/api/items/ID"]);
        assert_eq!(
            paths("http://h/zoo/animals.json?_shape=objects"),
            ["/zoo/animals/ID.json?_shape=objects", "/zoo/animals.json/ID", "/zoo/animals.json/ID?_shape=objects"]
        );
        assert_eq!(paths("http://h/v1.2/items"), ["/v1.2/items/ID"]);
    }

    #[test]
    fn a_record_is_taken_out_of_what_is_around_it() {
        let (path, id) = (JsonPath::parse("$.id").unwrap(), RecordId::from_text("7").unwrap());
        for (answer, at, program) in [
            (json!({"id": 7}), "$", "."),
            (json!({"data": {"id": 7}, "permissions": {}}), "$.data", ".data"),
            (json!({"id": 1, "rows": [{"id": 7}]}), "$.rows[0]", ".rows[0]"),
            (json!({"the-row": {"id": 7}}), "$.the-row", ".[\"the-row\"]"),
            (json!([{"id": 7}]), "$[0]", ".[0]"),
        ] {
            let (within, record) = record_in(&answer, &path, &id).unwrap();
            assert_eq!(record["id"], 7);
            let place = Place { before: String::new(), after: String::new() };
            let details = Details { place, within, records: Vec::new() };
            assert_eq!((details.within().as_str(), details.transform().as_str()), (at, program));
            let schema = details.around(json!({"type": "object", "required": ["id"]}));
            let validator = jsonschema::validator_for(&schema).unwrap();
            assert!(validator.is_valid(&answer) && !validator.is_valid(&json!({"rows": []})), "{schema}");
        }
        for other in [json!({"id": 8}), json!({"rows": [{"id": 7}, {"id": 8}]}), json!(7), json!({"data": "7"})] {
            assert!(record_in(&other, &path, &id).is_none(), "{other}");
        }
    }
}
