//! What an answer of a list looks like: where its items are, what tells them apart, how the next page is found.

use std::collections::BTreeSet;

use http::HeaderMap;
use serde_json::Value;
use url::Url;

/// How deep lists of items are looked for.
const DEPTH: usize = 3;

/// Names of IDs, the likeliest first.
const ID_NAMES: [&str; 11] = ["id", "uuid", "_id", "guid", "key", "slug", "code", "number", "ID", "Id", "name"];

/// Members that hold the next page's URL.
const NEXT_URLS: [&str; 9] = [
    "next",
    "next_url",
    "nextUrl",
    "next_page_url",
    "nextPageUrl",
    "next_page",
    "nextLink",
    "@odata.nextLink",
    "next_href",
];

/// Members that hold the next page's cursor, and the query parameter that takes it.
const CURSORS: [(&str, &str); 11] = [
    ("next_cursor", "cursor"),
    ("nextCursor", "cursor"),
    ("next_page_token", "page_token"),
    ("nextPageToken", "pageToken"),
    ("next_token", "token"),
    ("nextToken", "nextToken"),
    ("end_cursor", "after"),
    ("endCursor", "after"),
    ("continuation", "continuation"),
    ("after", "after"),
    ("cursor", "cursor"),
];

const TOTAL_PAGES: [&str; 7] =
    ["total_pages", "totalPages", "page_count", "pageCount", "last_page", "lastPage", "pages"];
const TOTALS: [&str; 9] = [
    "total",
    "total_count",
    "totalCount",
    "count",
    "total_items",
    "totalItems",
    "total_results",
    "totalResults",
    "filtered_table_rows_count",
];
/// Headers that hold the next page's URL, and the number of all items.
const NEXT_HEADERS: [&str; 2] = ["Next-Page", "X-Next-Page"];
const TOTAL_HEADERS: [&str; 4] = ["X-Total-Count", "X-Total", "Total-Records", "Total-Count"];
const PAGES: [&str; 5] = ["page", "current_page", "currentPage", "page_number", "pageNumber"];
const OFFSETS: [&str; 4] = ["offset", "skip", "start", "startAt"];
const LIMITS: [&str; 7] = ["limit", "take", "per_page", "perPage", "page_size", "pageSize", "maxResults"];

/// Where the items are, and the items.
pub(super) struct Items<'a> {
    pub(super) path: String,
    pub(super) values: &'a [Value],
}

/// The list with the items: the longest one of objects (or, where there are none, of IDs) at the top or below it.
pub(super) fn items(body: &Value) -> Option<Items<'_>> {
    let mut found = Vec::new();
    lists(body, "$", 0, &mut found);
    // Objects before plain values, then the longer list, then the one nearer to the top.
    found
        .into_iter()
        .max_by_key(|(depth, items)| {
            let objects = items.values.iter().all(Value::is_object);
            (objects, items.values.len(), std::cmp::Reverse(*depth))
        })
        .map(|(_, items)| items)
}

/// A list that is longer than the items and has lists where items have names: path and length.
pub(super) fn nameless(body: &Value, than: usize) -> Option<(String, usize)> {
    fn longest(value: &Value, path: &str, depth: usize) -> Option<(String, usize)> {
        match value {
            Value::Array(values) if values.iter().all(Value::is_array) => Some((path.to_owned(), values.len())),
            Value::Object(entries) if depth < DEPTH => entries
                .iter()
                .filter_map(|(name, value)| longest(value, &under(path, name), depth + 1))
                .max_by_key(|(_, count)| *count),
            _ => None,
        }
    }
    longest(body, "$", 0).filter(|(_, count)| *count > than)
}

fn lists<'a>(value: &'a Value, path: &str, depth: usize, found: &mut Vec<(usize, Items<'a>)>) {
    match value {
        Value::Array(values) if values.iter().all(|value| value.is_object() || is_id(value)) && !values.is_empty() => {
            found.push((depth, Items { path: path.to_owned(), values }));
        }
        Value::Object(entries) if depth < DEPTH => {
            entries.iter().for_each(|(name, value)| lists(value, &under(path, name), depth + 1, found));
        }
        _ => {}
    }
}

