//! Pages of lists after AIP-158: an opaque token leads on, an empty one is the only end.

use tonic::Status;

use super::error::invalid;

/// How many a page has.
pub(super) fn size(asked: i32) -> u32 {
    match u32::try_from(asked) {
        Ok(0) | Err(_) => 50,
        Ok(size) => size.min(500),
    }
}

/// The row before which the page begins; `None` for the first page.
pub(super) fn before(token: &str) -> Result<Option<i64>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let invalid = || invalid("PAGE_TOKEN_INVALID", "page_token must be the next_page_token of the answer before");
    token.parse().map(Some).map_err(|_| invalid())
}

/// The token behind a page: empty when it was not full.
pub(super) fn next_token<T>(page: &[T], size: u32, row: impl Fn(&T) -> String) -> String {
    if page.len() < size as usize { String::new() } else { page.last().map(row).unwrap_or_default() }
}
