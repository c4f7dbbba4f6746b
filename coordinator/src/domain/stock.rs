//! Leases that workers hold in stock: who is to give some back when another one has nothing to do.

/// A session that holds leases on which no delivery is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Whose they are.
    pub session: String,
    /// How many.
    pub leases: u64,
    /// How many of them are of runs that whoever looks may work on.
    pub shared: u64,
}

/// Whom to ask for leases, and for how many, where a session can work on so many more: the one that has most, if it has more
/// than twice as many as the asker, and by two, so that the two are even afterwards at best and nothing goes to and fro.
pub fn whom_to_ask<'a>(
    holders: &'a [Holder],
    asker: &str,
    capacity: u32,
    passing_over: &[String],
) -> Option<(&'a Holder, u32)> {
    let own = holders.iter().find(|holder| holder.session == asker).map_or(0, |holder| holder.leases);
    let others = holders.iter().filter(|holder| holder.session != asker && !passing_over.contains(&holder.session));
    let most = others.max_by_key(|holder| holder.shared)?;
    let wanted = u32::try_from(most.shared.saturating_sub(own) / 2).unwrap_or(u32::MAX).min(capacity);
    (most.shared >= 2 * own + 2 && wanted > 0).then_some((most, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(session: &str, leases: u64, shared: u64) -> Holder {
        Holder { session: session.to_owned(), leases, shared }
    }

    fn asked<'a>(holders: &'a [Holder], capacity: u32, passing_over: &[&str]) -> Option<(&'a str, u32)> {
        let passing_over: Vec<String> = passing_over.iter().map(|session| (*session).to_owned()).collect();
        whom_to_ask(holders, "asker", capacity, &passing_over).map(|(holder, wanted)| (holder.session.as_str(), wanted))
    }

    #[test]
    fn who_has_most_is_asked_for_what_makes_them_even() {
        let holders = [holder("few", 4, 4), holder("most", 9, 9), holder("none", 20, 0)];
        assert_eq!(asked(&holders, 64, &[]), Some(("most", 4)));
        assert_eq!(asked(&holders, 1, &[]), Some(("most", 1)));
        assert_eq!(asked(&holders, 64, &["most"]), Some(("few", 2)));
        assert_eq!(asked(&holders, 64, &["most", "few"]), None, "of what it may not work on it wants nothing");
        assert_eq!(asked(&holders, 0, &[]), None);
    }

    #[test]
    fn nobody_gives_his_last_one_or_to_who_has_about_as_many() {
        assert_eq!(asked(&[], 64, &[]), None);
        assert_eq!(asked(&[holder("one", 1, 1)], 64, &[]), None);
        assert_eq!(asked(&[holder("asker", 9, 9)], 64, &[]), None);
        let beside = |own: u64| [holder("asker", own, 0), holder("other", 6, 6)];
        assert_eq!(asked(&beside(2), 64, &[]), Some(("other", 2)));
        assert_eq!(asked(&beside(3), 64, &[]), None);
    }
}
