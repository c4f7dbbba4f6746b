//! `load`: where records go.

use std::time::Duration;

use serde_json::Value;

use super::auth::{auth, header_name, headers};
use super::{HOUR, MILLISECOND, small};
use crate::error::SpecError;
use crate::spec::field::{Field, Table};
use crate::spec::template::{Allowed, Template, parse_checked};
use crate::spec::tree::Node;
use crate::spec::types::{
    Answer, AnswerPattern, BodyForm, Compress, FilesTarget, HttpTarget, LoadMethod, LoadSpec, OnDoubt, Parameter,
    PerRecord, PostgresTarget, ProbeSpec, TargetSpec,
};
use crate::spec::value::ValueTemplate;
use crate::transform::Transform;

/// Statuses that say something about who asks, or when, and nothing about a record.
const ABOUT_THE_REQUEST: [u16; 5] = [401, 403, 408, 425, 429];

/// Words and values of the enumerations, shared with the canonical writer.
pub(crate) const ON_DOUBT: [(&str, OnDoubt); 3] =
    [("retry", OnDoubt::Retry), ("hold", OnDoubt::Hold), ("probe", OnDoubt::Probe)];
pub(crate) const ANSWERS: [(&str, Answer); 2] = [("json", Answer::Json), ("any", Answer::Any)];
pub(crate) const METHODS: [(&str, LoadMethod); 3] =
    [("POST", LoadMethod::Post), ("PUT", LoadMethod::Put), ("PATCH", LoadMethod::Patch)];
pub(crate) const COMPRESS: [(&str, Compress); 2] = [("none", Compress::None), ("gzip", Compress::Gzip)];
pub(crate) const BODIES: [(&str, BodyWord); 3] =
    [("array", BodyWord::Array), ("ndjson", BodyWord::Ndjson), ("record", BodyWord::Record)];

/// The header with a delivery's key, unless the pipeline names another.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// What stands in `load.wrap` where the array of records goes.
pub(crate) const BATCH: &str = "$batch";

/// The word for the form of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyWord {
    Array,
    Ndjson,
    Record,
}

/// Keys that every target has.
const SHARED: [&str; 7] =
    ["max_batch", "on_doubt", "post_timeout", "settle_after", "max_attempts", "max_rejected_in_a_row", "compress"];
/// Keys of an HTTP API.
const HTTP: [&str; 11] = [
    "request",
    "auth",
    "headers",
    "body",
    "wrap",
    "idempotency_header",
    "not_applied",
    "rejected",
    "answer",
    "per_record",
    "probe",
];

pub(super) fn load(field: &Field<'_>, parameters: &[Parameter]) -> Result<LoadSpec, SpecError> {
    let known: Vec<&str> = HTTP.into_iter().chain(["files", "postgres"]).chain(SHARED).collect();
    let table = field.table(&known)?;
    let on_doubt = table.or("on_doubt", OnDoubt::Retry, |field| field.one_of(&ON_DOUBT))?;
    let (target, most) = match (table.get("files"), table.get("postgres")) {
        (None, None) => {
            let http = http(&table, on_doubt, parameters)?;
            let most = if http.body == BodyForm::Record { 1 } else { 10_000 };
            (TargetSpec::Http(Box::new(http)), most)
        }
        (Some(files), None) => {
            alone(&table, "files", on_doubt)?;
            (TargetSpec::Files(self::files(&files, compress(&table)?, parameters)?), 10_000)
        }
        (None, Some(postgres)) => {
            alone(&table, "postgres", on_doubt)?;
            if let Some(field) = table.get("compress") {
                return Err(field.error("nothing is compressed on its way into a table"));
            }
            (TargetSpec::Postgres(self::postgres(&postgres)?), 10_000)
        }
        (Some(_), Some(field)) => {
            return Err(field.error("records go to one target").help("drop files or postgres"));
        }
    };
    let post_timeout = table.or("post_timeout", Duration::from_secs(25), |field| field.duration(MILLISECOND, HOUR))?;
    Ok(LoadSpec {
        target,
        max_batch: table.or("max_batch", most.min(100), |field| batch_size(&field, most))?,
        on_doubt,
        post_timeout,
        settle_after: table.or("settle_after", post_timeout, |field| field.duration(Duration::ZERO, 24 * HOUR))?,
        max_attempts: table.or("max_attempts", 8, |field| small(&field, 1, 1000))?,
        max_rejected_in_a_row: table.or("max_rejected_in_a_row", 3, |field| small(&field, 1, 1000))?,
    })
}

