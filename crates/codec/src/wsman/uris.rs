//! The URIs of WS-Management: namespaces, actions, dialects.

/// SOAP 1.2.
pub const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
/// WS-Addressing of August 2004, which WS-Management is bound to.
pub const ADDRESSING: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
/// WS-Addressing 1.0, read where a client writes it.
pub const ADDRESSING_10: &str = "http://www.w3.org/2005/08/addressing";
/// WS-Management; also the protocol version that Identify tells.
pub const WSMAN: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd";
/// Identify.
pub const IDENTITY: &str = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd";
/// Identify as some clients misspell it.
pub const IDENTIFY: &str = "http://schemas.dmtf.org/wbem/wsman/identify/1/wsmanidentity.xsd";
/// WS-Enumeration.
pub const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";
/// WS-Transfer.
pub const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
/// WS-Eventing.
pub const EVENTING: &str = "http://schemas.xmlsoap.org/ws/2004/08/eventing";
/// The CIM binding (DSP0227).
pub const BINDING: &str = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd";
/// Common types of WS-CIM (DSP0230).
pub const COMMON: &str = "http://schemas.dmtf.org/wbem/wscim/1/common";
/// XML Schema instances: `xsi:nil`, `xsi:type`.
pub const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The attributes `xml:…`.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Microsoft's additions.
pub const MICROSOFT: &str = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd";
/// Microsoft's detail of faults.
pub const MICROSOFT_FAULT: &str = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault";

/// The address of whoever waits for the answer on the same connection.
pub const ANONYMOUS: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";
/// As [`ANONYMOUS`], in WS-Addressing 1.0.
pub const ANONYMOUS_10: &str = "http://www.w3.org/2005/08/addressing/anonymous";

/// What precedes a class name in the DMTF's resource URIs, and in Windows' clients for every class.
pub const CIM_SCHEMA: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/";
/// All classes.
pub const ALL_CLASSES: &str = "http://schemas.dmtf.org/wbem/wscim/1/*";
/// What precedes namespace and class in Microsoft's resource URIs.
pub const WMI: &str = "http://schemas.microsoft.com/wbem/wsman/1/wmi/";
/// The class repository in CIM-XML: Get with the selectors `__cimnamespace` and `ClassName` is GetClass.
pub const CIM_XML_CLASS: &str = "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*";
/// The class repository as XML Schema, which this project does not serve.
pub const WS_CIM_CLASS: &str = "http://schemas.dmtf.org/wbem/ws-cim/1/cim-schema/2/*";

/// Filter dialect: WQL.
pub const WQL: &str = "http://schemas.microsoft.com/wbem/wsman/1/WQL";
/// Filter dialect: CQL (DSP0202).
pub const CQL: &str = "http://schemas.dmtf.org/wbem/cql/1/dsp0202.pdf";
/// Filter dialect: properties that must equal.
pub const SELECTOR_FILTER: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter";
/// Filter dialect: associations of an instance.
pub const ASSOCIATION_FILTER: &str = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter";
/// Filter and fragment dialect: XPath 1.0, the default of both.
pub const XPATH: &str = "http://www.w3.org/TR/1999/REC-xpath-19991116";
/// Fragment dialect: the part of XPath that DSP0226 calls level 1.
pub const XPATH_LEVEL_1: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/XPath-Level1";

/// What precedes the name of a detail of a fault.
pub const FAULT_DETAIL: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/";
/// What precedes Event, Events, Heartbeat, DroppedEvents, Ack and the names of delivery modes.
pub const WSMAN_ACTION: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/";
/// The bookmark of the first event that is still known (DSP0226 10.2.6).
pub const EARLIEST: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/bookmark/earliest";
/// The delivery mode of WS-Eventing.
pub const PUSH: &str = "http://schemas.xmlsoap.org/ws/2004/08/eventing/DeliveryModes/Push";
