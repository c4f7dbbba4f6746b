//! What processes that ask the same hosts share: how many requests these take, and when they want to be left alone.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;
use url::Url;

/// A wish that ends by no more than this, or a tenth, later than the one before is the same.
const SAME_WISH: Duration = Duration::from_millis(250);

/// The fleet that a process belongs to, as its requests see it. Hosts are named as [`host_of`] names them.
pub trait Fleet: fmt::Debug + Send + Sync {
    /// Asks for times at which a request each may go out to this host: as many as `count`, or fewer, ascending, none
    /// sooner than `lead` from now on, since the answer takes its time. Waits as long as nobody answers. What is not used
    /// is a request that is not sent, nothing else.
    fn reserve(&self, host: &str, count: u32, lead: Duration) -> BoxFuture<'static, Vec<Instant>>;

    /// This host asked to be left alone for so long: all are to hear of it. Waits for nobody.
    fn pressed(&self, host: &str, time: Duration);

    /// Until when this host wants to be left alone, by what anybody was told.
    fn closed_until(&self, host: &str) -> Option<Instant>;
}

/// The name of a URL's host in a fleet: `https://example.org:443`.
#[must_use]
pub fn host_of(url: &Url) -> String {
    let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// Hosts that asked to be left alone, as far as a process has heard.
#[derive(Debug, Default)]
pub struct ClosedHosts(Mutex<HashMap<String, Instant>>);

impl ClosedHosts {
    /// A host wants to be left alone until then; a longer wish that it uttered before stays. Whether that is news: many
    /// requests meet the same wish, each a little later than the one before.
    pub fn close(&self, host: &str, until: Instant) -> bool {
        let mut closed = super::lock(&self.0);
        let now = Instant::now();
        closed.retain(|_, until| *until > now);
        let before = closed.get(host).copied();
        closed.insert(host.to_owned(), before.map_or(until, |before| before.max(until)));
        let same = (until.saturating_duration_since(now) / 10).max(SAME_WISH);
        before.is_none_or(|before| until > before + same)
    }

    /// Until when a host wants to be left alone.
    pub fn until(&self, host: &str) -> Option<Instant> {
        let closed = super::lock(&self.0);
        closed.get(host).copied().filter(|until| *until > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_name() {
        let name = |url: &str| host_of(&url.parse().unwrap());
        assert_eq!(name("https://Example.org/a?b=c"), "https://example.org:443");
        assert_eq!(name("http://me:secret@[::1]:8080/a"), "http://[::1]:8080");
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_wish_counts() {
        let (hosts, start, host) = (ClosedHosts::default(), Instant::now(), "http://a:1");
        assert_eq!(hosts.until(host), None);
        assert!(hosts.close(host, start + Duration::from_secs(3)));
        assert!(!hosts.close(host, start + Duration::from_secs(1)));
        assert!(!hosts.close(host, start + Duration::from_millis(3_200)), "the same wish, met by another request");
        assert!(hosts.close(host, start + Duration::from_secs(4)));
        assert_eq!(hosts.until(host), Some(start + Duration::from_secs(4)));
        assert_eq!(hosts.until("http://b:1"), None);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(hosts.until(host), None);
    }
}