/// A path with one more name.
pub(super) fn under(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if plain { format!("{path}.{name}") } else { format!("{path}[{}]", Value::from(name)) }
}

fn is_id(value: &Value) -> bool {
    match value {
        Value::String(text) => !["", ".", ".."].contains(&text.as_str()) && text.len() < 500,
        Value::Number(_) => true,
        _ => false,
    }
}

/// The path of what tells items apart, from an item on.
pub(super) fn id(items: &[Value]) -> Option<String> {
    if items.iter().all(is_id) {
        return Some("$".to_owned());
    }
    let tells_apart = |name: &str| {
        let values: Vec<&Value> = items.iter().filter_map(|item| item.get(name)).collect();
        let different: BTreeSet<String> = values.iter().map(|value| value.to_string()).collect();
        values.len() == items.len() && values.iter().all(|value| is_id(value)) && different.len() == items.len()
    };
    let names = items.first()?.as_object()?.keys().map(String::as_str);
    let own = names.clone().filter(|name| name.to_ascii_lowercase().ends_with("id"));
    let name = ID_NAMES.into_iter().chain(own).chain(names).find(|name| tells_apart(name))?;
    Some(under("$", name))
}

/// How the next page is found, as the pipeline says it, and the reason in words.
pub(super) struct Pages {
    pub(super) yaml: String,
    pub(super) why: String,
    /// Query parameters that the style sets itself: they must not stand in the URL.
    pub(super) sets: Vec<String>,
}

/// How one page leads to the next.
pub(super) fn pages(url: &Url, headers: &HeaderMap, body: &Value, count: usize) -> Pages {
    let total = total(headers, body, count as u64);
    let with_total = |yaml: String| match &total {
        Some(total) if yaml.is_empty() => format!("total: {}", total.yaml),
        Some(total) => format!("{yaml}, total: {}", total.yaml),
        None => yaml,
    };
    let found = |style: &str, yaml: String, why: String, sets: Vec<String>| Pages {
        yaml: if yaml.is_empty() { format!("{style}: {{}}") } else { format!("{style}: {{ {yaml} }}") },
        why,
        sets,
    };
    let links = headers.get_all("link").iter().filter_map(|link| link.to_str().ok());
    if links.into_iter().any(|link| link.replace('"', "").contains("rel=next")) {
        let why = "the answer has a Link header with rel=\"next\"".to_owned();
        return found("link_header", with_total(String::new()), why, Vec::new());
    }
    let is_url =
        |value: &Value| value.as_str().is_some_and(|text| text.contains("://") || text.starts_with(['/', '?']));
    let named =
        |name: &&&str| headers.get(**name).is_some_and(|value| value.to_str().is_ok_and(|url| url.contains('/')));
    if let Some(name) = NEXT_HEADERS.iter().find(named) {
        let why = format!("the header {name} holds the URL of the next page");
        return found("next_url", with_total(format!("next: {{ header: {name} }}")), why, Vec::new());
    }
    if let Some((path, _)) = member(body, &NEXT_URLS, is_url) {
        let why = format!("{path} holds the URL of the next page");
        return found("next_url", with_total(format!("next: {}", quoted(&path))), why, Vec::new());
    }
    let is_cursor = |value: &Value| value.is_number() || value.as_str().is_some_and(|text| !text.is_empty());
    for (name, parameter) in CURSORS {
        if let Some((path, _)) = member(body, &[name], is_cursor) {
            let yaml = with_total(format!("parameter: {parameter}, next: {}", quoted(&path)));
            let why = format!("{path} looks like a cursor; that the query parameter {parameter} takes it is a guess");
            return found("cursor", yaml, why, vec![parameter.to_owned()]);
        }
    }
    numbered(url, body, count, total.as_ref(), &with_total, &found)
}

