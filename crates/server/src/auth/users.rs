//! The users file: who there is, what they may do, and what proves who they are.
//!
//! It is written by `cimwright user …` and read by the server, possibly at the same time: a writer holds a lock, writes a new
//! file and renames it into place, so that a reader sees the old users or the new ones and never a part.

use super::certificate::Thumbprint;
use super::negotiate::ntlm::NtHash;
use crate::Role;
use crate::config::{role_from_name, role_name};
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// The most characters a user name may have.
const MAX_NAME_CHARS: usize = 64;
/// The most bytes a password may have; bounds what a guess may cost.
pub(crate) const MAX_PASSWORD_BYTES: usize = 1024;

/// A user as the file has it.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name to log in with, and the Owner of the user's jobs.
    pub name: String,
    /// What the user may do.
    #[serde(serialize_with = "role_name", deserialize_with = "role_from_name")]
    pub role: Role,
    /// The password's argon2id hash as a PHC string. Whoever has none gets in with a certificate or a ticket only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The hash that NTLM needs, for users who may log in that way. Unlike the other one it is as good as the password for whoever
    /// reads it, so it is only kept when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "nt_hash")]
    pub(crate) nt_hash: Option<NtHash>,
    /// The certificates that show, over TLS, that a client is this user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Thumbprint>,
}

/// Without what proves who the user is: it has no place in a log.
impl std::fmt::Debug for User {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("User")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// By what a user is to be known.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The password, if there is one.
    pub password: Option<String>,
    /// Whether the password also counts for NTLM, which needs a hash of it that is as good as the password.
    pub ntlm: bool,
    /// The certificates.
    pub certificates: Vec<Thumbprint>,
}

mod nt_hash {
    use super::NtHash;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(hash: &Option<NtHash>, to: S) -> Result<S::Ok, S::Error> {
        hash.map(NtHash::to_hex).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NtHash>, D::Error> {
        let text = String::deserialize(from)?;
        let hash = NtHash::from_hex(&text);
        hash.map(Some).ok_or_else(|| serde::de::Error::custom("nt_hash is not 32 hexadecimal digits"))
    }
}

/// The users file of a state directory.
#[derive(Clone, Debug)]
pub struct UsersFile {
    path: PathBuf,
}

/// What the file looks like.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[serde(default, rename = "user")]
    users: Vec<User>,
}

/// Tells one state of the file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What can go wrong with the users file.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The file or its directory cannot be read or written.
    #[error("{}: cannot {attempt}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The file is not what a users file has to be.
    #[error("{}: {problem}; correct it by hand, or remove it and add the users again", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The name cannot be used.
    #[error("{0}")]
    BadName(String),
    /// The password cannot be used.
    #[error("{0}")]
    BadPassword(&'static str),
    /// There is nothing by which the user could be known.
    #[error("the user has neither a password nor a certificate; give one of them")]
    NoCredentials,
    /// A certificate can be of one user only.
    #[error(
        "the certificate {certificate} is that of {owner} already; remove it there first, or make another one"
    )]
    CertificateTaken {
        /// Which.
        certificate: Thumbprint,
        /// Whose it is.
        owner: String,
    },
    /// There is a user with this name.
    #[error("there is a user {0} already; remove it first, or ask to replace it")]
    Exists(String),
    /// There is no user with this name.
    #[error("there is no user {0}")]
    NoSuchUser(String),
}

