//! Plain HTTP, for what asks a stand-in.

use anyhow::ensure;
use reqwest::Client;
use serde_json::Value;

use crate::deadline::within;

/// A client that goes straight to where it is sent.
///
/// # Errors
/// When it cannot be set up.
pub fn client() -> reqwest::Result<Client> {
    // The second time it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().pool_max_idle_per_host(usize::MAX).tcp_nodelay(true).build()
}

/// A JSON answer.
///
/// # Errors
/// When there is none.
pub async fn get(url: &str) -> anyhow::Result<Value> {
    let answer = within(&format!("{url} answers"), client()?.get(url).send()).await?.error_for_status()?;
    Ok(serde_json::from_slice(&answer.bytes().await?)?)
}

/// Sends JSON.
///
/// # Errors
/// When it is not taken.
pub async fn post(url: &str, body: &Value) -> anyhow::Result<()> {
    let answer = within(&format!("{url} answers"), client()?.post(url).body(body.to_string()).send()).await?;
    ensure!(answer.status().is_success(), "{url} answers {}", answer.status());
    Ok(())
}
