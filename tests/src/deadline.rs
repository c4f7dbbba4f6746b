//! Waiting: always for something, never for ever. No test asserts how long anything took.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Longer than anything a test waits for takes on a busy machine.
pub const GENEROUS: Duration = Duration::from_secs(180);
/// Between two looks at what cannot be waited for in a better way.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What `future` gives.
///
/// # Panics
/// When it takes longer than [`GENEROUS`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(GENEROUS, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {GENEROUS:?} in vain: {what}"),
    }
}

/// Looks again and again until there is something.
///
/// # Panics
/// When that takes longer than [`GENEROUS`].
pub async fn until_some<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + GENEROUS;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {GENEROUS:?} in vain: {what}");
        sleep(LOOK_AGAIN).await;
    }
}
