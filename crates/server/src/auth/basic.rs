//! Names and passwords in the header Authorization (RFC 7617), checked against the users file.
//!
//! Checking a password is slow on purpose, so a header that was found right is remembered, as a keyed hash with a key that
//! never leaves the process, until the users file changes. Guessing is bounded: few checks run at once, and of one address only
//! some of them, so that guesses from one place do not keep other places waiting; an unknown user costs as much as a wrong password;
//! and after some failures whoever guesses one user from one address is told one result at a time, later and later. The right
//! password is told in the same order, else a guesser need not wait to know; a header that was found right before is not, and
//! other users and other addresses never are, so nobody can lock out somebody else.

use super::certificate::Thumbprint;
use super::users::{Fingerprint, MAX_PASSWORD_BYTES, User, UsersError, UsersFile, argon2, check_name};
use crate::Principal;
use argon2::PasswordVerifier;
use argon2::password_hash::PasswordHash;
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::hmac;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How many headers found right are remembered.
const MAX_VERIFIED: usize = 1024;
/// How many pairs of user and address are watched for failures.
const MAX_FAILING: usize = 4096;
/// Failures that are answered at once.
const FREE_FAILURES: u32 = 3;
const FIRST_DELAY: Duration = Duration::from_millis(250);
const MAX_DELAY: Duration = Duration::from_secs(4);
/// The longest that a result is kept back, however many are before it.
const MAX_HELD: Duration = Duration::from_secs(30);
/// After this time without a failure, the count starts anew.
const FORGET_AFTER: Duration = Duration::from_secs(120);

/// A hash no password is looked for behind, with the costs of a real one: what unknown users are checked against.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm8gc3VjaCB1c2VyLCBubw$dHJ5aW5nIHRoaXMgaXMgYSB3YXN0ZSBvZiB0aW1lISE";

/// Why a header Authorization was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is not `Basic` with base64 of `name:password`.
    Malformed,
    /// There is no such user, or the password is wrong; which of the two is not told.
    Wrong,
    /// The check could not be carried out.
    Unavailable,
}

/// Checks headers against the users file.
pub(super) struct BasicAuth {
    file: UsersFile,
    key: hmac::Key,
    known: RwLock<Known>,
    checks: Arc<Semaphore>,
    /// Those who wait for one of the checks, by where they are.
    gates: Mutex<HashMap<Option<IpAddr>, Arc<Semaphore>>>,
    failing: Mutex<HashMap<(String, Option<IpAddr>), Failing>>,
}

/// What is known of one state of the users file.
struct Known {
    /// Counts the states of the file.
    generation: u64,
    /// Of the file, if there is one and it can be looked at.
    fingerprint: Result<Option<Fingerprint>, io::ErrorKind>,
    /// When a file that could not be read for a reason that may pass, such as too many open files, is tried again.
    again: Option<Instant>,
    users: HashMap<String, User>,
    verified: HashMap<[u8; 32], Arc<Principal>>,
}

struct Failing {
    count: u32,
    last: Instant,
    /// Before this time no further result is told.
    next: Instant,
}

