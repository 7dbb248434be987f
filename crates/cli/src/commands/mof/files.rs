//! MOF files: read whole, and included only from the directories of the files that were named.

use crate::exit::{CliError, Exit};
use cimwright_codec::mof::{LoadError, Loader, Source, resolve_include};
use rustix::fs::{Mode, OFlags, open, openat};
use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 256 << 20;

/// The files named on the command line, and the loader of those that they include.
pub(crate) struct Files {
    /// The files named.
    pub(crate) sources: Vec<Source>,
    /// Their directories, without links.
    directories: Vec<PathBuf>,
    /// Directories that files were included from, opened; those that lie elsewhere are not.
    opened: Mutex<HashMap<String, Option<Arc<OwnedFd>>>>,
}

impl Files {
    /// Reads the files.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Self, CliError> {
        let mut files = Self { sources: Vec::new(), directories: Vec::new(), opened: Mutex::default() };
        for path in paths {
            let trouble = |reason: String| {
                CliError::new(Exit::Trouble, format!("cannot read {}: {reason}", path.display()))
            };
            let text = fs::File::open(path).map_err(|e| e.to_string()).and_then(text_of).map_err(trouble)?;
            let directory = match path.parent() {
                Some(parent) if parent != Path::new("") => parent,
                _ => Path::new("."),
            };
            files.directories.push(fs::canonicalize(directory).map_err(|e| trouble(e.to_string()))?);
            files.sources.push(Source::new(path.display().to_string(), text));
        }
        Ok(files)
    }

    /// Whether a file lies in or below one of the directories, wherever links lead.
    fn is_inside(&self, file: &Path) -> bool {
        fs::canonicalize(file).is_ok_and(|real| self.directories.iter().any(|d| real.starts_with(d)))
    }

    /// Opens a file that is no link and lies in a directory where files may be included from. That is nearly every file, and a
    /// schema is thousands of them: their directories are looked at once, and not for each.
    fn open_plain(&self, path: &str) -> Option<fs::File> {
        let (directory, name) = path.split_at(path.rfind('/').map_or(0, |slash| slash + 1));
        let known = self.opened.lock().unwrap_or_else(PoisonError::into_inner).get(directory).cloned();
        let opened = known.unwrap_or_else(|| {
            let here = if directory.is_empty() { "." } else { directory };
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let real = fs::canonicalize(here).ok().filter(|real| self.is_inside(real));
            let opened = real.and_then(|real| open(real, flags, Mode::empty()).ok()).map(Arc::new);
            let mut all = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(directory.to_owned(), opened.clone());
            opened
        });
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(opened?, name, flags, Mode::empty()).ok().map(Into::into)
    }
}

impl Loader for Files {
    fn load(&self, from: &str, file: &str) -> Result<Source, LoadError> {
        let path = resolve_include(from, file);
        if let Some(file) = self.open_plain(&path) {
            return Ok(Source::new(path, text_of(file).map_err(LoadError::Unreadable)?));
        }
        let found =
            if Path::new(&path).exists() { PathBuf::from(&path) } else { in_any_case(Path::new(&path))? };
        if !self.is_inside(&found) {
            return Err(LoadError::Unreadable(
                "it lies outside the directory of the file that was named; name it on the command line"
                    .to_owned(),
            ));
        }
        let file = fs::File::open(&found).map_err(|e| LoadError::Unreadable(e.to_string()))?;
        let text = text_of(file).map_err(LoadError::Unreadable)?;
        Ok(Source::new(found.display().to_string(), text))
    }
}

/// The file whose path differs in upper and lower case only: includes are often written on systems where that is the same.
fn in_any_case(path: &Path) -> Result<PathBuf, LoadError> {
    let mut found = PathBuf::new();
    for component in path.components() {
        let Component::Normal(name) = component else {
            found.push(component);
            continue;
        };
        let exact = found.join(name);
        if exact.exists() {
            found = exact;
            continue;
        }
        let directory = if found.as_os_str().is_empty() { Path::new(".") } else { &found };
        let entries = fs::read_dir(directory).map_err(|_| LoadError::NotFound)?;
        let mut names: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.file_name()))
            .filter(|entry| entry.eq_ignore_ascii_case(name))
            .collect();
        names.sort();
        found.push(names.first().ok_or(LoadError::NotFound)?);
    }
    Ok(found)
}

/// The text of a file: UTF-8, or UTF-16 with a byte order mark, as WMI's tools write it.
fn text_of(file: fs::File) -> Result<String, String> {
    // Room for all of it at once: a schema is thousands of small files.
    let length = file.metadata().map_or(0, |m| m.len().min(LARGEST));
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than {} MiB", LARGEST >> 20));
    }
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        String::from_utf16(&units).ok().filter(|_| rest.is_empty()).ok_or("it is not valid UTF-16".to_owned())
    };
    match &bytes[..] {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => String::from_utf8(bytes).map_err(|e| {
            let line =
                e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            format!("line {line} is not valid UTF-8")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_come_from_below_the_directory_of_the_file_only() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("mof");
        fs::create_dir_all(root.join("Sub")).unwrap();
        fs::write(directory.path().join("secret.mof"), "no").unwrap();
        fs::write(root.join("Sub/Inner.mof"), "inner").unwrap();
        std::os::unix::fs::symlink(directory.path().join("secret.mof"), root.join("link.mof")).unwrap();
        let main = root.join("main.mof");
        fs::write(&main, "main").unwrap();
        let files = Files::read(std::slice::from_ref(&main)).unwrap();
        let from = main.display().to_string();
        let load = |file: &str| files.load(&from, file);
        assert_eq!(load("Sub/Inner.mof").unwrap().text, "inner");
        assert_eq!(load("sub\\INNER.mof").unwrap().text, "inner");
        assert_eq!(load("nope.mof"), Err(LoadError::NotFound));
        for outside in ["../secret.mof", "link.mof", "/etc/passwd"] {
            assert!(matches!(load(outside), Err(LoadError::Unreadable(_))), "{outside}");
        }
    }

    #[test]
    fn wide_texts_are_read_and_broken_ones_located() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.mof");
        let text = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            text_of(fs::File::open(&path).unwrap())
        };
        assert_eq!(text(b"\xff\xfec\0l\0").as_deref(), Ok("cl"));
        assert_eq!(text(b"\xfe\xff\0c\0l").as_deref(), Ok("cl"));
        assert!(text(b"\xff\xfec").unwrap_err().contains("UTF-16"));
        assert!(text(b"a\nb\xff").unwrap_err().contains("line 2"));
    }
}
