//! The proof about files: what completed is there and whole, what did not is not there, and nothing unfinished is left.

use super::Drill;
use super::ledger::{Entry, Number, name};
use super::site::Image;
use super::work::Effect;
use crate::failure::{Failure, Result};
use crate::qemu;
use cimwright_client::job::State;
use futures_util::StreamExt as _;
use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How unfinished files of the server end.
const UNFINISHED: &str = ".cwpart";

/// How many images are compared at the same time.
const AT_ONCE: usize = 2;

/// What was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checked {
    /// Images whose content was compared.
    pub(crate) images: usize,
    /// The sum of the sizes of their disks, in bytes.
    pub(crate) bytes: u64,
    /// Targets that must not be there, and are not.
    pub(crate) absent: usize,
    /// Images whose space has to be reserved, and is.
    pub(crate) reserved: usize,
}

/// What is known of one job's files.
enum Finding {
    /// It has none.
    Nothing,
    /// The image is not there, as it should be.
    Absent,
    /// The image is whole.
    Sound { bytes: u64, reserved: bool },
    /// Something is wrong with it.
    Wrong(String),
}

/// Looks at every image that a client asked for.
pub(crate) async fn check(drill: &Drill, ends: &BTreeMap<Number, State>) -> Result<Checked> {
    let mut known = HashSet::new();
    let mut jobs = Vec::new();
    for number in drill.ledger.numbers() {
        let entry = drill.ledger.entry(number);
        match &entry.work.effect {
            Effect::None => continue,
            Effect::New { target: image, .. } | Effect::Changed { image, .. } => {
                known.insert(image.path.clone())
            }
        };
        jobs.push((entry, ends.get(&number).copied()));
    }
    let mut checked = Checked::default();
    let mut findings = futures_util::stream::iter(jobs)
        .map(|(entry, end)| async move {
            let finding = look(&entry, end).await;
            (entry, end, finding)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((entry, end, finding)) = findings.next().await {
        match finding {
            Finding::Nothing => {}
            Finding::Absent => checked.absent += 1,
            Finding::Sound { bytes, reserved } => {
                checked.images += 1;
                checked.bytes += bytes;
                checked.reserved += usize::from(reserved);
            }
            Finding::Wrong(what) => {
                let end = end.map_or_else(|| "not answered".to_owned(), |state| state.to_string());
                drill.ledger.violation(format!("{} ({end}): {what}", name(&entry)));
            }
        }
    }
    for path in files_below(drill.site.root())? {
        let text = path.to_string_lossy();
        if text.ends_with(UNFINISHED) {
            drill.ledger.violation(format!("an unfinished file is left: {text}"));
        } else if path.parent().is_some_and(|p| p.ends_with("out")) && !known.contains(&path) {
            drill.ledger.violation(format!("nobody asked for the file {text}"));
        }
    }
    Ok(checked)
}

async fn look(entry: &Entry, end: Option<State>) -> Finding {
    match &entry.work.effect {
        Effect::None => Finding::Nothing,
        Effect::New { target, like, size, fixed } => {
            let there = target.path.exists();
            match end {
                Some(State::COMPLETED) if !there => Finding::Wrong("its image is not there".to_owned()),
                Some(state) if state != State::COMPLETED && there => {
                    Finding::Wrong(format!("its image is there: {}", target.path.display()))
                }
                _ if !there => Finding::Absent,
                // Also of a job nobody was told about: what has the final name is whole.
                _ => compare(target, like, |found| size.is_none_or(|size| size == found), *fixed).await,
            }
        }
        Effect::Changed { image, like, before, after } => {
            let right = |found: u64| match end {
                Some(State::COMPLETED) => found == *after,
                Some(_) => found == *before,
                None => found == *before || found == *after,
            };
            compare(image, like, right, false).await
        }
    }
}

async fn compare(image: &Image, like: &Image, size_is_right: impl Fn(u64) -> bool, fixed: bool) -> Finding {
    let size = match qemu::virtual_size(&image.path, image.format).await {
        Ok(size) => size,
        Err(failure) => return Finding::Wrong(failure.to_string()),
    };
    if !size_is_right(size) {
        return Finding::Wrong(format!("{} is a disk of {size} bytes", image.path.display()));
    }
    if fixed {
        let reserved = std::fs::metadata(&image.path).map_or(0, |m| m.blocks() * 512);
        if reserved < size {
            return Finding::Wrong(format!(
                "{} has {reserved} bytes reserved of {size}",
                image.path.display()
            ));
        }
    }
    match qemu::compare((&like.path, like.format), (&image.path, image.format)).await {
        Ok(Ok(())) => Finding::Sound { bytes: size, reserved: fixed },
        Ok(Err(difference)) => Finding::Wrong(format!("{}: {difference}", image.path.display())),
        Err(failure) => Finding::Wrong(failure.to_string()),
    }
}

fn files_below(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).map_err(Failure::io("list", &directory))? {
            let entry = entry.map_err(Failure::io("list", &directory))?;
            let kind = entry.file_type().map_err(Failure::io("look at", &entry.path()))?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_at_every_depth() {
        let directory = tempfile::tempdir().expect("scratch");
        std::fs::create_dir_all(directory.path().join("a/b")).expect("directories");
        for name in ["x", "a/y", "a/b/.z.cwpart"] {
            std::fs::write(directory.path().join(name), "").expect("file");
        }
        assert_eq!(files_below(directory.path()).expect("list").len(), 3);
    }
}
