//! A panic beside a display. The hook is of the whole process, so this is a test program of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster::panics;
use muster_telemetry::{Screen, Stderr};

#[derive(Default)]
struct Counting(AtomicUsize);

impl Screen for Counting {
    fn suspend(&self, write: &mut dyn FnMut()) {
        self.0.fetch_add(1, Ordering::Relaxed);
        write();
    }

    fn leave(&self) {}
}

#[test]
fn the_display_steps_aside_for_a_panic() {
    let (stderr, screen) = (Stderr::default(), Arc::new(Counting::default()));
    panics::tell_around_the_display(&stderr);
    let attached = stderr.attach(screen.clone());
    assert!(std::thread::spawn(|| panic!("on purpose, by a test")).join().is_err());
    drop(attached);
    assert!(std::thread::spawn(|| panic!("on purpose, by a test")).join().is_err());
    assert_eq!(screen.0.load(Ordering::Relaxed), 1);
}
