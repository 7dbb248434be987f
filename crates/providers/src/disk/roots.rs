//! Storage roots: the only directories whose files the disk provider may touch.
//!
//! A client names a file by text. This module turns the text into a [`ResolvedPath`]: a directory that was opened
//! beneath a configured root, and a name inside it. Everything done afterwards (open, create, rename, remove) goes
//! through that directory descriptor, so a directory that is exchanged for a symbolic link after the check cannot lead
//! the server anywhere else.
//!
//! The rule on symbolic links is simple: inside a root none is followed, wherever it points. The path of the root
//! itself may contain links; the administrator chose it.

mod client_path;
mod resolved;
mod temporaries;

pub use resolved::{FileError, FileKind, FileOperation, Publish, ResolvedPath, TempName, allocate_fully};
pub use temporaries::{FoundTemporary, TemporaryScan};

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use client_path::{ClientPath, Style};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// The end of every name this server uses for an unfinished file. Clients may not use such names.
pub const TEMPORARY_SUFFIX: &str = ".cwpart";

/// One storage root as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootConfig {
    /// The absolute path of an existing directory.
    pub path: PathBuf,
    /// Windows path prefixes that stand for this root, such as `C:\VMs` or `D:\`. Compared without regard to case.
    pub windows_prefixes: Vec<String>,
}

/// Why the configured roots cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// No root was configured, so that no file could ever be named.
    #[error("no storage root is configured")]
    None,
    /// The path of a root must begin with `/`.
    #[error("storage root {} is not an absolute path", path.display())]
    NotAbsolute {
        /// The configured path.
        path: PathBuf,
    },
    /// `/` as a root would give clients the whole system.
    #[error("storage root {} is the whole file system", path.display())]
    WholeFileSystem {
        /// The configured path.
        path: PathBuf,
    },
    /// The engines and the clients exchange paths as text.
    #[error("storage root {} is not valid UTF-8", path.display())]
    NotText {
        /// The configured path.
        path: PathBuf,
    },
    /// Two roots are the same directory.
    #[error("storage root {} is configured twice", path.display())]
    Duplicate {
        /// The canonical path of both.
        path: PathBuf,
    },
    /// A Windows prefix is not of the form `C:\` or `C:\directory`.
    #[error("`{prefix}` is no Windows path prefix (expected something like `C:\\VMs`)")]
    BadWindowsPrefix {
        /// The prefix as configured.
        prefix: String,
    },
    /// The same Windows prefix stands for two roots.
    #[error("the Windows path prefix `{prefix}` is configured twice")]
    DuplicateWindowsPrefix {
        /// The prefix as configured the second time.
        prefix: String,
    },
    /// The directory cannot be opened.
    #[error("storage root {} cannot be opened", path.display())]
    Open {
        /// The configured path.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: std::io::Error,
    },
}

