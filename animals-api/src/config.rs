//! What a stand-in is told when it starts.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bits::Bits;
use crate::chaos::Kind;
use crate::guard::{Guard, TokenLife};
use crate::knobs::Knobs;
use crate::limits::{RateLimit, WindowLimit};

/// The book needs up to 16 bytes for each.
const MOST_ANIMALS: u64 = 100_000_000;

/// Everything a [`Server`](crate::Server) needs to know. The default behaves as the real API does: 500 to 600 pages
/// of 10, chaos on 2.5% of the requests, stalls of 5 to 15 whole seconds; no special records, no limit, not strict.
#[derive(Clone, Debug)]
pub struct Config {
    /// Same seed, same animals, same special records, same order of chaos draws.
    pub seed: u64,
    /// How many animals there are: IDs `0..animals`, at most 100 million. The default follows from the default seed;
    /// see [`Config::seeded`].
    pub animals: u64,
    /// Animals per listed page; 0 counts as 1.
    pub page_size: u32,
    /// Every request but `/` and the book waits this long, and then is processed.
    pub latency: Duration,
    /// Up to this much is added to `latency`, evenly drawn.
    pub jitter: Duration,
    /// The chance, 0 to 1, that a request meets chaos.
    pub chaos: f64,
    /// The share of chaos, 0 to 1, that is a stall; the rest is a 500, 502, 503 or 504 `Sorry!`.
    pub stall_share: f64,
    /// Which requests can meet chaos at all.
    pub chaos_on: ChaosOn,
    /// How long a stall lasts; in whole seconds if both ends are whole seconds, else in milliseconds.
    pub stall: RangeInclusive<Duration>,
    /// The chance, 0 to 1, that a POST is stored in part: a random half of its animals, and the answer is a 500
    /// `Internal Server Error`.
    pub partial: f64,
    /// Of animals that are answered each for itself: the chance, 0 to 1, that one is not stored because the home is busy.
    pub busy: f64,
    /// What becomes of a waiting request whose client leaves.
    pub disconnect: Disconnect,
    /// Records that the target refuses, with the whole batch, with a 422 that names their place.
    pub poison: Amount,
    /// Records that are listed, but whose detail is a 404.
    pub gone: Amount,
    /// Records whose detail has the wrong shape: `born_at` a text, `friends` a number, or no `name`.
    pub malformed: Amount,
    /// Animals whose detail or checkups have fields that the documentation does not know; any, also the poisonous.
    pub drift: Amount,
    /// A correct client sends each animal with its checkups, `null` for one without a list, under `checkups`.
    pub checkups: bool,
    /// 429 with Retry-After beyond this rate; none by default.
    pub rate_limit: Option<RateLimit>,
    /// 429 with Retry-After beyond so many requests in a window; none by default.
    pub window_limit: Option<WindowLimit>,
    /// Which requests these limits count and refuse; all of them by default.
    pub limit_on: ChaosOn,
    /// What requests must carry, all but those for `/` and the book; nothing by default.
    pub guard: Option<Guard>,
    /// How long the tokens live that [`Guard::OAuth2`] wants; an hour by default.
    pub token_life: TokenLife,
    /// Every answer, good or bad, says back what its request carried, credentials too, as careless servers do.
    pub echo: bool,
    /// The verifying mode: a POST crosses its animals off one by one and answers 500 `Internal Server Error` at the
    /// first that is unknown, differs from what was expected, or was crossed off before. What went before it stays
    /// crossed off, so that the batch fails for ever.
    pub strict: bool,
    /// Animals change their places in the list while it is read; none by default.
    pub shifting: Option<Shifting>,
    /// So many animals, those with the highest IDs, are not there before they are added: see
    /// [`Server::change`](crate::Server::change). None by default.
    pub later: u64,
    /// The items of all lists are whole animals, as their details are: malformed ones too. Goes with no animal that is gone.
    pub whole_items: bool,
    /// Keep every accepted payload as it was sent, not just its hash. Costs the size of what is sent.
    pub keep_payloads: bool,
    /// Keep when each request came, for [`Book::requests`](crate::Book::requests): 24 bytes each. Not by default.
    pub keep_times: bool,
    /// Bodies beyond this many bytes are a 413.
    pub max_body: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config::seeded(1)
    }
}

