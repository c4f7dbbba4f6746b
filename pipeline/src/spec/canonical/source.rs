//! `source` in the canonical form.

use serde_json::{Map, Value, json};

use super::auth::{put_auth, put_headers};
use super::{put, word};
use crate::spec::read::source::{ITEM, MAX_PAGES, NONE, ORDER_CHECKS};
use crate::spec::types::{
    Detail, IdList, ListSpec, OrderCheck, PagedList, Pagination, RequestSpec, SourceSpec, Spot, Version,
};
use crate::spec::units::write_percent;

pub(super) fn source_json(source: &SourceSpec) -> Value {
    let mut value = json!({
        "list": list_json(&source.list),
        "detail": match &source.detail {
            Detail::Request(request) => json!({"request": request_json(request)}),
            Detail::None => NONE.into(),
        },
        "max_gone": write_percent(source.max_gone),
    });
    put_auth(&mut value, &source.auth);
    put_headers(&mut value, &source.headers);
    if !source.enrich.is_empty() {
        let parts = source.enrich.iter().map(|part| {
            let value = json!({"request": request_json(&part.request), "optional": part.optional});
            (part.name.clone(), value)
        });
        value["enrich"] = parts.collect::<Map<String, Value>>().into();
    }
    value
}

fn request_json(request: &RequestSpec) -> Value {
    let mut value = json!({"url": request.url.text()});
    put_headers(&mut value, &request.headers);
    value
}

fn list_json(list: &ListSpec) -> Value {
    match list {
        ListSpec::Ids(IdList::Parameter(name)) => json!({"ids": {"parameter": name}}),
        ListSpec::Ids(IdList::File(path)) => json!({"ids": {"file": path.text()}}),
        ListSpec::Paged(list) => paged_json(list),
    }
}

fn paged_json(list: &PagedList) -> Value {
    let mut value = json!({
        "request": request_json(&list.request),
        "pagination": pagination_json(&list.pagination),
        "items": list.items.to_string(),
        "id": list.id.to_string(),
        "concurrency": list.concurrency,
    });
    match &list.version {
        Some(Version::Path(path)) => value["version"] = path.to_string().into(),
        Some(Version::Item) => value["version"] = ITEM.into(),
        None => {}
    }
    if list.max_pages != MAX_PAGES {
        value["max_pages"] = list.max_pages.into();
    }
    if list.order_check != OrderCheck::None {
        value["order_check"] = word(&ORDER_CHECKS, &list.order_check).into();
    }
    value
}

fn pagination_json(pagination: &Pagination) -> Value {
    let (style, value) = match pagination {
        Pagination::PageNumber(style) => {
            let mut value = json!({"parameter": style.parameter, "first": style.first});
            put(&mut value, "size", style.size);
            put(&mut value, "size_parameter", style.size_parameter.as_deref());
            put(&mut value, "total_pages", style.total_pages.as_ref().map(spot_json));
            put(&mut value, "total", style.total.as_ref().map(spot_json));
            put(&mut value, "more", style.more.as_ref().map(spot_json));
            ("page_number", value)
        }
        Pagination::Offset(style) => {
            let mut value = json!({
                "parameter": style.parameter,
                "first": style.first,
                "limit_parameter": style.limit_parameter,
                "limit": style.limit,
            });
            put(&mut value, "total", style.total.as_ref().map(spot_json));
            put(&mut value, "more", style.more.as_ref().map(spot_json));
            ("offset", value)
        }
        Pagination::Cursor(style) => {
            let mut value = json!({"parameter": style.parameter, "next": spot_json(&style.next)});
            put(&mut value, "first", style.first.as_ref().map(|first| first.text()));
            put(&mut value, "total", style.total.as_ref().map(spot_json));
            put(&mut value, "more", style.more.as_ref().map(spot_json));
            ("cursor", value)
        }
        Pagination::NextUrl(style) => {
            let mut value = json!({"next": spot_json(&style.next)});
            put(&mut value, "total", style.total.as_ref().map(spot_json));
            ("next_url", value)
        }
        Pagination::LinkHeader(style) => {
            let mut value = json!({"rel": style.rel});
            put(&mut value, "total", style.total.as_ref().map(spot_json));
            ("link_header", value)
        }
        Pagination::Single(style) => {
            let mut value = json!({});
            put(&mut value, "total", style.total.as_ref().map(spot_json));
            ("single", value)
        }
    };
    json!({style: value})
}

fn spot_json(spot: &Spot) -> Value {
    match spot {
        Spot::Body(path) => path.to_string().into(),
        Spot::Header(name) => json!({"header": name}),
    }
}