impl BasicAuth {
    /// Starts without having read the file; that happens with the first request.
    pub(super) fn new(file: UsersFile) -> Result<Self, ring::error::Unspecified> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            file,
            key: hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new())?,
            known: RwLock::new(Known {
                generation: 0,
                fingerprint: Ok(None),
                again: None,
                users: HashMap::new(),
                verified: HashMap::new(),
            }),
            checks: Arc::new(Semaphore::new((cores / 2).max(1))),
            gates: Mutex::default(),
            failing: Mutex::default(),
        })
    }

    /// The user whose name and password the header holds.
    ///
    /// # Errors
    /// When it holds none that is right; the answer to repeated failures is delayed before this returns.
    pub(super) async fn verify(
        &self,
        header: &[u8],
        peer: Option<IpAddr>,
    ) -> Result<Arc<Principal>, Refusal> {
        self.refresh();
        let mac = self.mac(header);
        if let Some(principal) = self.known.read().unwrap_or_else(PoisonError::into_inner).verified.get(&mac)
        {
            return Ok(Arc::clone(principal));
        }
        let (name, password) = credentials(header).ok_or(Refusal::Malformed)?;
        let mut held = false;
        // The file may change while a password is being checked; what was found then holds no more.
        for _ in 0..3 {
            let (user, generation) = {
                let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
                (known.users.get(&name).cloned(), known.generation)
            };
            let hash = user.as_ref().and_then(|user| user.password.clone());
            let has_password = hash.is_some();
            let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
            let right = self.check(hash, password.clone(), peer).await? && has_password;
            if right && !held {
                held = true;
                self.succeeded(&name, peer).await;
            }
            self.refresh();
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if known.generation != generation {
                continue;
            }
            let Some(user) = user.filter(|_| right) else { break };
            let principal = Arc::new(Principal::authenticated(user.name, user.role));
            if known.verified.len() >= MAX_VERIFIED {
                // Everybody pays one slow check; this takes more pairs than there should be users.
                known.verified.clear();
            }
            known.verified.insert(mac, Arc::clone(&principal));
            return Ok(principal);
        }
        self.failed(name, peer).await;
        Err(Refusal::Wrong)
    }

    /// The user of a name as the file has it now. NTLM does not tell capitals from small letters, so a user whose name is the same but
    /// for that is found too, if it is only one.
    pub(super) fn find(&self, name: &str) -> Option<User> {
        self.refresh();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(user) = known.users.get(name) {
            return Some(user.clone());
        }
        let lower = name.to_lowercase();
        let mut alike = known.users.values().filter(|user| user.name.to_lowercase() == lower);
        alike.next().filter(|_| alike.next().is_none()).cloned()
    }

    /// The user whose certificate this is, as the file has it now.
    pub(super) fn owner(&self, certificate: Thumbprint) -> Option<User> {
        self.refresh();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.users.values().find(|user| user.certificates.contains(&certificate)).cloned()
    }

    /// Whether anybody may log in with NTLM.
    pub(super) fn knows_ntlm(&self) -> bool {
        self.refresh();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.users.values().any(|user| user.nt_hash.is_some())
    }

    /// Counts a failed login and waits as long as the answer to it is kept back.
    pub(super) async fn failed(&self, name: String, peer: Option<IpAddr>) {
        let at = self.count_failure(&name, peer);
        tokio::time::sleep_until(at.into()).await;
    }

    /// Waits as long as the answer to a login that succeeded is kept back, because others before it failed, and forgets those.
    pub(super) async fn succeeded(&self, name: &str, peer: Option<IpAddr>) {
        let key = (counted_as(name), peer);
        let at = {
            let failing = self.failing();
            let crowd = (CROWD.to_owned(), peer);
            [&key, &crowd].into_iter().filter_map(|key| failing.get(key)).map(|failing| failing.next).max()
        };
        if let Some(at) = at {
            tokio::time::sleep_until(at.into()).await;
            self.failing().remove(&key);
        }
    }

    /// Reads the users again if their file has changed. Asking for that costs one `stat`, far less than a request, so it is done
    /// for each: a user who was removed is refused at once.
    fn refresh(&self) {
        let found = self.file.fingerprint().map_err(|e| e.kind());
        let now = Instant::now();
        let is_known = |known: &Known| known.fingerprint == found && known.again.is_none_or(|at| now < at);
        if is_known(&self.known.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if is_known(&known) {
            return;
        }
        known.again = None;
        known.generation += 1;
        known.verified.clear();
        known.users.clear();
        // Also when the file cannot be used: it is not read, nor complained about, again until it changes.
        known.fingerprint = found;
        match self.file.read() {
            Ok(None) => tracing::warn!(
                file = %self.file.path().display(),
                "there are no users; add one with `cimwright user add`"
            ),
            Ok(Some((users, fingerprint))) => {
                tracing::info!(users = users.len(), "read the users file");
                known.fingerprint = Ok(Some(fingerprint));
                known.users = users.into_iter().map(|u| (u.name.clone(), u)).collect();
            }
            Err(error) => {
                tracing::error!(%error, "the users file cannot be used; nobody can log in");
                use io::ErrorKind::{InvalidData, IsADirectory, PermissionDenied};
                if let UsersError::Io { source, .. } = &error
                    && !matches!(source.kind(), PermissionDenied | IsADirectory | InvalidData)
                {
                    known.again = Some(now + Duration::from_secs(1));
                }
            }
        }
    }

    fn mac(&self, header: &[u8]) -> [u8; 32] {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&self.key, header).as_ref());
        mac
    }

    /// Whether the password fits the hash; off the async threads, and only a few at once.
    async fn check(&self, hash: String, password: String, peer: Option<IpAddr>) -> Result<bool, Refusal> {
        // First among those of the same address, then among all: however many wait behind one gate, one of another is the next but few.
        let gate = self.gate(peer);
        let _place = gate.acquire().await.map_err(|_| Refusal::Unavailable)?;
        let permit = Arc::clone(&self.checks).acquire_owned().await.map_err(|_| Refusal::Unavailable)?;
        let check = move || {
            // Held here, so that a client that goes away does not make room for more work than is allowed.
            let _permit = permit;
            PasswordHash::new(&hash).is_ok_and(|h| argon2().verify_password(password.as_bytes(), &h).is_ok())
        };
        tokio::task::spawn_blocking(check).await.map_err(|error| {
            tracing::error!(%error, "checking a password failed");
            Refusal::Unavailable
        })
    }

    /// Where those of an address wait. Only addresses that somebody waits at have one.
    fn gate(&self, peer: Option<IpAddr>) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::clone(gates.entry(peer).or_insert_with(|| Arc::new(Semaphore::new((cores / 4).max(1)))))
    }

    /// Counts a failure; when it may be told.
    fn count_failure(&self, name: &str, peer: Option<IpAddr>) -> Instant {
        let now = Instant::now();
        let mut failing = self.failing();
        let mut key = (counted_as(name), peer);
        if failing.len() >= MAX_FAILING && !failing.contains_key(&key) {
            failing.retain(|_, f| now.duration_since(f.last) < FORGET_AFTER);
            if failing.len() >= MAX_FAILING {
                // Names that find no room share one count for each address: a crowd of names buys no guesses.
                key.0 = CROWD.to_owned();
            }
            if failing.len() >= MAX_FAILING && !failing.contains_key(&key) {
                // The one with the fewest failures makes room: a crowd does not make the server forget who is being guessed.
                let least = failing.iter().min_by_key(|(_, f)| (f.count, f.last)).map(|(key, _)| key.clone());
                if let Some(least) = least {
                    failing.remove(&least);
                }
            }
        }
        let entry = failing.entry(key).or_insert(Failing { count: 0, last: now, next: now });
        if now.duration_since(entry.last) >= FORGET_AFTER {
            entry.count = 0;
        }
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
        // Behind those that are kept back already, whether their clients still wait or not.
        entry.next = (entry.next.max(now) + delay(entry.count)).min(now + MAX_HELD);
        entry.next
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<(String, Option<IpAddr>), Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What names that find no room are counted under; nobody can be called so.
const CROWD: &str = "\0";

/// Under which name failures are counted: NTLM does not tell capitals from small letters, so they do not count apart, and names that
/// nobody can have share one count.
fn counted_as(name: &str) -> String {
    if check_name(name).is_ok() { name.to_lowercase() } else { String::new() }
}

/// How long the answer to this many failures in a row is kept back.
fn delay(failures: u32) -> Duration {
    match failures.checked_sub(FREE_FAILURES + 1) {
        None => Duration::ZERO,
        Some(n) => FIRST_DELAY.saturating_mul(1 << n.min(16)).min(MAX_DELAY),
    }
}

/// Name and password in the value of Authorization.
fn credentials(header: &[u8]) -> Option<(String, String)> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let header = header.trim_ascii();
    let (scheme, rest) = header.split_at_checked(5)?;
    if !scheme.eq_ignore_ascii_case(b"Basic") || !rest.starts_with(b" ") {
        return None;
    }
    let bytes = ENGINE.decode(rest.trim_ascii()).ok()?;
    // The challenge names no charset, so a client may use Latin-1; whatever is no UTF-8 can only be that.
    let text =
        String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect());
    let (name, password) = text.split_once(':')?;
    (password.len() <= MAX_PASSWORD_BYTES).then(|| (name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use base64::engine::general_purpose::STANDARD;

    fn header(text: impl AsRef<[u8]>) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(text)).into_bytes()
    }

    #[test]
    fn headers_are_read_as_rfc_7617_has_them() {
        let pair = |n: &str, p: &str| Some((n.to_owned(), p.to_owned()));
        assert_eq!(credentials(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(credentials(b"bAsIc   QWxhZGRpbjpvcGVuIHNlc2FtZQ"), pair("Aladdin", "open sesame"));
        assert_eq!(credentials(&header("a:b:c")), pair("a", "b:c"));
        assert_eq!(credentials(&header("a:")), pair("a", ""));
        assert_eq!(credentials(&header("é:ü")), pair("é", "ü"));
        assert_eq!(credentials(&header(b"\xe9:\xfc")), pair("é", "ü"));
        for bad in
            [&b""[..], b"Basic", b"Basic ", b"Basic !!!!", b"Negotiate QQ==", b"BasicQTpi", b"Bas\xffc QTpi"]
        {
            assert_eq!(credentials(bad), None, "{bad:?}");
        }
        assert_eq!(credentials(&header("no colon")), None);
        assert_eq!(credentials(&header(format!("a:{}", "p".repeat(1025)))), None);
    }

    #[test]
    fn an_unknown_user_costs_as_much_as_a_known_one() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let (costs, ours) = (argon2::Params::try_from(&nobody).unwrap(), argon2::Params::DEFAULT);
        assert_eq!(
            (costs.m_cost(), costs.t_cost(), costs.p_cost()),
            (ours.m_cost(), ours.t_cost(), ours.p_cost())
        );
        assert_eq!(nobody.hash.unwrap().len(), 32);
        assert!(argon2().verify_password(b"", &nobody).is_err());
    }

    #[test]
    fn delays_grow_and_end() {
        assert_eq!(delay(1), Duration::ZERO);
        assert_eq!(delay(3), Duration::ZERO);
        assert_eq!(delay(4), Duration::from_millis(250));
        assert_eq!(delay(5), Duration::from_millis(500));
        assert_eq!(delay(u32::MAX), MAX_DELAY);
    }

    #[test]
    fn failures_are_counted_for_each_user_and_address() {
        let state = tempfile::tempdir().unwrap();
        let basic = BasicAuth::new(UsersFile::in_state(state.path())).unwrap();
        let (here, there) = (Some(IpAddr::from([127, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 1])));
        let count = |name: &str, peer| {
            basic.count_failure(name, peer);
            let failing = basic.failing();
            let own = failing.get(&(counted_as(name), peer));
            own.or_else(|| failing.get(&(CROWD.to_owned(), peer))).unwrap().count
        };
        assert_eq!([count("a", here), count("A", here), count("a", there), count("b", here)], [1, 2, 1, 1]);
        assert_eq!([count("x:y", here), count("y\n", here)], [1, 2]);
        for i in 0..MAX_FAILING + 50 {
            count(&i.to_string(), here);
        }
        assert!(basic.failing().len() <= MAX_FAILING);
        assert!(
            count("one more", here) > 50 && count("and another", here) > 51,
            "a crowd of names buys no guesses"
        );
        assert_eq!(count("a", here), 3, "a crowd of names makes nobody forget");
    }

    #[tokio::test]
    async fn results_of_guesses_are_told_one_at_a_time() {
        let state = tempfile::tempdir().unwrap();
        let basic = BasicAuth::new(UsersFile::in_state(state.path())).unwrap();
        let began = Instant::now();
        let told: Vec<_> = (0..40).map(|_| basic.count_failure("ann", None)).collect();
        assert!(told.is_sorted());
        assert!(told[2] <= Instant::now(), "the first ones at once");
        // Whether the clients wait for the answers or not.
        let soon = told.iter().filter(|at| **at < began + Duration::from_secs(25)).count();
        assert!((4..15).contains(&soon), "{soon}");
        assert!(told.iter().all(|at| *at <= Instant::now() + MAX_HELD));
        // The right one tells no sooner that it is right; then nothing is left of it.
        let last = (0..4).map(|_| basic.count_failure("Bob", None)).last().unwrap();
        basic.succeeded("BOB", None).await;
        assert!(Instant::now() >= last && last > began + FIRST_DELAY);
        assert!(!basic.failing().contains_key(&("bob".to_owned(), None)));
    }

    #[tokio::test]
    async fn who_guesses_at_one_address_keeps_no_other_waiting() {
        let state = tempfile::tempdir().unwrap();
        let users = UsersFile::in_state(state.path());
        users.add("ann", Role::Reader, "one", false).unwrap();
        let basic = Arc::new(BasicAuth::new(users).unwrap());
        let (here, there) = (Some(IpAddr::from([127, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 1])));
        let left = Arc::new(std::sync::atomic::AtomicUsize::new(200));
        for i in 0..200 {
            let (basic, left) = (Arc::clone(&basic), Arc::clone(&left));
            tokio::spawn(async move {
                // Of another user each: nothing is kept back.
                let _ = basic.verify(&header(format!("u{i}:x")), here).await;
                left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            });
        }
        while basic.gates.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(basic.verify(&header("ann:one"), there).await.is_ok());
        let left = left.load(std::sync::atomic::Ordering::SeqCst);
        assert!(left > 100, "{left} of 200 guesses were still waiting");
    }

    #[tokio::test]
    async fn what_was_right_is_remembered_until_the_file_changes() {
        let state = tempfile::tempdir().unwrap();
        let users = UsersFile::in_state(state.path());
        let basic = BasicAuth::new(users.clone()).unwrap();
        let verified = || basic.known.read().unwrap().verified.len();
        assert_eq!(basic.verify(&header("ann:one"), None).await, Err(Refusal::Wrong));
        users.add("ann", Role::Operator, "one", false).unwrap();
        let ann = basic.verify(&header("ann:one"), None).await.unwrap();
        assert_eq!((ann.name(), ann.role()), ("ann", Role::Operator));
        let again = basic.verify(&header("ann:one"), None).await.unwrap();
        assert!(Arc::ptr_eq(&ann, &again));
        assert_eq!(basic.verify(&header("ann:two"), None).await, Err(Refusal::Wrong));
        assert_eq!(basic.verify(&header("Ann:one"), None).await, Err(Refusal::Wrong));
        assert_eq!(basic.verify(&header("ann:"), None).await, Err(Refusal::Wrong));
        assert_eq!(basic.verify(b"Basic x", None).await, Err(Refusal::Malformed));
        assert_eq!(verified(), 1);
        users.add("ann", Role::Operator, "two", true).unwrap();
        assert_eq!(basic.verify(&header("ann:one"), None).await, Err(Refusal::Wrong));
        assert!(basic.verify(&header("ann:two"), None).await.is_ok());
        std::fs::write(users.path(), "broken").unwrap();
        assert_eq!(basic.verify(&header("ann:two"), None).await, Err(Refusal::Wrong));
        assert_eq!(verified(), 0);
    }
}
