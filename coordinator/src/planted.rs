//! Bugs that tests switch on, one at a time, to see that a test notices: a guard that no test misses is no guard.
//!
//! Without the feature `planted-bugs` all of this is constant and nothing is left of it in the program.

/// A guard that is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Dead letters are taken and not written (promise 1).
    LosesDeadLetters,
    /// A page is committed without its last ID (promise 2).
    LosesLastId,
    /// A holder of an expired lease is taken for the present one (promise 3).
    NoEpochCheck,
    /// A record may be in several open deliveries (promise 4).
    SeveralOpen,
    /// A report under a token that has reported is taken again (promise 8).
    NoReplayAnswer,
    /// Deliveries begin in runs that are paused or cancelled (promise 9).
    BeginWhenStopped,
    /// Leases never run out (promise 10).
    NeverReap,
    /// The wall clock decides what has run out (promise 11).
    WallClock,
    /// Leases run out while no coordinator serves (promise 13).
    NoServingGrace,
    /// A second listing goes on where the first ended, instead of at the first page.
    GoesOnInSecondPass,
    /// What the first listing brought and the second did not is not named.
    OverlooksVanished,
    /// Each process has a timetable of its own for a host, as if it were alone.
    SharesNoRate,
    /// A record that is announced again counts again for its unknown fields.
    CountsFieldsAgain,
    /// A record that the target never applies is sent again without end (promise 10).
    SendsInVainForEver,
    /// A run's leases go to more workers than its `max_workers`.
    IgnoresMaxWorkers,
}

/// Which guard is switched off, if any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Planted {
    #[cfg(feature = "planted-bugs")]
    bug: Option<Bug>,
}

impl Planted {
    /// Switches a guard off.
    #[cfg(feature = "planted-bugs")]
    pub fn bug(bug: Bug) -> Self {
        Self { bug: Some(bug) }
    }

    /// The guard that `MUSTER_PLANTED_BUG` names, for programs that tests start. Names of other programs' guards are
    /// passed over.
    #[cfg(feature = "planted-bugs")]
    pub fn from_environment() -> Self {
        let bug = match std::env::var("MUSTER_PLANTED_BUG").unwrap_or_default().as_str() {
            "loses_dead_letters" => Some(Bug::LosesDeadLetters),
            "loses_last_id" => Some(Bug::LosesLastId),
            "no_epoch_check" => Some(Bug::NoEpochCheck),
            "several_open" => Some(Bug::SeveralOpen),
            "no_replay_answer" => Some(Bug::NoReplayAnswer),
            "begin_when_stopped" => Some(Bug::BeginWhenStopped),
            "never_reap" => Some(Bug::NeverReap),
            "wall_clock" => Some(Bug::WallClock),
            "no_serving_grace" => Some(Bug::NoServingGrace),
            "goes_on_in_second_pass" => Some(Bug::GoesOnInSecondPass),
            "overlooks_vanished" => Some(Bug::OverlooksVanished),
            "shares_no_rate" => Some(Bug::SharesNoRate),
            "counts_fields_again" => Some(Bug::CountsFieldsAgain),
            "sends_in_vain_for_ever" => Some(Bug::SendsInVainForEver),
            "ignores_max_workers" => Some(Bug::IgnoresMaxWorkers),
            _ => None,
        };
        Self { bug }
    }

    /// None.
    #[cfg(not(feature = "planted-bugs"))]
    pub const fn from_environment() -> Self {
        Self {}
    }

    /// Is this guard switched off?
    #[cfg(feature = "planted-bugs")]
    pub fn has(self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Is this guard switched off? Never.
    #[cfg(not(feature = "planted-bugs"))]
    pub const fn has(self, _bug: Bug) -> bool {
        false
    }
}
