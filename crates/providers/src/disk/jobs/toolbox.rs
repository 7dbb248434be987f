//! What every disk job needs: paths, the engine, and the way to run it under a job's control.

use super::write_behind::WriteBehind;
use crate::disk::engine::{
    EngineError, EngineFile, FailureCause, Grant, QemuImg, QemuInfo, Running, SignalError, SpawnError,
};
use crate::disk::errors::{self, Names};
use crate::disk::image::{ImageFormat, ImageHeader, ImageInfo};
use crate::disk::roots::{FileError, ResolvedPath, StorageRoots, TempName};
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::jobs::live::Wish;
use cimwright_sdk::jobs::{JobId, Progress, StepContext, StepError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The least a VHD can be, in bytes.
const VHD_FOOTER: u64 = 512;

/// How long a chain of backing files may be.
const MAX_CHAIN: usize = 16;

/// Paths and engine.
#[derive(Debug)]
pub struct Toolbox {
    /// The storage roots.
    pub roots: StorageRoots,
    /// The engine.
    pub engine: QemuImg,
}

/// Which file it is, whatever its name: to find out whether a file is still the one it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    dev: u64,
    ino: u64,
    /// Length and time of last change, for files that nobody is to have changed.
    size: u64,
    mtime_ns: i64,
}

impl Identity {
    /// Whether both are the same file, changed or not.
    pub fn same_file(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    fn of(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mtime_ns: metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec()),
        }
    }

    /// The identity of the file at a place.
    ///
    /// # Errors
    /// Those of [`ResolvedPath::open_read`].
    pub fn at(place: &ResolvedPath) -> Result<Self, ErrorDetail> {
        let file = place.open_read().map_err(|e| errors::file_failed(&e))?;
        Self::of_file(&file, place)
    }

    /// The identity of a job's unfinished file.
    ///
    /// # Errors
    /// Those of [`ResolvedPath::open_temp`].
    pub fn of_temp(place: &ResolvedPath, temp: &TempName) -> Result<Self, ErrorDetail> {
        let file = place.open_temp(temp).map_err(|e| errors::unfinished_failed(&e))?;
        Self::of_file(&file, place)
    }

    fn of_file(file: &std::fs::File, place: &ResolvedPath) -> Result<Self, ErrorDetail> {
        let metadata = file.metadata().map_err(|error| {
            let path = place.display().to_owned();
            let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
            errors::file_failed(&FileError::System {
                path,
                operation: crate::disk::roots::FileOperation::Inspect,
                errno,
            })
        })?;
        Ok(Self::of(&metadata))
    }
}

/// An image that is open and whose headers were read.
#[derive(Debug)]
pub struct Opened {
    /// Where it is.
    pub place: ResolvedPath,
    /// The image, for the engine.
    pub file: EngineFile,
    /// Its format.
    pub format: ImageFormat,
    /// What its headers say; nothing when they are damaged.
    pub header: ImageHeader,
    /// Which file it is.
    pub identity: Identity,
}

/// An image that was looked at: open for the engine, with the chain it is based on.
#[derive(Debug)]
pub struct Source {
    /// The image.
    pub file: EngineFile,
    /// What it is.
    pub info: ImageInfo,
    /// The images it is based on, nearest first.
    pub backing: Vec<EngineFile>,
    /// Which file it is.
    pub identity: Identity,
}

impl Toolbox {
    /// The place a client's path stands for.
    ///
    /// # Errors
    /// When the path is refused.
    pub fn resolve(&self, path: &str) -> Result<ResolvedPath, ErrorDetail> {
        self.roots.resolve(path).map_err(|e| errors::path_refused(&e, path))
    }

    /// The place, and the name of the unfinished file of a job beside it.
    ///
    /// # Errors
    /// When the path is refused.
    pub fn resolve_with_temp(&self, path: &str, job: JobId) -> Result<(ResolvedPath, TempName), ErrorDetail> {
        let place = self.resolve(path)?;
        let temp = place.temp_sibling(&job.to_string()).map_err(|e| errors::file_failed(&e))?;
        Ok((place, temp))
    }

    /// Makes the unfinished file of a job, empty, for the engine to write.
    ///
    /// # Errors
    /// When it cannot be made, or the engine cannot be run as the user it would belong to.
    pub fn new_temp(
        &self,
        place: &ResolvedPath,
        temp: &TempName,
        names: &Names,
    ) -> Result<EngineFile, ErrorDetail> {
        let owner = self.engine.policy().other_user().map_err(|e| errors::not_started(&e, names))?;
        EngineFile::target(place, temp, owner).map_err(|e| errors::file_failed(&e))
    }

