//! Flags of the commands that make what coordinators and their clients let each other in by.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum, ValueHint};

use super::operate::age;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Reads: runs, verdicts, records, workers
    Viewer,
    /// Starts, stops and settles runs too
    Operator,
    /// Leases batches and reports them
    Worker,
}

impl Role {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Worker => "worker",
        }
    }
}

/// Flags of `muster token`.
#[derive(Args, Debug)]
pub struct TokenArgs {
    /// Who is to come in by it. A second entry of the same name replaces a token without a break
    #[arg(value_parser = name)]
    pub name: String,
    /// What it is good for
    #[arg(long, env = "MUSTER_ROLE", value_enum)]
    pub role: Role,
    /// How long it is good, such as 90d, 12h or 2w [default: for good]
    #[arg(long, env = "MUSTER_EXPIRES", value_name = "TIME", value_parser = age)]
    pub expires: Option<Duration>,
    /// Write the token into this new file, which only its owner can read, and print nothing but the entry
    #[arg(short, long, env = "MUSTER_OUTPUT", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// Flags of `muster dev-certs`.
#[derive(Args, Debug)]
pub struct DevCertsArgs {
    /// The folder for them, which is made if it is not there
    #[arg(default_value = "dev-certs", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// One more name or address of the coordinator; may be given more than once
    #[arg(long, env = "MUSTER_HOST", value_name = "NAME", value_delimiter = ',')]
    pub host: Vec<String>,
    /// How long they are good, such as 90d
    #[arg(long, env = "MUSTER_EXPIRES", value_name = "TIME", value_parser = age, default_value = "90d")]
    pub expires: Duration,
    /// Write over what is there: everything that was issued before is of no use then
    #[arg(long, env = "MUSTER_FORCE", value_parser = BoolishValueParser::new())]
    pub force: bool,
}

/// The rule of the access file.
fn name(text: &str) -> Result<String, String> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_.@".contains(character);
    if (1..=128).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("expected 1 to 128 characters of A-Z a-z 0-9 - _ . @".to_owned())
}
