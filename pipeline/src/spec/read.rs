//! From the located tree to the typed pipeline, defaults filled in.

use std::time::Duration;

use crate::error::SpecError;
use crate::spec::Spec;
use crate::spec::field::Field;
use crate::spec::json_path::JsonPath;
use crate::spec::template::{Template, http_url};
use crate::spec::types::{
    Answer, AnswerPattern, Limits, ListSpec, LoadSpec, OnDoubt, PageNumber, Pagination, Parameter, ParameterKind,
    ProbeSpec, SourceSpec,
};

/// The version of the format that this program reads.
pub(crate) const FORMAT: u64 = 1;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Statuses that say something about who asks, or when, and nothing about a record.
const ABOUT_THE_REQUEST: [u16; 5] = [401, 403, 408, 425, 429];

const KEYS: [&str; 9] =
    ["muster", "name", "description", "parameters", "source", "schema", "transform", "load", "limits"];

/// Words and values of the enumerations, shared with the canonical writer.
pub(crate) const PARAMETER_KINDS: [(&str, ParameterKind); 2] =
    [("text", ParameterKind::Text), ("url", ParameterKind::Url)];
pub(crate) const ON_DOUBT: [(&str, OnDoubt); 3] =
    [("retry", OnDoubt::Retry), ("hold", OnDoubt::Hold), ("probe", OnDoubt::Probe)];
pub(crate) const ANSWERS: [(&str, Answer); 2] = [("json", Answer::Json), ("any", Answer::Any)];

/// Reads a whole pipeline.
pub(crate) fn spec(root: &Field<'_>) -> Result<Spec, SpecError> {
    let table = root.table(&KEYS)?;
    let version = table.need("muster")?;
    if version.integer(0, u64::MAX)? != FORMAT {
        return Err(version.error("this version of the format is not known").help(format!("write muster: {FORMAT}")));
    }
    let parameters = table.or("parameters", Vec::new(), |field| parameters(&field))?;
    let schema = table.get("schema");
    let transform = table.get("transform");
    Ok(Spec {
        name: name(&table.need("name")?)?,
        description: table.or("description", String::new(), |field| Ok(field.text()?.trim_end().to_owned()))?,
        source: source(&table.need("source")?, &parameters)?,
        schema: match &schema {
            Some(field) => crate::schema::Schema::read(field)?,
            None => crate::schema::Schema::anything(),
        },
        transform: match &transform {
            Some(field) => crate::transform::Transform::read(field)?,
            None => crate::transform::Transform::identity(),
        },
        load: load(&table.need("load")?, &parameters)?,
        limits: table.or("limits", Limits::default(), |field| limits(&field))?,
        parameters,
    })
}

fn name(field: &Field<'_>) -> Result<String, SpecError> {
    let text = field.text()?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err(field.error("a name has 1 to 64 characters of a to z, 0 to 9, - and _"));
    }
    Ok(text.to_owned())
}

fn parameters(field: &Field<'_>) -> Result<Vec<Parameter>, SpecError> {
    field.any_table()?.entries().map(|(parameter_name, field)| parameter(parameter_name, &field)).collect()
}

fn parameter(parameter_name: &str, field: &Field<'_>) -> Result<Parameter, SpecError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if parameter_name.is_empty() || !parameter_name.chars().all(allowed) {
        return Err(field.error("a parameter's name has letters, digits and _ only"));
    }
    let table = field.table(&["description", "type", "default", "required"])?;
    let kind = table.or("type", ParameterKind::Text, |field| field.one_of(&PARAMETER_KINDS))?;
    let default = table.get("default");
    let required = table.or("required", default.is_none(), |field| {
        let required = field.boolean()?;
        match (&default, required) {
            (Some(_), true) => {
                Err(field.error("a parameter with a default is never required").help("drop one of them"))
            }
            (None, false) => Err(field.error("a parameter that is not required needs a default")),
            _ => Ok(required),
        }
    })?;
    let default =
        default.map(|field| parameter_value(kind, field.text()?).map_err(|what| field.error(what))).transpose()?;
    Ok(Parameter {
        name: parameter_name.to_owned(),
        description: table.or("description", String::new(), |field| Ok(field.text()?.trim_end().to_owned()))?,
        default,
        required,
        kind,
    })
}

