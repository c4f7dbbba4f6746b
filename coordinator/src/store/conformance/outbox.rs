//! The outbox: what is told outside, by whom, and how often; and what counts as a stall.

use std::time::Duration;

use super::Backend;
use super::bench::{A, B, Bench, POST_TIMEOUT, begin, dead, new_run, page, probing_run, report};
use super::probing::found;
use crate::domain::{DeliveryState, Run, RunState};
use crate::store::{
    Deleted, Destination, Fenced, Notice, NoticeClaim, NoticeEvent, NoticeState, Outcomes, Pace, Redrive, Stall, Tried,
};

const HOLD: Duration = Duration::from_secs(90);
const STALLED_AFTER: Duration = Duration::from_secs(300);

/// Notices, from the end of a run to their own.
pub async fn outbox(backend: &dyn Backend) {
    the_end_of_a_run_writes_what_it_tells(&Bench::new(backend).await).await;
    nobody_to_be_told_costs_no_row(&Bench::new(backend).await).await;
    each_round_is_told_and_so_is_a_cancel(&Bench::new(backend).await).await;
    one_sends_at_a_time(&Bench::new(backend).await).await;
    a_late_word_of_an_older_try_changes_nothing(&Bench::new(backend).await).await;
    it_is_tried_again_when_it_is_due(&Bench::new(backend).await).await;
    what_is_given_up_is_not_tried_again(&Bench::new(backend).await).await;
    nothing_is_told_of_a_deleted_run(&Bench::new(backend).await).await;
}

/// What counts as a stall, and that it is told once.
pub async fn stalls(backend: &dyn Backend) {
    a_run_without_progress_stalls_once(&Bench::new(backend).await).await;
    progress_arms_it_again(&Bench::new(backend).await).await;
    what_is_sent_in_vain_is_no_progress(&Bench::new(backend).await).await;
    a_page_and_a_dead_letter_are_progress(&Bench::new(backend).await).await;
    a_doubt_that_was_none_takes_no_progress_back(&Bench::new(backend).await).await;
    a_probe_in_vain_is_no_progress(&Bench::new(backend).await).await;
    a_batch_is_doubtful_for_the_first_time_once(&Bench::new(backend).await).await;
    each_destination_is_told(&Bench::new(backend).await).await;
    silence_of_all_coordinators_is_no_stall(&Bench::new(backend).await).await;
    a_run_that_pauses_by_itself_is_told_and_one_that_was_paused_is_not(&Bench::new(backend).await).await;
}

fn to(names: &[&str]) -> Vec<Destination> {
    names.iter().map(|name| Destination { name: (*name).to_owned(), shown: format!("{name}.example") }).collect()
}

async fn conclude(bench: &Bench, run: &Run, tell: &[Destination]) -> Fenced<()> {
    let (run, verdict) = crate::audit::audit(bench.store().as_ref(), &run.id, None).await.unwrap().unwrap();
    bench.store().conclude(&run, &verdict, tell).await.unwrap()
}

/// A run of one batch that is over, told to these.
async fn over(bench: &Bench, name: &str, tell: &[Destination]) -> Run {
    let run = bench.one_batch(new_run(name), 2).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    assert_eq!(conclude(bench, &run, tell).await, Fenced::Committed(()));
    bench.run(&run.id).await
}

async fn claim(bench: &Bench, destination: &str) -> Option<NoticeClaim> {
    bench.store().claim_notice(destination, HOLD).await.unwrap()
}

async fn settle(bench: &Bench, claim: &NoticeClaim, tried: Tried) -> Fenced<()> {
    bench.store().settle_notice(claim, tried).await.unwrap()
}

fn again(seconds: u64) -> Tried {
    Tried::Again { after: Duration::from_secs(seconds), error: "it answers 500".to_owned() }
}

async fn notices(bench: &Bench, run: &Run) -> Vec<Notice> {
    bench.store().notices(run, 10).await.unwrap()
}