    /// Removes the unfinished file of a job; finding none is fine, and so is a directory that has gone.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn remove_temp(&self, path: &str, job: JobId) -> Result<(), ErrorDetail> {
        let place = match self.roots.resolve(path) {
            Ok(place) => place,
            Err(crate::disk::roots::PathError::ParentMissing { .. }) => return Ok(()),
            Err(error) => return Err(errors::path_refused(&error, path)),
        };
        let temp = place.temp_sibling(&job.to_string()).map_err(|e| errors::file_failed(&e))?;
        place.remove_temp(&temp).map(|_| ()).map_err(|e| errors::file_failed(&e))
    }

    /// Opens an image for reading and reads its headers, before an engine sees it.
    ///
    /// # Errors
    /// When it cannot be opened, or is a VHDX that has a parent.
    pub fn open(&self, path: &str, format: ImageFormat) -> Result<Opened, ErrorDetail> {
        let place = self.resolve(path)?;
        let file = place.open_read().map_err(|e| errors::file_failed(&e))?;
        let identity = Identity::of_file(&file, &place)?;
        // What is wrong with the headers the engine says better. But only they tell of a parent, which the engine answers with
        // one unspecific refusal or another.
        let header = ImageHeader::read(&file, format).unwrap_or(ImageHeader::None);
        if let ImageHeader::Vhdx(vhdx) = &header
            && vhdx.has_parent
        {
            return Err(errors::vhdx_parent(path));
        }
        let file = EngineFile::new(place.real_path(), Grant::from(file));
        Ok(Opened { place, file, format, header, identity })
    }

    /// Asks the engine about an image. `in_use` allows that another program is writing it.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn ask(&self, opened: &Opened, in_use: bool) -> Result<ImageInfo, EngineError> {
        self.told(opened, in_use).await.map(|told| ImageInfo::new(opened.format, &told, &opened.header))
    }

    /// Opens an image for reading and looks at it.
    ///
    /// # Errors
    /// When it cannot be opened or is not what its name says.
    pub async fn look_at(&self, path: &str, format: ImageFormat) -> Result<Source, ErrorDetail> {
        let opened = self.open(path, format)?;
        let told = self.told(&opened, false).await.map_err(|e| engine_error(&e, &Names::one(path)))?;
        let info = ImageInfo::new(format, &told, &opened.header);
        let backing = self.backing_chain(&opened.place, &info, told.backing_format.as_deref()).await?;
        Ok(Source { file: opened.file, info, backing, identity: opened.identity })
    }

    async fn told(&self, opened: &Opened, in_use: bool) -> Result<QemuInfo, EngineError> {
        let told = self.engine.info(&opened.file, opened.format, in_use).await;
        told.map_err(|error| match error {
            // The engine takes a part of a sector for a whole one, and then misses the footer in it.
            EngineError::Failed(mut failure) if opened.identity.size < VHD_FOOTER => {
                if let FailureCause::VhdInvalid { file } = failure.cause {
                    failure.cause = FailureCause::VhdTooSmall { file };
                }
                EngineError::Failed(failure)
            }
            other => other,
        })
    }

    /// The images that a qcow2 image is based on, each under a storage root.
    async fn backing_chain(
        &self,
        place: &ResolvedPath,
        info: &ImageInfo,
        format: Option<&str>,
    ) -> Result<Vec<EngineFile>, ErrorDetail> {
        let mut chain = Vec::new();
        let mut here = place.real_path().to_owned();
        let mut next = info.parent.clone().map(|p| (p, format.map(str::to_owned)));
        while let Some((parent, parent_format)) = next.take() {
            let missing = |why: &str| errors::backing_missing(place.display(), why);
            if chain.len() >= MAX_CHAIN {
                return Err(missing("the chain of images is too long"));
            }
            let path = if parent.starts_with('/') {
                parent.clone()
            } else {
                let directory = here.rsplit_once('/').map_or("", |(d, _)| d);
                format!("{directory}/{parent}")
            };
            let parent_place = self.roots.resolve(&path).map_err(|e| missing(&format!("{parent}: {e}")))?;
            let file = EngineFile::source(&parent_place).map_err(|e| missing(&format!("{parent}: {e}")))?;
            let format = match parent_format.as_deref() {
                Some("vpc") => Some(ImageFormat::Vhd),
                Some("vhdx") => Some(ImageFormat::Vhdx),
                Some("qcow2") => Some(ImageFormat::Qcow2),
                Some("raw") => Some(ImageFormat::Raw),
                _ => ImageFormat::from_path(&path),
            };
            let Some(format) = format else {
                return Err(missing(&format!("{parent} has an unknown format")));
            };
            let names = Names::one(place.display());
            let told = self.engine.info(&file, format, false).await.map_err(|e| engine_error(&e, &names))?;
            next = told.backing_file.clone().map(|p| (p, told.backing_format.clone()));
            here = parent_place.real_path().to_owned();
            chain.push(file);
        }
        Ok(chain)
    }
}