/// Checks a parameter's value and brings it to its one form.
pub(crate) fn parameter_value(kind: ParameterKind, value: &str) -> Result<String, String> {
    match kind {
        ParameterKind::Text => Ok(value.to_owned()),
        ParameterKind::Url => {
            let url = http_url(value)?;
            if url.query().is_some() || url.fragment().is_some() {
                return Err(format!("\"{value}\" must end with its path: a path is put after it"));
            }
            Ok(url.as_str().trim_end_matches('/').to_owned())
        }
    }
}

fn source(field: &Field<'_>, parameters: &[Parameter]) -> Result<SourceSpec, SpecError> {
    let table = field.table(&["list", "detail", "max_gone"])?;
    let detail = table.need("detail")?.table(&["request"])?.need("request")?.table(&["url"])?.need("url")?;
    Ok(SourceSpec {
        list: list(&table.need("list")?, parameters)?,
        detail: Template::read(&detail, parameters, true)?,
        max_gone: table.or("max_gone", 0.01, |field| field.percent())?,
    })
}

fn list(field: &Field<'_>, parameters: &[Parameter]) -> Result<ListSpec, SpecError> {
    let table = field.table(&["request", "pagination", "items", "id", "concurrency"])?;
    let url = table.need("request")?.table(&["url"])?.need("url")?;
    Ok(ListSpec {
        url: Template::read(&url, parameters, false)?,
        pagination: pagination(&table.need("pagination")?)?,
        items: path(&table.need("items")?)?,
        id: path(&table.need("id")?)?,
        concurrency: table.or("concurrency", 16, |field| small(&field, 1, 1024))?,
    })
}

fn pagination(field: &Field<'_>) -> Result<Pagination, SpecError> {
    // One key names the style, so that each style has keys of its own.
    let styles = field.table(&["page_number"])?;
    let table = styles.need("page_number")?.table(&["parameter", "first", "total_pages"])?;
    let total_pages = table.get("total_pages").map(|field| path(&field)).transpose()?;
    Ok(Pagination::PageNumber(PageNumber {
        parameter: table.or("parameter", "page".to_owned(), |field| Ok(field.text()?.to_owned()))?,
        first: table.or("first", 1, |field| field.integer(0, u64::from(u32::MAX)))?,
        total_pages,
    }))
}

fn path(field: &Field<'_>) -> Result<JsonPath, SpecError> {
    JsonPath::parse(field.text()?).map_err(|what| field.error(what))
}

fn load(field: &Field<'_>, parameters: &[Parameter]) -> Result<LoadSpec, SpecError> {
    let table = field.table(&[
        "request",
        "max_batch",
        "on_doubt",
        "probe",
        "not_applied",
        "rejected",
        "answer",
        "post_timeout",
        "settle_after",
        "max_attempts",
        "max_rejected_in_a_row",
    ])?;
    let request = table.need("request")?.table(&["method", "url"])?;
    request.or("method", (), |field| field.one_of(&[("POST", ())]))?;
    let on_doubt = table.or("on_doubt", OnDoubt::Retry, |field| field.one_of(&ON_DOUBT))?;
    let probe = table.get("probe").map(|field| probe(&field, on_doubt, parameters)).transpose()?;
    if let (OnDoubt::Probe, None, Some(field)) = (on_doubt, &probe, table.get("on_doubt")) {
        let help = "say it under load.probe.url, such as \"${param:base_url}/items/${record:id}\"";
        return Err(field.error("where to ask the target for a record is missing").help(help));
    }
    let post_timeout = table.or("post_timeout", Duration::from_secs(25), |field| field.duration(MILLISECOND, HOUR))?;
    Ok(LoadSpec {
        url: Template::read(&request.need("url")?, parameters, false)?,
        not_applied: table.or("not_applied", Vec::new(), |field| patterns(&field))?,
        rejected: table.or("rejected", vec![400, 409, 413, 422], |field| statuses(&field, 400, 499))?,
        answer: table.or("answer", Answer::Json, |field| field.one_of(&ANSWERS))?,
        max_batch: table.or("max_batch", 100, |field| small(&field, 1, 10_000))?,
        on_doubt,
        probe,
        post_timeout,
        settle_after: table.or("settle_after", post_timeout, |field| field.duration(Duration::ZERO, 24 * HOUR))?,
        max_attempts: table.or("max_attempts", 8, |field| small(&field, 1, 1000))?,
        max_rejected_in_a_row: table.or("max_rejected_in_a_row", 3, |field| small(&field, 1, 1000))?,
    })
}