async fn the_end_of_a_run_writes_what_it_tells(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 2).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    let read = crate::audit::audit(bench.store().as_ref(), &run.id, None).await.unwrap().unwrap();
    assert!(notices(bench, &run).await.is_empty());
    assert_eq!(bench.store().next_notice("a").await.unwrap(), None);
    assert_eq!(conclude(bench, &run, &to(&["a", "b"])).await, Fenced::Committed(()));
    // An end that came too late tells nothing.
    assert_eq!(bench.store().conclude(&read.0, &read.1, &to(&["c"])).await.unwrap(), Fenced::Stale);
    let written = notices(bench, &run).await;
    let [second, first] = &written[..] else { panic!("{written:?}") };
    assert_eq!((first.shown.as_str(), second.shown.as_str()), ("a.example", "b.example"));
    assert_eq!(first.id, second.id, "it is one event");
    assert_eq!((first.event, first.reason.as_str(), first.round), (NoticeEvent::Ended, "finished", 1));
    assert_eq!((Some(first.at), first.tries), (bench.run(&run.id).await.finished_at, 0));
    assert_eq!(first.state, NoticeState::Waiting(first.at));
    assert_eq!(bench.store().next_notice("a").await.unwrap(), Some(Duration::ZERO));
    let claimed = claim(bench, "a").await.unwrap();
    assert_eq!((&claimed.id, &claimed.run, claimed.event, claimed.tries), (&first.id, &run.id, first.event, 1));
    assert_eq!((claimed.round, claimed.at, claimed.reason.as_str()), (1, first.at, "finished"));
    assert_eq!(settle(bench, &claimed, Tried::Delivered).await, Fenced::Committed(()));
    assert!(matches!(notices(bench, &run).await[1].state, NoticeState::Delivered(_)));
    assert!(claim(bench, "a").await.is_none() && claim(bench, "c").await.is_none());
    assert!(claim(bench, "b").await.is_some(), "the other destination's is its own");
}

async fn nobody_to_be_told_costs_no_row(bench: &Bench) {
    let run = over(bench, "one", &[]).await;
    assert!(notices(bench, &run).await.is_empty());
}

async fn each_round_is_told_and_so_is_a_cancel(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 2).await;
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[dead(0), dead(1)])).await;
    conclude(bench, &run, &to(&["a"])).await;
    let redrive = Redrive { outcomes: Outcomes { dead_letter: true, ..Outcomes::default() }, ..Redrive::default() };
    bench.store().redrive(&run.id, redrive).await.unwrap();
    bench.store().cancel_run(&run.id).await.unwrap();
    conclude(bench, &run, &to(&["a"])).await;
    let told: Vec<_> = notices(bench, &run).await.into_iter().map(|notice| (notice.round, notice.reason)).collect();
    assert_eq!(told, [(2, "cancelled".to_owned()), (1, "finished".to_owned())]);
    let (first, second) = (claim(bench, "a").await.unwrap(), claim(bench, "a").await.unwrap());
    assert_eq!((first.round, second.round), (1, 2), "in their order");
    assert_ne!(first.id, second.id);
}

async fn one_sends_at_a_time(bench: &Bench) {
    over(bench, "one", &to(&["a"])).await;
    let store = bench.store();
    let (one, two) = tokio::join!(store.claim_notice("a", HOLD), store.claim_notice("a", HOLD));
    let claims: Vec<_> = [one.unwrap(), two.unwrap()].into_iter().flatten().collect();
    assert_eq!(claims.len(), 1, "{claims:?}");
    bench.pass(HOLD - Duration::from_secs(1)).await;
    assert!(claim(bench, "a").await.is_none(), "it is held");
    bench.pass(Duration::from_secs(1)).await;
    // Whoever held it said nothing: perhaps it was sent, perhaps not.
    let again = claim(bench, "a").await.unwrap();
    assert_eq!((&again.id, again.tries), (&claims[0].id, 2));
}

async fn a_late_word_of_an_older_try_changes_nothing(bench: &Bench) {
    let run = over(bench, "one", &to(&["a"])).await;
    let first = claim(bench, "a").await.unwrap();
    bench.pass(HOLD).await;
    let second = claim(bench, "a").await.unwrap();
    assert_eq!(settle(bench, &first, Tried::GivenUp { error: "late".into() }).await, Fenced::Stale);
    assert_eq!(notices(bench, &run).await[0].state, NoticeState::Sending);
    assert_eq!(settle(bench, &second, Tried::Delivered).await, Fenced::Committed(()));
    assert_eq!(settle(bench, &second, again(1)).await, Fenced::Stale, "once");
}

async fn it_is_tried_again_when_it_is_due(bench: &Bench) {
    let run = over(bench, "one", &to(&["a"])).await;
    let first = claim(bench, "a").await.unwrap();
    assert_eq!(settle(bench, &first, again(5)).await, Fenced::Committed(()));
    let waiting = &notices(bench, &run).await[0];
    assert_eq!((waiting.error.as_str(), waiting.tries), ("it answers 500", 1));
    assert!(matches!(waiting.state, NoticeState::Waiting(_)));
    assert_eq!(bench.store().next_notice("a").await.unwrap(), Some(Duration::from_secs(5)));
    bench.pass(Duration::from_secs(4)).await;
    assert!(claim(bench, "a").await.is_none());
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(claim(bench, "a").await.unwrap().id, first.id);
}

