//! The stored forms: versioned JSON, the only shape in which domain data is kept.
//!
//! A form is a struct of its own, not the domain type with a derive on it: the domain can be renamed and rearranged while what
//! lies on disks stays readable. Each form has conversions both ways in the file that declares it. Fields that are absent take
//! the default of their first version, fields nobody knows are skipped, and a form of a version nobody knows is refused.
//!
//! Times are whole microseconds since 1970, which is all that [`cimwright_jobs::Clock`] gives; lengths of time likewise.

mod class;
mod error;
mod outbox;
mod path;
mod record;
mod repository;
mod time;
mod value;

pub(crate) use time::{micros, moment};

use cimwright_cim::{Class, Instance, QualifierDeclaration};
use cimwright_jobs::{Entry, JobRun, JobSettings, JobSpec, StateRequest, StoreError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The first version of every form. What needs nothing that came later is still written in it, so that an older program can read
/// it; what does need it says so in its version, so that an older program refuses it rather than overlook what it cannot know.
pub const VERSION: u32 = 1;

/// Why a stored form cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// Written by a later version of this program.
    #[error("a {form} of form version {found}; this program reads versions up to {newest}")]
    Version {
        /// Which form.
        form: &'static str,
        /// The newest version that can be read.
        newest: u32,
        /// The version that was found.
        found: u32,
    },
    /// Not what a form of this version looks like.
    #[error("a {form} that is damaged: {source}")]
    Json {
        /// Which form.
        form: &'static str,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A field holds something that has no meaning.
    #[error("a {form} whose {field} is {found:?}")]
    Field {
        /// Which form.
        form: &'static str,
        /// Which field.
        field: &'static str,
        /// What it holds.
        found: String,
    },
}

impl From<FormError> for StoreError {
    fn from(error: FormError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// The stored form of what was asked for.
///
/// # Errors
/// Never in practice: there is nothing in a spec that JSON could not hold.
pub fn encode_spec(spec: &JobSpec) -> Result<Vec<u8>, FormError> {
    encode("job spec", record::StoredSpec::from(spec))
}

/// Reads [`encode_spec`].
///
/// # Errors
/// If the bytes are no such form.
pub fn decode_spec(bytes: &[u8]) -> Result<JobSpec, FormError> {
    decode::<record::StoredSpec<'static>>("job spec", bytes)?.try_into()
}

/// The stored form of how far a job is.
///
/// # Errors
/// As for [`encode_spec`].
pub fn encode_run(run: &JobRun) -> Result<Vec<u8>, FormError> {
    encode("job run", record::StoredRun::from(run))
}

/// Reads [`encode_run`].
///
/// # Errors
/// If the bytes are no such form.
pub fn decode_run(bytes: &[u8]) -> Result<JobRun, FormError> {
    decode::<record::StoredRun<'static>>("job run", bytes)?.try_into()
}

/// The stored form of what a client may change.
///
/// # Errors
/// As for [`encode_spec`].
pub fn encode_settings(settings: &JobSettings) -> Result<Vec<u8>, FormError> {
    encode("job settings", record::StoredSettings::from(settings))
}

/// Reads [`encode_settings`].
///
/// # Errors
/// If the bytes are no such form.
pub fn decode_settings(bytes: &[u8]) -> Result<JobSettings, FormError> {
    decode::<record::StoredSettings<'static>>("job settings", bytes)?.try_into()
}

/// The stored form of what a client wants.
///
/// # Errors
/// As for [`encode_spec`].
pub fn encode_request(request: &StateRequest) -> Result<Vec<u8>, FormError> {
    encode("state request", record::StoredRequest::from(request))
}

/// Reads [`encode_request`].
///
/// # Errors
/// If the bytes are no such form.
pub fn decode_request(bytes: &[u8]) -> Result<StateRequest, FormError> {
    decode::<record::StoredRequest<'static>>("state request", bytes)?.try_into()
}

/// The stored form of something a client has registered.
///
/// # Errors
/// As for [`encode_spec`].
pub fn encode_entry(entry: &Entry) -> Result<Vec<u8>, FormError> {
    encode("registration", outbox::StoredEntry::from(entry))
}

/// Reads [`encode_entry`].
///
/// # Errors
/// If the bytes are no such form.
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, FormError> {
    decode::<outbox::StoredEntry<'static>>("registration", bytes)?.try_into()
}

/// The stored form of a class as declared.
///
/// # Errors
/// As for [`encode_spec`].
pub fn encode_class(class: &Class) -> Result<Vec<u8>, FormError> {
    encode("class", repository::ClassForm::from(class))
}

/// Reads [`encode_class`].
///
/// # Errors
/// If the bytes are no such form.
pub fn decode_class(bytes: &[u8]) -> Result<Class, FormError> {
    decode::<repository::ClassForm<'static>>("class", bytes)?.try_into()
}

/// The stored form of a qualifier declaration.
///
/// # Errors
/// As for [`encode_spec`].
pub fn encode_qualifier(declaration: &QualifierDeclaration) -> Result<Vec<u8>, FormError> {
    encode("qualifier declaration", repository::QualifierForm::from(declaration))
}

/// Reads [`encode_qualifier`].
///
/// # Errors
/// If the bytes are no such form.
pub fn decode_qualifier(bytes: &[u8]) -> Result<QualifierDeclaration, FormError> {
    decode::<repository::QualifierForm<'static>>("qualifier declaration", bytes)?.try_into()
}

/// The stored form of a static instance.
///
/// # Errors
/// As for [`encode_spec`].
pub fn encode_instance(instance: &Instance) -> Result<Vec<u8>, FormError> {
    encode("instance", repository::InstanceForm::from(instance))
}

/// Reads [`encode_instance`].
///
/// # Errors
/// If the bytes are no such form.
pub fn decode_instance(bytes: &[u8]) -> Result<Instance, FormError> {
    decode::<repository::InstanceForm<'static>>("instance", bytes)?.try_into()
}

/// Only the version, for when the rest is of no known shape.
#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

fn encode<T: Serialize>(form: &'static str, value: T) -> Result<Vec<u8>, FormError> {
    serde_json::to_vec(&value).map_err(|source| FormError::Json { form, source })
}

/// A form that says its version.
trait Form: DeserializeOwned {
    /// The newest version there is.
    const NEWEST: u32 = VERSION;

    fn version(&self) -> u32;
}

fn decode<T: Form>(form: &'static str, bytes: &[u8]) -> Result<T, FormError> {
    match serde_json::from_slice::<T>(bytes) {
        Ok(value) if (VERSION..=T::NEWEST).contains(&value.version()) => Ok(value),
        Ok(value) => Err(FormError::Version { form, newest: T::NEWEST, found: value.version() }),
        Err(source) => match serde_json::from_slice::<VersionOnly>(bytes) {
            Ok(VersionOnly { v }) if !(VERSION..=T::NEWEST).contains(&v) => {
                Err(FormError::Version { form, newest: T::NEWEST, found: v })
            }
            _ => Err(FormError::Json { form, source }),
        },
    }
}

#[cfg(test)]
mod tests;
