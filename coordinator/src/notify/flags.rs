//! The flags that say who is told when a run ends or stalls.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_pipeline::{Messenger, RequesterConfig, proxy_url};
use muster_telemetry::names;
use url::Url;

use super::command::Command;
use super::sign::{HOW_TO_MAKE, Keys, Secrets};
use super::webhook::Webhook;
use super::{Notify, Way, address};

/// What may hold the secret itself.
const SECRET: &str = "MUSTER_NOTIFY_SECRET";
/// Destinations of a kind.
const MOST: usize = 16;
/// When a run has stalled, where nobody says otherwise.
const STALLED_AFTER: Duration = Duration::from_secs(300);

/// Who is told, by flags.
#[derive(Clone, clap::Args)]
pub struct NotifyArgs {
    /// Post a signed message (Standard Webhooks) to this URL when a run ends or stalls; may be given more than once (in the
    /// environment: one a line). A URL that holds a secret is better given there: whoever lists processes sees flags
    #[arg(long, env = "MUSTER_NOTIFY_URL", hide_env_values = true, value_name = "URL", value_delimiter = '\n')]
    pub notify_url: Vec<String>,
    /// File with the secret that signs these messages: whsec_ and Base64, one a line while a new one takes an old one's place;
    /// read again for each message. Or the secret itself in MUSTER_NOTIFY_SECRET
    #[arg(long, env = "MUSTER_NOTIFY_SECRET_FILE", value_name = "FILE")]
    pub notify_secret_file: Option<PathBuf>,
    /// A proxy for those of these messages that leave this machine: http://HOST:PORT. With a name and a password in it, better
    /// given in MUSTER_NOTIFY_PROXY: whoever lists processes sees flags
    #[arg(long, env = "MUSTER_NOTIFY_PROXY", hide_env_values = true, value_name = "URL", value_parser = proxy_url)]
    pub notify_proxy: Option<Url>,
    /// Start this program when a run ends or stalls, without arguments: it reads the same message on its standard input. May
    /// be given more than once (in the environment: one a line)
    #[arg(long, env = "MUSTER_NOTIFY_COMMAND", value_name = "PROGRAM", value_delimiter = '\n')]
    pub notify_command: Vec<PathBuf>,
    /// A run has stalled when no page was listed and no record came to an end for so long; one that pauses by itself has at
    /// once [default: 5m]
    #[arg(long, env = "MUSTER_STALLED_AFTER", value_name = "TIME", value_parser = stalled_after)]
    pub stalled_after: Option<Duration>,
}

impl std::fmt::Debug for NotifyArgs {
    /// Without the URLs: they may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NotifyArgs")
            .field("urls", &self.notify_url.len())
            .field("secret_file", &self.notify_secret_file)
            .field("has_proxy", &self.notify_proxy.is_some())
            .field("commands", &self.notify_command)
            .field("stalled_after", &self.stalled_after)
            .finish()
    }
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
        if urls.is_empty() && self.notify_secret_file.is_some() {
            return Err("--notify-secret-file signs what webhooks are sent, and there is none: give --notify-url URL"
                .to_owned());
        }
        if urls.is_empty() && self.notify_proxy.is_some() {
            return Err("--notify-proxy is where webhooks go by, and there is none: give --notify-url URL".to_owned());
        }
        if !urls.is_empty() {
            let secrets = self.secrets()?;
            let user_agent = RequesterConfig::default().user_agent;
            let messenger = |proxy| Messenger::new(&user_agent, proxy).map_err(|error| error.to_string());
            // What goes in clear does not leave this machine.
            let (here, away) = (messenger(None)?, messenger(self.notify_proxy.as_ref())?);
            for text in urls {
                let url = address::check(text).map_err(|wrong| format!("--notify-url cannot be used: {wrong}"))?;
                warn_if_listed(text, &url);
                let messenger = if url.scheme() == "http" { here.clone() } else { away.clone() };
                let secrets = secrets.clone();
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
        if ways.is_empty() && self.stalled_after.is_some() {
            return Err(
                "--stalled-after says when somebody is told, and nobody is: give --notify-url or --notify-command"
                    .to_owned(),
            );
        }
        // Who is given twice is told once.
        let mut names = HashSet::new();
        ways.retain(|way| names.insert(way.destination().name));
        Ok(Notify { ways, stalled_after: self.stalled_after.unwrap_or(STALLED_AFTER), dashboard: None })
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

/// A path may be a secret, and whoever lists processes sees the command line.
fn warn_if_listed(text: &str, url: &Url) {
    let has_more = url.path() != "/" || url.query().is_some();
    if has_more && std::env::args_os().any(|argument| argument.to_string_lossy().contains(text)) {
        tracing::warn!(
            destination = address::shown(url),
            { names::NEXT } = "if its path is a secret, give it in MUSTER_NOTIFY_URL",
            "whoever lists the processes of this machine sees the webhook's URL as it was given"
        );
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

    fn args() -> NotifyArgs {
        NotifyArgs {
            notify_url: vec![],
            notify_secret_file: None,
            notify_proxy: None,
            notify_command: vec![],
            stalled_after: None,
        }
    }

    #[test]
    fn flags_that_say_how_nobody_is_told_are_refused() {
        assert!(args().notify().unwrap().is_nobody());
        let secret = NotifyArgs { notify_secret_file: Some("webhook.secret".into()), ..args() };
        assert!(secret.notify().unwrap_err().contains("give --notify-url"));
        let proxy = NotifyArgs { notify_proxy: Url::parse("http://proxy.example:3128").ok(), ..args() };
        assert!(proxy.notify().unwrap_err().contains("give --notify-url"));
        let stalled = NotifyArgs { stalled_after: Some(Duration::from_secs(90)), ..args() };
        assert!(stalled.notify().unwrap_err().contains("give --notify-url or --notify-command"));
    }

    #[test]
    fn urls_do_not_print_themselves() {
        let args = NotifyArgs { notify_url: vec!["https://hooks.example/hunter2".into()], ..args() };
        assert!(!format!("{args:?}").contains("hunter2"));
    }
}