/// The reason behind a command that has no answer.
pub fn engine_error(error: &EngineError, names: &Names) -> ErrorDetail {
    match error {
        EngineError::Spawn(e) => errors::not_started(e, names),
        EngineError::Failed(e) => errors::engine_failed(e, names),
    }
}

/// A failure of a step, with what the class of the job shows of it: the affected file and the outcome as an HRESULT.
pub fn failed(context: &StepContext, names: &Names, reason: ErrorDetail) -> StepError {
    context
        .set_result("JobCompletionStatusCode", cimwright_sdk::cim::Value::Uint32(errors::hresult(&reason)));
    if let Some(path) = names.source.as_deref().or(names.target.as_deref()) {
        context.set_result("Child", path);
    }
    reason.into()
}

/// What part of the job's work a command does.
#[derive(Debug, Default)]
pub struct Share<'a> {
    /// The bytes it works on; 0 for a command whose progress is not that of the job.
    pub total: u64,
    /// What is to be told how much it has written.
    pub behind: Option<&'a mut WriteBehind>,
}

/// Waits for a command while the job listens: pauses it, lets it go on, stops it as the job wishes.
///
/// # Errors
/// The reason for a failure, or [`StepError::Stopped`].
pub async fn attend<T: Send>(
    context: &StepContext,
    started: Result<Running<T>, SpawnError>,
    mut share: Share<'_>,
    names: &Names,
) -> Result<T, StepError> {
    enum Seen<T> {
        Ended(Result<T, crate::disk::engine::EngineFailure>),
        Wish,
        Progress,
    }
    let mut running = started.map_err(|e| failed(context, names, errors::not_started(&e, names)))?;
    let mut progress = running.process().progress();
    let mut progress_open = share.total > 0;
    let mut unpausable = false;
    loop {
        match context.wish() {
            Wish::Run => {}
            Wish::Stop => {
                // Whether it ended meanwhile or is ended now makes no difference to the job.
                let _ = running.process().terminate();
                let _ = running.finish().await;
                return Err(StepError::Stopped);
            }
            Wish::Pause if unpausable => {}
            Wish::Pause => match running.process().pause().await {
                Ok(()) => {
                    context.report_paused(true);
                    context.wish_other_than(Wish::Pause).await;
                    context.report_paused(false);
                    if context.wish() == Wish::Run {
                        let _ = running.process().resume();
                    }
                    continue;
                }
                // It has ended by itself, which the wait below will see.
                Err(SignalError::Ended) => {}
                Err(SignalError::NotConfirmed) => continue,
                // It cannot be paused, now or when it is asked again at once; it goes on to its end.
                Err(error @ SignalError::System { .. }) => {
                    tracing::error!(%error, "an engine cannot be paused");
                    unpausable = true;
                }
            },
        }
        let wish = context.wish();
        let seen = tokio::select! {
            result = running.finish() => Seen::Ended(result),
            _ = context.wish_other_than(wish) => Seen::Wish,
            changed = progress.changed(), if progress_open => {
                progress_open = changed.is_ok();
                Seen::Progress
            }
        };
        match seen {
            Seen::Ended(result) => {
                if result.is_ok() && share.total > 0 {
                    // Its last word may not have been read before its end was seen.
                    let total = share.total;
                    context.set_progress(Progress { done: total, total, share: 10_000 });
                }
                return result.map_err(|f| failed(context, names, errors::engine_failed(&f, names)));
            }
            Seen::Wish => {}
            Seen::Progress if share.total == 0 => {}
            Seen::Progress => {
                let percent = progress.borrow_and_update().clamp(0.0, 100.0);
                let done = (share.total as f64 * percent / 100.0) as u64;
                context.set_progress(Progress { done, total: share.total, share: (percent * 100.0) as u16 });
                if let Some(behind) = &mut share.behind {
                    behind.written(done).await;
                }
            }
        }
    }
}

/// Runs something that blocks for the disk on a thread that may.
///
/// # Errors
/// Those of the work; a panic in it is passed on.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is ending: nobody will look at a result any more.
            Err(_) => std::future::pending().await,
        },
    }
}

/// A shared toolbox.
pub type Tools = Arc<Toolbox>;