/// How many items there are in all.
struct Total {
    yaml: String,
    place: String,
    count: u64,
}

fn total(headers: &HeaderMap, body: &Value, least: u64) -> Option<Total> {
    if let Some((path, value)) = member(body, &TOTALS, |value| value.as_u64().is_some_and(|total| total >= least)) {
        return Some(Total { yaml: quoted(&path), place: path, count: value.as_u64()? });
    }
    TOTAL_HEADERS.iter().find_map(|name| {
        let count = headers.get(*name)?.to_str().ok()?.parse().ok().filter(|count| *count >= least)?;
        Some(Total { yaml: format!("{{ header: {name} }}"), place: format!("the header {name}"), count })
    })
}

/// Makes pages of what was found: style, its YAML, why, and the query parameters that it sets.
type Found<'a> = dyn Fn(&str, String, String, Vec<String>) -> Pages + 'a;

/// Pages by number or offset, or a single one.
fn numbered(
    url: &Url,
    body: &Value,
    count: usize,
    total: Option<&Total>,
    with_total: &dyn Fn(String) -> String,
    found: &Found<'_>,
) -> Pages {
    let number = |value: &Value| value.as_u64().is_some();
    let asked = |names: &[&str]| {
        let mut parameters = url.query_pairs().map(|(name, _)| name.into_owned());
        parameters.find(|name| names.contains(&name.as_str()))
    };
    let page = member(body, &PAGES, number);
    let page_parameter = asked(&PAGES);
    if let Some((path, _)) = member(body, &TOTAL_PAGES, number) {
        let parameter = page_parameter.unwrap_or_else(|| "page".to_owned());
        let first = page.as_ref().and_then(|(_, value)| value.as_u64()).filter(|page| *page == 0).unwrap_or(1);
        let yaml = format!("parameter: {parameter}, first: {first}, total_pages: {}", quoted(&path));
        let why = format!("{path} says how many pages there are; that they are asked for by ?{parameter}= is a guess");
        return found("page_number", with_total(yaml), why, vec![parameter]);
    }
    let offset = member(body, &OFFSETS, number);
    if offset.is_some() || asked(&OFFSETS).is_some() {
        let name = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
        let parameter = asked(&OFFSETS).or(offset.as_ref().map(|(path, _)| name(path))).unwrap_or_default();
        let limit = member(body, &LIMITS, number);
        let limit_parameter = asked(&LIMITS).or(limit.as_ref().map(|(path, _)| name(path))).unwrap_or("limit".into());
        let size = limit.and_then(|(_, value)| value.as_u64()).filter(|size| *size > 0).unwrap_or(count as u64);
        let yaml = format!("parameter: {parameter}, limit_parameter: {limit_parameter}, limit: {size}");
        let why = format!("the answer, or its URL, names {parameter} and {limit_parameter}");
        return found("offset", with_total(yaml), why, vec![parameter, limit_parameter]);
    }
    if let Some(parameter) = page_parameter.or(page.map(|_| "page".to_owned())) {
        let why = format!("pages are numbered; that they are asked for by ?{parameter}= is a guess");
        return found("page_number", with_total(format!("parameter: {parameter}")), why, vec![parameter]);
    }
    let why = match total {
        Some(Total { place, count: total, .. }) if *total > count as u64 => {
            format!(
                "{place} says {total}, but {count} came, and nothing tells how to ask for more: see the manual of the API"
            )
        }
        _ => "nothing in the answer speaks of further pages".to_owned(),
    };
    found("single", with_total(String::new()), why, Vec::new())
}