impl UsersFile {
    /// The users file of a state directory, whether it exists or not.
    pub fn in_state(state: &Path) -> Self {
        Self { path: state.join("users.toml") }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a user, or with `replace` gives one that exists another role and password. A running server knows the user with its
    /// next request.
    ///
    /// # Errors
    /// When the name or the password cannot be used, the user exists and is not to be replaced, or the file cannot be written.
    pub fn add(&self, name: &str, role: Role, password: &str, replace: bool) -> Result<(), UsersError> {
        let credentials = Credentials { password: Some(password.to_owned()), ..Credentials::default() };
        self.add_with(name, role, &credentials, replace)
    }

    /// As [`Self::add`], for a user who is known by more than a password, or by something else. With `replace`, what the user was known
    /// by before counts no more.
    ///
    /// # Errors
    /// The same, and when there are no credentials or a certificate is somebody else's.
    pub fn add_with(
        &self,
        name: &str,
        role: Role,
        credentials: &Credentials,
        replace: bool,
    ) -> Result<(), UsersError> {
        check_name(name).map_err(UsersError::BadName)?;
        let password = credentials.password.as_deref();
        if password.is_some_and(str::is_empty) {
            return Err(UsersError::BadPassword("the password is empty; give one on standard input"));
        }
        if password.is_some_and(|password| password.len() > MAX_PASSWORD_BYTES) {
            return Err(UsersError::BadPassword(
                "the password has more than 1024 bytes; choose a shorter one",
            ));
        }
        if credentials.ntlm && password.is_none() {
            return Err(UsersError::BadPassword("NTLM needs a password; give one on standard input"));
        }
        if password.is_none() && credentials.certificates.is_empty() {
            return Err(UsersError::NoCredentials);
        }
        let user = User {
            name: name.to_owned(),
            role,
            password: password.map(hash).transpose()?,
            nt_hash: password.filter(|_| credentials.ntlm).map(NtHash::of),
            certificates: credentials.certificates.clone(),
        };
        self.change(|users| {
            let others = || users.iter().filter(|other| other.name != user.name);
            for certificate in &user.certificates {
                if let Some(owner) = others().find(|other| other.certificates.contains(certificate)) {
                    let (certificate, owner) = (*certificate, owner.name.clone());
                    return Err(UsersError::CertificateTaken { certificate, owner });
                }
            }
            match users.iter_mut().find(|u| u.name == user.name) {
                Some(_) if !replace => return Err(UsersError::Exists(user.name)),
                Some(existing) => *existing = user,
                None => users.push(user),
            }
            Ok(())
        })
    }

    /// Removes a user. A running server refuses the user's next request; jobs go on.
    ///
    /// # Errors
    /// When there is no such user or the file cannot be written.
    pub fn remove(&self, name: &str) -> Result<(), UsersError> {
        self.change(|users| match users.iter().position(|u| u.name == name) {
            Some(at) => {
                users.remove(at);
                Ok(())
            }
            None => Err(UsersError::NoSuchUser(name.to_owned())),
        })
    }

    /// The users in the order of the file; none when there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn list(&self) -> Result<Vec<User>, UsersError> {
        Ok(self.read()?.map(|(users, _)| users).unwrap_or_default())
    }

    /// What tells whether the file has changed; `None` when there is none.
    pub(crate) fn fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(Some(Fingerprint::of(&metadata))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The users with the fingerprint of exactly the file they were read from.
    pub(crate) fn read(&self) -> Result<Option<(Vec<User>, Fingerprint)>, UsersError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.io("open the users file", e)),
        };
        let metadata = file.metadata().map_err(|e| self.io("read the users file", e))?;
        warn_if_open(&self.path, &metadata);
        let text = io::read_to_string(file).map_err(|e| self.io("read the users file", e))?;
        let contents: Contents = toml::from_str(&text)
            .map_err(|e| self.corrupt(format!("no users file: {}", e.message().trim())))?;
        for (i, user) in contents.users.iter().enumerate() {
            check_name(&user.name).map_err(|e| self.corrupt(e))?;
            if contents.users[..i].iter().any(|u| u.name == user.name) {
                return Err(self.corrupt(format!("the user {} is listed twice", user.name)));
            }
            if user.password.as_ref().is_some_and(|password| PasswordHash::new(password).is_err()) {
                return Err(self.corrupt(format!("the password of {} is no hash in PHC form", user.name)));
            }
            // Whose requests they would be is not for chance to decide.
            let others = || contents.users[..i].iter().flat_map(|u| &u.certificates);
            if user.certificates.iter().any(|certificate| others().any(|other| other == certificate)) {
                return Err(
                    self.corrupt(format!("a certificate of {} is that of another user too", user.name))
                );
            }
        }
        Ok(Some((contents.users, Fingerprint::of(&metadata))))
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Vec<User>) -> Result<(), UsersError>,
    ) -> Result<(), UsersError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        private_directory(directory).map_err(|e| self.io("create the state directory", e))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.path.with_extension("lock"))
            .map_err(|e| self.io("open the lock of the users file", e))?;
        lock.lock().map_err(|e| self.io("lock the users file", e))?;
        let mut users = self.list()?;
        change(&mut users)?;
        let text = toml::to_string(&Contents { users })
            .map_err(|e| self.corrupt(format!("the users cannot be written: {e}")))?;
        let text = format!(
            "# Written by `cimwright user`. The passwords are argon2id hashes; an nt_hash is as good as the password.\n{text}"
        );
        write_private(&self.path, text.as_bytes()).map_err(|e| self.io("write the users file", e))
    }

    fn io(&self, attempt: &'static str, source: io::Error) -> UsersError {
        UsersError::Io { path: self.path.clone(), attempt, source }
    }

    fn corrupt(&self, problem: String) -> UsersError {
        UsersError::Corrupt { path: self.path.clone(), problem }
    }
}

