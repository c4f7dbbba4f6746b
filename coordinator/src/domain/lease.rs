//! Leases: who may work on a batch, and the proof of it.

/// A batch of one round of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchRef {
    /// The run's number in its store.
    pub run: i64,
    /// 1 for the first pass.
    pub round: u32,
    /// Number of the batch in its round, from 0.
    pub batch: i64,
}

/// The trace of the work under a lease, as its worker exported it.
pub type TraceId = [u8; 16];

/// One grant of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseRef {
    /// What was granted.
    pub batch: BatchRef,
    /// The fencing number: grows with each grant of the batch.
    pub epoch: u32,
}

/// The proof that a worker was granted a lease: where it stands in the ledger, and a secret that only the store and
/// the worker know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken {
    lease: LeaseRef,
    secret: [u8; 16],
}

impl LeaseToken {
    /// Bytes of a token before they are written as hexadecimal digits.
    const BYTES: usize = 40;

    /// A token for a grant.
    pub fn new(lease: LeaseRef, secret: [u8; 16]) -> Self {
        Self { lease, secret }
    }

    /// The grant it claims to prove.
    pub fn lease(&self) -> LeaseRef {
        self.lease
    }

    /// Does the ledger's secret of that grant prove it? Takes as long for a wrong secret as for the right one.
    pub fn proves(&self, secret: &[u8]) -> bool {
        secret.len() == self.secret.len() && secret.iter().zip(self.secret).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
    }

    /// As it travels: 80 hexadecimal digits.
    pub fn to_text(&self) -> String {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend(self.lease.batch.run.to_be_bytes());
        bytes.extend(self.lease.batch.round.to_be_bytes());
        bytes.extend(self.lease.batch.batch.to_be_bytes());
        bytes.extend(self.lease.epoch.to_be_bytes());
        bytes.extend(self.secret);
        hex::encode(bytes)
    }

    /// From the text; `None` when it never was a token.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut bytes = [0u8; Self::BYTES];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        let mut rest = bytes.as_slice();
        let batch = BatchRef {
            run: i64::from_be_bytes(*pull(&mut rest)?),
            round: u32::from_be_bytes(*pull(&mut rest)?),
            batch: i64::from_be_bytes(*pull(&mut rest)?),
        };
        let epoch = u32::from_be_bytes(*pull(&mut rest)?);
        Some(Self { lease: LeaseRef { batch, epoch }, secret: *pull(&mut rest)? })
    }
}

fn pull<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_wire_and_proves_only_itself() {
        let lease = LeaseRef { batch: BatchRef { run: 7, round: 1, batch: 1 << 40 }, epoch: 3 };
        let token = LeaseToken::new(lease, [9; 16]);
        assert_eq!(LeaseToken::from_text(&token.to_text()), Some(token));
        assert!(token.proves(&[9; 16]));
        assert!(!token.proves(&[8; 16]));
        assert!(!token.proves(&[]));
        assert_eq!(LeaseToken::from_text("abc"), None);
        assert_eq!(LeaseToken::from_text(&token.to_text()[2..]), None);
    }
}