/// The first of these members, at the top or in an object there, whose value is what is wanted.
fn member<'a>(body: &'a Value, names: &[&str], wanted: impl Fn(&Value) -> bool) -> Option<(String, &'a Value)> {
    let top = body.as_object()?;
    let inner = top.iter().filter_map(|(name, value)| Some((under("$", name), value.as_object()?)));
    let places: Vec<_> = std::iter::once(("$".to_owned(), top)).chain(inner).collect();
    names.iter().find_map(|name| {
        places.iter().find_map(|(path, entries)| {
            let value = entries.get(*name).filter(|value| wanted(value))?;
            Some((under(path, name), value))
        })
    })
}

/// A path as it stands in the flow style of YAML.
pub(super) fn quoted(path: &str) -> String {
    if path.contains(['[', '{', ',']) { format!("'{}'", path.replace('\'', "''")) } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn style(url: &str, header: Option<&str>, body: &Value) -> String {
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header.map(|header| header.split_once(": ").unwrap()) {
            headers.insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        let count = items(body).unwrap().values.len();
        pages(&Url::parse(url).unwrap(), &headers, body, count).yaml
    }

    #[test]
    fn items_and_ids_are_found() {
        for (body, path, id_path) in [
            (json!([{"id": 1}, {"id": 2}]), "$", "$.id"),
            (json!({"tags": ["a", "b", "c"], "data": {"rows": [{"x": 1, "uuid": "a"}]}}), "$.data.rows", "$.uuid"),
            (
                json!({"odd name": [{"id": 1, "order_id": 5}, {"id": 1, "order_id": 6}]}),
                "$[\"odd name\"]",
                "$.order_id",
            ),
            (json!({"ids": [4, 5]}), "$.ids", "$"),
        ] {
            let found = items(&body).unwrap();
            assert_eq!((found.path.as_str(), id(found.values).as_deref()), (path, Some(id_path)));
        }
        assert!(items(&json!({"items": []})).is_none());
        let rows = json!({"rows": [[1, "a"], [2, "b"]], "facets": [{"name": "x"}]});
        assert_eq!(nameless(&rows, 1), Some(("$.rows".to_owned(), 2)));
        assert_eq!(nameless(&rows, 2), None);
        assert_eq!(id(&[json!({"a": 1}), json!({"a": 1})]), None);
    }

    #[test]
    fn styles_are_told_by_what_the_answer_has() {
        let two = json!([{"id": 1}, {"id": 2}]);
        let cases = [
            ("http://h/x", Some("link: <http://h/x?page=2>; rel=\"next\""), json!({"items": two}), "link_header: {}"),
            (
                "http://h/x",
                None,
                json!({"r": two, "next": "/x?p=2", "count": 9}),
                "next_url: { next: $.next, total: $.count }",
            ),
            (
                "http://h/x",
                None,
                json!({"r": two, "meta": {"next_page_token": "ab"}}),
                "cursor: { parameter: page_token, next: $.meta.next_page_token }",
            ),
            (
                "http://h/x?p=1",
                None,
                json!({"items": two, "page": 0, "total_pages": 4}),
                "page_number: { parameter: page, first: 0, total_pages: $.total_pages }",
            ),
            (
                "http://h/x",
                None,
                json!({"r": two, "skip": 0, "limit": 2, "total": 30}),
                "offset: { parameter: skip, limit_parameter: limit, limit: 2, total: $.total }",
            ),
            (
                "http://h/x",
                Some("next-page: http://h/x?_token=abc"),
                json!({"data": two}),
                "next_url: { next: { header: Next-Page } }",
            ),
            (
                "http://h/x?page=1",
                Some("x-total-count: 9"),
                json!(two),
                "page_number: { parameter: page, total: { header: X-Total-Count } }",
            ),
            ("http://h/x?page=3", None, json!({"r": two}), "page_number: { parameter: page }"),
            ("http://h/x", None, json!({"r": two, "next": null}), "single: {}"),
            ("http://h/x", None, two, "single: {}"),
        ];
        for (url, link, body, yaml) in cases {
            assert_eq!(style(url, link, &body), yaml, "{body}");
        }
    }
}
