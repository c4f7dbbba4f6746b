//! The changing parts of a run's page.

use muster_proto::v1::Run;

use super::super::super::inside::Caller;
use super::super::super::site::Site;
use super::super::frame::operates;
use super::super::{Trouble, text};
use super::parts::{Controls, ProgressPart, StatePart};
use super::plight;
use super::sum::VerdictPart;
use super::told;

/// Each part as it is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct News {
    pub controls: String,
    pub state: String,
    pub progress: String,
    pub verdict: String,
    pub failures: String,
    pub in_doubt: String,
    pub notices: String,
    pub workers: String,
}

impl News {
    /// All of it, of a run that brings its notices.
    pub async fn whole(site: &Site, caller: &Caller, run: &Run) -> Result<Self, Trouble> {
        let mut news = Self::of(run, operates(site, caller), None)?;
        news.failures = plight::failures(site, caller, run).await?;
        news.in_doubt = plight::in_doubt(site, caller, run).await?;
        news.notices = told::notices(run)?;
        news.workers = plight::workers(site, caller, run).await?;
        Ok(news)
    }

    /// What follows from the run itself, and from who looks at it.
    pub fn of(run: &Run, operates: bool, per_second: Option<f64>) -> Result<Self, Trouble> {
        let verdict = VerdictPart::of_run(run);
        Ok(Self {
            controls: text(&Controls::of(run, operates))?,
            state: text(&StatePart::of(run))?,
            progress: text(&ProgressPart::of(run, per_second))?,
            verdict: verdict.as_ref().map_or(Ok(String::new()), text)?,
            ..Self::default()
        })
    }

    /// Each part with the name of its place on the page.
    pub fn parts(&self) -> [(&'static str, &str); 8] {
        [
            ("controls", &self.controls),
            ("state", &self.state),
            ("progress", &self.progress),
            ("verdict", &self.verdict),
            ("failures", &self.failures),
            ("in-doubt", &self.in_doubt),
            ("notices", &self.notices),
            ("workers", &self.workers),
        ]
    }
}
