//! Whether a host serves requests at all, so that a person hears of a change once and not with every request.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::transport::{Answer, TransportError};

/// How long a host must have failed, without one success, before that is said.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many failures in a row are no chance: a host that fails one request in five fails so many once in 390,000 times.
const ENOUGH: u32 = 8;
/// A connection that is refused says as much as so many requests that fail.
const UNREACHED: u32 = 4;

/// What a request says about its host that is news.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It has served nothing for a while; why the last request failed.
    Down(String),
    /// It serves again, after so long.
    Up(Duration),
}

#[derive(Debug, Default)]
pub(crate) struct Health {
    row: Mutex<Option<Row>>,
}

/// Failures since the last success.
#[derive(Debug)]
struct Row {
    since: Instant,
    weight: u32,
    told: bool,
}

impl Health {
    /// Notes what came of a request.
    pub(crate) fn saw(&self, result: &Result<Answer, TransportError>) -> Option<News> {
        match result {
            Ok(answer) if answer.status.is_server_error() => self.failed(1, || format!("it answers {}", answer.status)),
            Ok(_) => self.served(),
            Err(TransportError::NotSent(reason)) => self.failed(UNREACHED, || reason.clone()),
            Err(TransportError::Broken(reason)) => self.failed(1, || reason.clone()),
        }
    }

    fn served(&self) -> Option<News> {
        let row = super::lock(&self.row).take()?;
        row.told.then(|| News::Up(row.since.elapsed()))
    }

    fn failed(&self, weight: u32, reason: impl FnOnce() -> String) -> Option<News> {
        let now = Instant::now();
        let mut row = super::lock(&self.row);
        let row = row.get_or_insert(Row { since: now, weight: 0, told: false });
        row.weight = row.weight.saturating_add(weight);
        if row.told || row.weight < ENOUGH || now.duration_since(row.since) < PATIENCE {
            return None;
        }
        row.told = true;
        Some(News::Down(reason()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use tokio::time::advance;

    use super::super::transport::BodyEnd;
    use super::*;

    fn answer(status: StatusCode) -> Result<Answer, TransportError> {
        Ok(Answer { status, headers: HeaderMap::new(), body: Bytes::new(), end: BodyEnd::Whole })
    }

    fn unreached() -> Result<Answer, TransportError> {
        Err(TransportError::NotSent("connection refused".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_failures_is_no_outage_and_neither_is_a_long_one_with_a_success_in_it() {
        let health = Health::default();
        for _ in 0..100 {
            assert_eq!(health.saw(&unreached()), None, "all within a moment");
        }
        assert_eq!(health.saw(&answer(StatusCode::NOT_FOUND)), None, "it was never said to be down");
        for _ in 0..100 {
            advance(PATIENCE).await;
            assert_eq!(health.saw(&unreached()), None);
            assert_eq!(health.saw(&answer(StatusCode::OK)), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn chance_does_not_look_like_an_outage() {
        let mut random = fastrand::Rng::with_seed(11);
        let health = Health::default();
        for _ in 0..10_000 {
            advance(Duration::from_secs(1)).await;
            let status = if random.u32(..100) < 20 { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
            assert_eq!(health.saw(&answer(status)), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_news_once_and_so_is_its_end() {
        for result in [unreached(), answer(StatusCode::SERVICE_UNAVAILABLE)] {
            let health = Health::default();
            let mut news = Vec::new();
            for _ in 0..60 {
                news.extend(health.saw(&result));
                advance(Duration::from_secs(1)).await;
            }
            assert!(matches!(&news[..], [News::Down(reason)] if !reason.is_empty()), "{news:?}");
            assert_eq!(health.saw(&answer(StatusCode::OK)), Some(News::Up(Duration::from_secs(60))));
            assert_eq!(health.saw(&answer(StatusCode::OK)), None);
        }
    }
}
