//! `source`: where records come from.

use super::auth::{auth, header_name, headers};
use super::{path, small};
use crate::error::SpecError;
use crate::spec::field::{Field, Table};
use crate::spec::json_path::JsonPath;
use crate::spec::template::{Allowed, Template};
use crate::spec::types::{
    Cursor, Detail, Enrich, IdList, LinkHeader, ListSpec, NextUrl, Offset, OrderCheck, PageNumber, PagedList,
    Pagination, Parameter, RequestSpec, Single, SourceSpec, Spot, Version,
};

pub(crate) const ORDER_CHECKS: [(&str, OrderCheck); 2] = [("none", OrderCheck::None), ("relist", OrderCheck::Relist)];

/// The word for a hash of the whole item, as a version.
pub(crate) const ITEM: &str = "item";
/// The word for list items that are whole records.
pub(crate) const NONE: &str = "none";

/// The most pages of a list by default: more than any list that ends is likely to have.
pub(crate) const MAX_PAGES: u64 = 1_000_000;

pub(super) fn source(field: &Field<'_>, parameters: &[Parameter]) -> Result<SourceSpec, SpecError> {
    let table = field.table(&["auth", "headers", "list", "detail", "enrich", "max_gone"])?;
    let list_field = table.need("list")?;
    let list = list(&list_field, parameters)?;
    let detail = detail(&table.need("detail")?, &list, parameters)?;
    Ok(SourceSpec {
        auth: auth(&table, parameters)?,
        headers: headers(&table, parameters)?,
        list,
        detail,
        enrich: table.or("enrich", Vec::new(), |field| enrich(&field, parameters))?,
        max_gone: table.or("max_gone", 0.01, |field| field.percent())?,
    })
}

/// A GET: URL and headers.
fn request(field: &Field<'_>, parameters: &[Parameter], allowed: Allowed) -> Result<RequestSpec, SpecError> {
    let table = field.table(&["url", "headers"])?;
    Ok(RequestSpec {
        url: Template::read(&table.need("url")?, parameters, allowed)?,
        headers: headers(&table, parameters)?,
    })
}

fn detail(field: &Field<'_>, list: &ListSpec, parameters: &[Parameter]) -> Result<Detail, SpecError> {
    if field.is_word(NONE) {
        return match list {
            ListSpec::Paged(_) => Ok(Detail::None),
            ListSpec::Ids(_) => Err(field
                .error("a list of IDs has no records in it")
                .help("say where a record is read: detail: { request: { url: ... } }")),
        };
    }
    let table = field.table(&["request"])?;
    Ok(Detail::Request(request(&table.need("request")?, parameters, Allowed::Record)?))
}

fn enrich(field: &Field<'_>, parameters: &[Parameter]) -> Result<Vec<Enrich>, SpecError> {
    let one = |(name, field): (&str, Field<'_>)| {
        let table = field.table(&["request", "optional"])?;
        Ok(Enrich {
            name: name.to_owned(),
            request: request(&table.need("request")?, parameters, Allowed::Record)?,
            optional: table.or("optional", false, |field| field.boolean())?,
        })
    };
    let mut parts = field.any_table()?.entries().map(one).collect::<Result<Vec<Enrich>, SpecError>>()?;
    // As in the canonical form, which sorts all keys.
    parts.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(parts)
}

fn list(field: &Field<'_>, parameters: &[Parameter]) -> Result<ListSpec, SpecError> {
    const PAGED: [&str; 8] =
        ["request", "pagination", "items", "id", "version", "concurrency", "max_pages", "order_check"];
    let known: Vec<&str> = PAGED.into_iter().chain(["ids"]).collect();
    let table = field.table(&known)?;
    if let Some(ids) = table.get("ids") {
        if let Some((name, field)) = table.entries().find(|(name, _)| *name != "ids") {
            return Err(field
                .error(format!("{name} says nothing beside ids"))
                .help("a list of IDs is whole: nothing is asked of the source"));
        }
        return Ok(ListSpec::Ids(id_list(&ids, parameters)?));
    }
    Ok(ListSpec::Paged(Box::new(PagedList {
        request: request(&table.need("request")?, parameters, Allowed::Fixed)?,
        pagination: pagination(&table.need("pagination")?, parameters)?,
        items: path(&table.need("items")?)?,
        id: path(&table.need("id")?)?,
        version: table.get("version").map(|field| version(&field)).transpose()?,
        concurrency: table.or("concurrency", 16, |field| small(&field, 1, 1024))?,
        max_pages: table.or("max_pages", MAX_PAGES, |field| field.integer(1, u64::from(u32::MAX)))?,
        order_check: table.or("order_check", OrderCheck::None, |field| field.one_of(&ORDER_CHECKS))?,
    })))
}

fn version(field: &Field<'_>) -> Result<Version, SpecError> {
    if field.is_word(ITEM) { Ok(Version::Item) } else { path(field).map(Version::Path) }
}

