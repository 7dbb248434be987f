//! The lock that keeps two daemons off one volume. The daemons do not do that by themselves: two of them export the same
//! raw file for writing without a complaint.

use std::fs::File;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::failure::{Failure, ReplicationError};
use super::volume::{Volume, VolumeError, VolumeKind};

/// The right to use a volume. It hangs on the file itself, not on its name, and ends with this value or this server.
#[derive(Debug)]
pub struct VolumeLock {
    file: File,
    /// A device is claimed as a file system would claim it, so that it cannot be mounted meanwhile.
    _claim: Option<File>,
}

impl VolumeLock {
    /// Takes the lock, or says at once that another has it.
    ///
    /// # Errors
    /// [`Failure::Locked`] when another server, or a QEMU program that a dead server left behind or that belongs to
    /// somebody else, has the volume; [`VolumeError::Open`].
    pub fn acquire(volume: &Volume) -> Result<Self, ReplicationError> {
        let locked = || Failure::Locked { path: volume.path().to_path_buf() };
        let system =
            |errno: Errno| VolumeError::Open { path: volume.path().to_path_buf(), source: errno.into() };
        let claim = match volume.kind() {
            VolumeKind::File => None,
            VolumeKind::Device => match claim(volume.path()) {
                Ok(claim) => Some(claim),
                Err(Errno::BUSY) => return Err(locked().into()),
                Err(errno) => return Err(system(errno).into()),
            },
        };
        let file = volume.share()?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(locked().into()),
            Err(errno) => return Err(system(errno).into()),
        }
        // QEMU programs hold locks of another kind on single bytes while they use a file. To get one on all of it, for a
        // moment, shows that there are none.
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let _ = rustix::fs::fcntl_lock(&file, FlockOperation::Unlock);
                Ok(Self { file, _claim: claim })
            }
            Err(errno) => {
                // The volume keeps the description open, so closing would not unlock.
                let _ = rustix::fs::flock(&file, FlockOperation::Unlock);
                match errno {
                    Errno::ACCESS | Errno::AGAIN => Err(locked().into()),
                    errno => Err(system(errno).into()),
                }
            }
        }
    }
}

impl Drop for VolumeLock {
    fn drop(&mut self) {
        // The description lives on in the volume, so closing alone would not unlock. There is nothing to do on failure.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

fn claim(path: &Path) -> Result<File, Errno> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    rustix::fs::open(path, flags, Mode::empty()).map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_free_again_afterwards() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("volume");
        File::create(&path).expect("created").set_len(4096).expect("sized");
        let (first, second) = (Volume::open(&path).expect("opens"), Volume::open(&path).expect("opens"));
        let held = VolumeLock::acquire(&first).expect("free");
        let refused = VolumeLock::acquire(&second).expect_err("held");
        assert_eq!(refused.failure(), Some(&Failure::Locked { path: path.clone() }));
        drop(held);
        let held = VolumeLock::acquire(&second).expect("free again, although the first volume is still open");
        drop(held);
    }
}
