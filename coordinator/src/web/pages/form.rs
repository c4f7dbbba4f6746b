//! What a form sends, and addresses of pages.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::patience;
use super::super::problem::Problem;
use super::Trouble;

/// What RFC 3986 reserves for nothing.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Names and values in the order in which they stand in the form.
pub(in crate::web) struct Fields(pub Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Trouble;

    async fn from_request(request: Request, state: &S) -> Result<Self, Trouble> {
        let form = patience::body(Form::<Vec<(String, String)>>::from_request(request, state)).await?;
        let refused = |rejection: FormRejection| Problem::new(rejection.status(), "", rejection.body_text());
        Ok(Self(form.map_err(refused)?.0))
    }
}

/// Finds values by their names.
pub(super) trait Values {
    /// The first of a name, without blanks around it; empty when there is none.
    fn value(&self, name: &str) -> &str;
    /// All of a name.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str>;

    /// Whether a box of this name is ticked.
    fn is_ticked(&self, name: &str) -> bool {
        !self.value(name).is_empty()
    }
}

impl Values for Vec<(String, String)> {
    fn value(&self, name: &str) -> &str {
        self.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value.trim())
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

/// A text as a part of a URL.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// The page of a run, or one below it.
pub(super) fn of_run(run_id: &str, below: &str) -> String {
    format!("/runs/{}{below}", encoded(run_id))
}

/// The story of a record. Its ID is JSON text.
pub(super) fn of_record(run_id: &str, record_id: &str) -> String {
    format!("/runs/{}/record?id={}", encoded(run_id), encoded(record_id))
}

/// An address with these in its query, those that are not empty.
pub(super) fn with_query(address: &str, pairs: &[(&str, &str)]) -> String {
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    let query: Vec<String> = given.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if query.is_empty() { address.to_owned() } else { format!("{address}?{}", query.join("&")) }
}

/// A new name for a request that may come twice.
pub(super) fn request_id() -> String {
    let mut random = [0; 16];
    match getrandom::fill(&mut random) {
        Ok(()) => format!("page-{}", hex::encode(random)),
        // Then a form that is sent twice is two requests.
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_whatever_an_id_holds() {
        assert_eq!(of_record("a-1", "\"a/b?c#\u{e9}\""), "/runs/a-1/record?id=%22a%2Fb%3Fc%23%C3%A9%22");
        assert_eq!(with_query("/runs", &[("a", ""), ("b", "x y")]), "/runs?b=x%20y");
        assert_eq!(of_run("../..", "/x"), "/runs/..%2F../x");
    }

    #[test]
    fn values_are_found_by_name() {
        let fields = vec![
            ("a".to_owned(), " 1 ".to_owned()),
            ("b".to_owned(), "2".to_owned()),
            ("b".to_owned(), "3".to_owned()),
        ];
        assert_eq!((fields.value("a"), fields.value("c")), ("1", ""));
        assert_eq!(fields.values("b").collect::<Vec<_>>(), ["2", "3"]);
        assert!(fields.is_ticked("a") && !fields.is_ticked("c"));
    }
}
