//! What hosts get from all processes together: places on their timetables, and the wish to be left alone.

use std::time::Duration;

use muster_pipeline::Rate;

use super::Backend;
use super::bench::{A, B, Bench, new_run};
use crate::domain::Pace;
use crate::store::{ClosedHost, Event, Misuse, Reserve};

const HOST: &str = "http://source.example:80";
const OTHER: &str = "http://target.example:80";
const LEAD: Duration = Duration::from_millis(5);
const SECOND: Duration = Duration::from_secs(1);

/// Giving out places, and closing hosts.
pub async fn rates(backend: &dyn Backend) {
    nobody_gets_the_place_of_another(&Bench::new(backend).await).await;
    many_at_once_get_places_of_their_own(&Bench::new(backend).await).await;
    time_that_nobody_wanted_is_gone(&Bench::new(backend).await).await;
    hosts_have_a_timetable_each(&Bench::new(backend).await).await;
    a_closed_host_gives_no_place(&Bench::new(backend).await).await;
    all_are_told_of_a_closed_host(&Bench::new(backend).await).await;
    only_workers_that_work_here_are_given_any(&Bench::new(backend).await).await;
    timetables_outlive_a_restart(&mut Bench::new(backend).await).await;
    idle_hosts_are_forgotten(&Bench::new(backend).await).await;
}

/// A request each 10.25 ms.
pub(super) fn ask(session: Option<&str>, host: &str, count: u32) -> Reserve {
    let pace = Pace::of(Rate { requests: 100, per: SECOND, burst: 1 });
    Reserve { session: session.map(ToOwned::to_owned), host: host.to_owned(), pace, count, lead: LEAD }
}

/// What it is given: milliseconds from now on.
async fn given(bench: &Bench, ask: Reserve) -> Vec<u128> {
    let reserved = bench.store().reserve(ask).await.unwrap().unwrap();
    reserved.after.iter().map(Duration::as_millis).collect()
}

async fn both_work(bench: &Bench) {
    for session in [A, B] {
        bench.acquire(session, &[], 1).await;
    }
}

async fn nobody_gets_the_place_of_another(bench: &Bench) {
    both_work(bench).await;
    assert_eq!(given(bench, ask(Some(A), HOST, 2)).await, [5, 15]);
    assert_eq!(given(bench, ask(Some(B), HOST, 1)).await, [25]);
    assert_eq!(given(bench, ask(None, HOST, 1)).await, [35], "the lister is one of them");
    bench.silence(Duration::from_millis(20)).await;
    assert_eq!(given(bench, ask(Some(A), HOST, 1)).await, [26]);
}

async fn many_at_once_get_places_of_their_own(bench: &Bench) {
    both_work(bench).await;
    let asking = (0..24).map(|number| given(bench, ask(Some(if number % 2 == 0 { A } else { B }), HOST, 1)));
    let mut places: Vec<u128> = futures::future::join_all(asking).await.into_iter().flatten().collect();
    places.sort_unstable();
    let expected: Vec<u128> = (0..24).map(|number| (5_000 + 10_250 * number) / 1_000).collect();
    assert_eq!(places, expected);
}

async fn time_that_nobody_wanted_is_gone(bench: &Bench) {
    both_work(bench).await;
    assert_eq!(given(bench, ask(Some(A), HOST, 1)).await, [5]);
    bench.silence(SECOND).await;
    assert_eq!(given(bench, ask(Some(A), HOST, 2)).await, [5, 15]);
    bench.silence(10 * SECOND).await;
    let mut bursting = ask(Some(B), HOST, 2);
    bursting.pace = Pace::of(Rate { requests: 100, per: SECOND, burst: 2 });
    assert_eq!(given(bench, bursting).await, [5, 5], "but for what may be saved up");
}

async fn hosts_have_a_timetable_each(bench: &Bench) {
    both_work(bench).await;
    assert_eq!(given(bench, ask(Some(A), HOST, 1)).await, [5]);
    assert_eq!(given(bench, ask(Some(A), OTHER, 1)).await, [5]);
}

async fn a_closed_host_gives_no_place(bench: &Bench) {
    both_work(bench).await;
    let close = async |time| bench.store().close_host(Some(A), HOST, time).await.unwrap().unwrap();
    close(3 * SECOND).await;
    close(SECOND).await;
    assert_eq!(given(bench, ask(Some(B), HOST, 2)).await, [3_000, 3_010], "the longer wish counts");
    bench.silence(2 * SECOND).await;
    assert_eq!(given(bench, ask(None, HOST, 1)).await, [1_020]);
    assert_eq!(given(bench, ask(None, OTHER, 1)).await, [5]);
}

async fn all_are_told_of_a_closed_host(bench: &Bench) {
    both_work(bench).await;
    let mut pushed = bench.store().events().pushed();
    for (session, seconds) in [(Some(A), 3), (Some(B), 3), (Some(B), 1), (None, 5)] {
        bench.store().close_host(session, HOST, seconds * SECOND).await.unwrap().unwrap();
    }
    for time in [3 * SECOND, 5 * SECOND] {
        assert_eq!(pushed.recv().await.unwrap(), Event::HostClosed { host: HOST.to_owned(), time });
    }
    assert!(pushed.try_recv().is_err(), "what is no news is not told");
    bench.silence(2 * SECOND).await;
    let closed = || async { bench.store().closed_hosts().await.unwrap() };
    assert_eq!(closed().await, [ClosedHost { host: HOST.to_owned(), left: 3 * SECOND }]);
    bench.silence(3 * SECOND).await;
    assert_eq!(closed().await, []);
}

async fn only_workers_that_work_here_are_given_any(bench: &Bench) {
    let refused = async || bench.store().reserve(ask(Some(A), HOST, 1)).await.unwrap().unwrap_err();
    assert_eq!(refused().await, Misuse::SessionUnknown);
    both_work(bench).await;
    bench.store().release(A, &[], true).await.unwrap().unwrap();
    assert_eq!(refused().await, Misuse::SessionUnknown);
    let told = bench.store().close_host(Some(A), HOST, SECOND).await.unwrap();
    assert_eq!(told, Err(Misuse::SessionUnknown));
    assert_eq!(given(bench, ask(Some(B), HOST, 1)).await, [5], "who was refused has taken nothing");
}

async fn timetables_outlive_a_restart(bench: &mut Bench) {
    both_work(bench).await;
    assert_eq!(given(bench, ask(Some(A), HOST, 2)).await, [5, 15]);
    bench.store().close_host(Some(B), OTHER, 3 * SECOND).await.unwrap().unwrap();
    bench.restart().await;
    assert_eq!(given(bench, ask(Some(B), HOST, 1)).await, [25]);
    assert_eq!(given(bench, ask(Some(A), OTHER, 1)).await, [3_000]);
}

async fn idle_hosts_are_forgotten(bench: &Bench) {
    both_work(bench).await;
    bench.start(new_run("one")).await;
    given(bench, ask(Some(A), HOST, 1)).await;
    bench.store().close_host(Some(A), OTHER, 7_200 * SECOND).await.unwrap().unwrap();
    bench.silence(3_700 * SECOND).await;
    while bench.store().sweep().await.unwrap().more {}
    let closed = bench.store().closed_hosts().await.unwrap();
    assert_eq!(closed, [ClosedHost { host: OTHER.to_owned(), left: 3_500 * SECOND }], "not before it opens");
    assert_eq!(given(bench, ask(Some(A), HOST, 1)).await, [5]);
}
