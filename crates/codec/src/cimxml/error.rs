//! Why a message was refused, and at which level the refusal has to be told.

use cimwright_cim::CimError;
use std::fmt;

/// A request that is answered on the HTTP level, without a CIM message (DSP0200 7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The HTTP status: 400, 413 or 501.
    pub http_status: u16,
    /// The value of the CIMError header, where the standard has one for the case.
    pub cim_error: Option<&'static str>,
    /// What was wrong, for a person.
    pub detail: String,
}

impl DecodeError {
    /// A refusal with status 400 and a CIMError token.
    pub(super) fn bad_request(token: &'static str, detail: impl Into<String>) -> Self {
        Self { http_status: 400, cim_error: Some(token), detail: detail.into() }
    }

    /// A refusal with status 501 and a CIMError token.
    pub(super) fn unsupported(token: &'static str, detail: impl Into<String>) -> Self {
        Self { http_status: 501, cim_error: Some(token), detail: detail.into() }
    }

    /// Headers and body say different things.
    pub(super) fn header_mismatch(detail: impl Into<String>) -> Self {
        Self::bad_request("header-mismatch", detail)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cim_error {
            Some(token) => write!(f, "{} {token}: {}", self.http_status, self.detail),
            None => write!(f, "{}: {}", self.http_status, self.detail),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A response that cannot be understood.
#[derive(Clone, Debug, PartialEq)]
pub enum ResponseError {
    /// The bytes are not well-formed XML in UTF-8.
    NotWellFormed(String),
    /// The XML is no CIM-XML response to the request.
    NotValid(String),
    /// The response exceeds the [`Limits`](super::Limits).
    TooLarge(String),
    /// A value in it does not fit its type.
    BadValue(CimError),
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWellFormed(detail) => write!(f, "the response is not well-formed XML: {detail}"),
            Self::NotValid(detail) => write!(f, "the response is not valid CIM-XML: {detail}"),
            Self::TooLarge(detail) => write!(f, "the response is too large: {detail}"),
            Self::BadValue(error) => write!(f, "the response holds a bad value: {}", error.description),
        }
    }
}

impl std::error::Error for ResponseError {}

/// What reading can run into, before it is decided who is told and how.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Refusal {
    /// Not well-formed XML.
    NotWellFormed(String),
    /// An element or attribute that the grammar of DSP0201 does not have in this place.
    NotValid(String),
    /// A limit of [`Limits`](super::Limits) is exceeded.
    TooLarge(String),
    /// Well-formed and valid, but the operation cannot be carried out: answered inside the response.
    Cim(CimError),
}

impl Refusal {
    pub(super) fn not_valid(detail: impl Into<String>) -> Self {
        Self::NotValid(detail.into())
    }

    /// The text of the refusal, whatever its level.
    pub(super) fn into_detail(self) -> String {
        match self {
            Self::NotWellFormed(detail) | Self::NotValid(detail) | Self::TooLarge(detail) => detail,
            Self::Cim(error) => error.description,
        }
    }

    /// The same refusal with the place it happened in before its text.
    pub(super) fn within(self, place: impl fmt::Display) -> Self {
        let add = |detail: String| format!("{place}: {detail}");
        match self {
            Self::NotWellFormed(detail) => Self::NotWellFormed(add(detail)),
            Self::NotValid(detail) => Self::NotValid(add(detail)),
            Self::TooLarge(detail) => Self::TooLarge(add(detail)),
            Self::Cim(mut error) => {
                error.description = add(error.description);
                Self::Cim(error)
            }
        }
    }
}

impl From<CimError> for Refusal {
    fn from(error: CimError) -> Self {
        Self::Cim(error)
    }
}

impl From<Refusal> for DecodeError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotWellFormed(detail) => Self::bad_request("request-not-well-formed", detail),
            Refusal::NotValid(detail) => Self::bad_request("request-not-valid", detail),
            Refusal::TooLarge(detail) => Self { http_status: 413, cim_error: None, detail },
            Refusal::Cim(error) => Self::bad_request("request-not-valid", error.description),
        }
    }
}

impl From<Refusal> for ResponseError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotWellFormed(detail) => Self::NotWellFormed(detail),
            Refusal::NotValid(detail) => Self::NotValid(detail),
            Refusal::TooLarge(detail) => Self::TooLarge(detail),
            Refusal::Cim(error) => Self::BadValue(error),
        }
    }
}
