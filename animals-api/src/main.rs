//! `animals-api`: the stand-in as a program.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Duration;

use animals_api::{
    Amount, BadValue, ChaosOn, Config, Disconnect, Guard, RateLimit, Server, Shifting, TokenLife, WindowLimit,
    parse_duration, parse_range,
};
use anyhow::Context as _;
use clap::builder::BoolishValueParser;
use clap::{Parser, ValueEnum};

/// A stand-in for the animals API, with chaos, and a book of what it was sent.
///
/// Lists animals at GET /animals/v1/animals?page=1, gives one at GET /animals/v1/animals/{id} and takes batches at
/// POST /animals/v1/home; GET /animals/v1/home/{id} tells whether one has arrived. A part of an animal is at GET
/// /animals/v1/animals/{id}/checkups. The book is at GET /book (short), /book/accepted and /book/posts (NDJSON) and
/// /book/animals/{id}; POST /book/knobs turns knobs while it runs, DELETE /book forgets. GET
/// /animals/v1/dated?page=1&updated_since=TIME lists the herd as it is now, after POST /book/changes. The book meets no
/// chaos, and needs no credentials; with --guard all the rest does. With an oauth2 guard POST /zoo/v1/token gives tokens.
/// The same list in other styles is at GET /zoo/v1/list/{offset,cursor,next,link,token,single}, the same home in other
/// forms at /zoo/v1/home/{array,wrapped,lines,each} and /zoo/v1/home/{id}.
#[derive(Debug, Parser)]
#[command(name = "animals-api", version)]
struct Flags {
    /// Address to listen on
    #[arg(long, env = "ANIMALS_API_BIND", default_value = "127.0.0.1", value_name = "IP")]
    bind: IpAddr,
    /// Port to listen on; 0 picks a free one
    #[arg(long, env = "ANIMALS_API_PORT", default_value_t = 3123)]
    port: u16,
    /// Same seed, same animals and same chaos draws
    #[arg(long, env = "ANIMALS_API_SEED", default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// How many animals there are [default: 5000 to 6000, by the seed]
    #[arg(long, env = "ANIMALS_API_ANIMALS", value_name = "COUNT")]
    animals: Option<u64>,
    /// Animals per listed page
    #[arg(long, env = "ANIMALS_API_PAGE_SIZE", default_value = "10", value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..))]
    page_size: u32,
    /// Every request waits this long
    #[arg(long, env = "ANIMALS_API_LATENCY", default_value = "0ms", value_name = "DURATION",
          value_parser = parse_duration)]
    latency: Duration,
    /// Up to this much is added to the latency
    #[arg(long, env = "ANIMALS_API_JITTER", default_value = "0ms", value_name = "DURATION",
          value_parser = parse_duration)]
    jitter: Duration,
    /// Chance that a request meets an error or a stall: 0.025 or 2.5%
    #[arg(long, env = "ANIMALS_API_CHAOS", default_value = "2.5%", value_name = "SHARE", value_parser = share)]
    chaos: f64,
    /// Share of chaos that stalls; the rest is a 5xx `Sorry!`
    #[arg(long, env = "ANIMALS_API_STALL_SHARE", default_value = "50%", value_name = "SHARE", value_parser = share)]
    stall_share: f64,
    /// Requests that can meet chaos
    #[arg(long, env = "ANIMALS_API_CHAOS_ON", default_value = "all", value_name = "REQUESTS")]
    chaos_on: ChaosOnFlag,
    /// How long a stall lasts, in whole seconds if both ends are
    #[arg(long, env = "ANIMALS_API_STALL", default_value = "5s..15s", value_name = "RANGE",
          value_parser = parse_range)]
    stall: RangeInclusive<Duration>,
    /// Chance that a POST stores a random half of its animals and answers a 500
    #[arg(long, env = "ANIMALS_API_PARTIAL", default_value = "0", value_name = "SHARE", value_parser = share)]
    partial: f64,
    /// Chance that the home is too busy for an animal, of those that are answered each for itself
    #[arg(long, env = "ANIMALS_API_BUSY", default_value = "0", value_name = "SHARE", value_parser = share)]
    busy: f64,
    /// What becomes of a waiting request whose client leaves
    #[arg(long, env = "ANIMALS_API_DISCONNECT", default_value = "process", value_name = "WHAT")]
    disconnect: DisconnectFlag,
    /// Animals that the target refuses with a 422: 25, 0.5% or 0.005
    #[arg(long, env = "ANIMALS_API_POISON", default_value = "0", value_name = "AMOUNT")]
    poison: Amount,
    /// Animals that are listed but whose detail is a 404
    #[arg(long, env = "ANIMALS_API_GONE", default_value = "0", value_name = "AMOUNT")]
    gone: Amount,
    /// Animals whose detail has the wrong shape
    #[arg(long, env = "ANIMALS_API_MALFORMED", default_value = "0", value_name = "AMOUNT")]
    malformed: Amount,
    /// Animals that have fields which the documentation does not know, in their detail or their checkups
    #[arg(long, env = "ANIMALS_API_DRIFT", default_value = "0", value_name = "AMOUNT")]
    drift: Amount,
    /// Expect each animal to be sent with its checkups, null for one without a list
    #[arg(long, env = "ANIMALS_API_CHECKUPS", value_parser = BoolishValueParser::new())]
    checkups: bool,
    /// Answer 429 beyond so many requests per second; burst: one second's worth unless given [default: no limit]
    #[arg(long, env = "ANIMALS_API_RATE_LIMIT", value_name = "RATE[/BURST]")]
    rate_limit: Option<RateLimit>,
    /// Answer 429 beyond so many requests in each window of time, such as 200/1s [default: no limit]
    #[arg(long, env = "ANIMALS_API_WINDOW_LIMIT", value_name = "REQUESTS/WINDOW")]
    window_limit: Option<WindowLimit>,
    /// Requests that the limits count and refuse
    #[arg(long, env = "ANIMALS_API_LIMIT_ON", default_value = "all", value_name = "REQUESTS")]
    limit_on: ChaosOnFlag,
    /// Credentials without which requests are answered 401: bearer:TOKEN, basic:USER:PASSWORD, header:NAME:KEY,
    /// query:NAME:KEY or oauth2:CLIENT:SECRET. They are made up for tests: do not give it real ones [default: none]
    #[arg(long, env = "ANIMALS_API_GUARD", value_name = "KIND:CREDENTIALS")]
    guard: Option<Guard>,
    /// How long the tokens of an oauth2 guard live: 500 requests, or 30s
    #[arg(long, env = "ANIMALS_API_TOKEN_LIFE", default_value = "60m", value_name = "REQUESTS|DURATION")]
    token_life: TokenLife,
    /// Say back in every answer what its request carried, credentials too
    #[arg(long, env = "ANIMALS_API_ECHO", value_parser = BoolishValueParser::new())]
    echo: bool,
    /// Cross animals off one by one, and answer 500 for ever at the first that is not expected
    #[arg(long, env = "ANIMALS_API_STRICT", value_parser = BoolishValueParser::new())]
    strict: bool,
    /// Turn the list by PLACES after every so many PAGES served, such as 1/50 [default: it stands still]
    #[arg(long, env = "ANIMALS_API_SHIFTING", value_name = "PLACES/PAGES", allow_hyphen_values = true)]
    shifting: Option<Shifting>,
    /// Animals with the highest IDs that are not there before POST /book/changes adds them
    #[arg(long, env = "ANIMALS_API_LATER", default_value_t = 0, value_name = "COUNT")]
    later: u64,
    /// Give whole animals as the items of all lists, as their details are
    #[arg(long, env = "ANIMALS_API_WHOLE_ITEMS", value_parser = BoolishValueParser::new())]
    whole_items: bool,
    /// Keep every accepted payload for /book/animals/{id}, not just its hash
    #[arg(long, env = "ANIMALS_API_KEEP_PAYLOADS", value_parser = BoolishValueParser::new())]
    keep_payloads: bool,
    /// Refuse bodies beyond so many bytes with a 413
    #[arg(long, env = "ANIMALS_API_MAX_BODY", default_value_t = 4 << 20, value_name = "BYTES")]
    max_body: usize,
    /// Threads that serve [default: one per core]
    #[arg(long, env = "ANIMALS_API_THREADS", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ChaosOnFlag {
    /// Every path but / and the book
    All,
    /// Whatever is no POST
    Reads,
    /// POSTs alone
    Posts,
}

