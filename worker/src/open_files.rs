//! How many files, and so connections, this process may have open at the same time.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number to what the system lets the process raise it to, as Go's runtime does for its programs: each request
/// in flight is an open file, and what shells give, often 1,024, is for programs that use `select`.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some() && current != maximum {
        // Where it is refused it stays as it is: requests that get no connection wait, and fewer are sent at once.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_what_it_may_be_at_most() {
        raise_limit();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}