/// Why the text of a client does not name a file this server may touch. `path` is always the text as the client wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The text is empty.
    #[error("the path is empty")]
    Empty,
    /// The text is longer than 4096 bytes.
    #[error("the path has {bytes} bytes; at most {limit} are allowed")]
    TooLong {
        /// The length of the text in bytes.
        bytes: usize,
        /// The longest accepted length in bytes.
        limit: usize,
    },
    /// One component is longer than 255 bytes.
    #[error("one name in the path has {bytes} bytes; at most {limit} are allowed")]
    ComponentTooLong {
        /// The length of the component in bytes.
        bytes: usize,
        /// The longest accepted length in bytes.
        limit: usize,
    },
    /// The text contains NUL or another control character.
    #[error("the path contains a control character at byte {at}")]
    ControlCharacter {
        /// The offset in bytes.
        at: usize,
    },
    /// The path is not absolute, or is relative to the current directory of a drive (`C:name`).
    #[error("`{path}` is not an absolute path")]
    Relative {
        /// The client's text.
        path: String,
    },
    /// Device paths (`\\?\…`, `\\.\…`) and network paths (`\\server\share`) are not served.
    #[error("`{path}` is a device or network path")]
    DeviceOrNetwork {
        /// The client's text.
        path: String,
    },
    /// The path contains a `..` component.
    #[error("`{path}` contains a `..` component")]
    ParentReference {
        /// The client's text.
        path: String,
    },
    /// A name contains a character that would be read differently on another system (`\` on Linux; `:` and
    /// `< > " | ? *` on Windows).
    #[error("`{path}` contains the character `{character}` inside a name")]
    ForbiddenCharacter {
        /// The client's text.
        path: String,
        /// The character.
        character: char,
    },
    /// The name belongs to the server's own unfinished files.
    #[error("names ending in `{TEMPORARY_SUFFIX}` are reserved, so `{path}` cannot be used")]
    Reserved {
        /// The client's text.
        path: String,
    },
    /// The path names a root or ends in a separator, so no file is named.
    #[error("`{path}` names a directory, not a file")]
    NoFileName {
        /// The client's text.
        path: String,
    },
    /// The path lies under none of the storage roots.
    #[error("`{path}` is outside the storage roots")]
    OutsideRoots {
        /// The client's text.
        path: String,
    },
    /// The directory that should hold the file does not exist.
    #[error("the directory of `{path}` does not exist")]
    ParentMissing {
        /// The client's text.
        path: String,
    },
    /// Something on the way to the file is not a directory.
    #[error("something on the way to `{path}` is not a directory")]
    ParentNotADirectory {
        /// The client's text.
        path: String,
    },
    /// A symbolic link lies on the way to the file; none is followed inside a root.
    #[error("a symbolic link lies on the way to `{path}`; links are not followed inside a storage root")]
    SymbolicLink {
        /// The client's text.
        path: String,
    },
    /// The server has no right to open the directory.
    #[error("the server may not open the directory of `{path}`")]
    PermissionDenied {
        /// The client's text.
        path: String,
    },
    /// The system refused for another reason.
    #[error("the directory of `{path}` cannot be opened: {errno}")]
    System {
        /// The client's text.
        path: String,
        /// What the system answered.
        errno: Errno,
    },
}

/// The opened storage roots.
#[derive(Debug)]
pub struct StorageRoots {
    roots: Vec<Root>,
}

#[derive(Debug)]
struct Root {
    directory: Arc<OwnedFd>,
    canonical: String,
    /// The component lists under which Linux clients may name this root: as configured, and canonical.
    linux_names: Vec<Vec<String>>,
    /// The same for Windows clients, in lower case; the first component is the drive (`c:`).
    windows_names: Vec<Vec<String>>,
}

impl StorageRoots {
    /// Opens every configured root. The descriptors stay open, so a root that is renamed later stays the same directory.
    ///
    /// # Errors
    /// [`RootError`] for the first entry that cannot be used.
    pub fn open(configs: Vec<RootConfig>) -> Result<Self, RootError> {
        let mut roots = Vec::with_capacity(configs.len());
        let mut seen_directories = HashSet::new();
        let mut seen_prefixes = HashSet::new();
        for config in configs {
            let root = Root::open(&config)?;
            if !seen_directories.insert(root.canonical.clone()) {
                return Err(RootError::Duplicate { path: root.canonical.into() });
            }
            for (name, prefix) in root.windows_names.iter().zip(&config.windows_prefixes) {
                if !seen_prefixes.insert(name.clone()) {
                    return Err(RootError::DuplicateWindowsPrefix { prefix: prefix.clone() });
                }
            }
            roots.push(root);
        }
        if roots.is_empty() { Err(RootError::None) } else { Ok(Self { roots }) }
    }

