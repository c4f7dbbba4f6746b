//! Where a webhook may go.

use std::net::IpAddr;

use sha2::{Digest, Sha256};
use url::{Host, Url};

/// Characters of an address.
const LONGEST: usize = 2048;

/// The address of a webhook, if it may be one. The error does not repeat it: it may hold a secret.
pub(super) fn check(text: &str) -> Result<Url, String> {
    if text.len() > LONGEST {
        return Err(format!("a URL has at most {LONGEST} characters"));
    }
    let url = Url::parse(text).map_err(|error| format!("this is no URL ({error}): write https://HOST/PATH"))?;
    let host = url.host().ok_or("there is no host in this URL: write https://HOST/PATH")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("there are a name or a password in this URL: a webhook proves itself by its signature".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here(&host) => Ok(url),
        "http" => Err(format!(
            "http:// to {host} would tell in clear on the network what runs come to: give https://, or a --notify-command \
             that sends it in a way of your own"
        )),
        other => Err(format!("{other}:// is no webhook: write https://HOST/PATH")),
    }
}

fn is_here(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => IpAddr::from(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::from(*address).is_loopback(),
    }
}

/// What people see of it: host and port. What stands behind may be a secret.
pub(super) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// What the ledger calls it: the same for all coordinators that are given the same.
pub(super) fn name(kind: &str, what: &[u8]) -> String {
    format!("{kind}-{}", &hex::encode(Sha256::digest(what))[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_goes_through_tls_or_stays_on_this_machine() {
        for right in ["https://hooks.example/x", "http://127.0.0.1:8080/", "http://localhost/x", "http://[::1]:1/"] {
            assert!(check(right).is_ok(), "{right}");
        }
        for wrong in
            ["http://hooks.example/hunter2", "http://10.0.0.1/hunter2", "ftp://hooks.example/hunter2", "hunter2"]
        {
            let error = check(wrong).unwrap_err();
            assert!(error.contains("https://") && !error.contains("hunter2"), "{error}");
        }
        let error = check("https://me:hunter2@hooks.example/").unwrap_err();
        assert!(error.contains("signature") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_path_that_may_be_a_secret_is_not_shown() {
        let url = check("https://hooks.example:8443/services/hunter2?key=hunter2").unwrap();
        assert_eq!(shown(&url), "hooks.example:8443");
        assert!(!name("webhook", url.as_str().as_bytes()).contains("hunter2"));
    }
}
