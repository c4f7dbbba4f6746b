//! Whose a session is: who was first, for good.

use super::Backend;
use super::bench::{A, B, Bench, new_run, worker};

/// Sessions and identities.
pub async fn identities(backend: &dyn Backend) {
    a_session_is_of_who_opened_it(&Bench::new(backend).await).await;
    one_that_nobody_was_asked_for_is_of_the_first_who_is(&Bench::new(backend).await).await;
    of_two_at_once_one_has_it(&Bench::new(backend).await).await;
}

async fn bind(bench: &Bench, session: &str, identity: &str, opens: bool) -> Option<String> {
    let worker = opens.then(|| worker(session));
    bench.store().bind_session(session, identity, worker).await.unwrap()
}

async fn a_session_is_of_who_opened_it(bench: &Bench) {
    assert_eq!(bind(bench, A, "alice", false).await, None, "nobody has opened it");
    assert_eq!(bind(bench, A, "alice", true).await.as_deref(), Some("alice"));
    for opens in [false, true] {
        assert_eq!(bind(bench, A, "bob", opens).await.as_deref(), Some("alice"));
        assert_eq!(bind(bench, A, "alice", opens).await.as_deref(), Some("alice"));
    }
    let [row] = &bench.store().workers(None, 10, false).await.unwrap()[..] else { panic!("one session") };
    assert_eq!(row.session, worker(A));
    // It goes on to be its own through everything that a worker does.
    bench.one_batch(new_run("one"), 2).await;
    let lease = bench.lease(A).await;
    bench.store().release(A, &[lease.token], true).await.unwrap().unwrap();
    assert_eq!(bind(bench, A, "bob", true).await.as_deref(), Some("alice"), "its end gives it to nobody");
}

async fn one_that_nobody_was_asked_for_is_of_the_first_who_is(bench: &Bench) {
    bench.one_batch(new_run("one"), 2).await;
    bench.lease(B).await;
    assert_eq!(bind(bench, B, "bob", false).await.as_deref(), Some("bob"));
    assert_eq!(bind(bench, B, "alice", true).await.as_deref(), Some("bob"));
}

async fn of_two_at_once_one_has_it(bench: &Bench) {
    for number in 0..20 {
        let session = format!("session-of-both-{number:02}");
        let (one, two) = tokio::join!(bind(bench, &session, "alice", true), bind(bench, &session, "bob", true));
        assert!(one.is_some() && one == two, "{one:?} {two:?}");
    }
}
