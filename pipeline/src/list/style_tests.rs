use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::json;

use super::*;
use crate::list::ListedItem;
use crate::spec::json_path::JsonPath;
use crate::spec::types::{LinkHeader, NextUrl, Single};

fn body(path: &str) -> Spot {
    Spot::Body(JsonPath::parse(path).unwrap())
}

fn pages(pagination: Pagination) -> Pages {
    let url = Url::parse("https://a.test/v1/list?sort=id").unwrap();
    Pages { url, pagination, first_cursor: None, key_parameter: Some("key".to_owned()) }
}

fn offset(total: bool, more: bool) -> Pages {
    pages(Pagination::Offset(Offset {
        parameter: "skip".to_owned(),
        first: 0,
        limit_parameter: "take".to_owned(),
        limit: 3,
        total: total.then(|| body("$.total")),
        more: more.then(|| body("$.more")),
    }))
}

fn numbered(change: impl FnOnce(&mut PageNumber)) -> Pages {
    let mut list = PageNumber {
        parameter: "page".to_owned(),
        first: 0,
        size: None,
        size_parameter: None,
        total_pages: None,
        total: None,
        more: None,
    };
    change(&mut list);
    pages(Pagination::PageNumber(list))
}

fn cursor(first: Option<&str>, more: bool) -> Pages {
    let list = Cursor {
        parameter: "after".to_owned(),
        first: None,
        next: body("$.next"),
        total: None,
        more: more.then(|| body("$.more")),
    };
    Pages { first_cursor: first.map(str::to_owned), ..pages(Pagination::Cursor(list)) }
}

fn answer(value: &serde_json::Value, headers: &[(&'static str, &'static str)]) -> ListAnswer {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    ListAnswer { headers, body: Bytes::from(value.to_string()) }
}

fn read(pages: &Pages, number: u64, asked: Option<&str>, items: u64, answer: &ListAnswer) -> Result<Page, String> {
    let items = (0..items).map(|id| ListedItem { id: id.into(), version: None, body: None }).collect();
    let page = Page { number, items, ..Page::default() };
    let read = pages.read(asked, &pages.url(number, asked).unwrap(), answer, page);
    read.map_err(NoPage::words)
}

#[test]
fn numbered_pages_are_asked_for() {
    let url = |pages: &Pages, page| pages.url(page, None).unwrap().to_string();
    assert_eq!(url(&offset(true, false), 3), "https://a.test/v1/list?sort=id&skip=6&take=3");
    let sized = numbered(|list| (list.size, list.size_parameter) = (Some(5), Some("per".to_owned())));
    assert_eq!(url(&sized, 7), "https://a.test/v1/list?sort=id&page=7&per=5");
    let own = numbered(|list| list.parameter = "sort".to_owned());
    assert_eq!(url(&own, 7), "https://a.test/v1/list?sort=7", "a parameter stands once");
}

#[test]
fn a_numbered_list_ends_where_it_says() {
    let last = |pages: &Pages, number, items, value| {
        let page = read(pages, number, None, items, &answer(&value, &[])).unwrap();
        (page.last, page.total_pages, page.total)
    };
    let by_pages = numbered(|list| list.total_pages = Some(body("$.pages")));
    assert_eq!(last(&by_pages, 0, 3, json!({"pages": 4})), (Some(3), Some(4), None));
    let by_total = numbered(|list| (list.total, list.size) = (Some(body("$.total")), Some(3)));
    assert_eq!(last(&by_total, 0, 3, json!({"total": 10})), (Some(3), None, Some(10)));
    let by_more = numbered(|list| list.more = Some(body("$.more")));
    assert_eq!(last(&by_more, 4, 1, json!({"more": true})).0, None);
    assert_eq!(last(&by_more, 4, 1, json!({"more": false})).0, Some(4));
    let silent = numbered(|_| ());
    assert_eq!(last(&silent, 4, 1, json!({})).0, None);
    assert_eq!(last(&silent, 4, 0, json!({})).0, Some(4));
    let sized = numbered(|list| list.size = Some(3));
    assert_eq!(last(&sized, 4, 3, json!({})).0, None);
    assert_eq!(last(&sized, 4, 2, json!({})).0, Some(4), "a short page");
    assert_eq!(last(&sized, 0, 2, json!({})).0, None, "the first may be capped");
    assert_eq!(last(&offset(true, false), 1, 2, json!({"total": 7})), (Some(3), None, Some(7)));
    assert_eq!(last(&offset(false, true), 2, 2, json!({"more": true})).0, None);
    let wrong = read(&by_more, 4, None, 1, &answer(&json!({"more": "perhaps"}), &[])).unwrap_err();
    assert!(wrong.contains("$.more must be true or false, it is \"perhaps\""), "{wrong}");
}