impl From<ChaosOnFlag> for ChaosOn {
    fn from(flag: ChaosOnFlag) -> ChaosOn {
        match flag {
            ChaosOnFlag::All => ChaosOn::All,
            ChaosOnFlag::Reads => ChaosOn::Reads,
            ChaosOnFlag::Posts => ChaosOn::Posts,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DisconnectFlag {
    /// It is processed all the same
    Process,
    /// It is dropped unprocessed
    Drop,
}

impl Flags {
    fn config(&self) -> Config {
        Config {
            seed: self.seed,
            animals: self.animals.unwrap_or_else(|| Config::animals_of(self.seed)),
            page_size: self.page_size,
            latency: self.latency,
            jitter: self.jitter,
            chaos: self.chaos,
            stall_share: self.stall_share,
            chaos_on: self.chaos_on.into(),
            stall: self.stall.clone(),
            partial: self.partial,
            busy: self.busy,
            disconnect: match self.disconnect {
                DisconnectFlag::Process => Disconnect::Process,
                DisconnectFlag::Drop => Disconnect::Drop,
            },
            poison: self.poison,
            gone: self.gone,
            malformed: self.malformed,
            drift: self.drift,
            checkups: self.checkups,
            rate_limit: self.rate_limit,
            window_limit: self.window_limit,
            limit_on: self.limit_on.into(),
            guard: self.guard.clone(),
            token_life: self.token_life,
            echo: self.echo,
            strict: self.strict,
            shifting: self.shifting,
            later: self.later,
            whole_items: self.whole_items,
            keep_payloads: self.keep_payloads,
            keep_times: false,
            max_body: self.max_body,
        }
    }
}

/// `2.5%` or `0.025`.
fn share(text: &str) -> Result<f64, BadValue> {
    let (number, of) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 100.0));
    let share = number.trim().parse::<f64>().map_or(f64::NAN, |number| number / of);
    let bad = BadValue("expected a share from 0 to 1, such as 2.5% or 0.025");
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(bad) }
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "animals-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = flags.threads {
        runtime.worker_threads(threads.into());
    }
    runtime.enable_all().build().context("cannot start threads")?.block_on(serve(flags))
}

async fn serve(flags: &Flags) -> anyhow::Result<()> {
    let config = flags.config();
    // Listened for before the port is open: whoever sees it open can stop it in good order.
    let stop = stop_signal()?;
    let server =
        Server::start(config.clone(), SocketAddr::new(flags.bind, flags.port)).with_context(|| advice(flags))?;
    let mode = if config.strict { ", strict" } else { "" };
    let (pages, chaos) = (config.animals.div_ceil(config.page_size.into()), (config.chaos * 10_000.0).round() / 100.0);
    // Who reads this may have closed the pipe already; that is no reason to stop.
    let _ = writeln!(
        io::stdout(),
        "animals-api listening on {} ({} animals on {pages} pages, seed {}, chaos {chaos}%{mode}; book at /book)",
        server.base_url(),
        config.animals,
        config.seed,
    );
    stop.await;
    server.shutdown().await;
    Ok(())
}

fn advice(flags: &Flags) -> String {
    let Flags { bind, port, .. } = flags;
    format!(
        "cannot listen on {bind}:{port}; stop what listens there, or choose another port with --port (0 picks a free \
         one)"
    )
}

/// Completes at Ctrl-C or SIGTERM.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for SIGTERM")?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}
