//! Bugs that tests plant on purpose, to prove that they would notice them.
//!
//! Without the cargo feature `planted-bugs` nothing can be planted and every guard folds away.

/// A guard that can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Sends a POST before it is announced.
    PostBeforeBegin,
    /// Takes a POST in doubt for one that was not applied, and sends it again at once.
    TimeoutIsFailure,
    /// Sends a POST without looking whether the lease's time still covers it.
    IgnoreDeadline,
    /// Goes on fetching for a run that was paused or cancelled.
    FetchAfterCancel,
}

/// Whether `bug` is planted: never, in this build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is(_bug: Bug) -> bool {
    false
}

/// Whether the environment variable `MUSTER_PLANTED_BUG` names `bug`; it is read once.
#[cfg(feature = "planted-bugs")]
pub(crate) fn is(bug: Bug) -> bool {
    static PLANTED: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    *PLANTED.get_or_init(|| match std::env::var("MUSTER_PLANTED_BUG").as_deref() {
        Ok("post_before_begin") => Some(Bug::PostBeforeBegin),
        Ok("timeout_is_failure") => Some(Bug::TimeoutIsFailure),
        Ok("ignore_deadline") => Some(Bug::IgnoreDeadline),
        Ok("fetch_after_cancel") => Some(Bug::FetchAfterCancel),
        _ => None,
    }) == Some(bug)
}
