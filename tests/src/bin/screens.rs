//! Remakes the pictures in docs/dashboard from real runs in a real browser: `just screens`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use animals_api::{Amount, ChaosOn, Config, Disconnect, Server};
use anyhow::{Context, Result};
use clap::Parser;
use muster_tests::browser::{Browser, DOWNLOADS, Look};
use muster_tests::cluster::{Cluster, free_port};
use muster_tests::deadline::until_some;
use muster_tests::pipelines::{HOLD, folder as pipeline_folder, variant};

/// Shows each page of the dashboard, light and dark, wide and narrow, and keeps pictures of them.
#[derive(Parser)]
struct Args {
    /// Where the pictures go.
    folder: PathBuf,
    /// All of them, not only those of the documentation.
    #[arg(long)]
    all: bool,
}

const LOOKS: [(&str, Look); 4] = [
    ("wide-light", Look { width: 1280, height: 900, dark: false }),
    ("wide-dark", Look { width: 1280, height: 900, dark: true }),
    ("narrow-light", Look { width: 390, height: 844, dark: false }),
    ("narrow-dark", Look { width: 390, height: 844, dark: true }),
];

/// Those of the documentation, and what they are called there.
const KEPT: [(&str, &str, &str); 5] = [
    ("live", "wide-light", "run"),
    ("over", "wide-dark", "verdict"),
    ("record", "wide-light", "record"),
    ("live", "narrow-dark", "narrow"),
    ("report", "wide-light", "report"),
];

struct Screens {
    browser: Browser,
    site: String,
    to: PathBuf,
    all: bool,
}

impl Screens {
    async fn of(&self, name: &str, path: &str) -> Result<()> {
        self.browser.look(LOOKS[0].1).await;
        self.browser.goto(&format!("{}{path}", self.site)).await;
        self.shown(name).await
    }

    /// What is shown now, in all ways.
    async fn shown(&self, name: &str) -> Result<()> {
        for (look, how) in LOOKS {
            let kept = KEPT.iter().find(|(page, of, _)| (*page, *of) == (name, look)).map(|(.., kept)| *kept);
            let file = match (self.all, kept) {
                (true, _) => format!("{name}-{look}.png"),
                (false, Some(kept)) => format!("{kept}.png"),
                (false, None) => continue,
            };
            self.browser.look(how).await;
            let path = self.to.join(file);
            std::fs::write(&path, self.browser.picture(self.all).await).with_context(|| path.display().to_string())?;
        }
        self.browser.look(LOOKS[0].1).await;
        Ok(())
    }

    async fn submit(&self, fields: &[(&str, &str)], button: &str) {
        for (css, text) in fields {
            self.browser.write(css, text).await;
        }
        self.browser.click(button).await;
    }
}

/// Some animals are refused, some are gone, and POSTs take their time.
fn eventful() -> Server {
    let stall = Duration::from_millis(900)..=Duration::from_millis(1_500);
    let calm = Config {
        poison: Amount::Count(4),
        gone: Amount::Count(11),
        malformed: Amount::Count(6),
        ..Config::calm(4_000)
    };
    let late = Config { chaos: 0.12, stall_share: 0.4, chaos_on: ChaosOn::Posts, stall, ..calm };
    let slow = Config { latency: Duration::from_millis(40), jitter: Duration::from_millis(60), ..late };
    Server::start(Config { disconnect: Disconnect::Process, ..slow }, ([127, 0, 0, 1], 0).into()).expect("a stand-in")
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.folder).with_context(|| format!("cannot make {}", args.folder.display()))?;
    let place = tempfile::tempdir()?;
    let server = eventful();
    let patience = "post_timeout: 700ms\n  settle_after: 700ms";
    let held = variant(&[("max_batch: 100", "max_batch: 50"), HOLD, ("post_timeout: 25s", patience)]);
    let pipelines = pipeline_folder(place.path(), "herd", &held);
    let http = format!("127.0.0.1:{}", free_port());
    let flags = ["--http-listen", &http, "--pipelines", pipelines.to_str().context("a path")?];
    let cluster = Cluster::with(place.path(), &flags, &[]).await;
    let crew = ["worker-1", "worker-2"].map(|name| cluster.worker(name, &["--concurrency", "6"]));
    let browser = Browser::start(place.path()).await;
    let screens = Screens { browser, site: format!("http://{http}"), to: args.folder, all: args.all };
    let id = run(&screens, &server).await?;
    report(&screens, place.path(), &id).await?;
    drop(crew);
    Ok(())
}

/// From the form to the end; gives the run's ID.
async fn run(screens: &Screens, server: &Server) -> Result<String> {
    let browser = &screens.browser;
    screens.of("empty", "/runs").await?;
    screens.of("start", "/runs/new?pipeline=herd").await?;
    screens.submit(&[("#set-1", "no url")], "form.start button.primary").await;
    browser.wait_for(".notice.bad").await;
    screens.shown("refused").await?;
    screens.submit(&[("#set-1", &server.base_url())], "form.start button.primary").await;
    let half = |text: &str| text.trim_end_matches('%').parse().is_ok_and(|share: u8| (45..90).contains(&share));
    browser.wait_for_text(".overall strong", half).await;
    browser.wait_for(".plot path.line").await;
    screens.shown("live").await?;
    let run = browser.url().await;
    let id = run.rsplit('/').next().unwrap_or_default().to_owned();
    screens.of("runs", "/runs").await?;
    screens.of("workers", "/workers").await?;
    browser.goto(&run).await;
    browser.wait_for("#part-verdict .sum").await;
    screens.shown("over").await?;
    screens.of("doubts", &format!("/runs/{id}/in-doubt")).await?;
    screens.of("dead-letters", &format!("/runs/{id}/dead-letters")).await?;
    browser.goto(&run).await;
    browser.click("#part-failures tbody a").await;
    browser.wait_for(".story").await;
    screens.shown("record").await?;
    screens.of("unknown", &format!("/runs/{id}/record?id=99999999")).await?;
    screens.of("verdict", &format!("/runs/{id}/verdict")).await?;
    screens.of("pipelines", "/pipelines").await?;
    screens.of("pipeline", "/pipelines/herd").await?;
    screens.of("nowhere", "/nowhere").await?;
    Ok(id)
}

/// The run's report, as it is once it was downloaded.
async fn report(screens: &Screens, place: &Path, id: &str) -> Result<()> {
    screens.browser.goto(&format!("{}/runs/{id}", screens.site)).await;
    screens.browser.click("#report").await;
    let file = place.join(DOWNLOADS).join(format!("{id}.html"));
    until_some("the report is downloaded", async || file.is_file().then_some(())).await;
    screens.browser.goto(&format!("file://{}", file.display())).await;
    screens.shown("report").await
}
