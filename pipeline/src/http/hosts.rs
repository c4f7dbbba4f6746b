//! What is known of each host that was asked so far.

use std::sync::{Arc, OnceLock};

/// One host, and those after it. None is ever forgotten, so who looks for one locks nothing.
pub(super) struct Hosts<T>(OnceLock<(Arc<T>, Box<Hosts<T>>)>);

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Hosts<T> {
    /// The first that is known and wanted.
    pub(super) fn find(&self, is_wanted: impl Fn(&T) -> bool) -> Option<&Arc<T>> {
        let mut rest = self;
        while let Some((known, others)) = rest.0.get() {
            if is_wanted(known) {
                return Some(known);
            }
            rest = others;
        }
        None
    }

    /// The same; the first who asks for one makes it. What is made is wanted.
    pub(super) fn find_or_make(&self, is_wanted: impl Fn(&T) -> bool, make: impl Fn() -> Arc<T>) -> &Arc<T> {
        let mut rest = self;
        loop {
            let (known, others) = rest.0.get_or_init(|| (make(), Box::default()));
            if is_wanted(known) {
                return known;
            }
            rest = others;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn each_is_made_once_however_many_look_for_it_at_once() {
        let (hosts, made) = (Hosts::default(), Mutex::new(Vec::new()));
        let names = ["a", "b", "c", "d", "e"];
        let find = |name: &'static str| {
            let make = || {
                super::super::lock(&made).push(name);
                Arc::new(name)
            };
            Arc::clone(hosts.find_or_make(|known| *known == name, make))
        };
        let found: Vec<Vec<Arc<&str>>> = std::thread::scope(|scope| {
            let looking: Vec<_> = (0..4).map(|_| scope.spawn(|| names.map(find).to_vec())).collect();
            looking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (at, name) in names.into_iter().enumerate() {
            let known = hosts.find(|known| *known == name).unwrap();
            assert!(found.iter().all(|found| Arc::ptr_eq(&found[at], known)), "{name}");
        }
        assert!(hosts.find(|known| *known == "f").is_none());
        let mut made = made.into_inner().unwrap();
        made.sort_unstable();
        assert_eq!(made, names);
    }
}