impl Fingerprint {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Whether a user may have this name (RFC 7617 forbids the colon and control characters).
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the user name is empty".to_owned());
    }
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(format!("the user name has more than {MAX_NAME_CHARS} characters"));
    }
    if let Some(c) = name.chars().find(|c| *c == ':' || c.is_control()) {
        return Err(format!(
            "the user name {name:?} contains {c:?}, which HTTP's Basic authentication cannot carry"
        ));
    }
    Ok(())
}

/// The function every password goes through, with the costs every hash of ours has.
pub(crate) fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

/// Creates a directory that only its owner may enter, if it is missing.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Warns of a secret that other users of this machine can read or change. Whether a file is one is for the caller to know.
pub(crate) fn warn_if_open(path: &Path, metadata: &std::fs::Metadata) {
    if let Some(how) = open_to_others(metadata.mode()) {
        tracing::warn!(file = %path.display(), "other users of this machine may {how} what is secret; take that away with `chmod go=`");
    }
}

/// What others than the owner may do with a file; nothing, as a rule, for what is secret.
fn open_to_others(mode: u32) -> Option<&'static str> {
    match (mode & 0o044 != 0, mode & 0o022 != 0) {
        (_, true) => Some("change"),
        (true, false) => Some("read"),
        (false, false) => None,
    }
}

