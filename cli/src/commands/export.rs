//! `export`: every record of a run with its state, as a stream.

use std::io::{self, BufWriter, ErrorKind, Write};

use muster_proto::v1::{ExportLedgerRequest, LedgerRow};
use muster_telemetry::Stderr;

use crate::args::{ExportArgs, ExportFormat};
use crate::client::Client;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::manner;
use crate::output::Reader;
use crate::render::numbers::counted;
use crate::render::rows;
use crate::whole_file::{keep, unfinished, unwritten};

/// `muster export RUN`.
pub async fn export(args: ExportArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let client = Client::connect_to_read(args.read.target()?).await?;
    let run_id = client.run_id(&args.run).await?;
    match args.output {
        None => {
            let mut out = Rows::new(BufWriter::new(io::stdout().lock()), args.format);
            match all(&client, &run_id, &mut out).await? {
                // Whoever reads has seen enough.
                Reader::Gone => {}
                Reader::There => drop(ended(out.finish(), "standard output")?),
            }
        }
        Some(path) => {
            let place = path.display().to_string();
            let file = unfinished(&path)?;
            let mut out = Rows::new(BufWriter::new(file), args.format);
            all(&client, &run_id, &mut out).await?;
            let rows = out.written;
            if let Some(file) = ended(out.finish(), &place)? {
                keep(file, &path)?;
            }
            let what = counted(i64::try_from(rows).unwrap_or(i64::MAX), "row", "rows");
            manner::remark(stderr, &format!("{what} of run {run_id} in {place}"));
        }
    }
    Ok(Exit::Fine)
}

/// Passes all rows on, a message at a time.
async fn all<W: Write>(client: &Client, run_id: &str, out: &mut Rows<W>) -> Result<Reader, Failure> {
    let request = ExportLedgerRequest { run_id: run_id.to_owned() };
    let answer = client.audit().export_ledger(request).await.map_err(|status| client.failure(status))?;
    let mut stream = answer.into_inner();
    while let Some(message) = stream.message().await.map_err(|status| client.failure(status))? {
        for row in &message.rows {
            match out.write(row) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Reader::Gone),
                Err(error) => return Err(unwritten("the rows", &error)),
            }
        }
    }
    Ok(Reader::There)
}

/// What was written to, or nothing when nobody reads it any more.
fn ended<T>(finished: io::Result<T>, place: &str) -> Result<Option<T>, Failure> {
    match finished {
        Ok(output) => Ok(Some(output)),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(None),
        Err(error) => Err(unwritten(place, &error)),
    }
}

/// Rows as they are wanted. A heading comes first, also of no rows.
struct Rows<W: Write> {
    output: Output<W>,
    written: u64,
}

enum Output<W: Write> {
    Json(W),
    Csv(Box<csv::Writer<W>>, bool),
}

impl<W: Write> Rows<W> {
    fn new(output: W, format: ExportFormat) -> Rows<W> {
        let output = match format {
            ExportFormat::Jsonl => Output::Json(output),
            ExportFormat::Csv => Output::Csv(Box::new(csv::Writer::from_writer(output)), false),
        };
        Rows { output, written: 0 }
    }

    fn write(&mut self, row: &LedgerRow) -> io::Result<()> {
        self.heading()?;
        match &mut self.output {
            Output::Json(output) => {
                serde_json::to_writer(&mut *output, &rows::json(row))?;
                output.write_all(b"\n")?;
            }
            Output::Csv(output, _) => output.write_record(rows::cells(row)).map_err(io_error)?,
        }
        self.written += 1;
        Ok(())
    }

    fn heading(&mut self) -> io::Result<()> {
        if let Output::Csv(output, is_headed @ false) = &mut self.output {
            *is_headed = true;
            output.write_record(rows::HEADING).map_err(io_error)?;
        }
        Ok(())
    }
}

impl<W: Write> Rows<BufWriter<W>> {
    /// Writes what is left, and gives back what was written to.
    fn finish(mut self) -> io::Result<W> {
        self.heading()?;
        let output = match self.output {
            Output::Json(output) => output,
            Output::Csv(output, _) => output.into_inner().map_err(|error| io::Error::from(error.error().kind()))?,
        };
        output.into_inner().map_err(|error| io::Error::from(error.error().kind()))
    }
}

fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: ExportFormat, rows: &[LedgerRow]) -> String {
        let mut out = Rows::new(BufWriter::new(Vec::new()), format);
        rows.iter().for_each(|row| out.write(row).expect("written"));
        assert_eq!(out.written, rows.len() as u64);
        String::from_utf8(out.finish().expect("finished")).expect("text")
    }

    fn row(record_id: &str) -> LedgerRow {
        LedgerRow { record_id: record_id.into(), round: 1, reason: "a \"b\", c".into(), ..LedgerRow::default() }
    }

    #[test]
    fn a_row_is_a_line_and_an_id_is_as_it_came() {
        let text = written(ExportFormat::Jsonl, &[row("123456789012345678901234567890"), row("\"7\"")]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("{\"record_id\":123456789012345678901234567890,\"round\":1,"), "{text}");
        assert!(lines[1].starts_with("{\"record_id\":\"7\",\"round\":1,"), "{text}");
        assert_eq!((lines.len(), written(ExportFormat::Jsonl, &[]).as_str()), (2, ""));
    }

    #[test]
    fn values_are_quoted_and_have_a_heading() {
        let text = written(ExportFormat::Csv, &[row("7"), row("\"7\"")]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("record_id,round,state,"), "{text}");
        assert!(lines[1].starts_with("7,1,") && lines[1].contains(",\"a \"\"b\"\", c\","), "{text}");
        assert!(lines[2].starts_with("\"\"\"7\"\"\",1,"), "{text}");
        assert_eq!(written(ExportFormat::Csv, &[]).lines().count(), 1);
    }
}