fn batch_size(field: &Field<'_>, most: u32) -> Result<u32, SpecError> {
    if most == 1 && field.integer(1, 10_000)? > 1 {
        return Err(field
            .error("with body: record each record is a request, and so a batch, of its own")
            .help("drop max_batch, or send several records at once: body: array"));
    }
    small(field, 1, most.into())
}

/// Keys of an HTTP API have no meaning beside another target.
fn alone(table: &Table<'_>, target: &str, on_doubt: OnDoubt) -> Result<(), SpecError> {
    if let Some((name, field)) = table.entries().find(|(name, _)| HTTP.contains(name)) {
        return Err(field.error(format!("{name} says nothing beside {target}")).help("records go to one target"));
    }
    match table.get("on_doubt") {
        Some(field) if on_doubt == OnDoubt::Probe => Err(field
            .error(format!("{target} cannot be asked for a record"))
            .help("retry does no harm there: a repeat takes the place of what it repeats")),
        _ => Ok(()),
    }
}

fn compress(table: &Table<'_>) -> Result<Compress, SpecError> {
    table.or("compress", Compress::None, |field| field.one_of(&COMPRESS))
}

fn http(table: &Table<'_>, on_doubt: OnDoubt, parameters: &[Parameter]) -> Result<HttpTarget, SpecError> {
    let request = table.need("request")?.table(&["method", "url", "headers"])?;
    let probe = table.get("probe").map(|field| probe(&field, on_doubt, parameters)).transpose()?;
    if let (OnDoubt::Probe, None, Some(field)) = (on_doubt, &probe, table.get("on_doubt")) {
        let help = "say it under load.probe.url, such as \"${param:base_url}/items/${record:id}\"";
        return Err(field.error("where to ask the target for a record is missing").help(help));
    }
    let body = body(table, parameters)?;
    let url = request.need("url")?;
    let of_a_record = body == BodyForm::Record && url.text()?.contains("${record:id}");
    let mut all = headers(table, parameters)?;
    for (name, value) in headers(&request, parameters)? {
        all.retain(|(known, _)| *known != name);
        all.push((name, value));
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(HttpTarget {
        method: request.or("method", LoadMethod::Post, |field| field.one_of(&METHODS))?,
        url: Template::read(&url, parameters, if of_a_record { Allowed::Record } else { Allowed::Fixed })?,
        headers: all,
        auth: auth(table, parameters)?,
        per_record: table.get("per_record").map(|field| per_record(&field, &body)).transpose()?,
        body,
        compress: compress(table)?,
        idempotency_header: match table.get("idempotency_header") {
            Some(field) if field.is_word("none") => None,
            Some(field) => Some(header_name(&field)?),
            None => Some(IDEMPOTENCY_KEY.to_owned()),
        },
        not_applied: table.or("not_applied", Vec::new(), |field| patterns(&field))?,
        rejected: table.or("rejected", vec![400, 409, 413, 422], |field| statuses(&field, 400, 499))?,
        answer: table.or("answer", Answer::Json, |field| field.one_of(&ANSWERS))?,
        probe,
    })
}

fn body(table: &Table<'_>, parameters: &[Parameter]) -> Result<BodyForm, SpecError> {
    let word = table.or("body", BodyWord::Array, |field| field.one_of(&BODIES))?;
    let Some(field) = table.get("wrap") else {
        return Ok(match word {
            BodyWord::Array => BodyForm::Array,
            BodyWord::Ndjson => BodyForm::Ndjson,
            BodyWord::Record => BodyForm::Record,
        });
    };
    if word != BodyWord::Array {
        return Err(field.error("only an array of records has something around it").help("drop wrap, or body"));
    }
    field.any_table()?;
    references_around(&field, parameters)?;
    let object = field.node().value.to_json();
    match places_of_batch(&object) {
        1 => Ok(BodyForm::Wrapped(object)),
        0 => Err(field.error("where the records go is missing").help("such as wrap: { items: $batch }")),
        _ => Err(field.error("the records go to one place").help("write $batch once")),
    }
}

/// Texts around the records may refer to parameters.
fn references_around(field: &Field<'_>, parameters: &[Parameter]) -> Result<(), SpecError> {
    match &field.node().value {
        Node::Text(text) => parse_checked(field, text, parameters, Allowed::Text).map(drop),
        Node::List(_) => field.list()?.iter().try_for_each(|item| references_around(item, parameters)),
        Node::Table(_) => field.any_table()?.entries().try_for_each(|(name, field)| {
            if name.contains("${") {
                return Err(field
                    .error("a reference must not stand in the name of a key")
                    .help("references stand in what a key has: name: \"${param:NAME}\""));
            }
            references_around(&field, parameters)
        }),
        _ => Ok(()),
    }
}

fn places_of_batch(value: &Value) -> usize {
    match value {
        Value::String(text) => usize::from(text == BATCH),
        Value::Array(items) => items.iter().map(places_of_batch).sum(),
        Value::Object(entries) => entries.values().map(places_of_batch).sum(),
        _ => 0,
    }
}

fn per_record(field: &Field<'_>, body: &BodyForm) -> Result<PerRecord, SpecError> {
    if *body == BodyForm::Record {
        return Err(field.error("with body: record an answer is about one record already").help("drop per_record"));
    }
    let table = field.table(&["status", "outcomes"])?;
    Ok(PerRecord {
        status: table.or("status", vec![200, 207], |field| statuses(&field, 200, 299))?,
        outcomes: Transform::read(&table.need("outcomes")?)?,
    })
}

fn files(field: &Field<'_>, compress: Compress, parameters: &[Parameter]) -> Result<FilesTarget, SpecError> {
    let table = field.table(&["url", "endpoint", "region", "access_key_id", "secret_access_key"])?;
    let secret = |name: &str| table.get(name).map(|field| ValueTemplate::read_secret(&field)).transpose();
    Ok(FilesTarget {
        url: Template::read(&table.need("url")?, parameters, Allowed::Fixed)?,
        compress,
        endpoint: table.get("endpoint").map(|field| Template::read(&field, parameters, Allowed::Fixed)).transpose()?,
        region: table.get("region").map(|field| Template::read(&field, parameters, Allowed::Text)).transpose()?,
        access_key_id: secret("access_key_id")?,
        secret_access_key: secret("secret_access_key")?,
    })
}

fn postgres(field: &Field<'_>) -> Result<PostgresTarget, SpecError> {
    let table = field.table(&["url", "table", "update_by"])?;
    let name = table.need("table")?;
    let text = name.text()?;
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 2 || parts.iter().any(|part| !is_identifier(part)) {
        return Err(name
            .error("a table's name is table or schema.table, of letters, digits and _")
            .help("such as zoo.animals"));
    }
    let column = |field: Field<'_>| {
        let text = field.text()?;
        if is_identifier(text) { Ok(text.to_owned()) } else { Err(field.error("this is not the name of a column")) }
    };
    Ok(PostgresTarget {
        url: ValueTemplate::read_secret(&table.need("url")?)?,
        table: text.to_owned(),
        update_by: table.or("update_by", Vec::new(), |field| field.list()?.into_iter().map(column).collect())?,
    })
}

/// PostgreSQL keeps 63 bytes of a name.
fn is_identifier(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && text.len() <= 63
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
    Ok(ProbeSpec { url: Template::read(&table.need("url")?, parameters, Allowed::Record)?, present, absent })
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
                field
                    .error(format!("this is not a regular expression: {reason}"))
                    .help("a sign that stands for itself has a backslash before it: \\\\(")
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
