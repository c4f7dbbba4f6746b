//! What is said of deliveries in doubt.

use muster_proto::v1::{DeliveryInDoubt, DoubtPlan, Run};

use super::clean;
use super::numbers::{counted, moment};

/// So many IDs of a delivery are shown.
const SHOWN: usize = 10;

/// Which it is, and how much hangs on it.
pub fn head(delivery: &DeliveryInDoubt) -> String {
    let doubtful = i64::try_from(delivery.record_ids.len()).unwrap_or(i64::MAX);
    format!(
        "delivery {} (round {}, batch {}): {} in doubt, of {} that it carried",
        delivery.number,
        delivery.round,
        delivery.batch,
        counted(doubtful, "record", "records"),
        delivery.records
    )
}

/// Why nobody knows what came of it.
pub fn why(delivery: &DeliveryInDoubt) -> String {
    match (delivery.http_status, delivery.detail.as_str()) {
        (0, "") => "no answer".to_owned(),
        (0, detail) => detail.to_owned(),
        (status, "") => format!("HTTP {status}"),
        (status, detail) => format!("HTTP {status}: {detail}"),
    }
}

/// What happens to it next.
pub fn next(delivery: &DeliveryInDoubt) -> String {
    let at = moment(delivery.settles_at.as_ref());
    match delivery.plan() {
        DoubtPlan::Retry => format!("it is sent again after {at}, unless the run is paused"),
        DoubtPlan::Probe => format!("the target is asked whether it has them after {at}, unless the run is paused"),
        DoubtPlan::Held | DoubtPlan::Unspecified => format!("held: an operator settles it, from {at} on"),
    }
}

/// The first of its IDs.
pub fn ids(ids: &[String]) -> String {
    let mut text = ids.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if ids.len() > SHOWN {
        text.push_str(&format!(", and {} more", ids.len() - SHOWN));
    }
    text
}

/// What a settlement did.
pub fn settled(run: &Run, deliveries: usize, loaded: i64, to_send: i64) -> String {
    let deliveries = counted(i64::try_from(deliveries).unwrap_or(i64::MAX), "delivery", "deliveries");
    let is_are = |number: i64| if number == 1 { "is" } else { "are" };
    let mut text = format!(
        "{deliveries} of run {} settled: {} {} loaded",
        clean(&run.run_id),
        counted(loaded, "record", "records"),
        is_are(loaded)
    );
    if to_send > 0 {
        text.push_str(&format!(", {to_send} {} sent again in round {}", is_are(to_send), run.round));
    }
    text.push('\n');
    text
}
