//! Looking for unfinished files under the roots: for recovery after a crash, and for drills that prove none remains.
//!
//! Nothing is removed at start on suspicion: a file may belong to a job that another process is running. Recovery
//! decides by the job's identity, which is part of the name.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::resolved::job_of_temporary;
use super::{StorageRoots, open_beneath, open_directory};

const MAX_DEPTH: usize = 16;
const MAX_ENTRIES: usize = 1_000_000;

/// An unfinished file of some job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTemporary {
    /// The identity of the job that made it.
    pub job_id: String,
    /// The absolute path, for messages.
    pub path: String,
    root: usize,
    directory: String,
    name: String,
}

/// What [`StorageRoots::find_temporaries`] saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemporaryScan {
    /// The unfinished files, in no particular order.
    pub found: Vec<FoundTemporary>,
    /// Directories that could not be read, by absolute path.
    pub unreadable: Vec<String>,
    /// True when the tree was deeper or larger than the bounds, so that `found` may be incomplete.
    pub truncated: bool,
}

impl StorageRoots {
    /// Walks the roots for unfinished files: at most 16 levels deep and a million entries in all, following no link.
    ///
    /// Blocks while it reads directories.
    pub fn find_temporaries(&self) -> TemporaryScan {
        let mut scan = TemporaryScan::default();
        let mut budget = MAX_ENTRIES;
        for (index, root) in self.roots.iter().enumerate() {
            match open_directory(&root.directory, "") {
                Ok(directory) => {
                    let mut walk = Walk { index, canonical: &root.canonical, budget, scan: &mut scan };
                    walk.directory(directory, "", 0);
                    budget = walk.budget;
                }
                Err(_) => scan.unreadable.push(root.canonical.clone()),
            }
        }
        // Roots may lie inside each other; a file is reported once, with its nearest root or any.
        scan.found.sort_by(|left, right| left.path.cmp(&right.path));
        scan.found.dedup_by(|left, right| left.path == right.path);
        scan
    }

    /// Removes an unfinished file that was found. Returns false when it was already gone.
    ///
    /// # Errors
    /// What the system answered, when the file could not be removed.
    pub fn remove_temporary(&self, temporary: &FoundTemporary) -> std::io::Result<bool> {
        let root = &self.roots[temporary.root];
        let directory = match open_directory(&root.directory, &temporary.directory) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        match rustix::fs::unlinkat(&directory, temporary.name.as_str(), AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

struct Walk<'scan> {
    index: usize,
    canonical: &'scan str,
    budget: usize,
    scan: &'scan mut TemporaryScan,
}

impl Walk<'_> {
    fn directory(&mut self, directory: OwnedFd, relative: &str, depth: usize) {
        let directory = Arc::new(directory);
        let Ok(entries) = Dir::read_from(&directory) else {
            self.scan.unreadable.push(self.absolute(relative));
            return;
        };
        for entry in entries {
            let Ok(entry) = entry else {
                self.scan.unreadable.push(self.absolute(relative));
                return;
            };
            // A name that is not text is none of ours, and no client can reach below it.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            if self.budget == 0 {
                self.scan.truncated = true;
                return;
            }
            self.budget -= 1;
            let path = if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
            match file_type(&directory, name, entry.file_type()) {
                FileType::Directory if depth + 1 >= MAX_DEPTH => self.scan.truncated = true,
                FileType::Directory => {
                    match open_beneath(&directory, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
                        Ok(below) => self.directory(below, &path, depth + 1),
                        // Removed or exchanged since it was listed: then it holds nothing of ours.
                        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                        Err(_) => self.scan.unreadable.push(self.absolute(&path)),
                    }
                }
                FileType::RegularFile => {
                    if let Some(job_id) = job_of_temporary(name) {
                        self.scan.found.push(FoundTemporary {
                            job_id: job_id.to_owned(),
                            path: self.absolute(&path),
                            root: self.index,
                            directory: relative.to_owned(),
                            name: name.to_owned(),
                        });
                    }
                }
                _ => {}
            }
        }
    }

    fn absolute(&self, relative: &str) -> String {
        if relative.is_empty() { self.canonical.to_owned() } else { format!("{}/{relative}", self.canonical) }
    }
}

/// Some file systems do not tell the type while listing.
fn file_type(directory: &OwnedFd, name: &str, listed: FileType) -> FileType {
    if listed != FileType::Unknown {
        return listed;
    }
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
}