fn id_list(field: &Field<'_>, parameters: &[Parameter]) -> Result<IdList, SpecError> {
    let (key, value) = field.only_one_of(&["parameter", "file"])?;
    if key == "file" {
        return Template::read(&value, parameters, Allowed::Fixed).map(IdList::File);
    }
    let name = value.text()?;
    if !parameters.iter().any(|parameter| parameter.name == name) {
        return Err(value
            .error(format!("the parameter \"{name}\" is not declared under parameters"))
            .help("write the name alone, without ${param:...}"));
    }
    Ok(IdList::Parameter(name.to_owned()))
}

fn pagination(field: &Field<'_>, parameters: &[Parameter]) -> Result<Pagination, SpecError> {
    // One key names the style, so that each style has keys of its own.
    let styles = ["page_number", "offset", "cursor", "next_url", "link_header", "single"];
    let (style, field) = field.only_one_of(&styles)?;
    Ok(match style {
        "page_number" => Pagination::PageNumber(page_number(&field)?),
        "offset" => Pagination::Offset(offset(&field)?),
        "cursor" => Pagination::Cursor(cursor(&field, parameters)?),
        "next_url" => {
            let table = field.table(&["next", "total"])?;
            Pagination::NextUrl(NextUrl { next: spot(&table.need("next")?)?, total: spot_at(&table, "total")? })
        }
        "link_header" => {
            let table = field.table(&["rel", "total"])?;
            Pagination::LinkHeader(LinkHeader {
                rel: table.or("rel", "next".to_owned(), |field| Ok(field.text()?.to_owned()))?,
                total: spot_at(&table, "total")?,
            })
        }
        _ => Pagination::Single(Single { total: spot_at(&field.table(&["total"])?, "total")? }),
    })
}

fn page_number(field: &Field<'_>) -> Result<PageNumber, SpecError> {
    let table = field.table(&["parameter", "first", "size", "size_parameter", "total_pages", "total", "more"])?;
    let size = table.get("size").map(|field| field.integer(1, 1_000_000)).transpose()?;
    let size_parameter = table.get("size_parameter").map(|field| query_name(&field)).transpose()?;
    if let (None, Some(field)) = (size, table.get("size_parameter")) {
        return Err(field.error("how many items a page is to have is missing").help("say it: size: 100"));
    }
    Ok(PageNumber {
        parameter: table.or("parameter", "page".to_owned(), |field| query_name(&field))?,
        first: table.or("first", 1, |field| field.integer(0, u64::from(u32::MAX)))?,
        size,
        size_parameter,
        total_pages: spot_at(&table, "total_pages")?,
        total: spot_at(&table, "total")?,
        more: spot_at(&table, "more")?,
    })
}

fn offset(field: &Field<'_>) -> Result<Offset, SpecError> {
    let table = field.table(&["parameter", "first", "limit_parameter", "limit", "total", "more"])?;
    Ok(Offset {
        parameter: table.or("parameter", "offset".to_owned(), |field| query_name(&field))?,
        first: table.or("first", 0, |field| field.integer(0, u64::from(u32::MAX)))?,
        limit_parameter: table.or("limit_parameter", "limit".to_owned(), |field| query_name(&field))?,
        limit: table.or("limit", 100, |field| field.integer(1, 1_000_000))?,
        total: spot_at(&table, "total")?,
        more: spot_at(&table, "more")?,
    })
}

fn cursor(field: &Field<'_>, parameters: &[Parameter]) -> Result<Cursor, SpecError> {
    let table = field.table(&["parameter", "first", "next", "total", "more"])?;
    Ok(Cursor {
        parameter: table.or("parameter", "cursor".to_owned(), |field| query_name(&field))?,
        first: table.get("first").map(|field| Template::read(&field, parameters, Allowed::Text)).transpose()?,
        next: spot(&table.need("next")?)?,
        total: spot_at(&table, "total")?,
        more: spot_at(&table, "more")?,
    })
}

fn query_name(field: &Field<'_>) -> Result<String, SpecError> {
    let text = field.text()?;
    if text.is_empty() {
        return Err(field.error("a query parameter has a name"));
    }
    Ok(text.to_owned())
}

fn spot_at(table: &Table<'_>, name: &str) -> Result<Option<Spot>, SpecError> {
    table.get(name).map(|field| spot(&field)).transpose()
}

/// `$.path` in the body, or `{ header: NAME }`.
fn spot(field: &Field<'_>) -> Result<Spot, SpecError> {
    if field.is_table() {
        let table = field.table(&["header"])?;
        return header_name(&table.need("header")?).map(Spot::Header);
    }
    let text = field.text()?;
    JsonPath::parse(text)
        .map(Spot::Body)
        .map_err(|what| field.error(what).help("for what stands in a header: { header: NAME }"))
}