impl Config {
    /// The defaults under another seed, including the number of animals that goes with it.
    pub fn seeded(seed: u64) -> Config {
        Config {
            seed,
            animals: Config::animals_of(seed),
            page_size: 10,
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            chaos: 0.025,
            stall_share: 0.5,
            chaos_on: ChaosOn::All,
            stall: Duration::from_secs(5)..=Duration::from_secs(15),
            partial: 0.0,
            busy: 0.0,
            disconnect: Disconnect::Process,
            poison: Amount::NONE,
            gone: Amount::NONE,
            malformed: Amount::NONE,
            drift: Amount::NONE,
            checkups: false,
            rate_limit: None,
            window_limit: None,
            limit_on: ChaosOn::All,
            guard: None,
            token_life: TokenLife::Time(Duration::from_hours(1)),
            echo: false,
            strict: false,
            shifting: None,
            later: 0,
            whole_items: false,
            keep_payloads: false,
            keep_times: false,
            max_body: 4 << 20,
        }
    }

    /// This many sound animals without chaos, latency or limits: what a test adds its one trouble to.
    pub fn calm(animals: u64) -> Config {
        Config { animals, chaos: 0.0, ..Config::default() }
    }

    /// Refuses what could not be meant, or would not fit into memory.
    pub(crate) fn check(&self) -> Result<(), BadValue> {
        if self.animals > MOST_ANIMALS {
            return Err(BadValue("more than 100 million animals do not fit into the book"));
        }
        if self.whole_items && self.gone.of(self.animals) > 0 {
            return Err(BadValue("an animal whose item is whole cannot be gone"));
        }
        Knobs::new(self).check()
    }

    /// How many animals the real API would have under this seed: 5000 to 6000, which makes 500 to 600 pages of 10.
    pub fn animals_of(seed: u64) -> u64 {
        5000 + Bits::new(seed, 0).below(1001)
    }
}

/// What becomes of a request that waits (latency or a stall) while its client leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disconnect {
    /// It is processed all the same, only nobody reads the answer: a POST is applied.
    #[default]
    Process,
    /// It is dropped unprocessed.
    Drop,
}

/// Which requests can meet chaos, or a limit. `/` and the book never do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChaosOn {
    /// Every path, as the real API.
    #[default]
    All,
    /// Requests that are no POST.
    Reads,
    /// POSTs alone.
    Posts,
}

impl ChaosOn {
    /// Is this kind of request meant?
    pub(crate) fn means(self, kind: Kind) -> bool {
        match self {
            ChaosOn::All => true,
            ChaosOn::Reads => kind != Kind::Post,
            ChaosOn::Posts => kind == Kind::Post,
        }
    }
}

/// How the list moves while it is read: it turns like a ring. Forwards (`by` above 0) the last animals come to the
/// front: a reader meets some animals twice and misses others. Backwards the first go to the end: it skips some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shifting {
    /// After this many pages that were served; 0 counts as 1.
    pub every: u64,
    /// By this many places.
    pub by: i64,
}

impl FromStr for Shifting {
    type Err = BadValue;

    /// `BY/EVERY`: `1/50` turns the list one place forwards after every 50 pages.
    fn from_str(text: &str) -> Result<Shifting, BadValue> {
        let parsed = text.split_once('/').and_then(|(by, every)| {
            Some(Shifting { every: every.trim().parse().ok().filter(|every| *every > 0)?, by: by.trim().parse().ok()? })
        });
        parsed.ok_or(BadValue("expected PLACES/PAGES, such as 1/50 or -1/50"))
    }
}

/// How many animals are special in some way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// A share of all, 0 to 1, rounded to whole animals.
    Fraction(f64),
    /// Exactly so many, or all if there are fewer.
    Count(u64),
}

impl Amount {
    /// No animal at all.
    pub const NONE: Amount = Amount::Count(0);