fn probe(field: &Field<'_>, on_doubt: OnDoubt, parameters: &[Parameter]) -> Result<ProbeSpec, SpecError> {
    let table = field.table(&["url", "present", "absent"])?;
    if on_doubt != OnDoubt::Probe {
        let help = "write on_doubt: probe above it, or drop this table";
        return Err(field.error("nobody asks the target unless on_doubt says so").help(help));
    }
    let present = table.or("present", vec![200], |field| telling(&field))?;
    let absent = table.or("absent", vec![404, 410], |field| telling(&field))?;
    if let Some(both) = present.iter().find(|status| absent.contains(status)) {
        let field = table.get("absent").or_else(|| table.get("present")).unwrap_or_else(|| field.clone());
        return Err(field
            .error(format!("{both} cannot mean both present and absent"))
            .help("drop it from one of them"));
    }
    Ok(ProbeSpec { url: Template::read(&table.need("url")?, parameters, true)?, present, absent })
}

/// Statuses that say whether there is a record: at least one.
fn telling(field: &Field<'_>) -> Result<Vec<u16>, SpecError> {
    let statuses = statuses(field, 200, 499)?;
    if statuses.is_empty() {
        return Err(field.error("without a status no answer would ever mean this").help("name at least one"));
    }
    match statuses.iter().find(|status| ABOUT_THE_REQUEST.contains(status)) {
        Some(status) => Err(field.error(format!("{status} says nothing about a record"))),
        None => Ok(statuses),
    }
}

fn patterns(field: &Field<'_>) -> Result<Vec<AnswerPattern>, SpecError> {
    let pattern = |field: Field<'_>| {
        let table = field.table(&["status", "body"])?;
        let body = table.get("body").map(|field| {
            regex::bytes::RegexBuilder::new(field.text()?).size_limit(1 << 20).build().map_err(|error| {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                field.error(format!("this is not a regular expression: {reason}"))
            })
        });
        Ok(AnswerPattern { status: statuses(&table.need("status")?, 300, 599)?, body: body.transpose()? })
    };
    field.list()?.into_iter().map(pattern).collect()
}

fn statuses(field: &Field<'_>, least: u16, most: u16) -> Result<Vec<u16>, SpecError> {
    field
        .list()?
        .iter()
        .map(|field| {
            let status = field.integer(least.into(), most.into())?;
            u16::try_from(status).map_err(|_| field.error("this is not an HTTP status"))
        })
        .collect()
}

fn limits(field: &Field<'_>) -> Result<Limits, SpecError> {
    let table = field.table(&[
        "concurrency",
        "get_timeout",
        "get_attempts",
        "backoff",
        "backoff_max",
        "hedge_after",
        "hedge_copies",
        "retry_budget",
        "retry_after_max",
        "page_size",
        "record_size",
    ])?;
    let default = Limits::default();
    let duration = |key: &str, value| table.or(key, value, |field| field.duration(MILLISECOND, HOUR));
    let size = |key: &str, value| table.or(key, value, |field| field.size(1, 1 << 30));
    Ok(Limits {
        concurrency: table.or("concurrency", default.concurrency, |field| small(&field, 1, 4096))?,
        get_timeout: duration("get_timeout", default.get_timeout)?,
        get_attempts: table.or("get_attempts", default.get_attempts, |field| small(&field, 1, 1000))?,
        backoff: duration("backoff", default.backoff)?,
        backoff_max: duration("backoff_max", default.backoff_max)?,
        hedge_after: duration("hedge_after", default.hedge_after)?,
        hedge_copies: table.or("hedge_copies", default.hedge_copies, |field| small(&field, 1, 8))?,
        retry_budget: table.or("retry_budget", default.retry_budget, |field| field.percent())?,
        retry_after_max: duration("retry_after_max", default.retry_after_max)?,
        page_size: size("page_size", default.page_size)?,
        record_size: size("record_size", default.record_size)?,
    })
}

/// A whole number within bounds that its type holds.
fn small<T: TryFrom<u64>>(field: &Field<'_>, least: u64, most: u64) -> Result<T, SpecError> {
    T::try_from(field.integer(least, most)?).map_err(|_| field.error("this number is too large"))
}
