//! How long a request is held back before it is sent.

use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

/// What a future gives that holds a request back, and adds to `waited` how long it did. No clock is read where it does not.
pub(super) async fn held_back<T>(waited: &mut Duration, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    if let Some(given) = future.as_mut().now_or_never() {
        return given;
    }
    let began = Instant::now();
    let given = future.await;
    *waited += began.elapsed();
    given
}
