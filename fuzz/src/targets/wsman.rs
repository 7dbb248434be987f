//! Messages of WS-Management.

use super::Outcome;
use cimwright_cim::{Class, Schema};
use cimwright_codec::cimxml::Limits;
use cimwright_codec::wsman::{
    Action, Filter, decode_ack, decode_request, decode_response, encode_fault, xpath_query,
};

/// Words of the language.
pub(super) const WORDS: &[&str] = &[
    "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\">",
    "<s:Header>",
    "<s:Body>",
    "</s:Body>",
    "s:mustUnderstand=\"true\"",
    "<a:Action xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\">",
    "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Enumerate",
    "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Pull",
    "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get",
    "http://schemas.xmlsoap.org/ws/2004/08/eventing/Subscribe",
    "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/virtualization/v2/*",
    "<w:SelectorSet>",
    "<w:Selector Name=\"InstanceID\">",
    "<w:Selector Name=\"__cimnamespace\">",
    "<w:ResourceURI>",
    "<w:MaxEnvelopeSize>",
    "<w:OperationTimeout>PT60S</w:OperationTimeout>",
    "<w:Filter Dialect=\"http://schemas.microsoft.com/wbem/wsman/1/WQL\">",
    "<w:OptimizeEnumeration/>",
    "<w:MaxElements>20</w:MaxElements>",
    "<n:EnumerationContext>",
    "xsi:nil=\"true\"",
    "P1Y2M3DT4H5M6.7S",
    "&lt;INSTANCE CLASSNAME=&quot;A&quot;&gt;",
    "<![CDATA[",
    "&#x10FFFF;",
    "<!DOCTYPE a [<!ENTITY b \"c\">]>",
    "<w:FragmentTransfer>A[2]/B/text()</w:FragmentTransfer>",
    "<w:Filter>/X[A = 'b' or not(C[2] >= -1.5)]</w:Filter>",
    "ASSOCIATORS OF {A.B=\"c\"} WHERE ResultClass=D",
];

/// Reads the bytes as a request, as an answer and as an acknowledgement. A refusal has to be one that can be written.
pub(super) fn run(data: &[u8]) -> Outcome {
    let limits = Limits::default();
    let asked = match decode_request(data, &limits) {
        Ok(request) => {
            if let Action::Enumerate(asked) = &request.action
                && let Some(Filter::XPath(text)) = &asked.filter
            {
                // Understood or not: it has to come to an end.
                let _ = xpath_query(text, &Class::new("X"), &Schema::new());
            }
            format!("{:?}", std::mem::discriminant(&request.action))
        }
        Err(refusal) => {
            let written = encode_fault(&refusal.fault, "uuid:1", &refusal.message_id);
            // What a client sent must not break the answer to it.
            assert!(decode_response(&written, "", &limits).is_ok() || !refusal.message_id.is_empty());
            refusal.fault.reason
        }
    };
    let answered = match decode_response(data, "", &limits) {
        Ok(Ok(answered)) => format!("{:?}", std::mem::discriminant(&answered)),
        Ok(Err(error)) => error.status.name().to_owned(),
        Err(reason) => reason,
    };
    let acknowledged = decode_ack(data, &limits).map_or_else(|reason| reason, |_| "acknowledged".to_owned());
    Outcome::of(&format!("{asked} / {answered} / {acknowledged}"))
}
