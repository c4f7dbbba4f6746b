//! What a verdict says.

use muster_proto::v1::{Counts, Verdict};

/// Records given up on.
pub const DEAD_LETTERS: &str = "dead letters";
/// Records that the target may or may not have.
pub const IN_DOUBT: &str = "in doubt";

/// What a verdict comes to, in a few words.
pub fn headline(verdict: &Verdict) -> &'static str {
    match (verdict.complete, verdict.balanced) {
        (true, true) => "complete and balanced",
        (true, false) => "complete, but NOT BALANCED",
        (false, true) => "balanced, but NOT COMPLETE",
        (false, false) => "NEITHER COMPLETE NOR BALANCED",
    }
}

/// All states in the order in which a record passes through them, and whether they are shown at 0.
pub fn states(counts: &Counts) -> [(&'static str, i64, bool); 9] {
    [
        ("loaded", counts.loaded, true),
        (DEAD_LETTERS, counts.dead_letter, true),
        (IN_DOUBT, counts.in_doubt, true),
        ("gone", counts.gone, false),
        ("unchanged", counts.unchanged, false),
        ("cancelled", counts.cancelled, false),
        ("pending", counts.pending, false),
        ("leased", counts.leased, false),
        ("delivering", counts.delivering, false),
    ]
}
