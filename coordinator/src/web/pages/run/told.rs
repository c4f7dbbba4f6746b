//! Whom the run's end and its stalls were told to.

use askama::Template;
use muster_proto::v1::{NoticeState, Run};

use super::super::{Trouble, text};
use crate::words::notices::{in_words, is_trouble};

#[derive(Template)]
#[template(path = "run/notices.html")]
struct NoticesPart {
    /// In words, and whether somebody should look after it.
    notices: Vec<(String, bool)>,
}

/// Its notices; empty where there are none.
pub(super) fn notices(run: &Run) -> Result<String, Trouble> {
    if run.notices.is_empty() {
        return Ok(String::new());
    }
    let notices = run.notices.iter().map(|notice| (in_words(notice), is_trouble(notice))).collect();
    text(&NoticesPart { notices })
}

/// Whether one of them is still to be delivered.
pub(super) fn are_under_way(run: &Run) -> bool {
    run.notices.iter().any(|notice| matches!(notice.state(), NoticeState::Waiting | NoticeState::Sending))
}
