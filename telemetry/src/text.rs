//! Log lines for people: `08:23:45.123Z WARN  the target refused a batch  run.id=animals-1x2y batch=12`.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::names;
use crate::trace::Ids;

/// Formats one event as one line.
pub(crate) struct TextEvent;

/// Formats fields as `name=value`, values quoted where they need it, a name's `muster.` left out.
pub(crate) struct TextFields;

impl<S, N> FormatEvent<S, N> for TextEvent
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = *event.metadata().level();
        write!(writer, "{} ", time_of_day(SystemTime::now()))?;
        match colour(level).filter(|_| writer.has_ansi_escapes()) {
            Some(code) => write!(writer, "\x1b[{code}m{:<5}\x1b[0m", level.as_str())?,
            None => write!(writer, "{:<5}", level.as_str())?,
        }
        // Whoever turns on these levels is looking for a place in the code.
        if level >= Level::DEBUG {
            write!(writer, " {}:", event.metadata().target())?;
        }
        let mut line = Collected::default();
        event.record(&mut line);
        write!(writer, " {}", line.message)?;
        let mut gap = "  ";
        if !line.fields.is_empty() {
            write!(writer, "{gap}{}", line.fields)?;
            gap = " ";
        }
        for span in ctx.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<N>>().filter(|fields| !fields.is_empty()) {
                write!(writer, "{gap}{fields}")?;
                gap = " ";
            }
        }
        if let Some(Ids { trace, span }) = Ids::current() {
            write!(writer, "{gap}{}={trace} {}={span}", names::TRACE, names::SPAN)?;
        }
        writeln!(writer)
    }
}

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Collected::default();
        fields.record(&mut line);
        if !line.message.is_empty() {
            push_field(&mut line.fields, "message", &line.message.clone());
        }
        writer.write_str(&line.fields)
    }
}

/// An event's or span's fields, as text.
#[derive(Default)]
struct Collected {
    message: String,
    fields: String,
}

impl Visit for Collected {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            push_escaped(&mut self.message, value);
        } else {
            push_field(&mut self.fields, field.name(), value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Appends `name=value`, apart from what is there already.
fn push_field(fields: &mut String, name: &str, value: &str) {
    if !fields.is_empty() {
        fields.push(' ');
    }
    fields.push_str(name.strip_prefix("muster.").unwrap_or(name));
    fields.push('=');
    let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
    if plain || is_quoted(value) {
        push_escaped(fields, value);
    } else {
        fields.push('"');
        push_escaped(fields, &value.replace('"', "\\\""));
        fields.push('"');
    }
}

/// Whether this is one quoted text already, as a record's ID in JSON is: its own quotes are quotes enough.
fn is_quoted(value: &str) -> bool {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return false };
    let mut escaped = false;
    for c in inner.chars() {
        if c == '"' && !escaped {
            return false;
        }
        escaped = c == '\\' && !escaped;
    }
    !escaped
}

/// Appends `text` with its control characters escaped: a hostile record must neither forge a line nor steer a terminal.
fn push_escaped(to: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() { to.extend(c.escape_default()) } else { to.push(c) }
    }
}

/// `HH:MM:SS.mmmZ` in UTC; the day is in the JSON format.
fn time_of_day(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs() % 86_400, since.subsec_millis());
    format!("{:02}:{:02}:{:02}.{millis:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The ANSI colour of a level that should stand out.
fn colour(level: Level) -> Option<u8> {
    match level {
        Level::ERROR => Some(31),
        Level::WARN => Some(33),
        Level::INFO => Some(32),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::kept::Kept;

    /// What `log` writes, without the time.
    fn logged(log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(TextFields)
            .event_format(TextEvent)
            .with_ansi(false)
            .with_writer(kept.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| format!("{}\n", &line["00:00:00.000Z ".len()..])).collect()
    }

    #[test]
    fn an_event_is_one_line_with_its_spans_fields_after_its_own() {
        let text = logged(|| {
            let _batch = tracing::info_span!("batch", { names::RUN } = "animals-1x2y", { names::BATCH } = 12).entered();
            tracing::warn!({ names::HTTP_STATUS } = 500, { names::NEXT } = "tries again in 2 s", "the fetch failed");
        });
        assert_eq!(
            text,
            "WARN  the fetch failed  http.response.status_code=500 next=\"tries again in 2 s\" run.id=animals-1x2y \
             batch=12\n"
        );
    }

    #[test]
    fn control_characters_forge_no_line() {
        let text = logged(|| tracing::info!(name = "a\nERROR all is lost", "herd\x1b[2J"));
        assert_eq!(text, "INFO  herd\\u{1b}[2J  name=\"a\\nERROR all is lost\"\n");
    }

    #[test]
    fn a_record_id_keeps_its_quotes_and_others_get_theirs() {
        let text = logged(|| tracing::info!({ names::RECORD } = "\"7\"", empty = "", quoted = "say \"a\"", "x"));
        assert_eq!(text, "INFO  x  record.id=\"7\" empty=\"\" quoted=\"say \\\"a\\\"\"\n");
        assert!(is_quoted(r#""a\"b""#) && !is_quoted(r#""a" b="c""#) && !is_quoted(r#""a\""#) && !is_quoted("\""));
    }

    #[test]
    fn debug_lines_name_their_place() {
        let text = logged(|| tracing::debug!("looking"));
        assert_eq!(text, "DEBUG muster_telemetry::text::tests: looking\n");
    }

    #[test]
    fn the_time_is_of_the_day_in_utc() {
        let time = UNIX_EPOCH + Duration::from_millis(86_400_000 * 3 + 3_600_000 * 8 + 23 * 60_000 + 45_123);
        assert_eq!(time_of_day(time), "08:23:45.123Z");
    }
}
