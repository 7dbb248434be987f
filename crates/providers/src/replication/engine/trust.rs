//! What survives the daemons: the knowledge that both sides were left identical.
//!
//! The record of the difference lives in the memory of the source's daemon. A side that was ended in good order, with
//! nothing left to copy, is *sealed*: a small file says under which token, and what the volume looked like then. When both
//! sides bear the same seal and neither volume was touched since, nothing has to be copied. In every other case all of it
//! has to be, and the reason says why.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::volume::{Looks, Volume};

/// The file that says how a side was left.
#[derive(Debug, Clone)]
pub struct SyncMarker {
    path: PathBuf,
}

/// How a side was left, as far as its marker can be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It was sealed with this token, and its volume has not been touched since.
    Sealed(String),
    /// Nothing can be concluded.
    Untrusted(FullReason),
}

/// What a synchronisation can start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Both sides are identical; only new writes are copied.
    Identical,
    /// Everything is copied.
    Full(FullReason),
}

/// Why everything has to be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FullReason {
    /// The two sides have never been synchronised.
    #[error("the volumes have never been synchronised")]
    NeverSynchronised,
    /// A side was not ended in good order, so its record of the difference is lost.
    #[error("replication was not ended in good order, and the record of the difference is lost")]
    NotEndedInOrder,
    /// A volume was touched while replication did not run.
    #[error("a volume was touched while it was not replicated")]
    VolumeTouched,
    /// The sides were sealed on different occasions.
    #[error("the volumes were last synchronised on different occasions")]
    DifferentOccasions,
    /// A block device does not show whether it was written to.
    #[error("a block device does not show whether it was written to meanwhile")]
    DeviceNotVerifiable,
    /// The marker cannot be read.
    #[error("the record of the last synchronisation cannot be read")]
    MarkerUnreadable,
    /// The mirror ended by itself, and its record of the difference with it.
    #[error("the mirror ended by itself, and the record of the difference is lost")]
    TrackingLost,
    /// This side was made the source without the other one, which may have had more.
    #[error("this side became the source although the other one could not hand over")]
    FailedOver,
    /// It was asked for.
    #[error("it was asked for")]
    Requested,
}

/// Why a marker cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the record {} cannot be written", path.display())]
pub struct MarkerError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "left", rename_all = "lowercase")]
enum Stored {
    InUse,
    Sealed { token: String, looks: Option<Looks> },
}

impl SyncMarker {
    /// Names the marker of one side of one partnership. It belongs in the server's state directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Breaks the seal, durably. Must be done before anything can write to the volume.
    ///
    /// # Errors
    /// [`MarkerError`]; the volume must not be used then.
    pub fn break_seal(&self) -> Result<(), MarkerError> {
        self.write(&Stored::InUse)
    }

    /// Seals a side. Must be done only after [`super::Replica::finish`] succeeded and the daemon has ended, because its
    /// last flush may still touch the volume.
    ///
    /// # Errors
    /// [`MarkerError`]; the next synchronisation is a full one then.
    pub fn seal(&self, token: &str, volume: &Volume) -> Result<(), MarkerError> {
        let failed = |source| MarkerError { path: self.path.clone(), source };
        let looks = volume.looks().map_err(failed)?;
        self.write(&Stored::Sealed { token: token.to_owned(), looks })
    }

    /// Reads how the side was left.
    pub fn standing(&self, volume: &Volume) -> Standing {
        let untrusted = Standing::Untrusted;
        let stored = match fs::read(&self.path) {
            Ok(text) => serde_json::from_slice::<Stored>(&text).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return untrusted(FullReason::NeverSynchronised);
            }
            Err(_) => None,
        };
        match stored {
            None => untrusted(FullReason::MarkerUnreadable),
            Some(Stored::InUse) => untrusted(FullReason::NotEndedInOrder),
            Some(Stored::Sealed { looks: None, .. }) => untrusted(FullReason::DeviceNotVerifiable),
            Some(Stored::Sealed { token, looks }) => match volume.looks() {
                Ok(now) if now == looks => Standing::Sealed(token),
                _ => untrusted(FullReason::VolumeTouched),
            },
        }
    }

    /// Removes the marker: the side belongs to no partnership any more.
    ///
    /// # Errors
    /// [`MarkerError`].
    pub fn remove(&self) -> Result<(), MarkerError> {
        match fs::remove_file(&self.path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(MarkerError { path: self.path.clone(), source })
            }
            _ => Ok(()),
        }
    }

    fn write(&self, stored: &Stored) -> Result<(), MarkerError> {
        let replace = || {
            let new = self.path.with_extension("new");
            fs::create_dir_all(self.path.parent().unwrap_or(Path::new("/")))?;
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(stored)?)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
        };
        replace().map_err(|source| MarkerError { path: self.path.clone(), source })
    }
}

/// What the next synchronisation can start from.
pub fn basis(source: &Standing, destination: &Standing) -> Basis {
    match (source, destination) {
        (Standing::Untrusted(reason), _) | (_, Standing::Untrusted(reason)) => Basis::Full(*reason),
        (Standing::Sealed(here), Standing::Sealed(there)) if here == there => Basis::Identical,
        _ => Basis::Full(FullReason::DifferentOccasions),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_unbroken_seals_of_one_occasion_are_believed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("volume");
        fs::write(&path, vec![1; 4096]).expect("written");
        let volume = Volume::open(&path).expect("opens");
        let marker = SyncMarker::new(directory.path().join("marker"));
        let sealed = |token: &str| Standing::Sealed(token.to_owned());

        assert_eq!(marker.standing(&volume), Standing::Untrusted(FullReason::NeverSynchronised));
        marker.seal("one", &volume).expect("sealed");
        assert_eq!(marker.standing(&volume), sealed("one"));
        assert_eq!(basis(&sealed("one"), &marker.standing(&volume)), Basis::Identical);
        assert_eq!(basis(&sealed("two"), &sealed("one")), Basis::Full(FullReason::DifferentOccasions));

        marker.break_seal().expect("broken");
        assert_eq!(marker.standing(&volume), Standing::Untrusted(FullReason::NotEndedInOrder));
        let broken = marker.standing(&volume);
        assert_eq!(basis(&broken, &sealed("one")), Basis::Full(FullReason::NotEndedInOrder));

        marker.seal("three", &volume).expect("sealed");
        fs::write(&path, vec![2; 8192]).expect("written");
        assert_eq!(marker.standing(&volume), Standing::Untrusted(FullReason::VolumeTouched));

        fs::write(directory.path().join("marker"), "{").expect("written");
        assert_eq!(marker.standing(&volume), Standing::Untrusted(FullReason::MarkerUnreadable));
        marker.remove().expect("removed");
        marker.remove().expect("nothing to remove");
        assert_eq!(marker.standing(&volume), Standing::Untrusted(FullReason::NeverSynchronised));
    }
}
