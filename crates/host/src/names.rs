//! Names that live as long as the server.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The same text for ever. Only for what the configuration and the hello of a provider name, so that it stays a handful.
pub(crate) fn lasting(text: &str) -> &'static str {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(there) = known.get(text) {
        return there;
    }
    let lasting: &'static str = Box::leak(text.to_owned().into_boxed_str());
    known.insert(lasting);
    lasting
}
