//! Why a request is refused, in the words of FastAPI: `{"detail":[{"loc":[...],"msg":"...","type":"..."}]}`.

use serde_json::{Map, Value, json};

use crate::moment::Moment;

/// One entry of a `detail`.
fn fault(loc: &Value, msg: &str, kind: &str) -> Value {
    json!({"loc": loc, "msg": msg, "type": kind})
}

fn detail(faults: &[Value]) -> String {
    json!({ "detail": faults }).to_string()
}

/// A parameter, such as `["query","page"]`, that is no whole number.
pub(crate) fn no_integer(place: &str, name: &str) -> String {
    detail(&[fault(&json!([place, name]), "value is not a valid integer", "type_error.integer")])
}

/// A page number below 1.
pub(crate) fn no_such_page() -> String {
    let mut low = fault(
        &json!(["query", "page"]),
        "ensure this value is greater than or equal to 1",
        "value_error.number.not_ge",
    );
    low["ctx"] = json!({"limit_value": 1});
    detail(&[low])
}

/// Animals, by their place in the batch, that this target never takes.
pub(crate) fn poison(places: &[usize]) -> String {
    let faults: Vec<Value> =
        places.iter().map(|place| fault(&json!(["body", place]), "this animal is refused", "value_error")).collect();
    detail(&faults)
}

/// A body that is no JSON by its content type: FastAPI then sees bytes where it wants a list.
pub(crate) fn no_list() -> String {
    detail(&[fault(&json!(["body"]), "value is not a valid list", "type_error.list")])
}

/// What is wrong with a body that [`parse`](crate::posted::parse) did not take.
pub(crate) fn explain(body: &[u8]) -> String {
    if body.is_empty() {
        return detail(&[fault(&json!(["body"]), "field required", "value_error.missing")]);
    }
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(error) => return broken_json(body, &error),
    };
    let Value::Array(animals) = value else { return no_list() };
    let mut faults = Vec::new();
    for (place, animal) in animals.iter().enumerate() {
        match animal {
            Value::Object(fields) => judge(place, fields, &mut faults),
            _ => faults.push(fault(&json!(["body", place]), "value is not a valid dict", "type_error.dict")),
        }
    }
    if faults.is_empty() {
        // Only a key given twice, first wrongly and then rightly, hides its fault from the pass above.
        faults.push(fault(&json!(["body"]), "a key is given twice", "value_error"));
    }
    detail(&faults)
}

fn broken_json(body: &[u8], error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let before: usize = body.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let place = before + column;
    let msg = format!("Expecting value: line {line} column {column} (char {place})");
    let mut broken = fault(&json!(["body", place]), &msg, "value_error.jsondecode");
    broken["ctx"] = json!({"msg": "Expecting value", "pos": place, "lineno": line, "colno": column});
    detail(&[broken])
}

fn judge(place: usize, fields: &Map<String, Value>, faults: &mut Vec<Value>) {
    for name in ["id", "name", "born_at", "friends"] {
        let loc = json!(["body", place, name]);
        match fields.get(name) {
            None => faults.push(fault(&loc, "field required", "value_error.missing")),
            // Only an Optional[...] takes null.
            Some(Value::Null) if name != "born_at" => {
                faults.push(fault(&loc, "none is not an allowed value", "type_error.none.not_allowed"));
            }
            Some(value) => judge_field(place, name, value, faults),
        }
    }
}

fn judge_field(place: usize, name: &str, value: &Value, faults: &mut Vec<Value>) {
    let loc = json!(["body", place, name]);
    match (name, value) {
        ("id", Value::Number(number)) if number.is_u64() => {}
        ("id", Value::Number(number)) if number.is_i64() => {
            faults.push(fault(&loc, "ensure this value is greater than or equal to 0", "value_error.number.not_ge"));
        }
        ("id", _) => faults.push(fault(&loc, "value is not a valid integer", "type_error.integer")),
        ("name", Value::String(_)) | ("born_at", Value::Null) => {}
        ("name", _) => faults.push(fault(&loc, "str type expected", "type_error.str")),
        ("born_at", Value::String(text)) if Moment::parse(text).is_some() => {}
        ("born_at", _) => faults.push(fault(&loc, "invalid datetime format", "value_error.datetime")),
        (_, Value::Array(friends)) => {
            for (index, _) in friends.iter().enumerate().filter(|(_, friend)| !friend.is_string()) {
                let loc = json!(["body", place, name, index]);
                faults.push(fault(&loc, "str type expected", "type_error.str"));
            }
        }
        _ => faults.push(fault(&loc, "value is not a valid list", "type_error.list")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posted::parse;

    fn faults(body: &str) -> Vec<(String, String)> {
        assert!(parse(body.as_bytes()).is_none(), "taken: {body}");
        let detail: Value = serde_json::from_str(&explain(body.as_bytes())).expect("JSON");
        let list = detail["detail"].as_array().expect("a list");
        list.iter().map(|fault| (fault["loc"].to_string(), fault["type"].as_str().expect("type").to_owned())).collect()
    }

    #[test]
    fn each_wrong_field_is_named() {
        let good = r#"{"id":1,"name":"Cat","born_at":null,"friends":[]}"#;
        let cases = [
            (good.replace("\"id\":1", "\"id\":\"1\""), r#"["body",1,"id"]"#, "type_error.integer"),
            (good.replace("\"id\":1", "\"id\":1.5"), r#"["body",1,"id"]"#, "type_error.integer"),
            (good.replace("\"id\":1", "\"id\":-1"), r#"["body",1,"id"]"#, "value_error.number.not_ge"),
            (good.replace("\"Cat\"", "null"), r#"["body",1,"name"]"#, "type_error.none.not_allowed"),
            (good.replace("\"Cat\"", "7"), r#"["body",1,"name"]"#, "type_error.str"),
            (good.replace("\"name\":\"Cat\",", ""), r#"["body",1,"name"]"#, "value_error.missing"),
            (good.replace("null", "1444102907778"), r#"["body",1,"born_at"]"#, "value_error.datetime"),
            (good.replace("null", "\"soon\""), r#"["body",1,"born_at"]"#, "value_error.datetime"),
            (good.replace("[]", "\"Dog,Cat\""), r#"["body",1,"friends"]"#, "type_error.list"),
            (good.replace("[]", "[\"Dog\",7]"), r#"["body",1,"friends",1]"#, "type_error.str"),
            ("7".to_owned(), r#"["body",1]"#, "type_error.dict"),
        ];
        for (bad, loc, kind) in cases {
            let expected = vec![(loc.to_owned(), kind.to_owned())];
            assert_eq!(faults(&format!("[{good},{bad}]")), expected, "{bad}");
        }
    }

    #[test]
    fn bodies_that_are_no_list_are_named() {
        assert_eq!(faults("")[0], (r#"["body"]"#.to_owned(), "value_error.missing".to_owned()));
        assert_eq!(faults("{}")[0], (r#"["body"]"#.to_owned(), "type_error.list".to_owned()));
        assert_eq!(faults("[1")[0].1, "value_error.jsondecode");
        assert_eq!(faults("[{},\n{}]").len(), 8);
    }
}