/// Writes a file that only its owner may read: complete under its name or not at all, also after a power cut.
///
/// # Errors
/// When it cannot; nothing is left of it then.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = directory.join(name);
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let written = (|| {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
        let owner = std::fs::metadata(directory)?;
        if rustix::process::geteuid().is_root() && owner.uid() != 0 {
            // Root writes it, but the server that reads it runs as the owner of the state directory.
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

fn hash(password: &str) -> Result<String, UsersError> {
    let salt = SaltString::generate(&mut OsRng);
    let hash = argon2().hash_password(password.as_bytes(), &salt);
    hash.map(|h| h.to_string())
        .map_err(|_| UsersError::BadPassword("the password cannot be hashed; choose another"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::PasswordVerifier;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn users_come_and_go() {
        let state = tempfile::tempdir().unwrap();
        let users = UsersFile::in_state(&state.path().join("new"));
        assert_eq!(users.list().unwrap(), []);
        assert_eq!(users.fingerprint().unwrap(), None);
        users.add("ann", Role::Reader, "one", false).unwrap();
        let first = users.fingerprint().unwrap();
        users.add("bob", Role::Operator, "two", false).unwrap();
        assert_ne!(users.fingerprint().unwrap(), first);
        assert!(matches!(users.add("ann", Role::Operator, "x", false), Err(UsersError::Exists(_))));
        users.add("ann", Role::Administrator, "three", true).unwrap();
        let (listed, fingerprint) = users.read().unwrap().unwrap();
        assert_eq!(Some(fingerprint), users.fingerprint().unwrap());
        assert_eq!(
            listed.iter().map(|u| (u.name.as_str(), u.role)).collect::<Vec<_>>(),
            [("ann", Role::Administrator), ("bob", Role::Operator)]
        );
        let hash = PasswordHash::new(listed[0].password.as_ref().unwrap()).unwrap();
        assert_eq!(hash.algorithm.as_str(), "argon2id");
        assert!(argon2().verify_password(b"three", &hash).is_ok());
        assert!(argon2().verify_password(b"one", &hash).is_err());
        users.remove("bob").unwrap();
        assert!(matches!(users.remove("bob"), Err(UsersError::NoSuchUser(_))));
        assert_eq!(users.list().unwrap().len(), 1);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(users.path()), 0o600);
        assert_eq!(mode(users.path().parent().unwrap()), 0o700);
        let left: Vec<_> = std::fs::read_dir(users.path().parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn a_certificate_is_of_one_user() {
        let state = tempfile::tempdir().unwrap();
        let users = UsersFile::in_state(state.path());
        let (one, two) = (Thumbprint::of(b"one"), Thumbprint::of(b"two"));
        let with = |certificates: &[Thumbprint]| Credentials {
            certificates: certificates.to_vec(),
            ..Credentials::default()
        };
        let add = |name: &str, certificates: &[Thumbprint], replace| {
            users.add_with(name, Role::Reader, &with(certificates), replace)
        };
        add("ann", &[one, two], false).unwrap();
        assert!(
            matches!(add("bob", &[two], false), Err(UsersError::CertificateTaken { owner, .. }) if owner == "ann")
        );
        add("ann", &[one], true).unwrap();
        add("bob", &[two], false).unwrap();
        let listed = users.list().unwrap();
        assert_eq!(listed.iter().map(|u| u.certificates.clone()).collect::<Vec<_>>(), [[one], [two]]);
        assert_eq!(listed[0].password, None);
        assert!(matches!(add("eve", &[], false), Err(UsersError::NoCredentials)));
        let ntlm = Credentials { ntlm: true, ..with(&[Thumbprint::of(b"three")]) };
        assert!(matches!(users.add_with("eve", Role::Reader, &ntlm, false), Err(UsersError::BadPassword(_))));
        let text = std::fs::read_to_string(users.path()).unwrap();
        std::fs::write(users.path(), text.replace(&two.to_string(), &one.to_string())).unwrap();
        assert!(users.list().unwrap_err().to_string().contains("another user too"));
        std::fs::write(users.path(), text.replace(&two.to_string(), "00")).unwrap();
        assert!(users.list().unwrap_err().to_string().contains("64 hexadecimal digits"));
    }

    #[test]
    fn writers_do_not_lose_one_another() {
        let state = tempfile::tempdir().unwrap();
        let users = UsersFile::in_state(state.path());
        std::thread::scope(|scope| {
            for i in 0..4 {
                let users = &users;
                scope.spawn(move || users.add(&format!("u{i}"), Role::Reader, "p", false).unwrap());
            }
        });
        assert_eq!(users.list().unwrap().len(), 4);
    }

    #[test]
    fn secrets_are_neither_shown_nor_open() {
        let state = tempfile::tempdir().unwrap();
        let users = UsersFile::in_state(state.path());
        let password = Some("one".to_owned());
        let credentials = Credentials { password, ntlm: true, ..Credentials::default() };
        users.add_with("ann", Role::Reader, &credentials, false).unwrap();
        let shown = format!("{:?}", users.list().unwrap());
        assert!(shown.contains("ann") && !shown.contains("argon2") && !shown.contains("hash"), "{shown}");
        for (mode, how) in [
            (0o600, None),
            (0o700, None),
            (0o640, Some("read")),
            (0o604, Some("read")),
            (0o620, Some("change")),
            (0o666, Some("change")),
        ] {
            assert_eq!(open_to_others(mode), how, "{mode:o}");
        }
    }

    #[test]
    fn what_cannot_be_a_user_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let users = UsersFile::in_state(state.path());
        for name in ["", "a:b", "a\nb", &"x".repeat(65)] {
            assert!(
                matches!(users.add(name, Role::Reader, "p", false), Err(UsersError::BadName(_))),
                "{name:?}"
            );
        }
        assert!(matches!(users.add("a", Role::Reader, "", false), Err(UsersError::BadPassword(_))));
        assert!(matches!(
            users.add("a", Role::Reader, &"p".repeat(1025), false),
            Err(UsersError::BadPassword(_))
        ));
        assert_eq!(users.fingerprint().unwrap(), None);
    }

    #[test]
    fn a_broken_file_is_told_and_left_alone() {
        let state = tempfile::tempdir().unwrap();
        let users = UsersFile::in_state(state.path());
        let user = "[[user]]\nname = \"a\"\nrole = \"reader\"\npassword = \"$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA\"\n";
        for (text, problem) in [
            ("user = 3".to_owned(), "no users file"),
            (user.replace("reader", "king"), "is no role"),
            (user.replace("$argon2id", "plain"), "no hash"),
            (user.replace("\"a\"", "\"a:b\""), "contains ':'"),
            (user.repeat(2), "listed twice"),
        ] {
            std::fs::write(users.path(), &text).unwrap();
            let error = users.list().unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains("users.toml"), "{error}");
            assert!(users.add("z", Role::Reader, "p", false).is_err());
            assert_eq!(std::fs::read_to_string(users.path()).unwrap(), text);
        }
        std::fs::write(users.path(), user).unwrap();
        assert_eq!(users.list().unwrap().len(), 1);
    }
}
