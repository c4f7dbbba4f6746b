//! How a run shares the workers: from the wire and back.

use std::fmt::Display;
use std::ops::RangeInclusive;

use muster_proto::v1;
use tonic::Status;

use super::error::invalid;
use crate::domain::{Share, ShareChange};

/// What is set of a share; the rest stays as it is.
pub(super) fn change(share: Option<v1::RunShare>) -> Result<ShareChange, Status> {
    let share = share.unwrap_or_default();
    let count = |name, value: Option<i32>, within| {
        let not_negative = value.map(|value| u32::try_from(value).unwrap_or(u32::MAX));
        bounded(name, not_negative, within, value)
    };
    Ok(ShareChange {
        priority: bounded("priority", share.priority, Share::PRIORITIES, share.priority)?,
        weight: count("weight", share.weight, Share::WEIGHTS)?,
        max_workers: count("max_workers", share.max_workers, Share::MAX_WORKERS)?,
    })
}

fn bounded<T: PartialOrd + Display>(
    name: &str,
    value: Option<T>,
    within: RangeInclusive<T>,
    given: Option<i32>,
) -> Result<Option<T>, Status> {
    match value {
        Some(value) if !within.contains(&value) => {
            let (least, most) = within.into_inner();
            let given = given.unwrap_or_default();
            Err(invalid("SHARE_INVALID", format!("{name} must be from {least} to {most}, not {given}")))
        }
        value => Ok(value),
    }
}

/// A share, nothing left out.
pub(super) fn render(share: Share) -> v1::RunShare {
    let small = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    v1::RunShare {
        priority: Some(share.priority),
        weight: Some(small(share.weight)),
        max_workers: Some(small(share.max_workers)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_bounded_and_what_is_not_set_stays() {
        let of = |priority, weight, max_workers| change(Some(v1::RunShare { priority, weight, max_workers }));
        let before = Share { priority: 3, weight: 7, max_workers: 2 };
        assert_eq!(change(None).unwrap().of(before), before);
        assert_eq!(
            of(Some(-100), None, Some(0)).unwrap().of(before),
            Share { priority: -100, weight: 7, max_workers: 0 }
        );
        assert_eq!(render(before), v1::RunShare { priority: Some(3), weight: Some(7), max_workers: Some(2) });
        let wrong = [(Some(101), None, None), (None, Some(0), None), (None, Some(1_001), None), (None, None, Some(-1))];
        for (priority, weight, max_workers) in wrong {
            let refused = of(priority, weight, max_workers).unwrap_err();
            assert!(refused.message().contains("must be from"), "{}", refused.message());
        }
    }
}
