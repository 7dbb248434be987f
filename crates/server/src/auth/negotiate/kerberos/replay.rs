//! Which proofs were here before: somebody who listens could send one again while it is young (RFC 4120 3.2.3).

use super::SKEW;
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// As many proofs as are remembered. Whoever brings more in ten minutes has as many tickets, and is known.
const MAX_SEEN: usize = 100_000;

/// The proofs of the last minutes, of all connections.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<[u8; 32], i64>>);

impl Seen {
    /// Remembers a proof; false if it was here before, or nothing more can be remembered.
    pub(super) fn first_time(&self, proof: &[u8], now: i64) -> bool {
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, proof).as_ref());
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_SEEN {
            // Older ones are refused for their age.
            seen.retain(|_, when| now - *when <= 2 * SKEW);
        }
        if seen.len() >= MAX_SEEN {
            return false;
        }
        seen.insert(name, now).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_is_noticed_and_memory_is_bounded() {
        let seen = Seen::default();
        assert!(seen.first_time(b"one", 0));
        assert!(seen.first_time(b"two", 0));
        assert!(!seen.first_time(b"one", 0));
        for i in 0..MAX_SEEN {
            seen.first_time(&i.to_be_bytes(), 0);
        }
        assert!(!seen.first_time(b"too many", 1));
        assert!(seen.first_time(b"later", 2 * SKEW + 1));
        assert_eq!(seen.0.lock().unwrap().len(), 1);
    }
}
