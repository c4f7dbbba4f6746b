//! What a browser is given for a token: a seal that only a coordinator opens which knows the token's hash.
//!
//! The token goes encrypted to the browser and back. So all coordinators with the same access file take it, and none remembers
//! anything; without the entry of its token it cannot be opened, and after its end it is not. The key comes from the token's hash,
//! which the access file has, and what is sealed is the token: whoever reads the file can make no seal of it, and whoever reads a
//! cookie has no token.

use std::time::{Duration, SystemTime};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

use super::list::{AccessList, MAX_TOKEN, hash};

/// How long a session lasts; a working day.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// What finds the token's entry.
const ID: usize = 16;
/// Seconds since 1970.
const END: usize = 8;
const HEAD: usize = ID + END + NONCE_LEN;
/// The longest that is looked at.
const MAX_SEALED: usize = 2 * (HEAD + MAX_TOKEN + 16);

/// A token that came sealed.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub token: String,
    /// Not good after this.
    pub ends: SystemTime,
}

/// What of a token's hash is no secret, and tells sessions of different tokens apart.
pub(super) fn id(token_hash: &[u8; 32]) -> [u8; ID] {
    let digest = derived(b"muster session id", token_hash);
    std::array::from_fn(|place| digest[place])
}

/// A token's seal, in hex. None: it is too long, or there is no randomness to be had.
pub(super) fn seal(token: &str, now: SystemTime) -> Option<String> {
    if token.is_empty() || token.len() > MAX_TOKEN {
        return None;
    }
    let token_hash = hash(token);
    let ends = now.checked_add(LASTS)?.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).ok()?;
    let mut sealed = [id(&token_hash).as_slice(), &ends.to_be_bytes(), &nonce].concat();
    let mut inner = token.as_bytes().to_vec();
    let about = Aad::from(sealed.get(..ID + END)?.to_vec());
    key(&token_hash)?.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), about, &mut inner).ok()?;
    sealed.append(&mut inner);
    Some(hex::encode(sealed))
}

/// What was sealed, if an entry of this list has its key, and it has not ended.
pub(super) fn open(sealed: &str, list: &AccessList, now: SystemTime) -> Option<Opened> {
    if sealed.len() > MAX_SEALED {
        return None;
    }
    let mut bytes = hex::decode(sealed).ok()?;
    let (head, inner) = bytes.split_at_mut_checked(HEAD)?;
    let (id, ends) = (head.first_chunk::<ID>()?, head.get(ID..ID + END)?.first_chunk::<END>()?);
    let ends = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::from_be_bytes(*ends)))?;
    if ends <= now {
        return None;
    }
    let token_hash = list.of_session(id)?;
    let nonce = Nonce::assume_unique_for_key(*head.last_chunk::<NONCE_LEN>()?);
    let about = Aad::from(head.get(..ID + END)?.to_vec());
    let token = key(token_hash)?.open_in_place(nonce, about, inner).ok()?;
    Some(Opened { token: std::str::from_utf8(token).ok()?.to_owned(), ends })
}

fn key(token_hash: &[u8; 32]) -> Option<LessSafeKey> {
    let key = derived(b"muster session key", token_hash);
    UnboundKey::new(&CHACHA20_POLY1305, &key).ok().map(LessSafeKey::new)
}

fn derived(what: &[u8], token_hash: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(what).chain_update(token_hash).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(tokens: &[&str]) -> AccessList {
        let entry =
            |token: &&str| format!("- {{name: {token}, role: viewer, token_sha256: {}}}\n", hex::encode(hash(token)));
        AccessList::parse(&tokens.iter().map(entry).collect::<String>()).unwrap()
    }

    #[test]
    fn a_seal_opens_for_its_token_alone_until_it_ends() {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let both = list(&["one", "two"]);
        let sealed = seal("one", then).unwrap();
        assert_ne!(sealed, seal("one", then).unwrap(), "each session is another");
        let opened = open(&sealed, &both, then).unwrap();
        assert_eq!((opened.token.as_str(), opened.ends), ("one", then + LASTS));
        assert!(open(&sealed, &both, then + LASTS - Duration::from_secs(1)).is_some());
        assert!(open(&sealed, &both, then + LASTS).is_none());
        assert!(open(&sealed, &list(&["two"]), then).is_none(), "its entry was taken out");
        assert!(!sealed.contains(&hex::encode("one")) && !sealed.contains(&hex::encode(hash("one"))));
    }

    #[test]
    fn nothing_of_a_seal_can_be_changed() {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let list = list(&["one"]);
        let sealed = seal("one", then).unwrap();
        for place in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
            assert!(open(std::str::from_utf8(&changed).unwrap(), &list, then).is_none(), "at {place}");
        }
        for odd in ["", "00", "x", &sealed[2..], &sealed[..sealed.len() - 2], &"00".repeat(9_999)] {
            assert!(open(odd, &list, then).is_none(), "{odd}");
        }
        assert!(seal("", then).is_none() && seal(&"x".repeat(MAX_TOKEN + 1), then).is_none());
    }

    #[test]
    fn who_has_the_access_file_cannot_make_a_seal() {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        // With the key that follows from the hash, but without the token: what is inside has another hash.
        let (token_hash, nonce) = (hash("one"), [7; NONCE_LEN]);
        let head = [id(&token_hash).as_slice(), &u64::MAX.to_be_bytes()].concat();
        let mut inner = b"guessed".to_vec();
        let nonce_of = Nonce::assume_unique_for_key(nonce);
        key(&token_hash).unwrap().seal_in_place_append_tag(nonce_of, Aad::from(head.clone()), &mut inner).unwrap();
        let forged = hex::encode([head.as_slice(), &nonce, &inner].concat());
        let opened = open(&forged, &list(&["one"]), then);
        assert!(opened.is_none_or(|opened| list(&["one"]).of_token(&hash(&opened.token)).is_none()));
    }
}
