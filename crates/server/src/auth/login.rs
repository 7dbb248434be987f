//! The login that a connection goes through with `Negotiate` or `NTLM`, and what is left of it: the user, and the keys.

use super::channel::Bound;
use super::negotiate::kerberos::{Keytab, Seen};
use super::negotiate::{self, Failed, Login, Proof, Side, Step, TO_UNIX_EPOCH};
use super::users::User;
use crate::auth::Refused;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cimwright_broker::{Clock, SystemClock};
use hyper::header::HeaderValue;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

/// The login of one connection. Requests of a connection come one after the other.
#[derive(Default)]
pub(crate) struct ConnectionLogin {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    login: Login,
    user: Option<(String, Proof)>,
    say: Option<HeaderValue>,
}

/// How a message of a login went on.
pub(super) enum Heard {
    /// The client has to answer.
    Continue,
    /// This user has logged in, in this way.
    Done(String, Proof),
}

/// Why it did not.
pub(super) enum Unheard {
    /// It is not understood.
    Malformed,
    /// The proof is wrong; the user that was claimed.
    Wrong(String),
    /// The system has no randomness.
    Unavailable,
}

/// A sealed answer.
pub(crate) struct Sealed {
    /// Its Content-Type.
    pub(crate) content_type: String,
    /// The bytes.
    pub(crate) body: Vec<u8>,
}

impl ConnectionLogin {
    /// Takes a message of a login.
    pub(super) fn hear(
        &self,
        (scheme, token): (&str, &str),
        computer: &str,
        kerberos: Option<(&Keytab, &Seen)>,
        bound: Bound,
        find: impl Fn(&str) -> Option<User>,
    ) -> Result<Heard, Unheard> {
        let mut random = [0; 8];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random)
            .map_err(|_| Unheard::Unavailable)?;
        let since_1970 = SystemClock.now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let side = Side {
            computer,
            random,
            filetime: (since_1970 + Duration::from_secs(TO_UNIX_EPOCH)).as_micros() as u64 * 10,
            bound,
            kerberos,
            find: |name: &str| find(name).and_then(|user| Some((user.name, user.nt_hash?))),
        };
        let mut inner = self.inner();
        // Whoever logs in again is nobody until that has succeeded.
        inner.user = None;
        inner.say = None;
        match inner.login.step(token, &side) {
            Ok(Step::Continue(token)) => {
                inner.say = say(scheme, &token);
                Ok(Heard::Continue)
            }
            Ok(Step::Done(proven, token)) => {
                let user = (proven.user().to_owned(), proven.by());
                inner.user = Some(user.clone());
                inner.say = token.and_then(|token| say(scheme, &token));
                Ok(Heard::Done(user.0, user.1))
            }
            Err(Failed::Malformed) => Err(Unheard::Malformed),
            Err(Failed::Wrong(name)) => Err(Unheard::Wrong(name)),
        }
    }

    /// Who has logged in on this connection, and how.
    pub(super) fn user(&self) -> Option<(String, Proof)> {
        self.inner().user.clone()
    }

    /// Where a user has logged in with a password, without its keys.
    #[cfg(test)]
    pub(super) fn logged_in(name: &str) -> Self {
        let login = Self::default();
        login.inner().user = Some((name.to_owned(), Proof::Password));
        login
    }

    /// What the server has to say in the next answer's WWW-Authenticate.
    pub(crate) fn take_say(&self) -> Option<HeaderValue> {
        self.inner().say.take()
    }

    /// Opens a sealed body. If that fails, the login is over.
    ///
    /// # Errors
    /// When nobody has logged in, or the body was not sealed by whoever did.
    pub(crate) fn unseal(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut inner = self.inner();
        let keys = inner.login.keys().ok_or(Refused::Missing)?;
        negotiate::unseal(keys, body).map_err(|_| {
            *inner = Inner::default();
            Refused::Malformed
        })
    }

    /// Seals an answer to a sealed request; `protocol` is that of the request and `original` the answer's own Content-Type.
    /// Nothing when nobody is logged in any more.
    pub(crate) fn seal(&self, protocol: &str, original: &str, body: Vec<u8>) -> Option<Sealed> {
        let mut inner = self.inner();
        let (content_type, body) = negotiate::seal(inner.login.keys()?, protocol, original, body).ok()?;
        Some(Sealed { content_type, body })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn say(scheme: &str, token: &[u8]) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{scheme} {}", STANDARD.encode(token))).ok()
}
