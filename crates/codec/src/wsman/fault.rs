//! SOAP faults: every fault of DSP0226 with its code and detail, and the CIM error behind it (DSP0227 14).

use super::resource::ClassUris;
use super::uris;
use super::write::Writer;
use crate::cimxml::cim_error;
use crate::xml::{MOST_WORDS, cut, shorten};
use cimwright_cim::{CimError, CimStatus, ErrorDetail, Instance, Value};

/// Who is to blame, as SOAP has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the fault codes of SOAP 1.2")]
pub enum FaultCode {
    Sender,
    Receiver,
    MustUnderstand,
    VersionMismatch,
}

impl FaultCode {
    fn name(self) -> &'static str {
        match self {
            Self::Sender => "Sender",
            Self::Receiver => "Receiver",
            Self::MustUnderstand => "MustUnderstand",
            Self::VersionMismatch => "VersionMismatch",
        }
    }
}

macro_rules! subcodes {
    ($($name:ident $prefix:ident $local:literal $code:ident;)*) => {
        /// The subcode of a fault: what is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the variants are the faults of DSP0226 and of the specifications it builds on")]
        pub enum Subcode { $($name,)* }

        impl Subcode {
            /// Every subcode.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Prefix and name on the wire.
            fn spelling(self) -> (Prefix, &'static str) {
                match self { $(Self::$name => (Prefix::$prefix, $local),)* }
            }

            /// Who is to blame.
            pub fn code(self) -> FaultCode {
                match self { $(Self::$name => FaultCode::$code,)* }
            }
        }
    };
}

/// The specification that a subcode is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    Addressing,
    Wsman,
    Enumeration,
    Transfer,
    Eventing,
    Binding,
}

impl Prefix {
    fn text(self) -> &'static str {
        match self {
            Self::Addressing => "a",
            Self::Wsman => "w",
            Self::Enumeration => "n",
            Self::Transfer => "x",
            Self::Eventing => "e",
            Self::Binding => "b",
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Addressing => "http://schemas.xmlsoap.org/ws/2004/08/addressing/fault",
            Self::Wsman => "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault",
            Self::Enumeration => "http://schemas.xmlsoap.org/ws/2004/09/enumeration/fault",
            Self::Transfer => "http://schemas.xmlsoap.org/ws/2004/09/transfer/fault",
            Self::Eventing => "http://schemas.xmlsoap.org/ws/2004/08/eventing/fault",
            Self::Binding => "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/fault",
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::Addressing => uris::ADDRESSING,
            Self::Wsman => uris::WSMAN,
            Self::Enumeration => uris::ENUMERATION,
            Self::Transfer => uris::TRANSFER,
            Self::Eventing => uris::EVENTING,
            Self::Binding => uris::BINDING,
        }
    }
}

subcodes! {
    AccessDenied Wsman "AccessDenied" Sender;
    ActionNotSupported Addressing "ActionNotSupported" Sender;
    AlreadyExists Wsman "AlreadyExists" Sender;
    CannotProcessFilter Enumeration "CannotProcessFilter" Sender;
    Concurrency Wsman "Concurrency" Sender;
    DeliveryModeRequestedUnavailable Eventing "DeliveryModeRequestedUnavailable" Sender;
    DeliveryRefused Wsman "DeliveryRefused" Receiver;
    DestinationUnreachable Addressing "DestinationUnreachable" Sender;
    EncodingLimit Wsman "EncodingLimit" Sender;
    EndpointUnavailable Addressing "EndpointUnavailable" Receiver;
    EventDeliverToUnusable Wsman "EventDeliverToUnusable" Sender;
    EventSourceUnableToProcess Eventing "EventSourceUnableToProcess" Sender;
    FilterDialectRequestedUnavailable Enumeration "FilterDialectRequestedUnavailable" Sender;
    FilteringNotSupported Enumeration "FilteringNotSupported" Sender;
    EventFilteringNotSupported Eventing "FilteringNotSupported" Sender;
    EventFilteringRequestedUnavailable Eventing "FilteringRequestedUnavailable" Sender;
    FragmentDialectNotSupported Wsman "FragmentDialectNotSupported" Receiver;
    InternalError Wsman "InternalError" Receiver;
    InvalidBookmark Wsman "InvalidBookmark" Sender;
    InvalidEnumerationContext Enumeration "InvalidEnumerationContext" Receiver;
    InvalidExpirationTime Enumeration "InvalidExpirationTime" Sender;
    EventInvalidExpirationTime Eventing "InvalidExpirationTime" Sender;
    EventInvalidMessage Eventing "InvalidMessage" Sender;
    InvalidMessageInformationHeader Addressing "InvalidMessageInformationHeader" Sender;
    InvalidOptions Wsman "InvalidOptions" Sender;
    InvalidParameter Wsman "InvalidParameter" Sender;
    InvalidRepresentation Transfer "InvalidRepresentation" Sender;
    InvalidSelectors Wsman "InvalidSelectors" Sender;
    MessageInformationHeaderRequired Addressing "MessageInformationHeaderRequired" Sender;
    NoAck Wsman "NoAck" Sender;
    PolymorphismModeNotSupported Binding "PolymorphismModeNotSupported" Receiver;
    QuotaLimit Wsman "QuotaLimit" Sender;
    SchemaValidationError Wsman "SchemaValidationError" Sender;
    TimedOut Wsman "TimedOut" Receiver;
    UnableToRenew Eventing "UnableToRenew" Sender;
    UnsupportedExpirationType Enumeration "UnsupportedExpirationType" Sender;
    EventUnsupportedExpirationType Eventing "UnsupportedExpirationType" Sender;
    UnsupportedFeature Wsman "UnsupportedFeature" Sender;
}

