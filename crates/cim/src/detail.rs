//! Why something failed: the fields of CIM_Error as data that outlives the process that saw the failure.

use crate::error::CimStatus;
use crate::instance::Instance;
use crate::value::Value;

/// Who owns the message formats of this project: the OwningEntity of every CIM_Error it makes.
pub const OWNING_ENTITY: &str = "Cimwright";

/// CIM_Error.ErrorType; the discriminant is the value on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[allow(missing_docs, reason = "the variants are the Values of CIM_Error.ErrorType")]
pub enum ErrorType {
    Unknown = 0,
    Other = 1,
    Communications = 2,
    QualityOfService = 3,
    Software = 4,
    Hardware = 5,
    Environmental = 6,
    Security = 7,
    Oversubscription = 8,
    UnavailableResource = 9,
    UnsupportedOperation = 10,
}

/// CIM_Error.PerceivedSeverity on the DMTF scale; the discriminant is the value on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
#[allow(missing_docs, reason = "the variants are the Values of CIM_Error.PerceivedSeverity")]
pub enum Severity {
    Unknown = 0,
    Other = 1,
    Information = 2,
    Warning = 3,
    Minor = 4,
    Major = 5,
    Critical = 6,
    Fatal = 7,
}

impl Severity {
    /// The value on the Hyper-V scale: 0 Unknown, 2 Low, 3 Medium, 4 High, 5 Fatal.
    pub fn hyper_v(self) -> u16 {
        match self {
            Self::Unknown | Self::Other => 0,
            Self::Information | Self::Warning => 2,
            Self::Minor | Self::Major => 3,
            Self::Critical => 4,
            Self::Fatal => 5,
        }
    }
}

/// One reason, with the reason behind it. Holds the fields of CIM_Error; which class it is shown as (CIM_Error,
/// Msvm_Error) and in which encoding is decided where it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorDetail {
    /// Catalogue id, such as `CWDISK1004`; unique within [`OWNING_ENTITY`].
    pub message_id: String,
    /// The message, formatted from the catalogue's text and `arguments`.
    pub message: String,
    /// The dynamic parts of the message.
    pub arguments: Vec<String>,
    /// What kind of error it is.
    pub error_type: ErrorType,
    /// How bad it is.
    pub severity: Severity,
    /// CIM_Error.ProbableCause, 0 to 130.
    pub probable_cause: u16,
    /// The probable cause in words.
    pub probable_cause_description: String,
    /// What a person can do, most promising first.
    pub recommended_actions: Vec<String>,
    /// The object the error is about: an object path where `source_is_path`, else a name.
    pub source: Option<String>,
    /// Whether `source` is a CIM object path (ErrorSourceFormat 2) rather than a name of another form (1).
    pub source_is_path: bool,
    /// The CIM status that describes it best.
    pub status: CimStatus,
    /// The return code and ErrorCode that Hyper-V's code set (32768 to 32790) has for it.
    pub code: u16,
    /// The reason behind this one.
    pub cause: Option<Box<ErrorDetail>>,
}

impl ErrorDetail {
    /// The same error with the reason behind it. If there is one already, `cause` goes behind the last of them.
    #[must_use]
    pub fn because(mut self, cause: ErrorDetail) -> Self {
        self.cause = Some(Box::new(match self.cause.take() {
            Some(inner) => inner.because(cause),
            None => cause,
        }));
        self
    }

    /// The same error about the object with this path.
    #[must_use]
    pub fn about_path(mut self, path: impl Into<String>) -> Self {
        self.source = Some(path.into());
        self.source_is_path = true;
        self
    }

    /// The same error about something that has a name but no object path.
    #[must_use]
    pub fn about(mut self, name: impl Into<String>) -> Self {
        self.source = Some(name.into());
        self.source_is_path = false;
        self
    }

    /// This error and the reasons behind it, outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &ErrorDetail> {
        std::iter::successors(Some(self), |e| e.cause.as_deref())
    }

    /// Fills the properties of an instance of CIM_Error or a subclass. Properties that the class does not declare are
    /// left out; `hyper_v_scale` selects Hyper-V's severity values.
    pub fn fill(&self, instance: &mut Instance, hyper_v_scale: bool) {
        let severity = if hyper_v_scale { self.severity.hyper_v() } else { self.severity as u16 };
        let text = |s: &str| (!s.is_empty()).then(|| Value::String(s.to_owned()));
        let format: u16 = match (&self.source, self.source_is_path) {
            (None, _) => 0,
            (Some(_), true) => 2,
            (Some(_), false) => 1,
        };
        let values: [(&str, Option<Value>); 15] = [
            ("ErrorType", Some(Value::Uint16(self.error_type as u16))),
            ("OtherErrorType", None),
            ("OwningEntity", text(OWNING_ENTITY)),
            ("MessageID", text(&self.message_id)),
            ("Message", text(&self.message)),
            ("MessageArguments", Some(Value::strings(self.arguments.iter().cloned()))),
            ("PerceivedSeverity", Some(Value::Uint16(severity))),
            ("ProbableCause", Some(Value::Uint16(self.probable_cause))),
            ("ProbableCauseDescription", text(&self.probable_cause_description)),
            ("RecommendedActions", Some(Value::strings(self.recommended_actions.iter().cloned()))),
            ("ErrorSource", self.source.clone().map(Value::String)),
            ("ErrorSourceFormat", Some(Value::Uint16(format))),
            ("OtherErrorSourceFormat", (format == 1).then(|| Value::from("Name"))),
            ("CIMStatusCode", Some(Value::Uint32(self.status.code()))),
            ("CIMStatusCodeDescription", text(self.status.name())),
        ];
        for (name, value) in values {
            if let Some(property) = instance.properties.iter_mut().find(|p| p.name.is(name)) {
                property.value = value;
            }
        }
    }
}
