//! Where the model is kept: one file in the state directory of the server, written whole.
//!
//! A change is made on a copy, written beside the file, brought to the disk and renamed into place; only then is it seen. A crash
//! at any moment leaves the model before the change or the one after it, never a part. One process owns the file, by a lock that
//! ends with it.

use super::errors;
use super::model::Model;
use crate::disk::jobs::toolbox::blocking;
use cimwright_sdk::cim::ErrorDetail;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The version of the stored form that this code writes. A file of another version is refused, not guessed at.
const VERSION: u32 = 1;

/// How long the lock is waited for. A server that is killed while it starts an engine leaves that a copy of the locked file, until
/// it runs its own program a moment later.
const ORPHANED: Duration = Duration::from_secs(2);

/// How often is looked whether it is free.
const GLANCE: Duration = Duration::from_millis(5);

/// What can go wrong at the start.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file or its lock cannot be used.
    #[error("{}: cannot {attempt}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Another server has the same state directory.
    #[error("{}: another server uses this state directory; give each server its own", path.display())]
    InUse {
        /// The lock.
        path: PathBuf,
    },
    /// The file is not what it has to be.
    #[error("{}: {problem}; restore it from a backup, or remove it to begin without replication groups", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// The stored form. Fields that nobody knows are found when the model is read from the rest.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    #[serde(flatten)]
    model: Flat,
}

/// Lets the version be looked at before anything else is understood.
type Flat = serde_json::Map<String, serde_json::Value>;

/// The model, durable.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    /// Held while the model is changed and written.
    turn: Mutex<()>,
    current: watch::Sender<Arc<Model>>,
    /// Its lock ends with the process.
    _lock: File,
}

impl State {
    /// Opens the model of a state directory; without a file it is empty.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join("replication.json");
        let lock_path = directory.join("replication.lock");
        let lock_failed =
            |source| StateError::Io { path: lock_path.clone(), attempt: "open the lock", source };
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(lock_failed)?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if began.elapsed() < ORPHANED => std::thread::sleep(GLANCE),
                Err(TryLockError::WouldBlock) => return Err(StateError::InUse { path: lock_path }),
                Err(TryLockError::Error(source)) => return Err(lock_failed(source)),
            }
        }
        let model = read(&path)?;
        Ok(Self { path, turn: Mutex::new(()), current: watch::Sender::new(Arc::new(model)), _lock: lock })
    }

    /// The directory that it is kept in.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// The model as it is.
    pub fn model(&self) -> Arc<Model> {
        self.current.borrow().clone()
    }

    /// Tells of every change.
    pub fn changes(&self) -> watch::Receiver<Arc<Model>> {
        self.current.subscribe()
    }

    /// Changes the model. When this returns `Ok`, the change is on the disk; after an error of `change` nothing is different.
    ///
    /// # Errors
    /// Those of `change`, and when the model cannot be written.
    pub async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Model) -> Result<T, ErrorDetail> + Send + 'static,
    ) -> Result<T, ErrorDetail> {
        let state = Arc::clone(self);
        blocking(move || state.change_now(change)).await
    }

    /// As [`State::change`], blocking for the disk.
    ///
    /// # Errors
    /// As [`State::change`].
    pub fn change_now<T>(
        &self,
        change: impl FnOnce(&mut Model) -> Result<T, ErrorDetail>,
    ) -> Result<T, ErrorDetail> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.model();
        let mut model = (*before).clone();
        let result = change(&mut model)?;
        if model == *before {
            return Ok(result);
        }
        model.check().map_err(|problem| errors::state_unwritable(&problem))?;
        let bytes = to_bytes(&model).map_err(|e| errors::state_unwritable(&e.to_string()))?;
        replace(&self.path, &bytes).map_err(|e| errors::state_unwritable(&e.to_string()))?;
        self.current.send_replace(Arc::new(model));
        // The new model has its name; should the directory not reach the disk, a power cut may bring the old one back.
        sync_directory(&self.path).map_err(|e| errors::state_unwritable(&e.to_string()))?;
        Ok(result)
    }
}

fn read(path: &Path) -> Result<Model, StateError> {
    let corrupt = |problem: String| StateError::Corrupt { path: path.to_owned(), problem };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Model::default()),
        Err(source) => return Err(StateError::Io { path: path.to_owned(), attempt: "read it", source }),
    };
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|e| corrupt(e.to_string()))?;
    if stored.version != VERSION {
        return Err(corrupt(format!(
            "version {} is not {VERSION}, which this server writes",
            stored.version
        )));
    }
    let model: Model = serde_json::from_value(serde_json::Value::Object(stored.model))
        .map_err(|e| corrupt(e.to_string()))?;
    model.check().map_err(corrupt)?;
    Ok(model)
}

