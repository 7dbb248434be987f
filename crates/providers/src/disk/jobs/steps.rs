//! The steps that disk jobs are made of. All writing goes to an unfinished file beside the final place; only the last step gives
//! it its name.

use super::toolbox::{Identity, Share, Tools, attend, blocking, failed};
use super::write_behind::WriteBehind;
use crate::disk::engine::{ConvertRequest, CreateRequest, EngineFile, ImageLayout, Repair};
use crate::disk::errors::{self, Names};
use crate::disk::image::ImageFormat;
use crate::disk::request;
use crate::disk::roots::{FileError, Publish as Mode};
use async_trait::async_trait;
use cimwright_sdk::cim::{ErrorDetail, Value};
use cimwright_sdk::jobs::{OnRestart, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};

/// Name of the step [`Verify`].
pub const VERIFY: &str = "verify";
/// Name of the step that writes the unfinished file.
pub const WRITE: &str = "write";

/// What [`Verify`] found out, for later steps.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Verified {
    /// The size of the disk, in bytes.
    pub virtual_size: u64,
    /// Which file it was.
    pub identity: Identity,
}

/// Looks at an image and checks its structure before anything is done with it: a damaged one could be converted into zeros
/// without a word.
pub struct Verify {
    /// The tools.
    pub tools: Tools,
    /// The image.
    pub path: String,
    /// Its format.
    pub format: ImageFormat,
    /// Whether verifying is all that the job does.
    pub only: bool,
}

impl Verify {
    async fn check(
        &self,
        context: &StepContext,
        names: &Names,
        file: &EngineFile,
        backing: &[EngineFile],
    ) -> Result<(), StepError> {
        let started = self.tools.engine.start_check(file, self.format, Repair::None, backing).await;
        attend(context, started, Share::default(), names).await.map(|_| ())
    }
}

#[async_trait]
impl Step for Verify {
    fn name(&self) -> &'static str {
        VERIFY
    }

    fn title(&self) -> String {
        format!("Verifying {}", self.path)
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let names = Names { verifying: true, ..Names::one(&self.path) };
        let fail = |reason| failed(context, &names, reason);
        if self.format == ImageFormat::Vhdx {
            // The check opens an image more leniently than anything else and so says best what is wrong with it.
            let opened = self.tools.open(&self.path, self.format).map_err(fail)?;
            self.check(context, &names, &opened.file, &[]).await?;
        }
        let source = self.tools.look_at(&self.path, self.format).await.map_err(fail)?;
        if self.format == ImageFormat::Qcow2 {
            self.check(context, &names, &source.file, &source.backing).await?;
        }
        if self.only {
            context.set_result("JobCompletionStatusCode", Value::Uint32(0));
        }
        let verified = Verified { virtual_size: source.info.virtual_size_bytes, identity: source.identity };
        Ok(serde_json::to_string(&verified).unwrap_or_default())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        Ok(())
    }
}

/// What [`Verify`] found, in a later step.
pub fn verified(context: &StepContext) -> Option<Verified> {
    serde_json::from_str(context.output_of(VERIFY)?).ok()
}

/// Writes an unfinished image with the content of another.
pub struct Copy {
    /// The tools.
    pub tools: Tools,
    /// The image to read.
    pub source: String,
    /// Its format.
    pub source_format: ImageFormat,
    /// The final place of the new image.
    pub target: String,
    /// Its layout.
    pub layout: ImageLayout,
    /// Its size if it differs from the source's, in bytes.
    pub size: Option<u64>,
}

impl Copy {
    /// The image to read, what it is based on, and its size. What the verification has found out is not asked again: each look
    /// starts the engine once more. Only qcow2 has a chain of images to be followed.
    async fn open_source(
        &self,
        context: &StepContext,
    ) -> Result<(EngineFile, Vec<EngineFile>, u64), ErrorDetail> {
        if let (Some(known), false) = (verified(context), self.source_format == ImageFormat::Qcow2) {
            let place = self.tools.resolve(&self.source)?;
            if Identity::at(&place)? == known.identity {
                let file = EngineFile::source(&place).map_err(|e| errors::file_failed(&e))?;
                return Ok((file, Vec::new(), known.virtual_size));
            }
        }
        let source = self.tools.look_at(&self.source, self.source_format).await?;
        Ok((source.file, source.backing, source.info.virtual_size_bytes))
    }
}

#[async_trait]
impl Step for Copy {
    fn name(&self) -> &'static str {
        WRITE
    }

    fn title(&self) -> String {
        format!("Writing {}", self.target)
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let names = Names {
            source: Some(self.source.clone()),
            target: Some(self.target.clone()),
            place: self.tools.roots.resolve(&self.target).ok(),
            ..Names::default()
        };
        let fail = |reason| failed(context, &names, reason);
        let (source, backing, old_size) = self.open_source(context).await.map_err(fail)?;
        let new_size = self.size.unwrap_or(old_size);
        if new_size > 0 {
            request::size(&self.target, self.layout.format, new_size).map_err(fail)?;
        }
        let (place, temp) = self.tools.resolve_with_temp(&self.target, context.spec().id).map_err(fail)?;
        let target = self.tools.new_temp(&place, &temp, &names).map_err(fail)?;
        let grows = new_size > old_size;
        if grows {
            let request = CreateRequest {
                target: target.clone(),
                layout: self.layout,
                virtual_size_bytes: new_size,
                backing: None,
            };
            let started = self.tools.engine.start_create(&request).await;
            attend(context, started, Share::default(), &names).await?;
        }
        let request = ConvertRequest {
            source,
            source_format: self.source_format,
            only_first_bytes: (new_size < old_size).then_some(new_size),
            backing,
            target,
            layout: self.layout,
            into_existing: grows,
            max_file_bytes: None,
        };
        let mut behind = WriteBehind::of(&place, &temp).map_err(fail)?;
        let started = self.tools.engine.start_convert(&request).await;
        let share = Share { total: old_size.min(new_size), behind: Some(&mut behind) };
        attend(context, started, share, &names).await?;
        behind.finish(&place).await.map_err(fail)?;
        let identity = Identity::of_temp(&place, &temp).map_err(fail)?;
        Ok(serde_json::to_string(&identity).unwrap_or_default())
    }

    async fn undo(&self, context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        self.tools.remove_temp(&self.target, context.spec().id)
    }
}

