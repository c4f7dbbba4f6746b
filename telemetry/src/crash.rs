//! Places where tests let a process die, to see that what it leaves behind is enough to go on from.
//!
//! The variable `MUSTER_CRASH_AT` names one: `NAME`, or `NAME:N` to die there the N-th time only. Without the feature
//! `planted-bugs` nothing of all this is left in a program.

/// A place between two steps of which others see the first alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// In a coordinator, before the COMMIT of a transaction.
    BeforeCommit,
    /// In a coordinator, after the COMMIT and before anybody is told of it.
    AfterCommit,
    /// In a coordinator, when a report is committed and not answered.
    BeforeAnswer,
    /// In a coordinator, when a page of the list is read and not committed.
    BeforePage,
    /// In a coordinator, when a round is audited and its verdict not written.
    BeforeVerdict,
    /// In a worker, before a delivery is announced.
    BeforeBegin,
    /// In a worker, when a delivery is announced and not sent.
    BeforePost,
    /// In a worker, when a delivery is answered and not reported.
    AfterPost,
    /// In a worker, when a report is acknowledged and the next lease not asked for.
    AfterReport,
}

/// Passes a place: nothing happens, in this build.
#[cfg(not(feature = "planted-bugs"))]
#[inline]
pub const fn pass(_point: Point) {}

#[cfg(feature = "planted-bugs")]
pub(crate) use planted::check;
#[cfg(feature = "planted-bugs")]
pub use planted::{NoPoint, pass};

#[cfg(feature = "planted-bugs")]
mod planted {
    use std::num::NonZeroU32;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Point;

    const VARIABLE: &str = "MUSTER_CRASH_AT";

    const POINTS: [(&str, Point); 9] = [
        ("before_commit", Point::BeforeCommit),
        ("after_commit", Point::AfterCommit),
        ("before_answer", Point::BeforeAnswer),
        ("before_page", Point::BeforePage),
        ("before_verdict", Point::BeforeVerdict),
        ("before_begin", Point::BeforeBegin),
        ("before_post", Point::BeforePost),
        ("after_post", Point::AfterPost),
        ("after_report", Point::AfterReport),
    ];

    /// A text that names no [`Point`].
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct NoPoint(String);

    impl std::fmt::Display for NoPoint {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let names = POINTS.map(|(name, _)| name).join(", ");
            write!(
                f,
                "{VARIABLE} is {:?}, which is no place to die at: say NAME, or NAME:N for the N-th time, ",
                self.0
            )?;
            write!(f, "with one of these names: {names}")
        }
    }

    impl std::error::Error for NoPoint {}

    /// A place, and which time it is that it is passed.
    fn read(text: &str) -> Result<(Point, u32), NoPoint> {
        let (name, time) = text.split_once(':').unwrap_or((text, "1"));
        let point = POINTS.iter().find(|(known, _)| *known == name);
        match (point, time.parse::<NonZeroU32>()) {
            (Some((_, point)), Ok(time)) => Ok((*point, time.get())),
            _ => Err(NoPoint(text.to_owned())),
        }
    }

    fn of_environment() -> Result<Option<(Point, u32)>, NoPoint> {
        match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => read(&text).map(Some),
            _ => Ok(None),
        }
    }

    /// Refuses what names no place: whoever misspells one would wait in vain.
    pub(crate) fn check() -> Result<(), NoPoint> {
        of_environment().map(drop)
    }

    /// Passes a place, or dies there as by kill -9: nothing is flushed, nothing dropped.
    pub fn pass(point: Point) {
        static LEFT: LazyLock<Option<(Point, AtomicU32)>> = LazyLock::new(|| {
            // What names none was refused at start.
            let named = of_environment().ok().flatten();
            named.map(|(point, time)| (point, AtomicU32::new(time)))
        });
        if let Some((at, left)) = &*LEFT
            && *at == point
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            std::process::abort();
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_place_is_named_with_or_without_a_time() {
            assert_eq!(read("before_commit"), Ok((Point::BeforeCommit, 1)));
            assert_eq!(read("after_post:7"), Ok((Point::AfterPost, 7)));
        }

        #[test]
        fn what_is_no_place_is_refused_with_those_that_are() {
            for wrong in ["nowhere", "before_commit:", "before_commit:0", "before_commit:often", ":1", "BeforeCommit"] {
                let said = read(wrong).expect_err("no place").to_string();
                assert!(said.starts_with(&format!("MUSTER_CRASH_AT is {wrong:?}, which is no place")), "{said}");
                assert!(POINTS.iter().all(|(name, _)| said.contains(name)), "{said}");
            }
        }
    }
}
