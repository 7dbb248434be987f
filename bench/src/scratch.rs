//! A directory on a real disk that goes away.

use crate::failure::{Failure, Result};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A scratch directory.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
}

impl Scratch {
    /// A new directory below `base`, or below `$TMPDIR`, or `/var/tmp`: on a disk rather than in memory, because what is measured
    /// and proved is what reaches a disk.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(base: Option<&Path>) -> Result<Self> {
        let base = match base {
            Some(base) => base.to_owned(),
            None => std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from),
        };
        let base = std::path::absolute(&base).map_err(Failure::io("find", &base))?;
        let directory = tempfile::Builder::new()
            .prefix("cimwright-")
            .tempdir_in(&base)
            .map_err(Failure::io("make a directory in", &base))?;
        Ok(Self { directory })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A new directory in it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).map_err(Failure::io("create", &path))?;
        Ok(path)
    }

    /// Leaves the directory behind and says where it is.
    pub fn keep(self) -> PathBuf {
        self.directory.keep()
    }
}