async fn what_is_given_up_is_not_tried_again(bench: &Bench) {
    let run = over(bench, "one", &to(&["a"])).await;
    let first = claim(bench, "a").await.unwrap();
    settle(bench, &first, Tried::GivenUp { error: "it answers 410".to_owned() }).await;
    bench.pass(HOLD).await;
    assert!(claim(bench, "a").await.is_none());
    let given_up = &notices(bench, &run).await[0];
    assert!(matches!(given_up.state, NoticeState::GivenUp(_)) && given_up.error == "it answers 410", "{given_up:?}");
}

async fn nothing_is_told_of_a_deleted_run(bench: &Bench) {
    let (one, two) = (over(bench, "one", &to(&["a"])).await, over(bench, "two", &to(&["a"])).await);
    let claimed = claim(bench, "a").await.unwrap();
    assert_eq!(claimed.run, one.id);
    assert_eq!(bench.store().delete_run(&one.id).await.unwrap(), Some(Deleted::Done));
    assert!(notices(bench, &one).await.is_empty());
    assert_eq!(settle(bench, &claimed, again(0)).await, Fenced::Stale);
    assert_eq!(claim(bench, "a").await.unwrap().run, two.id);
    assert!(claim(bench, "a").await.is_none());
}

async fn stalled(bench: &Bench) -> Vec<Stall> {
    stalled_for(bench, &["a"]).await
}

async fn stalled_for(bench: &Bench, names: &[&str]) -> Vec<Stall> {
    let mut stalls = Vec::new();
    for watched in bench.store().watched().await.unwrap() {
        if let Pace::Still(stall) = bench.store().pace(&watched, STALLED_AFTER, &to(names)).await.unwrap() {
            stalls.push(stall);
        }
    }
    stalls
}

async fn tell(bench: &Bench, stall: &Stall) -> Fenced<()> {
    bench.store().tell_stall(stall, STALLED_AFTER, &to(&["a"])).await.unwrap()
}

/// Tells the one stall that there is.
async fn told(bench: &Bench) -> Stall {
    let found = stalled(bench).await;
    let [stall] = &found[..] else { panic!("{found:?}") };
    assert_eq!(tell(bench, stall).await, Fenced::Committed(()));
    stall.clone()
}

async fn a_run_without_progress_stalls_once(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 2).await;
    bench.pass(STALLED_AFTER - Duration::from_secs(1)).await;
    assert!(stalled(bench).await.is_empty());
    bench.pass(Duration::from_secs(1)).await;
    let stall = told(bench).await;
    assert_eq!((&stall.run.id, stall.event), (&run.id, NoticeEvent::Stalled));
    assert!(stalled(bench).await.is_empty(), "it was told");
    tell(bench, &stall).await;
    bench.pass(STALLED_AFTER * 2).await;
    assert!(stalled(bench).await.is_empty());
    let written = notices(bench, &run).await;
    assert_eq!(written.len(), 1, "another coordinator that noticed it as well tells nothing: {written:?}");
    assert!(written[0].reason.contains("for 5 min"), "{written:?}");
}

async fn progress_arms_it_again(bench: &Bench) {
    let run = bench.listed(new_run("one"), &[&["1", "2", "3", "4"], &["5"]]).await;
    bench.pass(STALLED_AFTER).await;
    told(bench).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    assert!(stalled(bench).await.is_empty());
    bench.pass(STALLED_AFTER).await;
    let second = told(bench).await;
    let written = notices(bench, &run).await;
    assert_eq!(written.len(), 2);
    assert_ne!(written[0].id, written[1].id);
    // What was read before the run went on is not told.
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    assert_eq!(tell(bench, &second).await, Fenced::Stale);
}

async fn what_is_sent_in_vain_is_no_progress(bench: &Bench) {
    bench.one_batch(new_run("one"), 2).await;
    for _ in 0..6 {
        bench.pass(Duration::from_secs(50)).await;
        let lease = bench.lease(A).await;
        bench.deliver(A, &lease, DeliveryState::NotApplied).await;
    }
    assert_eq!(stalled(bench).await.len(), 1);
}

async fn a_page_and_a_dead_letter_are_progress(bench: &Bench) {
    bench.start(new_run("one")).await;
    bench.pass(STALLED_AFTER).await;
    assert_eq!(stalled(bench).await.len(), 1);
    let listing = bench.take_listing("lister").await;
    bench.store().commit_page(&listing, page(1, &["1", "2"], None)).await.unwrap();
    assert!(stalled(bench).await.is_empty());
    bench.store().close_listing(&listing).await.unwrap();
    bench.pass(STALLED_AFTER).await;
    assert_eq!(stalled(bench).await.len(), 1);
    let lease = bench.lease(A).await;
    bench.complete(A, &lease, report(&[], &[dead(0)])).await;
    assert!(stalled(bench).await.is_empty());
}

