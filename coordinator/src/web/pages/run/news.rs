//! The changing parts of a run's page.

use muster_proto::v1::Run;

use super::super::super::inside::Caller;
use super::super::super::site::Site;
use super::super::{Trouble, text};
use super::parts::{ProgressPart, StatePart};
use super::sum::VerdictPart;
use super::{is_over, plight};

/// Each part as it is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct News {
    pub state: String,
    pub progress: String,
    pub verdict: String,
    pub failures: String,
    pub in_doubt: String,
    pub workers: String,
}

impl News {
    /// All of it.
    pub async fn whole(site: &Site, caller: &Caller, run: &Run) -> Result<Self, Trouble> {
        let mut news = Self::of(run, None)?;
        news.failures = plight::failures(site, caller, run).await?;
        news.in_doubt = plight::in_doubt(site, caller, run).await?;
        if !is_over(run) {
            news.workers = plight::workers(site, caller).await?;
        }
        Ok(news)
    }

    /// What follows from the run itself.
    pub fn of(run: &Run, per_second: Option<f64>) -> Result<Self, Trouble> {
        let verdict = VerdictPart::of_run(run);
        Ok(Self {
            state: text(&StatePart::of(run))?,
            progress: text(&ProgressPart::of(run, per_second))?,
            verdict: verdict.as_ref().map_or(Ok(String::new()), text)?,
            ..Self::default()
        })
    }

    /// Each part with the name of its place on the page.
    pub fn parts(&self) -> [(&'static str, &str); 6] {
        [
            ("state", &self.state),
            ("progress", &self.progress),
            ("verdict", &self.verdict),
            ("failures", &self.failures),
            ("in-doubt", &self.in_doubt),
            ("workers", &self.workers),
        ]
    }
}
