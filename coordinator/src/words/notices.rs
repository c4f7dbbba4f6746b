//! What somebody outside was told of a run.

use muster_proto::v1::{Notice, NoticeState};

use super::clean;
use super::numbers::{counted, moment};

/// Where a notice goes, what it tells, and how far it is.
pub fn in_words(notice: &Notice) -> String {
    let tries = counted(notice.tries.into(), "try", "tries");
    let at = moment(notice.at.as_ref());
    let error = match notice.error.as_str() {
        "" => String::new(),
        error => format!(": {}", clean(error)),
    };
    let how = match notice.state() {
        NoticeState::Delivered => format!("delivered {at}, {tries}"),
        NoticeState::GivenUp => format!("given up {at} after {tries}{error}"),
        NoticeState::Sending => format!("being sent, {tries}"),
        NoticeState::Waiting | NoticeState::Unspecified if notice.tries > 0 => {
            format!("not delivered yet, {tries}, next {at}{error}")
        }
        NoticeState::Waiting | NoticeState::Unspecified => "waiting".to_owned(),
    };
    format!("{} to {}: {how}", clean(&notice.event), clean(&notice.destination))
}

/// Whether somebody should look after it.
pub fn is_trouble(notice: &Notice) -> bool {
    notice.state() == NoticeState::GivenUp || notice.state() == NoticeState::Waiting && notice.tries > 0
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    #[test]
    fn a_notice_says_how_it_went() {
        let of = |state: NoticeState, tries, error: &str| Notice {
            event: "run.ended".into(),
            destination: "hooks.example".into(),
            state: state.into(),
            tries,
            error: error.into(),
            at: Some(Timestamp { seconds: 1_444_102_907, nanos: 0 }),
            ..Notice::default()
        };
        let delivered = of(NoticeState::Delivered, 3, "");
        assert_eq!(in_words(&delivered), "run.ended to hooks.example: delivered 2015-10-06 03:41:47Z, 3 tries");
        let given_up = of(NoticeState::GivenUp, 1, "it answers 410");
        let words = "run.ended to hooks.example: given up 2015-10-06 03:41:47Z after 1 try: it answers 410";
        assert_eq!(in_words(&given_up), words);
        let waiting = of(NoticeState::Waiting, 2, "it answers 500");
        assert!(in_words(&waiting).contains("not delivered yet, 2 tries"), "{}", in_words(&waiting));
        assert!(is_trouble(&waiting) && is_trouble(&given_up) && !is_trouble(&delivered));
        assert_eq!(in_words(&of(NoticeState::Waiting, 0, "")), "run.ended to hooks.example: waiting");
    }
}
