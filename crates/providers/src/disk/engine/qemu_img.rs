//! qemu-img: every command this server uses, started confined and answered in types.
//!
//! Commands that may take long come in two halves: `start_…` returns a [`Running`] command that can be watched, paused
//! and ended, and [`Running::finish`] waits for the answer. Dropping a future or a [`Running`] ends the engine.

use super::failure::{EngineFailure, FailureCause, FailureContext, FileRole, classify};
use super::process::{EngineExit, EngineProcess, SpawnError};
use super::report::{self, CheckReport, Comparison, EngineVersion, Measurement, NoAnswer, QemuInfo};
use super::request::{
    CompareRequest, ConvertRequest, CreateRequest, EngineFile, Invocation, MeasureSource, Repair, TailRequest,
};
use super::sandbox::EnginePolicy;
use crate::disk::image::ImageFormat;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// An installed qemu-img and the policy it runs under.
#[derive(Debug, Clone)]
pub struct QemuImg {
    policy: EnginePolicy,
    /// Who may wait for an answer: see [`LOOKS`].
    looks: Arc<Semaphore>,
}

/// How many commands run at once that tell what is in an image. Whoever may ask that may ask often, and each time is a process.
const LOOKS: usize = 8;

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine could not be started.
    #[error("the disk engine cannot be started")]
    Spawn(#[from] SpawnError),
    /// The engine ran and failed.
    #[error("the disk engine failed")]
    Failed(#[from] EngineFailure),
}

/// A command that is running.
#[derive(Debug)]
pub struct Running<T> {
    process: EngineProcess,
    context: FailureContext,
    read: fn(&EngineExit) -> Result<T, NoAnswer>,
}

impl<T> Running<T> {
    /// The engine: its progress, pausing and ending it.
    pub fn process(&self) -> &EngineProcess {
        &self.process
    }

    /// Waits for the answer. May be given up and called again.
    ///
    /// # Errors
    /// [`EngineFailure`]; for an engine that was ended on purpose the cause is [`FailureCause::KilledBySignal`].
    pub async fn finish(&mut self) -> Result<T, EngineFailure> {
        let exit = self.process.wait().await;
        (self.read)(&exit).map_err(|no_answer| match no_answer {
            NoAnswer::Failed => classify(&exit, &self.context),
            NoAnswer::Unreadable => EngineFailure {
                cause: FailureCause::UnreadableAnswer,
                status: exit.status,
                line: String::new(),
                stderr: exit.stderr.clone(),
            },
        })
    }
}

impl QemuImg {
    /// Uses the program and rules of a policy. Nothing is run yet.
    pub fn new(policy: EnginePolicy) -> Self {
        Self { policy, looks: Arc::new(Semaphore::new(LOOKS)) }
    }

    /// The policy.
    pub fn policy(&self) -> &EnginePolicy {
        &self.policy
    }

    /// Asks for the version: also the test of whether the engine is installed and can be confined here.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn version(&self) -> Result<EngineVersion, EngineError> {
        self.run(Invocation::new(["--version"]), report::version).await
    }

    /// Looks at an image. `in_use` allows that another program is writing it; the answer is then a snapshot.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn info(
        &self,
        file: &EngineFile,
        format: ImageFormat,
        in_use: bool,
    ) -> Result<QemuInfo, EngineError> {
        let invocation = Invocation::new(["info", "--output=json", "-f", format.engine_name()])
            .arg_if(in_use, "-U")
            .file(file, FileRole::Source, format);
        self.run(invocation, report::info).await
    }

    /// Starts checking the structure of an image. VHD and raw cannot be checked.
    ///
    /// A truncated qcow2 converts without complaint, into zeros: check before converting.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub async fn start_check(
        &self,
        file: &EngineFile,
        format: ImageFormat,
        repair: Repair,
        backing: &[EngineFile],
    ) -> Result<Running<CheckReport>, SpawnError> {
        let mut invocation = Invocation::new(["check", "--output=json", "-f", format.engine_name()]);
        if let Some(argument) = repair.argument() {
            invocation = invocation.args(["-r", argument]);
        }
        self.start(invocation.file(file, FileRole::Source, format).backing(backing), report::check).await
    }

    /// Checks the structure of an image: [`Self::start_check`] without repair, waited for.
    ///
    /// # Errors
    /// [`EngineError`]; a corrupt image is a failure.
    pub async fn check(&self, file: &EngineFile, format: ImageFormat) -> Result<CheckReport, EngineError> {
        Ok(self.start_check(file, format, Repair::None, &[]).await?.finish().await?)
    }

    /// Makes an empty image.
    ///
    /// # Errors
    /// [`EngineError`]. The target may then hold anything; remove it.
    pub async fn create(&self, request: &CreateRequest) -> Result<(), EngineError> {
        self.run(request.invocation(), report::nothing).await
    }

    /// Starts making an empty image: [`Self::create`] in two halves, since reserving space can take long.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub async fn start_create(&self, request: &CreateRequest) -> Result<Running<()>, SpawnError> {
        self.start(request.invocation(), report::nothing).await
    }

    /// Starts making an image with the content of another.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub async fn start_convert(&self, request: &ConvertRequest) -> Result<Running<()>, SpawnError> {
        self.start(request.invocation(), report::nothing).await
    }

    /// Starts comparing the content of two images.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub async fn start_compare(&self, request: &CompareRequest) -> Result<Running<Comparison>, SpawnError> {
        self.start(request.invocation(), report::compare).await
    }

    /// Starts looking whether the end of a disk holds nothing but zeros: the proof that it may be cut off. The answer is
    /// [`Comparison::Identical`], or where the first other byte is, counted from the beginning of that end.
    ///
    /// Content decides, not allocation, so a fixed disk can be shrunk as well; and of a VHDX the engine knows no
    /// allocation at all. The whole end is read, at several gigabytes a second where nothing is allocated.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub async fn start_tail_check(&self, request: &TailRequest) -> Result<Running<Comparison>, SpawnError> {
        self.start(request.invocation(), report::compare).await
    }

    /// Changes the size of a raw or qcow2 image where it is. VHD and VHDX cannot: make a new one and fill it.
    /// Making it smaller cuts off the end and must be allowed by `shrink`.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn resize(
        &self,
        file: &EngineFile,
        format: ImageFormat,
        virtual_size_bytes: u64,
        shrink: bool,
    ) -> Result<(), EngineError> {
        self.resize_overlay(file, format, &[], virtual_size_bytes, shrink).await
    }

    /// [`Self::resize`] of an image that is based on others, which the engine opens for reading.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn resize_overlay(
        &self,
        file: &EngineFile,
        format: ImageFormat,
        backing: &[EngineFile],
        virtual_size_bytes: u64,
        shrink: bool,
    ) -> Result<(), EngineError> {
        let invocation = Invocation::new(["resize", "-q", "-f", format.engine_name()])
            .arg_if(shrink, "--shrink")
            .file(file, FileRole::Source, format)
            .backing(backing)
            .args([&virtual_size_bytes.to_string()]);
        // Not behind those who only want to know something: what was looked at must not become old meanwhile.
        Ok(self.start(invocation, report::nothing).await?.finish().await?)
    }

    /// Tells how much space a new image will take. Only raw and qcow2 can be measured.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn measure(
        &self,
        source: &MeasureSource,
        target_format: ImageFormat,
    ) -> Result<Measurement, EngineError> {
        let invocation = Invocation::new(["measure", "--output=json", "-O", target_format.engine_name()]);
        let invocation = match source {
            MeasureSource::Image(file, format) => {
                invocation.args(["-f", format.engine_name()]).file(file, FileRole::Source, *format)
            }
            MeasureSource::Empty(bytes) => invocation.args(["--size", &bytes.to_string()]),
        };
        self.run(invocation, report::measure).await
    }

    async fn start<T>(
        &self,
        invocation: Invocation,
        read: fn(&EngineExit) -> Result<T, NoAnswer>,
    ) -> Result<Running<T>, SpawnError> {
        let process = EngineProcess::spawn(&self.policy, invocation.spec).await?;
        Ok(Running { process, context: invocation.context, read })
    }

    pub(super) async fn run<T>(
        &self,
        invocation: Invocation,
        read: fn(&EngineExit) -> Result<T, NoAnswer>,
    ) -> Result<T, EngineError> {
        // Never closed; without a place it would go on all the same.
        let _place = self.looks.acquire().await;
        Ok(self.start(invocation, read).await?.finish().await?)
    }
}

#[cfg(test)]
mod tests;