    /// The canonical paths of the roots, in the order of the configuration.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.roots.iter().map(|root| Path::new(root.canonical.as_str()))
    }

    /// Finds the place a client's text stands for. The directory must exist; the file need not.
    ///
    /// The root with the longest matching name wins, so roots may lie inside each other. Blocks for a few system calls.
    ///
    /// # Errors
    /// [`PathError`] when the text is malformed, names nothing under a root, or its directory cannot be opened.
    pub fn resolve(&self, client_path: &str) -> Result<ResolvedPath, PathError> {
        let parsed = ClientPath::parse(client_path)?;
        let path = || client_path.to_owned();
        let mut best: Option<(usize, usize)> = None;
        for (index, root) in self.roots.iter().enumerate() {
            if let Some(length) = root.matched_length(&parsed)
                && best.is_none_or(|(_, longest)| length > longest)
            {
                best = Some((index, length));
            }
        }
        let Some((index, consumed)) = best else { return Err(PathError::OutsideRoots { path: path() }) };
        let Some((file_name, directories)) = parsed.components[consumed..].split_last() else {
            return Err(PathError::NoFileName { path: path() });
        };
        if parsed.trailing_separator {
            return Err(PathError::NoFileName { path: path() });
        }
        let root = &self.roots[index];
        let parent =
            open_directory(&root.directory, &directories.join("/")).map_err(|errno| match errno {
                Errno::NOENT => PathError::ParentMissing { path: path() },
                Errno::NOTDIR => PathError::ParentNotADirectory { path: path() },
                Errno::LOOP | Errno::XDEV => PathError::SymbolicLink { path: path() },
                Errno::ACCESS | Errno::PERM => PathError::PermissionDenied { path: path() },
                errno => PathError::System { path: path(), errno },
            })?;
        let relative = parsed.components[consumed..].join("/");
        Ok(ResolvedPath::new(resolved::Place {
            root: index,
            real: format!("{}/{relative}", root.canonical),
            relative,
            parent: Arc::new(parent),
            file_name: file_name.clone(),
            display: client_path.to_owned(),
        }))
    }
}

impl Root {
    fn open(config: &RootConfig) -> Result<Self, RootError> {
        let path = || config.path.clone();
        if !config.path.is_absolute() {
            return Err(RootError::NotAbsolute { path: path() });
        }
        let failed = |source: std::io::Error| RootError::Open { path: path(), source };
        let canonical = std::fs::canonicalize(&config.path).map_err(failed)?;
        if canonical == Path::new("/") {
            return Err(RootError::WholeFileSystem { path: path() });
        }
        let directory =
            rustix::fs::open(&canonical, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| failed(errno.into()))?;
        let not_text = || RootError::NotText { path: path() };
        let mut linux_names = vec![text_components(&canonical).ok_or_else(not_text)?];
        if let Some(configured) = text_components(&config.path)
            && !linux_names.contains(&configured)
        {
            linux_names.push(configured);
        }
        let windows_names = config
            .windows_prefixes
            .iter()
            .map(|prefix| {
                client_path::windows_prefix(prefix)
                    .ok_or_else(|| RootError::BadWindowsPrefix { prefix: prefix.clone() })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            directory: Arc::new(directory),
            canonical: canonical.to_str().ok_or_else(not_text)?.to_owned(),
            linux_names,
            windows_names,
        })
    }

    /// How many components of the path name this root, if the path lies under it.
    fn matched_length(&self, path: &ClientPath) -> Option<usize> {
        let (names, fold_case) = match path.style {
            Style::Linux => (&self.linux_names, false),
            Style::Windows => (&self.windows_names, true),
        };
        let begins_with = |name: &&Vec<String>| {
            name.len() <= path.components.len()
                && name.iter().zip(&path.components).all(|(ours, theirs)| {
                    if fold_case { *ours == theirs.to_lowercase() } else { ours == theirs }
                })
        };
        names.iter().filter(begins_with).map(Vec::len).max()
    }
}

/// Opens a directory beneath a root, following no link. An empty path is the root itself.
///
/// The descriptor is a readable one (not `O_PATH`), because publishing a file must sync its directory.
fn open_directory(root: &OwnedFd, relative: &str) -> Result<OwnedFd, Errno> {
    let path = if relative.is_empty() { "." } else { relative };
    open_beneath(root, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
}

/// `openat2` under the rules of this module: beneath the directory, no symbolic or magic link on the way or at the end.
fn open_beneath(directory: &OwnedFd, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let rules = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    // Without `O_NOFOLLOW`, which would turn "a link" into "not a directory"; the rules refuse a link at the end as well.
    let flags = flags | OFlags::CLOEXEC;
    let mut attempts = 0;
    loop {
        match rustix::fs::openat2(directory, path, flags, mode, rules) {
            // The kernel asks for another try when a rename elsewhere made it unsure that the walk stayed beneath.
            Err(Errno::AGAIN | Errno::INTR) if attempts < 16 => attempts += 1,
            other => return other,
        }
    }
}

/// The names of an absolute path, or nothing when it is not plain text or contains `..`.
fn text_components(path: &Path) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_str()?.to_owned()),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests;
