//! What the coordinator tells about held leases: the stream of pushes, and renewals.

use std::time::Duration;

use muster_proto::v1::attend_response::Event;
use muster_proto::v1::{AttendResponse, Renewal, RenewalState};
use muster_telemetry::names;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::coordinator::{Coordinator, is_final};
use crate::held::{HeldLeases, ttl};
use crate::rates;
use crate::session::Session;

/// How often leases are renewed until the coordinator says how often.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(5);
/// Never renew more often, whatever the coordinator says.
const RENEW_AT_MOST_EVERY: Duration = Duration::from_millis(20);

/// Keeps the stream of pushes open for as long as it is polled. Each time it stands, `renew_every` is sent anew, so that
/// leases are renewed at once: what was missed meanwhile is learnt from the answer.
pub(crate) async fn attend(session: &Session, renew_every: &watch::Sender<Duration>, mut backoff: Backoff) {
    let coordinator = &session.coordinator;
    loop {
        match coordinator.attend().await {
            Err(status) => debug!({ names::REASON } = status.message(), "could not open the stream of pushes"),
            Ok(mut pushes) => loop {
                match pushes.message().await {
                    Ok(Some(push)) => {
                        backoff.reset();
                        heed(&push, session, renew_every);
                    }
                    Ok(None) => break debug!("the coordinator ended the stream of pushes"),
                    Err(status) => break coordinator.stream_broke(&status),
                }
            },
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

fn heed(push: &AttendResponse, session: &Session, renew_every: &watch::Sender<Duration>) {
    let leases = &session.leases;
    match &push.event {
        Some(Event::Attending(standing)) => {
            let every = Some(ttl(standing.renew_every)).filter(|every| !every.is_zero()).unwrap_or(RENEW_EVERY);
            renew_every.send_replace(every.max(RENEW_AT_MOST_EVERY));
        }
        Some(Event::RunStopped(stopped)) => {
            let count = leases.stop_run(&stopped.run_id, Instant::now());
            info!(
                { names::RUN } = stopped.run_id,
                { names::REASON } = stopped.reason,
                leases = count,
                { names::NEXT } = "no fetch and no delivery begins; POSTs in flight are finished and reported",
                "run stopped"
            );
        }
        Some(Event::LeaseRevoked(revoked)) => {
            lose(leases, &revoked.lease_token, "the coordinator took it away");
        }
        Some(Event::HostClosed(told)) => rates::heed(session.coordinator.closed_hosts(), told),
        Some(Event::LeasesWanted(wanted)) => {
            let most = usize::try_from(wanted.leases).unwrap_or_default();
            let given = leases.give_back(most, session.useful_slots(), Instant::now());
            debug!(leases = given, wanted = most, "another worker has nothing to do: what is in stock is given back");
        }
        // A newer coordinator may push more kinds.
        None => {}
    }
}

/// Renews all leases every `renew_every`, and at once when that is sent anew.
pub(crate) async fn renew(
    coordinator: &Coordinator,
    leases: &HeldLeases,
    mut renew_every: watch::Receiver<Duration>,
    mut backoff: Backoff,
) {
    let mut pause = *renew_every.borrow_and_update();
    let mut overdue = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = renew_every.changed() => if changed.is_err() { return },
        }
        pause = *renew_every.borrow_and_update();
        match renew_once(coordinator, leases).await {
            Ok(()) => {
                backoff.reset();
                overdue = log_overdue(0, overdue);
            }
            Err(status) => {
                debug!({ names::REASON } = status.message(), "leases were not renewed");
                pause = backoff.next().min(pause);
                overdue = log_overdue(leases.overdue(Instant::now()), overdue);
            }
        }
    }
}

async fn renew_once(coordinator: &Coordinator, leases: &HeldLeases) -> Result<(), Status> {
    let tokens = leases.renewable();
    if tokens.is_empty() {
        return Ok(());
    }
    let sent_at = Instant::now();
    match coordinator.renew(tokens.clone()).await {
        Ok(answer) => answer.renewals.iter().for_each(|renewal| apply(renewal, leases, sent_at)),
        Err(status) if is_final(&status) => renew_each(coordinator, leases, tokens).await?,
        Err(status) => return Err(status),
    }
    Ok(())
}

/// One token that the coordinator does not know (its run was deleted, say) must not cost the others.
async fn renew_each(coordinator: &Coordinator, leases: &HeldLeases, tokens: Vec<String>) -> Result<(), Status> {
    for token in tokens {
        let sent_at = Instant::now();
        match coordinator.renew(vec![token.clone()]).await {
            Ok(answer) => answer.renewals.iter().for_each(|renewal| apply(renewal, leases, sent_at)),
            Err(status) if is_final(&status) => {
                lose(leases, &token, status.message());
            }
            Err(status) => return Err(status),
        }
    }
    Ok(())
}

/// Takes in what the coordinator says of a lease, in answer to a request of that time.
pub(crate) fn apply(renewal: &Renewal, leases: &HeldLeases, sent_at: Instant) {
    let token = &renewal.lease_token;
    match renewal.state() {
        RenewalState::Held => leases.renewed(token, sent_at + ttl(renewal.ttl)),
        RenewalState::Lost => {
            lose(leases, token, "it was not renewed: expired, revoked or completed");
        }
        RenewalState::RunStopped => {
            if let Some(lease) = leases.stop_one(token) {
                info!(
                    { names::RUN } = lease.run_id(),
                    { names::BATCH } = lease.batch(),
                    { names::NEXT } = "the batch is given back; a POST in flight is finished and reported",
                    "run stopped"
                );
            }
        }
        RenewalState::Unspecified => {}
    }
}

/// The lease is somebody else's now, and the log says why.
pub(crate) fn lose(leases: &HeldLeases, token: &str, why: &str) {
    let Some(lease) = leases.lose(token) else { return };
    warn!(
        { names::RUN } = lease.run_id(),
        { names::BATCH } = lease.batch(),
        { names::ATTEMPT } = lease.attempt(),
        { names::REASON } = why,
        { names::NEXT } = "no delivery begins on it; a POST in flight is finished and reported",
        "lease lost"
    );
}

/// Says once that leases run out unrenewed, and once that they do no more.
fn log_overdue(now: usize, before: usize) -> usize {
    if now > 0 && before == 0 {
        warn!(
            leases = now,
            { names::NEXT } = "results are kept; the coordinator decides whether they may still be delivered",
            "leases could not be renewed in time"
        );
    } else if now == 0 && before > 0 {
        info!("all leases are in time again");
    }
    now
}
