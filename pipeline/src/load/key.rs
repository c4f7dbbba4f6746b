//! The key of a delivery, by which a target knows a repeat.

use sha2::{Digest, Sha256};

use crate::record_id::RecordId;

/// The SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The key of a delivery: a hash of run, record IDs in their order, and body (as it is before compression).
///
/// The same records with the same content under the same run give the same key, in whichever process and attempt.
#[must_use]
pub fn idempotency_key<'a>(run: &str, ids: impl IntoIterator<Item = &'a RecordId>, body_sha256: &[u8; 32]) -> String {
    let mut hash = Sha256::new();
    // Each part ends with a byte that occurs in none of them (canonical JSON escapes control characters), so that no
    // two lists of parts run together into the same input.
    hash.update(run.as_bytes());
    hash.update([0]);
    for id in ids {
        hash.update(id.as_text().as_bytes());
        hash.update([0]);
    }
    hash.update(body_sha256);
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_run_ids_order_and_body() {
        let ids = [RecordId::from(1), RecordId::from(23)];
        let moved = [RecordId::from(12), RecordId::from(3)];
        let body = sha256(b"[]");
        let key = idempotency_key("run", &ids, &body);
        assert_eq!(key, idempotency_key("run", &ids, &body));
        assert_eq!(key.len(), 64);
        let others = [
            idempotency_key("run2", &ids, &body),
            idempotency_key("run", ids.iter().rev(), &body),
            idempotency_key("run", &moved, &body),
            idempotency_key("run", &ids[..1], &body),
            idempotency_key("run", &ids, &sha256(b"[1]")),
        ];
        assert!(others.iter().all(|other| *other != key));
    }
}
