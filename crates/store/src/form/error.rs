//! The stored form of errors: every reason with the reasons behind it as a flat list, outermost first, so that a long chain is
//! no deeper than a short one.

use super::FormError;
use cimwright_cim::{CimStatus, ErrorDetail, ErrorType, Severity};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// One [`ErrorDetail`] without its cause.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredError<'a> {
    id: Cow<'a, str>,
    message: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    arguments: Vec<Cow<'a, str>>,
    #[serde(rename = "type")]
    error_type: u16,
    severity: u16,
    #[serde(default, skip_serializing_if = "is_zero")]
    probable_cause: u16,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    probable_cause_description: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    actions: Vec<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_false")]
    source_is_path: bool,
    status: u32,
    code: u16,
}

/// The chain of an error.
pub(super) fn to_chain(error: &ErrorDetail) -> Vec<StoredError<'_>> {
    error.chain().map(StoredError::from).collect()
}

/// The error of a chain; `None` if it is empty.
pub(super) fn from_chain(chain: Vec<StoredError<'_>>) -> Result<Option<ErrorDetail>, FormError> {
    let mut behind: Option<ErrorDetail> = None;
    for stored in chain.into_iter().rev() {
        let mut error = ErrorDetail::try_from(stored)?;
        error.cause = behind.map(Box::new);
        behind = Some(error);
    }
    Ok(behind)
}

impl<'a> From<&'a ErrorDetail> for StoredError<'a> {
    fn from(error: &'a ErrorDetail) -> Self {
        Self {
            id: error.message_id.as_str().into(),
            message: error.message.as_str().into(),
            arguments: error.arguments.iter().map(Into::into).collect(),
            error_type: error.error_type as u16,
            severity: error.severity as u16,
            probable_cause: error.probable_cause,
            probable_cause_description: error.probable_cause_description.as_str().into(),
            actions: error.recommended_actions.iter().map(Into::into).collect(),
            source: error.source.as_deref().map(Cow::from),
            source_is_path: error.source_is_path,
            status: error.status.code(),
            code: error.code,
        }
    }
}

impl TryFrom<StoredError<'_>> for ErrorDetail {
    type Error = FormError;

    fn try_from(stored: StoredError<'_>) -> Result<Self, FormError> {
        Ok(Self {
            message_id: stored.id.into_owned(),
            message: stored.message.into_owned(),
            arguments: stored.arguments.into_iter().map(Cow::into_owned).collect(),
            error_type: error_type(stored.error_type)
                .ok_or_else(|| wrong("type", u32::from(stored.error_type)))?,
            severity: severity(stored.severity)
                .ok_or_else(|| wrong("severity", u32::from(stored.severity)))?,
            probable_cause: stored.probable_cause,
            probable_cause_description: stored.probable_cause_description.into_owned(),
            recommended_actions: stored.actions.into_iter().map(Cow::into_owned).collect(),
            source: stored.source.map(Cow::into_owned),
            source_is_path: stored.source_is_path,
            status: CimStatus::from_code(stored.status).ok_or_else(|| wrong("status", stored.status))?,
            code: stored.code,
            cause: None,
        })
    }
}

fn error_type(code: u16) -> Option<ErrorType> {
    Some(match code {
        0 => ErrorType::Unknown,
        1 => ErrorType::Other,
        2 => ErrorType::Communications,
        3 => ErrorType::QualityOfService,
        4 => ErrorType::Software,
        5 => ErrorType::Hardware,
        6 => ErrorType::Environmental,
        7 => ErrorType::Security,
        8 => ErrorType::Oversubscription,
        9 => ErrorType::UnavailableResource,
        10 => ErrorType::UnsupportedOperation,
        _ => return None,
    })
}

fn severity(code: u16) -> Option<Severity> {
    Some(match code {
        0 => Severity::Unknown,
        1 => Severity::Other,
        2 => Severity::Information,
        3 => Severity::Warning,
        4 => Severity::Minor,
        5 => Severity::Major,
        6 => Severity::Critical,
        7 => Severity::Fatal,
        _ => return None,
    })
}

fn wrong(field: &'static str, found: u32) -> FormError {
    FormError::Field { form: "job error", field, found: found.to_string() }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u16) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        for code in 0..=20 {
            assert!(error_type(code).is_none_or(|t| t as u16 == code));
            assert!(severity(code).is_none_or(|s| s as u16 == code));
        }
        assert_eq!((0..=20).filter_map(error_type).count(), 11);
        assert_eq!((0..=20).filter_map(severity).count(), 8);
    }
}
