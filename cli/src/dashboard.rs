//! The dashboard of a coordinator in this process, for as long as it works.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster_coordinator::{Access, AccessArgs, Coordinator, HttpOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// Connections at once: a browser has six.
const MAX_CONNECTIONS: usize = 64;
/// How long pages may take to hear that the run is over: they are told once a second.
const LAST_NEWS: Duration = Duration::from_secs(2);

/// An open port with the dashboard behind it.
pub struct Dashboard {
    /// Where it is.
    pub url: String,
    serving: JoinHandle<()>,
    stop: CancellationToken,
    break_off: CancellationToken,
}

impl Dashboard {
    /// Opens it at this address, which is one of this machine's own: nobody is asked who he is.
    pub async fn open(coordinator: &Coordinator, address: SocketAddr) -> Result<Dashboard, Failure> {
        check(address)?;
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::new(format!("--http-listen {address} cannot be listened on: {error}"))
                .help("take another port; 0 picks a free one")
        };
        let listener = TcpListener::bind(address).await.map_err(|error| cannot(&error))?;
        let url = format!("http://{}/", listener.local_addr().map_err(|error| cannot(&error))?);
        let open_to_all = AccessArgs {
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            tokens: None,
            max_connections: MAX_CONNECTIONS,
            insecure: false,
        };
        let access = Access::of(&open_to_all).map_err(|error| cannot(&error))?;
        let (stop, break_off) = (CancellationToken::new(), CancellationToken::new());
        let options = HttpOptions::default();
        let serving = coordinator.serve_http(listener, Arc::new(access), options, stop.clone(), break_off.clone());
        Ok(Dashboard { url, serving: tokio::spawn(serving), stop, break_off })
    }

    /// Closes it. When the run is over, pages that are open are told its end before.
    pub async fn close(mut self, is_over: bool) {
        self.stop.cancel();
        if is_over {
            let _ = tokio::time::timeout(LAST_NEWS, &mut self.serving).await;
        }
        self.break_off.cancel();
        if !self.serving.is_finished() {
            // It ends by itself, within a few seconds; whether well or not changes nothing any more.
            let _ = self.serving.await;
        }
    }
}

/// Whoever reaches it may cancel the run.
fn check(address: SocketAddr) -> Result<(), Failure> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "--http-listen {address} is reachable from other machines, and nobody is asked who he is"
    ))
    .help("listen on 127.0.0.1, or start a coordinator: muster coordinator --http-listen with TLS and --tokens"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_gets_to_it() {
        assert!(check(([127, 0, 0, 1], 0).into()).is_ok());
        assert!(check("[::1]:7480".parse().expect("an address")).is_ok());
        let failure = check(([0, 0, 0, 0], 7480).into()).expect_err("all addresses").to_string();
        assert!(failure.contains("reachable from other machines"), "{failure}");
    }
}
