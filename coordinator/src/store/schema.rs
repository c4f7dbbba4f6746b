//! Versions of the schema: which program may use which ledger.
//!
//! A version is a number of migrations. A ledger says how many were applied, and which version a program must know at least
//! to use it all the same. Migrations of a version that only add (tables, columns with defaults, indexes) leave the latter as
//! it is: programs of the version before go on beside those of the new one, and can be started again on what the new one has
//! upgraded. What takes something away, or gives it another meaning, raises it, one version after no program uses it any more
//! (expand, then contract).

/// What a ledger says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SchemaVersion {
    /// Migrations that were applied; 0: there is nothing yet.
    pub applied: i32,
    /// So many a program must know to use it.
    pub usable_from: i32,
}

/// What a program does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is brought to the program's own version first.
    Upgrade,
    /// It is of the program's own version.
    Same,
    /// It is newer, and may be used as it is.
    NewerButUsable,
    /// It is newer than that.
    TooNew,
}

impl SchemaVersion {
    /// For a program that knows so many migrations.
    pub fn fit(self, known: i32) -> Fit {
        match self.applied.cmp(&known) {
            _ if self.usable_from > known => Fit::TooNew,
            std::cmp::Ordering::Less => Fit::Upgrade,
            std::cmp::Ordering::Equal => Fit::Same,
            std::cmp::Ordering::Greater => Fit::NewerButUsable,
        }
    }

    /// The number to call it by.
    pub fn newest(self) -> i32 {
        self.applied.max(self.usable_from)
    }
}

/// Says that a newer program was here before, after an operator has gone back to this one, or amid a rolling upgrade.
pub(super) fn tell_of_newer(place: &str, found: SchemaVersion, known: i32) {
    tracing::warn!(
        ledger = place,
        schema = found.applied,
        known,
        { muster_telemetry::names::NEXT } =
            "it is used as it is; what only the newer version knows of has no effect here",
        "the ledger was upgraded by a newer version of this program"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_only_added_to_is_used_and_the_rest_is_not() {
        let fit = |applied, usable_from| SchemaVersion { applied, usable_from }.fit(4);
        assert_eq!((fit(0, 0), fit(3, 1)), (Fit::Upgrade, Fit::Upgrade));
        assert_eq!((fit(4, 1), fit(4, 4)), (Fit::Same, Fit::Same));
        assert_eq!((fit(5, 4), fit(9, 1)), (Fit::NewerButUsable, Fit::NewerButUsable));
        assert_eq!((fit(5, 5), fit(4, 99)), (Fit::TooNew, Fit::TooNew));
    }
}