    /// How many of `animals` that is.
    pub fn of(self, animals: u64) -> u64 {
        match self {
            Amount::Count(count) => count.min(animals),
            Amount::Fraction(share) => {
                let exact = (share.clamp(0.0, 1.0) * animals as f64).round();
                #[expect(clippy::cast_possible_truncation, reason = "rounded, and `as` saturates")]
                let count = exact as u64;
                count.min(animals)
            }
        }
    }
}

impl From<f64> for Amount {
    fn from(share: f64) -> Amount {
        Amount::Fraction(share)
    }
}

impl From<u64> for Amount {
    fn from(count: u64) -> Amount {
        Amount::Count(count)
    }
}

impl FromStr for Amount {
    type Err = BadValue;

    /// `25` is a count; `0.5%` and `0.005` are shares.
    fn from_str(text: &str) -> Result<Amount, BadValue> {
        let text = text.trim();
        let bad = || BadValue("expected a count such as 25, or a share such as 0.5% or 0.005");
        let share = |text: &str, of: f64| {
            let share = text.trim().parse::<f64>().map_err(|_| bad())? / of;
            if (0.0..=1.0).contains(&share) { Ok(Amount::Fraction(share)) } else { Err(bad()) }
        };
        match text.strip_suffix('%') {
            Some(percent) => share(percent, 100.0),
            None if text.contains('.') => share(text, 1.0),
            None => text.parse().map(Amount::Count).map_err(|_| bad()),
        }
    }
}

/// A text that is no value of its kind; says what would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadValue(pub &'static str);

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadValue {}

/// Reads `250ms`, `1.5s`, `2m` or plain seconds.
///
/// # Errors
/// [`BadValue`] when the text is none of these, or negative.
pub fn parse_duration(text: &str) -> Result<Duration, BadValue> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let scale = match unit {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        _ => f64::NAN,
    };
    let seconds = number.trim().parse::<f64>().unwrap_or(f64::NAN) * scale;
    let bad = BadValue("expected a duration such as 250ms, 5s or 1.5s");
    // Whole milliseconds: 0.001 has no exact float, and a wait is never finer.
    Duration::try_from_secs_f64(seconds)
        .map(|exact| exact + Duration::from_nanos(500_000))
        .map_err(|_| bad)
        .map(|rounded| Duration::new(rounded.as_secs(), rounded.subsec_millis() * 1_000_000))
}

/// Reads `5s..15s`, both ends included, or one duration for both.
///
/// # Errors
/// [`BadValue`] when an end is no duration or the range is empty.
pub fn parse_range(text: &str) -> Result<RangeInclusive<Duration>, BadValue> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let (low, high) = (parse_duration(low)?, parse_duration(high.trim_start_matches('='))?);
    if low > high { Err(BadValue("the range ends before it begins")) } else { Ok(low..=high) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_500_to_600_pages() {
        for seed in 0..200 {
            let animals = Config::seeded(seed).animals;
            assert!((5000..=6000).contains(&animals), "{animals}");
        }
        assert_eq!(Config::default().animals, Config::seeded(1).animals);
    }

    #[test]
    fn amounts_are_exact() {
        let of = |text: &str, animals| text.parse::<Amount>().expect(text).of(animals);
        assert_eq!(of("25", 1000), 25);
        assert_eq!(of("25", 10), 10);
        assert_eq!(of("0.5%", 1000), 5);
        assert_eq!(of("0.005", 1000), 5);
        assert_eq!(of("100%", 1234), 1234);
        assert!("1.5".parse::<Amount>().is_err());
        assert!("-1".parse::<Amount>().is_err());
    }

    #[test]
    fn durations_and_ranges_are_read() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
        assert!(parse_duration("-1s").is_err() && parse_duration("5h").is_err() && parse_duration("").is_err());
        assert_eq!(parse_range("5s..15s"), Ok(Duration::from_secs(5)..=Duration::from_secs(15)));
        assert_eq!(parse_range("50ms"), Ok(Duration::from_millis(50)..=Duration::from_millis(50)));
        assert!(parse_range("3s..1s").is_err());
    }

    #[test]
    fn shifts_are_read() {
        assert_eq!("-1/50".parse(), Ok(Shifting { every: 50, by: -1 }));
        assert!("1".parse::<Shifting>().is_err() && "1/0".parse::<Shifting>().is_err());
    }
}