#[test]
fn cursors_lead_on_until_there_is_none() {
    let next =
        |pages: &Pages, asked, items, value| read(pages, 2, asked, items, &answer(&value, &[])).map(|p| p.cursor);
    let list = cursor(None, false);
    assert_eq!(list.url(1, None).unwrap().query(), Some("sort=id"));
    assert_eq!(list.url(2, Some("a&b=c")).unwrap().query(), Some("sort=id&after=a%26b%3Dc"));
    assert_eq!(cursor(Some("*"), false).url(1, None).unwrap().query(), Some("sort=id&after=*"));
    assert_eq!(next(&list, None, 1, json!({"next": "b"})), Ok(Some("b".to_owned())));
    assert_eq!(
        next(&list, None, 1, json!({"next": 12345678901234567890123_f64})).unwrap().unwrap().chars().next(),
        Some('1')
    );
    for end in [json!({}), json!({"next": null}), json!({"next": ""}), json!({"next": false})] {
        assert_eq!(next(&list, Some("a"), 1, end), Ok(None));
    }
    assert_eq!(next(&list, Some("a"), 0, json!({"next": "a"})), Ok(None), "nothing new, for now");
    assert_eq!(next(&list, Some("a"), 1, json!({"next": "a"})), Ok(Some("a".to_owned())), "the ledger's to name");
    assert!(next(&list, None, 1, json!({"next": {}})).unwrap_err().contains("an object"));
    let more = cursor(None, true);
    assert_eq!(next(&more, None, 1, json!({"next": "b", "more": false})), Ok(None));
    assert!(next(&more, None, 1, json!({"more": true})).unwrap_err().contains("not how to ask for it"));
    let header = pages(Pagination::Cursor(Cursor {
        parameter: "after".to_owned(),
        first: None,
        next: Spot::Header("x-next".to_owned()),
        total: Some(Spot::Header("x-total".to_owned())),
        more: None,
    }));
    let page = read(&header, 1, None, 1, &answer(&json!([]), &[("x-next", "b"), ("x-total", "9")])).unwrap();
    assert_eq!((page.cursor.as_deref(), page.total, page.last), (Some("b"), Some(9), None));
    let wrong = read(&header, 1, None, 1, &answer(&json!([]), &[])).unwrap_err();
    assert_eq!(wrong, "the answer has no header x-total");
}

#[test]
fn next_urls_stay_where_the_list_is() {
    let list = pages(Pagination::NextUrl(NextUrl { next: body("$.next"), total: None }));
    let next = |value: &str| read(&list, 1, None, 1, &answer(&json!({ "next": value }), &[])).map(|page| page.cursor);
    for (value, url) in [
        ("https://a.test/v1/list?page=2#x", "https://a.test/v1/list?page=2"),
        ("https://a.test:443/other", "https://a.test/other"),
        ("?page=2", "https://a.test/v1/list?page=2"),
        ("/v2/list?key=s3cret&page=2", "https://a.test/v2/list?page=2"),
    ] {
        assert_eq!(next(value), Ok(Some(url.to_owned())), "{value}");
        assert_eq!(list.url(2, Some(url)).unwrap().as_str(), url);
    }
    for value in [
        "https://evil.test/v1/list?token=s3cret",
        "//evil.test/",
        "http://a.test/v1/list",
        "https://a.test:8443/",
        "https://me:s3cret@a.test/v1/list",
        "file:///etc/passwd",
        "javascript:1",
    ] {
        let error = next(value).unwrap_err();
        assert!(error.contains("not followed") && !error.contains("s3cret"), "{value}: {error}");
    }
    assert_eq!(read(&list, 1, None, 1, &answer(&json!({}), &[])).unwrap().last, Some(1));
    // What the ledger holds is looked at again: the pipeline's parameters say where the list is.
    assert!(list.url(2, Some("https://evil.test/")).is_err());
}

#[test]
fn links_lead_on_and_a_single_page_does_not() {
    let list = pages(Pagination::LinkHeader(LinkHeader { rel: "next".to_owned(), total: None }));
    let linked = answer(&json!([]), &[("link", "<?page=2>; rel=\"next\"")]);
    let page = read(&list, 1, None, 1, &linked).unwrap();
    assert_eq!((page.cursor.as_deref(), page.last), (Some("https://a.test/v1/list?page=2"), None));
    assert_eq!(read(&list, 2, None, 1, &answer(&json!([]), &[])).unwrap().last, Some(2));
    let evil = answer(&json!([]), &[("link", "<https://evil.test/2>; rel=\"next\"")]);
    assert!(read(&list, 1, None, 1, &evil).unwrap_err().contains("evil.test"));
    let single = pages(Pagination::Single(Single { total: Some(body("$.total")) }));
    let page = read(&single, 1, None, 2, &answer(&json!({"total": 2}), &[])).unwrap();
    assert_eq!((page.last, page.total), (Some(1), Some(2)));
}

#[test]
fn a_first_cursor_has_its_parameters_filled_in() {
    let yaml = r#"
muster: 1
name: test
parameters: { base_url: { type: url } }
source:
  list:
    request: { url: "${param:base_url}/list" }
    pagination: { cursor: { next: $.next, first: "${param:base_url}$${x}" } }
    items: $.items
    id: $.id
  detail: none
load:
  request: { url: "${param:base_url}/home" }
"#;
    let pipeline = crate::Pipeline::from_yaml(yaml, "test").unwrap();
    let parameters = BTreeMap::from([("base_url".to_owned(), "http://h.test".to_owned())]);
    let crate::spec::types::ListSpec::Paged(list) = &pipeline.source().list else { panic!("not paged") };
    let pages = Pages::new(list, &Auth::None, &parameters).unwrap();
    let url = pages.url(1, None).unwrap();
    assert_eq!(url.query(), Some("cursor=http%3A%2F%2Fh.test%24%7Bx%7D"));
    let same = answer(&json!({ "next": "http://h.test${x}" }), &[]);
    assert_eq!(
        pages.read(None, &url, &same, Page { number: 1, ..Page::default() }).unwrap().last,
        Some(1),
        "nothing is new"
    );
}