/// Makes an unfinished image without content.
pub struct Empty {
    /// The tools.
    pub tools: Tools,
    /// The final place.
    pub target: String,
    /// Its layout.
    pub layout: ImageLayout,
    /// The size of the disk, in bytes.
    pub size: u64,
}

#[async_trait]
impl Step for Empty {
    fn name(&self) -> &'static str {
        WRITE
    }

    fn title(&self) -> String {
        format!("Creating {}", self.target)
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let names = Names {
            target: Some(self.target.clone()),
            place: self.tools.roots.resolve(&self.target).ok(),
            ..Names::default()
        };
        let fail = |reason| failed(context, &names, reason);
        let (place, temp) = self.tools.resolve_with_temp(&self.target, context.spec().id).map_err(fail)?;
        let target = self.tools.new_temp(&place, &temp, &names).map_err(fail)?;
        let request =
            CreateRequest { target, layout: self.layout, virtual_size_bytes: self.size, backing: None };
        let started = self.tools.engine.start_create(&request).await;
        attend(context, started, Share::default(), &names).await?;
        let identity = Identity::of_temp(&place, &temp).map_err(fail)?;
        Ok(serde_json::to_string(&identity).unwrap_or_default())
    }

    async fn undo(&self, context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        self.tools.remove_temp(&self.target, context.spec().id)
    }
}

/// Reserves the space of a fixed image: the engine only lays it out.
pub struct Allocate {
    /// The tools.
    pub tools: Tools,
    /// The final place.
    pub target: String,
}

#[async_trait]
impl Step for Allocate {
    fn name(&self) -> &'static str {
        "allocate"
    }

    fn title(&self) -> String {
        format!("Reserving the space of {}", self.target)
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let names = Names { target: Some(self.target.clone()), ..Names::default() };
        let fail = |reason| failed(context, &names, reason);
        let (place, temp) = self.tools.resolve_with_temp(&self.target, context.spec().id).map_err(fail)?;
        let result = blocking(move || place.allocate_temp(&temp)).await;
        result.map(|_| String::new()).map_err(|e| fail(errors::unfinished_failed(&e)))
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        // The space goes with the unfinished file, which the step that made it removes.
        Ok(())
    }
}

/// Gives the unfinished file its final name once its content is on the disk. Ends soon and cannot be stopped halfway.
pub struct Publish {
    /// The tools.
    pub tools: Tools,
    /// The final place.
    pub target: String,
    /// Whether it takes the place of the image it was made from.
    pub replace: bool,
}

impl Publish {
    /// Which file the unfinished one was when it was written.
    fn written(context: &StepContext) -> Option<Identity> {
        serde_json::from_str(context.output_of(WRITE)?).ok()
    }
}

#[async_trait]
impl Step for Publish {
    fn name(&self) -> &'static str {
        "publish"
    }

    fn title(&self) -> String {
        format!("Completing {}", self.target)
    }

    fn cancellable(&self) -> bool {
        false
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let names = Names { target: Some(self.target.clone()), ..Names::default() };
        let fail = |reason| failed(context, &names, reason);
        let written = Self::written(context);
        let began_with = verified(context).map(|v| v.identity);
        let (place, temp) = self.tools.resolve_with_temp(&self.target, context.spec().id).map_err(fail)?;
        let replace = self.replace;
        let result = blocking(move || -> Result<(), ErrorDetail> {
            let failed = |e| errors::unfinished_failed(&e);
            match place.open_temp(&temp) {
                // Before it is compared: what takes a while must not stand between the look and the new name.
                Ok(unfinished) => unfinished.sync_all().map_err(|e| failed(place.sync_failed(&e)))?,
                // A server before this one may have come as far as the new name and died before it could say so.
                Err(FileError::NotFound { .. }) => {
                    return match (written, Identity::at(&place)) {
                        (Some(written), Ok(now)) if written.same_file(&now) => Ok(()),
                        _ => Err(errors::changed_meanwhile(place.display())),
                    };
                }
                Err(error) => return Err(failed(error)),
            }
            if !replace {
                return place.publish(&temp, Mode::NoReplace).map_err(failed);
            }
            let now = Identity::at(&place)?;
            if began_with.is_some_and(|b| b != now) {
                return Err(errors::changed_meanwhile(place.display()));
            }
            place.adopt_owner(&temp).map_err(failed)?;
            place.publish(&temp, Mode::Replace).map_err(failed)
        })
        .await;
        result.map_err(fail)?;
        context.set_result("JobCompletionStatusCode", Value::Uint32(0));
        Ok(String::new())
    }

    async fn undo(&self, context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        // A new image that should not be there is removed; a replaced one has the old content and nothing is lost.
        let Some(written) = Self::written(context) else { return Ok(()) };
        if self.replace {
            return Ok(());
        }
        let Ok(place) = self.tools.resolve(&self.target) else { return Ok(()) };
        match Identity::at(&place) {
            Ok(now) if now.same_file(&written) => {
                place.remove().map(|_| ()).map_err(|e| errors::file_failed(&e))
            }
            _ => Ok(()),
        }
    }
}
