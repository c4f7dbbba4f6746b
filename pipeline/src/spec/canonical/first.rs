//! Which pipelines say only what the format's first release knew: programs of that time can work on them too.

use serde_json::Value;

/// What a canonical form of the first release has. The key `*` stands for any.
enum Known {
    /// Any value: it says what it always said.
    Any,
    /// One of these texts.
    One(&'static [&'static str]),
    /// Any text.
    Text,
    /// Any number.
    Number,
    /// An object with these keys.
    Keys(&'static [(&'static str, Known)]),
}

use Known::{Any, Keys, Number, One, Text};

const FIRST: Known = Keys(&[
    ("muster", Any),
    ("name", Any),
    ("description", Any),
    (
        "parameters",
        Keys(&[(
            "*",
            Keys(&[("description", Any), ("type", One(&["text", "url"])), ("required", Any), ("default", Any)]),
        )]),
    ),
    (
        "source",
        Keys(&[
            (
                "list",
                Keys(&[
                    ("request", REQUEST),
                    (
                        "pagination",
                        Keys(&[("page_number", Keys(&[("parameter", Any), ("first", Any), ("total_pages", Text)]))]),
                    ),
                    ("items", Any),
                    ("id", Any),
                    ("concurrency", Any),
                ]),
            ),
            ("detail", Keys(&[("request", REQUEST)])),
            ("max_gone", Any),
        ]),
    ),
    ("schema", Any),
    ("transform", Any),
    (
        "load",
        Keys(&[
            ("request", Keys(&[("method", One(&["POST"])), ("url", Any)])),
            ("max_batch", Any),
            ("on_doubt", Any),
            ("not_applied", Any),
            ("rejected", Any),
            ("answer", Any),
            ("post_timeout", Any),
            ("settle_after", Any),
            ("max_attempts", Any),
            ("max_rejected_in_a_row", Any),
            ("probe", Any),
        ]),
    ),
    (
        "limits",
        Keys(&[
            ("concurrency", Number),
            ("get_timeout", Any),
            ("get_attempts", Any),
            ("backoff", Any),
            ("backoff_max", Any),
            ("hedge_after", Any),
            ("hedge_copies", Any),
            ("retry_budget", Any),
            ("retry_after_max", Any),
            ("page_size", Any),
            ("record_size", Any),
        ]),
    ),
]);

const REQUEST: Known = Keys(&[("url", Any)]);

/// Whether a canonical form is one that the first release could have written.
pub(super) fn is_first(canonical: &Value) -> bool {
    FIRST.has(canonical)
}

impl Known {
    fn has(&self, value: &Value) -> bool {
        match (self, value) {
            (Any, _) => true,
            (One(texts), Value::String(text)) => texts.contains(&text.as_str()),
            (Text, Value::String(_)) | (Number, Value::Number(_)) => true,
            (Keys(keys), Value::Object(entries)) => entries.iter().all(|(key, value)| {
                let known = keys.iter().find(|(known, _)| known == key || *known == "*");
                known.is_some_and(|(_, known)| known.has(value))
            }),
            _ => false,
        }
    }
}
