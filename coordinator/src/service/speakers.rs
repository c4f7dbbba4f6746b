//! Who may speak for a session: whoever opened it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tonic::{Code, Status};

use super::error::status;
use crate::access::Identity;
use crate::store::{Session, Store};

/// Sessions that are remembered, so that the ledger is not asked with each call; beyond, it is asked anew.
const REMEMBERED: usize = 10_000;

/// Asks the ledger whose sessions are, and remembers it: whose a session is never changes.
pub(super) struct Speakers {
    store: Arc<dyn Store>,
    known: Mutex<HashMap<String, Arc<str>>>,
}

impl Speakers {
    /// None is known yet.
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// Refuses whoever did not open this session; with a `worker`, who is new opens it. Where nobody is asked who he is, it
    /// is the session's ID alone that counts.
    pub(super) async fn check(
        &self,
        identity: Option<&Identity>,
        session: &str,
        worker: Option<&Session>,
    ) -> Result<(), Status> {
        let Some(Identity(identity)) = identity else { return Ok(()) };
        let whose = match self.remembered(session) {
            Some(whose) => whose,
            // Nobody has opened it, so that nobody holds anything by it: the call itself says what that means.
            None => match self.store.bind_session(session, identity, worker.cloned()).await? {
                None => return Ok(()),
                Some(whose) => self.remember(session, whose.into()),
            },
        };
        if whose == *identity {
            return Ok(());
        }
        tracing::warn!(
            { muster_telemetry::names::NEXT } = "the call is refused",
            identity = &**identity,
            opened_by = &*whose,
            "somebody speaks for a session that is not his"
        );
        let text = "the session was opened by somebody else: a worker makes up a session of its own";
        Err(status(Code::PermissionDenied, "SESSION_OF_ANOTHER_IDENTITY", text))
    }

    fn remembered(&self, session: &str) -> Option<Arc<str>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(session).cloned()
    }

    fn remember(&self, session: &str, whose: Arc<str>) -> Arc<str> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(session.to_owned(), Arc::clone(&whose));
        whose
    }
}