impl Subcode {
    /// Namespace and name.
    pub fn qualified(self) -> (&'static str, &'static str) {
        let (prefix, name) = self.spelling();
        (prefix.namespace(), name)
    }
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Who is to blame.
    pub code: FaultCode,
    /// What is wrong; the two faults of SOAP itself have none.
    pub subcode: Option<Subcode>,
    /// The same for a person.
    pub reason: String,
    /// The name of the FaultDetail, such as `InsufficientSelectors`.
    pub detail: Option<&'static str>,
    /// What could be asked instead: filter dialects or delivery modes.
    pub supported: Vec<String>,
    /// The reasons behind it as instances of CIM_Error, outermost first.
    pub errors: Vec<Instance>,
    /// The namespace and the name of the header that is not understood.
    pub not_understood: Option<(String, String)>,
    /// What clients of Microsoft's look for.
    pub windows: Option<WindowsDetail>,
}

/// The detail that clients of Microsoft's look for (MS-WSMV 2.2.4.43).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowsDetail {
    /// A Win32 error code.
    pub code: u32,
    /// The computer that says so.
    pub machine: String,
    /// What a provider said, if it was one; else the reason of the fault is repeated.
    pub provider: Option<ProviderFault>,
}

/// What a provider said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderFault {
    /// The name of the provider.
    pub provider: String,
    /// Where it is.
    pub path: String,
    /// What it said.
    pub text: String,
}

impl Fault {
    /// A fault with a reason for a person.
    pub fn new(subcode: Subcode, reason: impl Into<String>) -> Self {
        Self {
            code: subcode.code(),
            subcode: Some(subcode),
            reason: reason.into(),
            detail: None,
            supported: Vec::new(),
            errors: Vec::new(),
            not_understood: None,
            windows: None,
        }
    }

    /// The same fault with a FaultDetail.
    #[must_use]
    pub fn detail(mut self, name: &'static str) -> Self {
        self.detail = Some(name);
        self
    }

    /// A header that must be understood and is not (SOAP 1.2 5.4.8).
    pub fn not_understood(namespace: &str, name: &str) -> Self {
        Self {
            code: FaultCode::MustUnderstand,
            subcode: None,
            not_understood: Some((cut(namespace, MOST_WORDS).to_owned(), cut(name, MOST_WORDS).to_owned())),
            ..Self::new(
                Subcode::UnsupportedFeature,
                format!("The header {} is not understood.", shorten(name)),
            )
        }
    }

    /// An envelope of another version of SOAP (SOAP 1.2 5.4.7).
    pub fn version_mismatch() -> Self {
        Self {
            code: FaultCode::VersionMismatch,
            subcode: None,
            ..Self::new(Subcode::UnsupportedFeature, "Only SOAP 1.2 is served.")
        }
    }

    /// The HTTP status. One for all: clients take 401 for wrong credentials and look for a fault in every other failure.
    pub fn http_status(&self) -> u16 {
        500
    }

    /// The code that Microsoft's clients know the fault by (winerror.h).
    pub fn windows_code(&self) -> u32 {
        match (self.subcode, self.detail) {
            (Some(Subcode::AccessDenied), _) => 5,
            (Some(Subcode::TimedOut), _) => 2_150_858_793,
            (Some(Subcode::SchemaValidationError), _) => 2_150_858_817,
            (Some(Subcode::InvalidSelectors), Some("UnexpectedSelectors")) => 2_150_859_032,
            (Some(Subcode::InvalidSelectors), _) => 2_150_858_845,
            _ => 2_150_858_778,
        }
    }

    fn action(&self) -> &'static str {
        self.subcode.map_or(Prefix::Addressing, |s| s.spelling().0).action()
    }
}

