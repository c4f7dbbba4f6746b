//! Turns: tests run side by side, but those that need the machine for themselves not beside each other.

use tokio::sync::{Semaphore, SemaphorePermit};

/// What there is to share.
const SHARES: u32 = 4;
static MACHINE: Semaphore = Semaphore::const_new(SHARES as usize);

/// Held by a test for as long as it runs.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, not read")] SemaphorePermit<'static>);

/// For a test that mostly waits.
pub async fn light() -> Turn {
    take(1).await
}

/// For a test that keeps the processors busy.
pub async fn heavy() -> Turn {
    take(2).await
}

/// For a test that measures.
pub async fn alone() -> Turn {
    take(SHARES).await
}

async fn take(shares: u32) -> Turn {
    Turn(MACHINE.acquire_many(shares).await.expect("never closed"))
}
