//! ReadItems: records that came whole with the list, in messages of bounded size.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::Stream;
use muster_proto::v1;
use tonic::Status;

use crate::domain::LeaseToken;
use crate::store::{Item, ItemsRead, Store};

/// Bytes of records in one message.
const MESSAGE: usize = 256 << 10;

/// The items of one lease on their way to its holder.
pub(super) struct Items {
    store: Arc<dyn Store>,
    session: String,
    token: LeaseToken,
    from: u32,
    /// Read, and not sent yet.
    read: VecDeque<Item>,
    /// Nothing comes any more.
    over: bool,
}

impl Items {
    /// From this place of the batch on.
    pub(super) fn new(store: Arc<dyn Store>, session: String, token: LeaseToken, from: u32) -> Self {
        Self { store, session, token, from, read: VecDeque::new(), over: false }
    }

    /// Reads on only when a message is wanted, so that a slow worker costs no memory.
    pub(super) fn into_stream(
        self,
        first: v1::ReadItemsResponse,
    ) -> impl Stream<Item = Result<v1::ReadItemsResponse, Status>> {
        futures::stream::try_unfold((self, Some(first)), |(mut items, first)| async move {
            let message = match first {
                Some(first) => Some(first),
                None => items.next().await?,
            };
            Ok(message.map(|message| (message, (items, None))))
        })
    }

    /// The next message; none: that was all.
    pub(super) async fn next(&mut self) -> Result<Option<v1::ReadItemsResponse>, Status> {
        if self.read.is_empty() && !self.over {
            match self.store.items(&self.session, self.token, self.from, MESSAGE).await?? {
                ItemsRead::Items(items) => {
                    self.over = items.is_empty();
                    self.from = items.last().map_or(self.from, |last| last.position + 1);
                    self.read = items.into();
                }
                ItemsRead::RunStopped => return Ok(Some(self.last(v1::RenewalState::RunStopped))),
                ItemsRead::Lost => return Ok(Some(self.last(v1::RenewalState::Lost))),
            }
        }
        Ok((!self.over).then(|| message(&mut self.read)))
    }

    fn last(&mut self, state: v1::RenewalState) -> v1::ReadItemsResponse {
        self.over = true;
        v1::ReadItemsResponse { state: state.into(), parts: Vec::new() }
    }
}

/// Takes as much as one message holds; the rest of an item that does not fit stays.
fn message(read: &mut VecDeque<Item>) -> v1::ReadItemsResponse {
    let (mut parts, mut room) = (Vec::new(), MESSAGE);
    while room > 0
        && let Some(Item { position, body }) = read.front_mut()
    {
        let part = body.split_to(body.len().min(room));
        room -= part.len();
        let (position, last) = (*position, body.is_empty());
        parts.push(v1::ItemPart { position, body: part.to_vec(), last });
        if last {
            read.pop_front();
        }
    }
    v1::ReadItemsResponse { state: v1::RenewalState::Held.into(), parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded_and_have_everything_in_order() {
        let sizes = [1, MESSAGE - 1, MESSAGE, 3 * MESSAGE + 7, 2];
        let item = |(position, size): (u32, &usize)| {
            let body: Vec<u8> = (0..*size).map(|at| u8::try_from((at + size) % 251).unwrap_or(0)).collect();
            Item { position: position * 2, body: body.into() }
        };
        let all: Vec<Item> = (0..).zip(&sizes).map(item).collect();
        let (mut read, mut messages, mut came) = (VecDeque::from(all.clone()), 0, Vec::<(u32, Vec<u8>)>::new());
        let mut whole = true;
        while !read.is_empty() {
            let message = message(&mut read);
            assert!(message.parts.iter().map(|part| part.body.len()).sum::<usize>() <= MESSAGE);
            messages += 1;
            for part in message.parts {
                match came.last_mut().filter(|_| !whole) {
                    Some((position, body)) => {
                        assert_eq!(*position, part.position);
                        body.extend(part.body);
                    }
                    None => came.push((part.position, part.body)),
                }
                whole = part.last;
            }
        }
        assert!(whole && messages == 6, "{messages} messages");
        let expected: Vec<(u32, Vec<u8>)> = all.into_iter().map(|item| (item.position, item.body.to_vec())).collect();
        assert!(came == expected, "something is missing or differs");
    }
}
