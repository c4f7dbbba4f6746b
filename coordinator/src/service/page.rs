//! Pages of lists after AIP-158: an opaque token leads on, an empty one is the only end.

use tonic::Status;

use super::error::invalid;
use crate::store::RecordPlace;

/// How many a page has.
pub(super) fn size(asked: i32) -> Result<u32, Status> {
    let negative = |_| invalid("PAGE_SIZE_INVALID", "page_size must not be negative; 0 leaves it to the coordinator");
    Ok(match u32::try_from(asked).map_err(negative)? {
        0 => 50,
        size => size.min(500),
    })
}

/// The row before which the page begins; `None` for the first page.
pub(super) fn before(token: &str) -> Result<Option<i64>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    token.parse().map(Some).map_err(|_| wrong())
}

/// The place after which the page begins; `None` for the first page.
pub(super) fn place(token: &str) -> Result<Option<RecordPlace>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let mut parts = token.split('.').map(str::parse::<i64>);
    let mut next = || parts.next()?.ok();
    let place = next().zip(next()).zip(next()).and_then(|((round, batch), position)| {
        Some(RecordPlace { round: u32::try_from(round).ok()?, batch, position: u32::try_from(position).ok()? })
    });
    place.map(Some).ok_or_else(wrong)
}

/// The token behind this place.
pub(super) fn place_token(place: RecordPlace) -> String {
    format!("{}.{}.{}", place.round, place.batch, place.position)
}

fn wrong() -> Status {
    invalid("PAGE_TOKEN_INVALID", "page_token must be the next_page_token of the answer before")
}

/// The token behind a page: empty when it was not full.
pub(super) fn next_token<T>(page: &[T], size: u32, row: impl Fn(&T) -> String) -> String {
    if page.len() < size as usize { String::new() } else { page.last().map(row).unwrap_or_default() }
}