fn to_bytes(model: &Model) -> Result<Vec<u8>, serde_json::Error> {
    let serde_json::Value::Object(model) = serde_json::to_value(model)? else {
        return Err(serde::ser::Error::custom("the model is no object"));
    };
    serde_json::to_vec_pretty(&Stored { version: VERSION, model })
}

/// Gives the file new content in one step. What an earlier attempt left beside it is in nobody's way.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::guid::Guid;
    use crate::replication::model::{Group, Mode};
    use proptest::prelude::*;

    fn group(name: &str) -> Group {
        Group {
            id: Guid::generate(),
            name: name.to_owned(),
            description: None,
            mode: Mode::Sync,
            async_rpo: None,
            write_consistency: false,
            encryption: false,
            allow_resize: false,
            min_partners: 1,
            certificate: None,
            seeded: false,
            suspended: false,
        }
    }

    fn add(state: &State, name: &str) -> Result<(), ErrorDetail> {
        state.change_now(|m| {
            m.groups.push(group(name));
            Ok(())
        })
    }

    #[test]
    fn a_change_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        add(&state, "one").unwrap();
        let seen = state.model();
        drop(state);
        let again = State::open(directory.path()).unwrap();
        assert_eq!(again.model(), seen);
        assert_eq!(again.model().groups[0].name, "one");
    }

    #[test]
    fn one_process_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        assert!(matches!(State::open(directory.path()), Err(StateError::InUse { .. })));
        drop(state);
        assert!(State::open(directory.path()).is_ok());
    }

    #[test]
    fn a_refused_change_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        add(&state, "one").unwrap();
        let before = (state.model(), std::fs::read(directory.path().join("replication.json")).unwrap());
        let refused = state.change_now(|m| -> Result<(), ErrorDetail> {
            m.groups.clear();
            Err(errors::group_missing("one", "here"))
        });
        assert_eq!(refused.unwrap_err().message_id, "CWREPL1102");
        // Two groups of one name break a rule of the model.
        assert_eq!(add(&state, "ONE").unwrap_err().message_id, "CWREPL1202");
        assert_eq!(state.model(), before.0);
        assert_eq!(std::fs::read(directory.path().join("replication.json")).unwrap(), before.1);
    }

    #[test]
    fn a_disk_that_cannot_be_written_is_told_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        add(&state, "one").unwrap();
        // A directory where the new file would be.
        std::fs::create_dir(directory.path().join("replication.json.new")).unwrap();
        assert_eq!(add(&state, "two").unwrap_err().message_id, "CWREPL1202");
        assert_eq!(state.model().groups.len(), 1);
    }

    #[test]
    fn what_is_no_model_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("replication.json");
        for (text, problem) in [
            ("", "EOF"),
            ("{}", "version"),
            (r#"{"version": 2}"#, "version 2"),
            (r#"{"version": 1, "groups": 3}"#, "invalid type"),
            (r#"{"version": 1, "surprise": []}"#, "unknown field"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = State::open(directory.path()).unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains("replication.json"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// A crash while the new file is being written leaves any part of it beside the old one.
        #[test]
        fn a_crash_leaves_the_model_before_or_after(
            names in proptest::collection::vec("[a-z]{1,8}", 1..6),
            share in 0.0_f64..=1.0,
            renamed in any::<bool>(),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("replication.json");
            let state = State::open(directory.path()).unwrap();
            for name in &names {
                let _ = add(&state, name);
            }
            let before = (*state.model()).clone();
            let mut after = before.clone();
            after.groups.push(group("after-crash"));
            let bytes = to_bytes(&after).unwrap();
            drop(state);
            let part = ((bytes.len() as f64) * share) as usize;
            std::fs::write(path.with_extension("json.new"), &bytes[..part]).unwrap();
            if renamed {
                // The rename only comes when all of it is on the disk.
                replace(&path, &bytes).unwrap();
            }
            let state = State::open(directory.path()).unwrap();
            prop_assert_eq!(&*state.model(), if renamed { &after } else { &before });
            // And the next change is not disturbed by what was left.
            add(&state, "next").unwrap();
            drop(state);
            prop_assert!(State::open(directory.path()).unwrap().model().group("NEXT").is_some());
        }
    }
}
