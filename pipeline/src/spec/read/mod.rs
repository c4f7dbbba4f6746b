//! From the located tree to the typed pipeline, defaults filled in.

use std::time::Duration;

use crate::error::SpecError;
use crate::schema::Schema;
use crate::spec::Spec;
use crate::spec::field::{Field, Table};
use crate::spec::json_path::JsonPath;
use crate::spec::template::http_url;
use crate::spec::types::{Limits, OnDrift, Parameter, ParameterKind, Rate, Watermark};

pub(crate) mod auth;
pub(crate) mod load;
pub(crate) mod source;

/// The version of the format that this program reads.
pub(crate) const FORMAT: u64 = 1;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

const KEYS: [&str; 11] = [
    "muster",
    "name",
    "description",
    "parameters",
    "source",
    "schema",
    "on_schema_drift",
    "transform",
    "output_schema",
    "load",
    "limits",
];

/// Words and values of the enumerations, shared with the canonical writer.
pub(crate) const PARAMETER_KINDS: [(&str, ParameterKind); 3] =
    [("text", ParameterKind::Text), ("url", ParameterKind::Url), ("time", ParameterKind::Time)];
pub(crate) const ON_DRIFT: [(&str, OnDrift); 4] = [
    ("ignore", OnDrift::Ignore),
    ("report", OnDrift::Report),
    ("dead_letter", OnDrift::DeadLetter),
    ("fail", OnDrift::Fail),
];

/// Reads a whole pipeline.
pub(crate) fn spec(root: &Field<'_>) -> Result<Spec, SpecError> {
    let table = root.table(&KEYS)?;
    let version = table.need("muster")?;
    if version.integer(0, u64::MAX)? != FORMAT {
        return Err(version.error("this version of the format is not known").help(format!("write muster: {FORMAT}")));
    }
    let parameters = table.or("parameters", Vec::new(), |field| parameters(&field))?;
    let read_schema = |name: &str| match table.get(name) {
        Some(field) => Schema::read(&field),
        None => Ok(Schema::anything()),
    };
    let on_schema_drift = on_schema_drift(&table)?;
    let schema = match (read_schema("schema")?, table.get("schema")) {
        (schema, Some(field)) if on_schema_drift != OnDrift::Ignore => schema.looking_for_drift(&field)?,
        (schema, _) => schema,
    };
    let transform = table.get("transform");
    Ok(Spec {
        name: name(&table.need("name")?)?,
        description: table.or("description", String::new(), |field| Ok(field.text()?.trim_end().to_owned()))?,
        source: source::source(&table.need("source")?, &parameters)?,
        schema,
        on_schema_drift,
        output_schema: read_schema("output_schema")?,
        transform: match &transform {
            Some(field) => crate::transform::Transform::read(field)?,
            None => crate::transform::Transform::identity(),
        },
        load: load::load(&table.need("load")?, &parameters)?,
        limits: table.or("limits", Limits::default(), |field| limits(&field))?,
        parameters,
    })
}

fn on_schema_drift(table: &Table<'_>) -> Result<OnDrift, SpecError> {
    let Some(field) = table.get("on_schema_drift") else { return Ok(OnDrift::Ignore) };
    let on_drift = field.one_of(&ON_DRIFT)?;
    if on_drift != OnDrift::Ignore && table.get("schema").is_none() {
        return Err(field.error("without a schema every field is unknown").help("say what records look like: schema"));
    }
    Ok(on_drift)
}

fn name(field: &Field<'_>) -> Result<String, SpecError> {
    let text = field.text()?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err(field.error("a name has 1 to 64 characters of a to z, 0 to 9, - and _").help("such as my-herd"));
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
    let table = field.table(&["description", "type", "default", "required", "watermark"])?;
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
        watermark: table.get("watermark").map(|field| watermark(&field, kind)).transpose()?,
    })
}

fn watermark(field: &Field<'_>, kind: ParameterKind) -> Result<Watermark, SpecError> {
    if kind != ParameterKind::Time {
        return Err(field.error("only a time can follow from an earlier run").help("write type: time"));
    }
    let table = field.table(&["overlap"])?;
    Ok(Watermark {
        overlap: table.or("overlap", Duration::from_secs(300), |field| field.duration(Duration::ZERO, 720 * HOUR))?,
    })
}

/// Checks a parameter's value and brings it to its one form.
pub(crate) fn parameter_value(kind: ParameterKind, value: &str) -> Result<String, String> {
    match kind {
        ParameterKind::Text => Ok(value.to_owned()),
        ParameterKind::Time => super::units::check_time(value),
        ParameterKind::Url => {
            let url = http_url(value)?;
            if url.query().is_some() || url.fragment().is_some() {
                return Err(format!("\"{value}\" must end with its path: a path is put after it"));
            }
            Ok(url.as_str().trim_end_matches('/').to_owned())
        }
    }
}

fn path(field: &Field<'_>) -> Result<JsonPath, SpecError> {
    let text = field.text()?;
    JsonPath::parse(text).map_err(|what| field.error(what).help(mend_of_path(text)))
}

/// What a text that is no path was most likely meant to be.
fn mend_of_path(text: &str) -> String {
    let meant = format!("$.{}", text.trim_start_matches(['$', '.']));
    match JsonPath::parse(&meant) {
        Ok(_) => format!("write {meant}"),
        Err(_) => "a path is names and [numbers]; nothing in it stands for several places".to_owned(),
    }
}

fn limits(field: &Field<'_>) -> Result<Limits, SpecError> {
    let table = field.table(&[
        "concurrency",
        "rate",
        "burst",
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
    let (concurrency, fixed_concurrency) =
        table.or("concurrency", (default.concurrency, false), |field| concurrency(&field))?;
    Ok(Limits {
        concurrency,
        fixed_concurrency,
        rate: rate(&table)?,
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

/// `64`, or `{ fixed: 64 }` where the number is not to adapt.
fn concurrency(field: &Field<'_>) -> Result<(usize, bool), SpecError> {
    if field.is_table() {
        return Ok((small(&field.table(&["fixed"])?.need("fixed")?, 1, 4096)?, true));
    }
    Ok((small(field, 1, 4096)?, false))
}

/// `rate: 50/s`, and how many of them at once.
fn rate(table: &Table<'_>) -> Result<Option<Rate>, SpecError> {
    let Some(field) = table.get("rate") else {
        return match table.get("burst") {
            Some(field) => Err(field.error("without a rate there is no burst").help("say it: rate: 50/s")),
            None => Ok(None),
        };
    };
    let (requests, per) = field.rate()?;
    Ok(Some(Rate { requests, per, burst: table.or("burst", 1, |field| small(&field, 1, 1_000_000))? }))
}

/// A whole number within bounds that its type holds.
fn small<T: TryFrom<u64>>(field: &Field<'_>, least: u64, most: u64) -> Result<T, SpecError> {
    T::try_from(field.integer(least, most)?).map_err(|_| field.error("this number is too large"))
}
