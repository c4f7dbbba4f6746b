//! The lister, and the source that it lists.

use super::super::bench::{LISTING_TTL, versions};
use super::Random;
use super::sequence::Sequence;
use crate::store::Fenced;

/// Pages of the source, three IDs each.
const PAGES: u64 = 4;

impl Sequence {
    pub(super) async fn list(&mut self) {
        let store = self.bench.store();
        let Some(listing) = self.listing.take() else {
            // It was closed, or another process has to take it up.
            let granted = store.take_listing("lister", LISTING_TTL).await.unwrap();
            self.listing = granted.map(|granted| granted.lease);
            return;
        };
        if self.pages == PAGES {
            store.close_listing(&listing).await.unwrap();
            return;
        }
        // Sometimes a page again; sometimes an ID that stood on the page before.
        let number = if self.random.chance(20) { self.pages.max(1) } else { self.pages + 1 };
        let ids: Vec<String> =
            (0..3).map(|n| (number * 3 - u64::from(self.random.chance(5)) + n).to_string()).collect();
        let version = |random: &mut Random| random.pick(&["1", "1", "1", "2", ""]);
        let items: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), version(&mut self.random))).collect();
        if let Fenced::Committed(_) = store.commit_page(&listing, versions(number, &items, Some(PAGES))).await.unwrap()
        {
            self.pages = self.pages.max(number);
            self.listing = Some(listing);
        }
    }
}
