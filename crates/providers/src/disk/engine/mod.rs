//! The external programs that do the work, run confined and spoken to in types.

mod extents;
mod failure;
mod output;
mod process;
mod qemu_img;
mod report;
mod request;
mod sandbox;

pub use failure::{
    EngineFailure, FailureCause, FailureContext, FileRole, NamedFile, UnsupportedFeature, classify,
};
pub use process::{EngineExit, EngineProcess, EngineSpec, EngineStatus, SignalError, SpawnError};
pub use qemu_img::{EngineError, QemuImg, Running};
pub use report::{CheckReport, Comparison, EngineVersion, Measurement, QemuInfo};
pub use request::{
    CompareRequest, ConvertRequest, CreateRequest, EngineFile, ImageLayout, MeasureSource, Repair,
    TailRequest,
};
pub use sandbox::{EnginePolicy, FileAccess, Grant, landlock_available};
