//! Errors as they are sent: every reason with the reasons behind it as a flat list, outermost first.

use super::WireError;
use cimwright_cim::{CimError, CimStatus, ErrorDetail, ErrorType, Severity};
use serde::{Deserialize, Serialize};

/// An [`ErrorDetail`] with the reasons behind it; never empty.
pub type WireReason = Vec<WireDetail>;

/// One [`ErrorDetail`] without its cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireDetail {
    id: String,
    message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    arguments: Vec<String>,
    #[serde(rename = "type")]
    error_type: u16,
    severity: u16,
    #[serde(default)]
    probable_cause: u16,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    probable_cause_description: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    actions: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    source_is_path: bool,
    status: u32,
    code: u16,
}

/// A [`CimError`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireCimError {
    status: u32,
    description: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    details: Vec<WireReason>,
}

/// How many reasons one reason has behind it at most, itself included. A reason holds the one behind it, and so on: what is done with a
/// longer chain would take the whole stack.
const MAX_REASONS: usize = 64;

/// The sent form of a reason. Of more than 64 the innermost are left out.
pub fn to_reason(error: &ErrorDetail) -> WireReason {
    error.chain().take(MAX_REASONS).map(WireDetail::from).collect()
}

/// The reason of a sent form.
///
/// # Errors
/// When it is empty or longer than 64, or a code in it means nothing.
pub fn from_reason(reason: WireReason) -> Result<ErrorDetail, WireError> {
    if reason.len() > MAX_REASONS {
        return Err(WireError::new("reason", format!("a list of {} reasons", reason.len())));
    }
    let mut behind: Option<ErrorDetail> = None;
    for wire in reason.into_iter().rev() {
        let mut error = ErrorDetail::try_from(wire)?;
        error.cause = behind.map(Box::new);
        behind = Some(error);
    }
    behind.ok_or_else(|| WireError::new("reason", "an empty list"))
}

impl From<&CimError> for WireCimError {
    fn from(error: &CimError) -> Self {
        Self {
            status: error.status.code(),
            description: error.description.clone(),
            details: error.details.iter().map(to_reason).collect(),
        }
    }
}

impl TryFrom<WireCimError> for CimError {
    type Error = WireError;

    fn try_from(wire: WireCimError) -> Result<Self, WireError> {
        Ok(Self {
            status: status(wire.status)?,
            description: wire.description,
            details: wire.details.into_iter().map(from_reason).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&ErrorDetail> for WireDetail {
    fn from(error: &ErrorDetail) -> Self {
        Self {
            id: error.message_id.clone(),
            message: error.message.clone(),
            arguments: error.arguments.clone(),
            error_type: error.error_type as u16,
            severity: error.severity as u16,
            probable_cause: error.probable_cause,
            probable_cause_description: error.probable_cause_description.clone(),
            actions: error.recommended_actions.clone(),
            source: error.source.clone(),
            source_is_path: error.source_is_path,
            status: error.status.code(),
            code: error.code,
        }
    }
}

impl TryFrom<WireDetail> for ErrorDetail {
    type Error = WireError;

    fn try_from(wire: WireDetail) -> Result<Self, WireError> {
        Ok(Self {
            message_id: wire.id,
            message: wire.message,
            arguments: wire.arguments,
            error_type: error_type(wire.error_type)?,
            severity: severity(wire.severity)?,
            probable_cause: wire.probable_cause,
            probable_cause_description: wire.probable_cause_description,
            recommended_actions: wire.actions,
            source: wire.source,
            source_is_path: wire.source_is_path,
            status: status(wire.status)?,
            code: wire.code,
            cause: None,
        })
    }
}

fn status(code: u32) -> Result<CimStatus, WireError> {
    CimStatus::from_code(code).ok_or_else(|| WireError::new("status", code.to_string()))
}

fn error_type(code: u16) -> Result<ErrorType, WireError> {
    use ErrorType as T;
    let all = [
        T::Unknown,
        T::Other,
        T::Communications,
        T::QualityOfService,
        T::Software,
        T::Hardware,
        T::Environmental,
        T::Security,
        T::Oversubscription,
        T::UnavailableResource,
        T::UnsupportedOperation,
    ];
    all.into_iter().find(|t| *t as u16 == code).ok_or_else(|| WireError::new("type", code.to_string()))
}

fn severity(code: u16) -> Result<Severity, WireError> {
    use Severity as S;
    let all = [S::Unknown, S::Other, S::Information, S::Warning, S::Minor, S::Major, S::Critical, S::Fatal];
    all.into_iter().find(|s| *s as u16 == code).ok_or_else(|| WireError::new("severity", code.to_string()))
}