/// The fault for an operation that failed. `representation` is whether the client sent an instance to be stored.
pub fn fault_of(error: &CimError, representation: bool) -> Fault {
    use CimStatus as C;
    use Subcode as S;
    let (subcode, detail) = match error.status {
        C::Failed
        | C::ClassHasChildren
        | C::ClassHasInstances
        | C::InvalidSuperclass
        | C::NamespaceNotEmpty => (S::InternalError, None),
        C::AccessDenied => (S::AccessDenied, None),
        C::InvalidNamespace | C::NotFound => (S::DestinationUnreachable, None),
        C::InvalidClass => (S::DestinationUnreachable, Some("InvalidResourceURI")),
        C::InvalidParameter | C::NoSuchProperty if representation => {
            (S::InvalidRepresentation, Some("InvalidValues"))
        }
        C::InvalidParameter => (S::InvalidParameter, None),
        C::NoSuchProperty => (S::InvalidParameter, Some("InvalidName")),
        C::TypeMismatch if representation => (S::InvalidRepresentation, Some("InvalidValues")),
        C::TypeMismatch => (S::InvalidParameter, Some("TypeMismatch")),
        C::NotSupported | C::MethodNotAvailable | C::MethodNotFound => (S::ActionNotSupported, None),
        C::AlreadyExists => (S::AlreadyExists, None),
        C::QueryLanguageNotSupported => (S::FilterDialectRequestedUnavailable, None),
        C::InvalidQuery | C::QueryFeatureNotSupported => (S::CannotProcessFilter, None),
        C::InvalidEnumerationContext | C::PullHasBeenAbandoned => (S::InvalidEnumerationContext, None),
        C::InvalidOperationTimeout => (S::UnsupportedFeature, Some("OperationTimeout")),
        C::PullCannotBeAbandoned => (S::Concurrency, None),
        C::FilteredEnumerationNotSupported => (S::FilteringNotSupported, None),
        C::ContinuationOnErrorNotSupported => (S::UnsupportedFeature, None),
        C::ServerLimitsExceeded => (S::QuotaLimit, None),
        C::ServerIsShuttingDown => (S::EndpointUnavailable, None),
    };
    let mut errors: Vec<Instance> =
        error.details.iter().flat_map(ErrorDetail::chain).map(cim_error).collect();
    if errors.is_empty() {
        // The status is worth more than the fault, which stands for several.
        errors.push(
            Instance::new("CIM_Error")
                .with("CIMStatusCode", Value::Uint32(error.status.code()))
                .with("CIMStatusCodeDescription", error.status.name())
                .with("Message", error.description.as_str()),
        );
    }
    let reason = if error.description.is_empty() { error.status.name() } else { &error.description };
    let mut fault = Fault { detail, errors, ..Fault::new(subcode, reason) };
    if subcode == S::FilterDialectRequestedUnavailable {
        fault.supported = vec![uris::WQL.to_owned()];
    }
    fault
}

/// The envelope of a fault. `relates_to` is the identifier of the request, if it has one.
pub fn encode_fault(fault: &Fault, message_id: &str, relates_to: &str) -> Vec<u8> {
    let style = ClassUris::default();
    let mut writer = Writer::new(2048, &style, None);
    writer.envelope();
    writer.raw("<s:Header>");
    writer.addressing(fault.action(), "", message_id, relates_to);
    if let Some((namespace, name)) = &fault.not_understood {
        writer.raw("<s:NotUnderstood");
        writer.attr("xmlns:u", namespace);
        writer.attr("qname", &format!("u:{name}"));
        writer.raw("/>");
    }
    writer.raw("</s:Header><s:Body><s:Fault><s:Code><s:Value>s:");
    writer.raw(fault.code.name());
    writer.raw("</s:Value>");
    if let Some(subcode) = fault.subcode {
        let (prefix, name) = subcode.spelling();
        writer.raw("<s:Subcode><s:Value>");
        writer.raw(prefix.text());
        writer.raw(":");
        writer.raw(name);
        writer.raw("</s:Value></s:Subcode>");
    }
    writer.raw("</s:Code><s:Reason><s:Text xml:lang=\"en-US\">");
    writer.text(&fault.reason);
    writer.raw("</s:Text></s:Reason>");
    detail(&mut writer, fault);
    writer.raw("</s:Fault></s:Body></s:Envelope>");
    writer.out.into_bytes()
}

fn detail(writer: &mut Writer<'_>, fault: &Fault) {
    let start = writer.out.len();
    writer.raw("<s:Detail>");
    let empty = writer.out.len();
    if let Some(name) = fault.detail {
        writer.raw("<w:FaultDetail>");
        writer.raw(uris::FAULT_DETAIL);
        writer.raw(name);
        writer.raw("</w:FaultDetail>");
    }
    let supported = match fault.subcode {
        Some(Subcode::DeliveryModeRequestedUnavailable) => "e:SupportedDeliveryMode",
        _ => "n:SupportedDialect",
    };
    for uri in &fault.supported {
        writer.element(supported, uri);
    }
    for error in &fault.errors {
        writer.class_element(error, None, " b:IsCIM_Error=\"true\"");
    }
    if let Some(windows) = &fault.windows {
        writer.raw("<f:WSManFault");
        writer.attr("xmlns:f", uris::MICROSOFT_FAULT);
        writer.attr("Code", &windows.code.to_string());
        writer.attr("Machine", &windows.machine);
        writer.raw("><f:Message>");
        match &windows.provider {
            None => writer.text(&fault.reason),
            Some(said) => {
                writer.raw("<f:ProviderFault");
                writer.attr("provider", &said.provider);
                writer.attr("path", &said.path);
                writer.raw(">");
                writer.text(&said.text);
                writer.raw("</f:ProviderFault>");
            }
        }
        writer.raw("</f:Message></f:WSManFault>");
    }
    if writer.out.len() == empty {
        writer.out.truncate(start);
    } else {
        writer.raw("</s:Detail>");
    }
}
