use std::sync::Mutex as StdMutex;

use futures::FutureExt;

use super::*;

/// A fleet with one timetable, whose answers take a while.
#[derive(Debug)]
struct Slow {
    answers_in: Duration,
    apart: Duration,
    free_at: StdMutex<Instant>,
    asked: StdMutex<Vec<u32>>,
}

impl Slow {
    fn new(answers_in: u64, apart: u64) -> Arc<Self> {
        let (answers_in, apart) = (Duration::from_millis(answers_in), Duration::from_millis(apart));
        let free_at = StdMutex::new(Instant::now());
        Arc::new(Self { answers_in, apart, free_at, asked: StdMutex::default() })
    }

    fn rate(self: &Arc<Self>) -> Arc<SharedRate> {
        let rate = Rate { requests: 1, per: Duration::from_secs(1), burst: 1 };
        Arc::new(SharedRate::new("http://host:80".to_owned(), rate, Arc::clone(self) as Arc<dyn Fleet>))
    }

    fn asked(&self) -> Vec<u32> {
        self.asked.lock().unwrap().clone()
    }
}

impl Fleet for Slow {
    fn reserve(&self, _host: &str, count: u32, lead: Duration) -> BoxFuture<'static, Vec<Instant>> {
        self.asked.lock().unwrap().push(count);
        let mut free_at = self.free_at.lock().unwrap();
        let first = (*free_at).max(Instant::now() + lead);
        *free_at = first + self.apart * count;
        let (apart, answers_in) = (self.apart, self.answers_in);
        let times = (0..count).map(move |number| first + apart * number).collect();
        tokio::time::sleep(answers_in).map(|()| times).boxed()
    }

    fn pressed(&self, _host: &str, _time: Duration) {}

    fn closed_until(&self, _host: &str) -> Option<Instant> {
        None
    }
}

/// When so many requests that wait together go out, in milliseconds.
async fn times(rate: &Arc<SharedRate>, count: usize) -> Vec<u128> {
    let start = Instant::now();
    let take = |rate: Arc<SharedRate>| async move {
        rate.take().await;
        start.elapsed().as_millis()
    };
    futures::future::join_all((0..count).map(|_| take(Arc::clone(rate)))).await
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_go_out_at_the_times_that_were_reserved_for_them() {
    let fleet = Slow::new(2, 10);
    let rate = fleet.rate();
    assert_eq!(times(&rate, 5).await, [5, 15, 25, 35, 45]);
    assert_eq!(fleet.asked(), [5], "one question for all");
    assert_eq!(times(&rate, 1).await, [10], "and no more than wait");
}

#[tokio::test(start_paused = true)]
async fn two_processes_take_turns() {
    let fleet = Slow::new(1, 10);
    let (one, other) = (fleet.rate(), fleet.rate());
    let (mut first, second) = tokio::join!(times(&one, 20), times(&other, 20));
    first.extend(second);
    first.sort_unstable();
    let expected: Vec<u128> = (0..40).map(|number| 5 + 10 * number).collect();
    assert_eq!(first, expected);
}

#[tokio::test(start_paused = true)]
async fn answers_that_take_longer_are_asked_for_sooner() {
    let fleet = Slow::new(300, 10);
    let rate = fleet.rate();
    // The times of the first answer had passed when it came, but for those at its end.
    let went = times(&rate, 100).await;
    let unused = went.windows(2).filter(|pair| pair[1] - pair[0] > 10).count();
    assert!(went[0] >= 300 && unused <= 1, "{went:?}");
    let again = times(&rate, 3).await;
    assert_eq!(again, [300, 310, 320]);
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_waiting_takes_nothing() {
    let fleet = Slow::new(2, 1_000);
    let rate = fleet.rate();
    rate.take().await;
    let start = Instant::now();
    for _ in 0..5 {
        assert!(tokio::time::timeout(Duration::from_millis(10), rate.take()).await.is_err());
    }
    rate.take().await;
    assert_eq!((start.elapsed().as_millis(), fleet.asked()), (1_000, vec![1, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_time_that_has_long_passed_is_not_used() {
    let fleet = Slow::new(2, 10);
    let rate = fleet.rate();
    let mut early: Vec<_> = (0..4).map(|_| Box::pin(rate.take())).collect();
    for take in &mut early {
        assert!(futures::poll!(take).is_pending());
    }
    tokio::time::advance(Duration::from_millis(5)).await;
    futures::future::join_all(early.drain(..2)).await;
    drop(early);
    tokio::time::advance(Duration::from_millis(500)).await;
    let asked = fleet.asked().len();
    assert_eq!(times(&rate, 1).await, [5]);
    assert_eq!(fleet.asked().len(), asked + 1);
}
