//! How long anybody is waited for.

use std::time::Duration;

use axum::http::StatusCode;

use super::problem::Problem;

/// For what a client has to say after its headers.
const BODY: Duration = Duration::from_secs(30);
/// For a call with one answer: as over gRPC.
pub(super) const CALL: Duration = Duration::from_secs(60);

/// What a body holds, unless it does not come in time.
pub(super) async fn body<T>(reading: impl Future<Output = T>) -> Result<T, Problem> {
    tokio::time::timeout(BODY, reading).await.map_err(|_| {
        let detail = format!("the body did not come within {} s: send it again, whole", BODY.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, "", detail)
    })
}
