//! Signatures of webhooks, after the Standard Webhooks specification (<https://www.standardwebhooks.com>, version 1.0.0):
//! `v1,` and the Base64 of the HMAC-SHA256 of ID, timestamp and body, with dots between.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How a secret begins.
const PREFIX: &str = "whsec_";
/// Bytes of a secret, by the specification.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Secrets at once: the new one and those that it takes the place of.
const MOST: usize = 4;
/// The largest file of secrets.
const FILE: u64 = 4096;

/// How to make a secret.
pub(super) const HOW_TO_MAKE: &str = "echo whsec_$(openssl rand -base64 32)";

/// Where the secrets of webhooks are.
#[derive(Debug, Clone)]
pub(super) enum Secrets {
    /// In this file, which is read again for each message: so a secret is replaced without a restart.
    File(PathBuf),
    /// In the environment.
    Variable(Keys),
}

/// Keys, the newest first.
#[derive(Clone)]
pub(super) struct Keys(Vec<Vec<u8>>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl Secrets {
    /// The keys as they are now; what is wrong is said without them.
    pub fn keys(&self) -> Result<Keys, String> {
        match self {
            Self::Variable(keys) => Ok(keys.clone()),
            Self::File(path) => {
                let shown = path.display();
                let failed = |error: std::io::Error| format!("the webhooks' secret {shown} cannot be read: {error}");
                // Whatever else there is may keep who opens it waiting.
                if !std::fs::metadata(path).map_err(failed)?.is_file() {
                    return Err(format!("{shown} is no regular file: write the webhooks' secret into one"));
                }
                let mut text = String::new();
                File::open(path).and_then(|file| file.take(FILE + 1).read_to_string(&mut text)).map_err(failed)?;
                if text.len() as u64 > FILE {
                    return Err(format!("{shown} is too large for the secret of a webhook"));
                }
                Keys::read(&text).map_err(|wrong| format!("{shown}: {wrong}"))
            }
        }
    }
}

impl Keys {
    /// Secrets as they are written, separated by blanks or line ends.
    pub fn read(text: &str) -> Result<Self, String> {
        let make = format!("make one with: {HOW_TO_MAKE}");
        let keys = text.split_whitespace().map(|secret| {
            let encoded =
                secret.strip_prefix(PREFIX).ok_or_else(|| format!("a secret begins with {PREFIX}: {make}"))?;
            let key = BASE64_STANDARD.decode(encoded);
            let key = key.map_err(|_| format!("behind {PREFIX} there must be Base64: {make}"))?;
            match BYTES.contains(&key.len()) {
                true => Ok(key),
                false => Err(format!("a secret has {} to {} bytes: {make}", BYTES.start(), BYTES.end())),
            }
        });
        let keys = keys.collect::<Result<Vec<_>, String>>()?;
        match keys.len() {
            0 => Err(format!("there is no secret: {make}")),
            count if count > MOST => Err(format!("there are {count} secrets, and at most {MOST} sign at once")),
            _ => Ok(Self(keys)),
        }
    }

    /// The value of `webhook-signature`: one signature for each key.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let sign = |key: &Vec<u8>| {
            // Any length is a key of HMAC.
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
        };
        self.0.iter().filter_map(sign).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAAAA";

    /// The vector of the specification's reference libraries.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let keys = Keys::read(OLD).unwrap();
        let signed = keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn while_a_secret_is_replaced_both_sign() {
        let sign = |text: &str| Keys::read(text).unwrap().sign("msg_1", 1, b"{}");
        assert_eq!(sign(&format!("{NEW}\n{OLD}\n")), format!("{} {}", sign(NEW), sign(OLD)));
    }

    #[test]
    fn a_file_is_read_again_for_each_message() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let secrets = Secrets::File(file.path().to_owned());
        let sign = || secrets.keys().map(|keys| keys.sign("msg_1", 1, b"{}").split(' ').count());
        assert!(sign().unwrap_err().contains("there is no secret"));
        for (text, signatures) in [(format!("{OLD}\n"), 1), (format!("{NEW}\n{OLD}\n"), 2), (NEW.to_owned(), 1)] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(sign(), Ok(signatures));
        }
        std::fs::write(file.path(), "x".repeat(5_000)).unwrap();
        assert!(sign().unwrap_err().contains("too large"));
        let device = Secrets::File("/dev/zero".into()).keys();
        assert!(device.unwrap_err().contains("no regular file"));
    }

    #[test]
    fn what_is_no_secret_is_named_and_not_repeated() {
        for (wrong, expected) in [
            ("", "there is no secret"),
            ("hunter2hunter2", "begins with whsec_"),
            ("whsec_hunter2-hunter2", "Base64"),
            ("whsec_aHVudGVyMg==", "24 to 64 bytes"),
        ] {
            let error = Keys::read(wrong).unwrap_err();
            assert!(error.contains(expected) && error.contains("openssl rand"), "{error}");
            assert!(!error.contains("hunter2") && !error.contains("aHVudGVyMg"), "{error}");
        }
        assert!(!format!("{:?}", Keys::read(OLD).unwrap()).contains("MfKQ"));
    }
}
