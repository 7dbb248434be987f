//! CIM status codes and the error of an operation (DSP0223, DSP0200 5.2.6).

use crate::detail::ErrorDetail;
use std::fmt;

macro_rules! statuses {
    ($($name:ident = $code:literal $text:literal;)*) => {
        /// A CIM status code; the discriminant is the code on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        #[allow(missing_docs, reason = "the variants are the CIM_ERR_ names of DSP0200")]
        pub enum CimStatus { $($name = $code,)* }

        impl CimStatus {
            /// Every code, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The symbolic name, such as `CIM_ERR_NOT_FOUND`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

statuses! {
    Failed = 1 "CIM_ERR_FAILED";
    AccessDenied = 2 "CIM_ERR_ACCESS_DENIED";
    InvalidNamespace = 3 "CIM_ERR_INVALID_NAMESPACE";
    InvalidParameter = 4 "CIM_ERR_INVALID_PARAMETER";
    InvalidClass = 5 "CIM_ERR_INVALID_CLASS";
    NotFound = 6 "CIM_ERR_NOT_FOUND";
    NotSupported = 7 "CIM_ERR_NOT_SUPPORTED";
    ClassHasChildren = 8 "CIM_ERR_CLASS_HAS_CHILDREN";
    ClassHasInstances = 9 "CIM_ERR_CLASS_HAS_INSTANCES";
    InvalidSuperclass = 10 "CIM_ERR_INVALID_SUPERCLASS";
    AlreadyExists = 11 "CIM_ERR_ALREADY_EXISTS";
    NoSuchProperty = 12 "CIM_ERR_NO_SUCH_PROPERTY";
    TypeMismatch = 13 "CIM_ERR_TYPE_MISMATCH";
    QueryLanguageNotSupported = 14 "CIM_ERR_QUERY_LANGUAGE_NOT_SUPPORTED";
    InvalidQuery = 15 "CIM_ERR_INVALID_QUERY";
    MethodNotAvailable = 16 "CIM_ERR_METHOD_NOT_AVAILABLE";
    MethodNotFound = 17 "CIM_ERR_METHOD_NOT_FOUND";
    NamespaceNotEmpty = 20 "CIM_ERR_NAMESPACE_NOT_EMPTY";
    InvalidEnumerationContext = 21 "CIM_ERR_INVALID_ENUMERATION_CONTEXT";
    InvalidOperationTimeout = 22 "CIM_ERR_INVALID_OPERATION_TIMEOUT";
    PullHasBeenAbandoned = 23 "CIM_ERR_PULL_HAS_BEEN_ABANDONED";
    PullCannotBeAbandoned = 24 "CIM_ERR_PULL_CANNOT_BE_ABANDONED";
    FilteredEnumerationNotSupported = 25 "CIM_ERR_FILTERED_ENUMERATION_NOT_SUPPORTED";
    ContinuationOnErrorNotSupported = 26 "CIM_ERR_CONTINUATION_ON_ERROR_NOT_SUPPORTED";
    ServerLimitsExceeded = 27 "CIM_ERR_SERVER_LIMITS_EXCEEDED";
    ServerIsShuttingDown = 28 "CIM_ERR_SERVER_IS_SHUTTING_DOWN";
    QueryFeatureNotSupported = 29 "CIM_ERR_QUERY_FEATURE_NOT_SUPPORTED";
}

impl CimStatus {
    /// The code on the wire.
    pub fn code(self) -> u32 {
        self as u32
    }

    /// The status with this code, if there is one. 18 and 19 were withdrawn from the standard.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|s| s.code() == code)
    }
}

impl fmt::Display for CimStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An operation that failed: a status, a text for the person who called, and CIM_Error instances where more is known.
#[derive(Clone, Debug, PartialEq)]
pub struct CimError {
    /// The status code.
    pub status: CimStatus,
    /// What was wrong and what to do; without the name of the status, which encodings add.
    pub description: String,
    /// What else is known, outermost first.
    pub details: Vec<ErrorDetail>,
}

impl CimError {
    /// An error without further detail.
    pub fn new(status: CimStatus, description: impl Into<String>) -> Self {
        Self { status, description: description.into(), details: Vec::new() }
    }

    /// The same error with a detail added.
    #[must_use]
    pub fn with_detail(mut self, detail: ErrorDetail) -> Self {
        self.details.push(detail);
        self
    }
}

macro_rules! shorthands {
    ($($function:ident $status:ident;)*) => {
        impl CimError {
            $(
                #[doc = concat!("[`CimStatus::", stringify!($status), "`] with a description.")]
                pub fn $function(description: impl Into<String>) -> Self {
                    Self::new(CimStatus::$status, description)
                }
            )*
        }
    };
}

shorthands! {
    failed Failed;
    access_denied AccessDenied;
    invalid_namespace InvalidNamespace;
    invalid_parameter InvalidParameter;
    invalid_class InvalidClass;
    not_found NotFound;
    not_supported NotSupported;
    already_exists AlreadyExists;
}

impl fmt::Display for CimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.description)
    }
}

impl std::error::Error for CimError {}
