//! Answers that say what became of each record: read by the pipeline's own jq, and never guessed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use crate::spec::types::PerRecord;

/// The most of a target's reason for one record that is kept, in bytes.
const MAX_REASON: usize = 2 << 10;

/// What the target says of one record that it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordAnswer {
    /// It has it.
    Applied,
    /// It refuses it.
    Rejected {
        /// In its words; may be empty.
        reason: String,
    },
    /// It did nothing with it and may be sent it again.
    NotApplied {
        /// In its words; may be empty.
        reason: String,
    },
}

impl PerRecord {
    /// What `body` says of each of so many records, in their order; or why it says nothing that can be relied on.
    pub(crate) fn read(&self, body: &[u8], records: usize) -> Result<Vec<RecordAnswer>, String> {
        // Strict and bounded in depth, which the transform's own reader is not.
        serde_json::from_slice::<Value>(body).map_err(|error| format!("the answer is not JSON: {error}"))?;
        // A bug that one answer meets must not take the delivery's lease with it: nobody knows what became of it.
        let outcomes = catch_unwind(AssertUnwindSafe(|| self.outcomes.apply(body)))
            .unwrap_or_else(|_| Err("it panicked".to_owned()))
            .map_err(|error| format!("load.per_record.outcomes cannot read the answer: {error}"))?;
        let outcomes: Value = serde_json::from_slice(&outcomes)
            .map_err(|error| format!("load.per_record.outcomes gives no JSON: {error}"))?;
        let Value::Array(outcomes) = outcomes else {
            return Err("load.per_record.outcomes gives no list".to_owned());
        };
        if outcomes.len() != records {
            let found = outcomes.len();
            return Err(format!("load.per_record.outcomes gives {found} outcomes for {records} records"));
        }
        let place = |(place, outcome)| {
            one(outcome)
                .map_err(|what| format!("load.per_record.outcomes gives for record {place} of the delivery {what}"))
        };
        (0..).zip(outcomes).map(place).collect()
    }
}

/// One outcome; the error says what it is instead.
fn one(outcome: Value) -> Result<RecordAnswer, String> {
    let Value::Object(mut entries) = outcome else { return word(&outcome, String::new()) };
    let named = entries.remove("outcome").ok_or("an object without outcome")?;
    let reason = match entries.remove("reason") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text[..text.floor_char_boundary(MAX_REASON)].to_owned(),
        Some(other) => {
            let text = other.to_string();
            text[..text.floor_char_boundary(MAX_REASON)].to_owned()
        }
    };
    match entries.keys().next() {
        Some(other) => Err(format!("an object with {}, not only outcome and reason", Value::from(other.as_str()))),
        None => word(&named, reason),
    }
}

fn word(outcome: &Value, reason: String) -> Result<RecordAnswer, String> {
    match outcome {
        Value::Bool(true) => Ok(RecordAnswer::Applied),
        Value::Bool(false) => Ok(RecordAnswer::Rejected { reason }),
        Value::String(word) if word == "applied" => Ok(RecordAnswer::Applied),
        Value::String(word) if word == "rejected" => Ok(RecordAnswer::Rejected { reason }),
        Value::String(word) if word == "not_applied" => Ok(RecordAnswer::NotApplied { reason }),
        other => {
            let text: String = other.to_string().chars().take(100).collect();
            Err(format!("{text}, which is none of true, false, \"applied\", \"rejected\" and \"not_applied\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pipeline;

    fn per_record(jq: &str) -> PerRecord {
        let yaml = format!(
            r#"
muster: 1
name: test
source:
  list:
    request: {{ url: "http://a.test/list" }}
    pagination: {{ page_number: {{ total_pages: $.total_pages }} }}
    items: $.items
    id: $.id
  detail: {{ request: {{ url: "http://a.test/${{record:id}}" }} }}
load:
  request: {{ url: "http://a.test/home" }}
  per_record: {{ outcomes: '{jq}' }}
"#
        );
        let pipeline = Pipeline::from_yaml(&yaml, "test.yaml").unwrap_or_else(|error| panic!("{error}"));
        pipeline.load().http().unwrap().per_record.clone().unwrap()
    }

    fn rejected(reason: &str) -> RecordAnswer {
        RecordAnswer::Rejected { reason: reason.to_owned() }
    }

    fn not_applied(reason: &str) -> RecordAnswer {
        RecordAnswer::NotApplied { reason: reason.to_owned() }
    }

    #[test]
    fn outcomes_are_words_truths_or_objects() {
        let answers = per_record(".").read(
            br#"[true,"applied",false,"rejected","not_applied",{"outcome":"rejected","reason":"no colour"},
                 {"outcome":false,"reason":["a",1]},{"outcome":"not_applied","reason":null},{"outcome":true}]"#,
            9,
        );
        let expected = [
            RecordAnswer::Applied,
            RecordAnswer::Applied,
            rejected(""),
            rejected(""),
            not_applied(""),
            rejected("no colour"),
            rejected(r#"["a",1]"#),
            not_applied(""),
            RecordAnswer::Applied,
        ];
        assert_eq!(answers.unwrap(), expected);
    }

    #[test]
    fn a_bulk_answer_of_a_common_kind_is_read() {
        let jq = r#"[.items[] | if .status < 300 then true elif .status == 429 then "not_applied"
                     else {outcome: "rejected", reason: .error} end]"#;
        let body = br#"{"items":[{"status":201},{"status":429},{"status":400,"error":"no name"}]}"#;
        let expected = [RecordAnswer::Applied, not_applied(""), rejected("no name")];
        assert_eq!(per_record(jq).read(body, 3).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_read_is_never_guessed() {
        for (jq, body, records, expected) in [
            (".", "[true]", 2, "1 outcomes for 2 records"),
            (".", "[true,true,true]", 2, "3 outcomes for 2 records"),
            (".", "[true,\"ok\"]", 2, "record 1 of the delivery \"ok\""),
            (".", "[1]", 1, "for record 0 of the delivery 1"),
            (".", "[null]", 1, "none of true, false"),
            (".", "[{\"reason\":\"x\"}]", 1, "an object without outcome"),
            (".", "[{\"outcome\":true,\"reasn\":\"x\"}]", 1, "\"reasn\""),
            (".", "{}", 1, "no list"),
            (".items", "{\"items\":null}", 1, "no list"),
            (".items[]", "{\"items\":[true]}", 1, "no list"),
            (".items[]", "{\"items\":[true,true]}", 2, "more than one output"),
            (".items | map(.ok)", "{\"items\":[7]}", 1, "cannot read the answer"),
            (".", "[true", 1, "not JSON"),
            (".", "", 1, "not JSON"),
        ] {
            let error = per_record(jq).read(body.as_bytes(), records).unwrap_err();
            assert!(error.contains(expected), "{jq} of {body}: {error}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(per_record(".").read(deep.as_bytes(), 1).unwrap_err().contains("not JSON"));
    }
}
