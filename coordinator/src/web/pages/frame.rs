//! What stands around every page.

use super::super::inside::Caller;
use super::super::site::Site;

/// The call that whoever operates may make.
const OPERATES: &str = "/muster.v1.RunService/StartRun";

/// Whether somebody may change anything.
pub(super) fn operates(site: &Site, caller: &Caller) -> bool {
    caller.may(&site.access, OPERATES)
}

/// For `base.html`.
pub(super) struct Frame {
    pub title: String,
    /// The part of the dashboard that the page is of.
    pub part: &'static str,
    /// Whether he who looks may change anything.
    pub operates: bool,
    pub in_session: bool,
    pub version: &'static str,
}

impl Frame {
    pub fn of(site: &Site, caller: &Caller, part: &'static str, title: &str) -> Self {
        Self {
            title: title.to_owned(),
            part,
            operates: operates(site, caller),
            in_session: caller.in_session,
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Of a page for anybody.
    pub fn bare(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            part: "",
            operates: false,
            in_session: false,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}