async fn a_doubt_that_was_none_takes_no_progress_back(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 2).await;
    bench.pass(Duration::from_secs(30)).await;
    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(1, 0..2, 0)).await;
    // Its worker vanishes, and says late that nothing was sent.
    bench.pass(POST_TIMEOUT + Duration::from_secs(6)).await;
    assert_eq!(bench.counts(&run).await.in_doubt, 2);
    bench.pass(STALLED_AFTER).await;
    told(bench).await;
    bench.complete(A, &lease, report(&[(1, DeliveryState::NotApplied)], &[])).await;
    assert_eq!(bench.counts(&run).await.pending, 2);
    assert!(stalled(bench).await.is_empty(), "it is the same stall");
}

async fn a_probe_in_vain_is_no_progress(bench: &Bench) {
    let run = bench.one_batch(probing_run("one"), 2).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::InDoubt).await;
    bench.pass(STALLED_AFTER - Duration::from_secs(1)).await;
    let lease = bench.lease(B).await;
    assert!(lease.parts[0].0.probe);
    bench.complete(B, &lease, found(&[], &[])).await;
    assert!(stalled(bench).await.is_empty());
    bench.pass(Duration::from_secs(1)).await;
    told(bench).await;
    let lease = bench.lease(B).await;
    bench.complete(B, &lease, found(&[], &[0, 1])).await;
    assert_eq!(bench.counts(&run).await.pending, 2);
    assert!(stalled(bench).await.is_empty(), "what was found out is that nothing has come of it");
}

async fn a_batch_is_doubtful_for_the_first_time_once(bench: &Bench) {
    bench.one_batch(probing_run("one"), 2).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::InDoubt).await;
    bench.pass(STALLED_AFTER - Duration::from_secs(1)).await;
    let lease = bench.lease(B).await;
    bench.complete(B, &lease, found(&[], &[0, 1])).await;
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::InDoubt).await;
    assert!(stalled(bench).await.is_empty());
    bench.pass(Duration::from_secs(1)).await;
    told(bench).await;
}

async fn each_destination_is_told(bench: &Bench) {
    let run = bench.one_batch(new_run("one"), 2).await;
    bench.pass(STALLED_AFTER).await;
    told(bench).await;
    assert!(stalled(bench).await.is_empty());
    let lacking = stalled_for(bench, &["a", "b"]).await;
    let [stall] = &lacking[..] else { panic!("b was told nothing: {lacking:?}") };
    bench.store().tell_stall(stall, STALLED_AFTER, &to(&["a", "b"])).await.unwrap();
    let shown: Vec<_> = notices(bench, &run).await.into_iter().map(|notice| notice.shown).collect();
    assert_eq!(shown, ["b.example", "a.example"], "each once");
    assert!(stalled_for(bench, &["a", "b"]).await.is_empty());
}

async fn silence_of_all_coordinators_is_no_stall(bench: &Bench) {
    bench.one_batch(new_run("one"), 2).await;
    bench.silence(STALLED_AFTER).await;
    bench.pass(Duration::from_secs(1)).await;
    for stall in stalled(bench).await {
        assert_eq!(tell(bench, &stall).await, Fenced::Stale, "nobody was there to work on it");
    }
    bench.pass(STALLED_AFTER).await;
    told(bench).await;
}

async fn a_run_that_pauses_by_itself_is_told_and_one_that_was_paused_is_not(bench: &Bench) {
    let (one, two) = (bench.start(new_run("one")).await, bench.start(new_run("two")).await);
    bench.store().pause_run(&one.id, "by an operator").await.unwrap();
    bench.store().halt_run(&two.id, "the source answers 401").await.unwrap();
    let stall = told(bench).await;
    assert_eq!((&stall.run.id, stall.event, stall.run.state), (&two.id, NoticeEvent::Paused, RunState::Paused));
    assert_eq!(notices(bench, &two).await[0].reason, "the source answers 401");
    bench.pass(STALLED_AFTER * 2).await;
    assert!(stalled(bench).await.is_empty(), "once, and a paused run does not stall besides");
    bench.store().resume_run(&two.id).await.unwrap();
    bench.store().halt_run(&two.id, "the source answers 403").await.unwrap();
    told(bench).await;
    bench.store().resume_run(&two.id).await.unwrap();
    bench.store().pause_run(&two.id, "by an operator").await.unwrap();
    assert!(stalled(bench).await.is_empty());
    assert_eq!(notices(bench, &two).await.len(), 2);
}
