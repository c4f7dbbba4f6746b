//! The flags that say who is told when a run ends or stalls.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_pipeline::{Messenger, RequesterConfig};

use super::command::Command;
use super::sign::{HOW_TO_MAKE, Keys, Secrets};
use super::webhook::Webhook;
use super::{Notify, Way, address};

/// What may hold the secret itself.
const SECRET: &str = "MUSTER_NOTIFY_SECRET";
/// Destinations of a kind.
const MOST: usize = 16;

/// Who is told, by flags.
#[derive(Debug, Clone, clap::Args)]
pub struct NotifyArgs {
    /// Post a signed message (Standard Webhooks) to this URL when a run ends or stalls; may be given more than once (in the
    /// environment: one a line). A URL that holds a secret is better given there: whoever lists processes sees flags
    #[arg(long, env = "MUSTER_NOTIFY_URL", hide_env_values = true, value_name = "URL", value_delimiter = '\n')]
    pub notify_url: Vec<String>,
    /// File with the secret that signs these messages: whsec_ and Base64, one a line while a new one takes an old one's place;
    /// read again for each message. Or the secret itself in MUSTER_NOTIFY_SECRET
    #[arg(long, env = "MUSTER_NOTIFY_SECRET_FILE", value_name = "FILE")]
    pub notify_secret_file: Option<PathBuf>,
    /// Start this program when a run ends or stalls, without arguments: it reads the same message on its standard input. May
    /// be given more than once (in the environment: one a line)
    #[arg(long, env = "MUSTER_NOTIFY_COMMAND", value_name = "PROGRAM", value_delimiter = '\n')]
    pub notify_command: Vec<PathBuf>,
    /// A run has stalled when no page was listed and no record came to an end for so long; one that pauses by itself has at
    /// once
    #[arg(long, env = "MUSTER_STALLED_AFTER", value_name = "TIME", default_value = "5m", value_parser = stalled_after)]
    pub stalled_after: Duration,
}

/// From a second to 30 days.
fn stalled_after(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        _ => None,
    };
    let seconds = unit.zip(digits.parse::<u64>().ok()).and_then(|(unit, count)| count.checked_mul(unit));
    match seconds {
        Some(seconds @ 1..=2_592_000) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected 1s to 30d, such as 90s, 5m or 2h".to_owned()),
    }
}

impl NotifyArgs {
    /// Who is told.
    ///
    /// # Errors
    /// What is wrong with the flags, and what to do.
    pub fn notify(&self) -> Result<Notify, String> {
        let mut ways = Vec::new();
        let urls: Vec<&str> = self.notify_url.iter().map(|url| url.trim()).filter(|url| !url.is_empty()).collect();
        if urls.len() > MOST {
            return Err(format!("--notify-url is given {} times, and at most {MOST} webhooks are told", urls.len()));
        }
        if !urls.is_empty() {
            let secrets = self.secrets()?;
            let messenger =
                Messenger::new(&RequesterConfig::default().user_agent).map_err(|error| error.to_string())?;
            for url in urls {
                let url = address::check(url).map_err(|wrong| format!("--notify-url cannot be used: {wrong}"))?;
                let (secrets, messenger) = (secrets.clone(), messenger.clone());
                ways.push(Way::Webhook(Arc::new(Webhook { url, secrets, messenger })));
            }
        }
        let programs: Vec<&PathBuf> = self.notify_command.iter().filter(|path| !path.as_os_str().is_empty()).collect();
        if programs.len() > MOST {
            return Err(format!("--notify-command is given {} times, and at most {MOST} are started", programs.len()));
        }
        for program in programs {
            let command = Command::of(program).map_err(|wrong| format!("--notify-command {wrong}"))?;
            ways.push(Way::Command(Arc::new(command)));
        }
        // Who is given twice is told once.
        let mut names = HashSet::new();
        ways.retain(|way| names.insert(way.destination().name));
        Ok(Notify { ways, stalled_after: self.stalled_after, dashboard: None })
    }

    fn secrets(&self) -> Result<Secrets, String> {
        let of_variable = std::env::var(SECRET).ok().filter(|text| !text.is_empty());
        let secrets = match (&self.notify_secret_file, of_variable) {
            (Some(file), _) => Secrets::File(file.clone()),
            (None, Some(text)) => {
                Secrets::Variable(Keys::read(&text).map_err(|wrong| format!("{SECRET} cannot be used: {wrong}"))?)
            }
            (None, None) => {
                return Err(format!(
                    "--notify-url needs a secret, so that the receiver knows who speaks: give --notify-secret-file FILE or \
                     {SECRET}; make one with: {HOW_TO_MAKE}"
                ));
            }
        };
        secrets.keys().map_err(|wrong| format!("--notify-secret-file cannot be used: {wrong}"))?;
        Ok(secrets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_with_a_unit() {
        assert_eq!(stalled_after("90s"), Ok(Duration::from_secs(90)));
        assert_eq!((stalled_after("5m"), stalled_after("2h")), (stalled_after("300s"), stalled_after("120m")));
        for wrong in ["", "5", "m", "0s", "31d", "-1s", "1.5h", "5 m", "99999999999999999999d", "5ms"] {
            assert!(stalled_after(wrong).is_err(), "{wrong}");
        }
    }
}
