//! Requests as bytes, made once and sent again and again.

use crate::server::{PASSWORD, USER};
use base64::Engine as _;
use bytes::Bytes;
use cimwright_cim::operation::InstanceOptions;
use cimwright_cim::{Instance, InstancePath, NamespaceName, ObjectPath, Operation, Param, Request, Value};
use cimwright_codec::cimxml;

/// The namespace that everything is asked in.
pub(crate) fn namespace() -> NamespaceName {
    NamespaceName::new("root/virtualization/v2")
}

/// The path of a job.
pub(crate) fn job(class: &str, id: &str) -> InstancePath {
    InstancePath::new(namespace(), class).with_key("InstanceID", id)
}

/// GetInstance with all properties.
pub(crate) fn get_instance(path: &InstancePath) -> Bytes {
    http(Operation::GetInstance { path: path.clone(), options: InstanceOptions::default() })
}

/// EnumerateInstances with all properties.
pub(crate) fn enumerate_instances(class: &str) -> Operation {
    Operation::EnumerateInstances { class: class.into(), deep: true, options: InstanceOptions::default() }
}

/// GetError of a job.
pub(crate) fn get_error(path: &InstancePath) -> Bytes {
    invoke(path, "GetError", Vec::new())
}

/// GetInstance over WS-Management: Get.
pub(crate) fn wsman_get(path: &InstancePath) -> Bytes {
    wsman(path, "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get", "")
}

/// GetError over WS-Management.
pub(crate) fn wsman_get_error(path: &InstancePath) -> Bytes {
    let uri = resource_uri(path);
    let body = format!("<p:GetError_INPUT xmlns:p=\"{uri}\"/>");
    wsman(path, &format!("{uri}/GetError"), &body)
}

/// Cimwright_DemoService.StartJob: one step that takes no time.
pub(crate) fn start_job(service: &InstancePath, ending: &str) -> Bytes {
    invoke(service, "StartJob", start_params(ending))
}

/// The parameters of [`start_job`].
pub(crate) fn start_params(ending: &str) -> Vec<Param> {
    vec![
        Param::new("Name", "Bench"),
        Param::new("Steps", Value::Uint32(1)),
        Param::new("DurationMilliseconds", Value::Uint64(0)),
        Param::new("Ending", ending),
        Param::new("Bytes", Value::Uint64(1 << 20)),
    ]
}

/// The setting data of a dynamic disk.
pub(crate) fn setting_data(path: &str) -> Instance {
    Instance::new("Msvm_VirtualHardDiskSettingData").with("Path", path).with("Type", Value::Uint16(3))
}

/// The headers of a CIM operation and its body.
pub(crate) fn parts(operation: Operation) -> (Vec<(&'static str, String)>, Vec<u8>) {
    parts_of(&Request { namespace: namespace(), operation })
}

fn parts_of(request: &Request) -> (Vec<(&'static str, String)>, Vec<u8>) {
    let (body, headers) = cimxml::encode_request("1001", request);
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let headers = vec![
        // The same name for every server, so that all get the same bytes.
        ("Host", "localhost".to_owned()),
        ("Authorization", format!("Basic {credentials}")),
        ("Content-Type", "application/xml; charset=utf-8".to_owned()),
        ("Accept", "application/xml, text/xml".to_owned()),
        ("CIMOperation", "MethodCall".to_owned()),
        ("CIMProtocolVersion", "1.0".to_owned()),
        ("CIMMethod", headers.cim_method),
        ("CIMObject", headers.cim_object),
        ("Content-Length", body.len().to_string()),
    ];
    (headers, body)
}

fn invoke(target: &InstancePath, method: &str, params: Vec<Param>) -> Bytes {
    http(Operation::InvokeMethod {
        target: ObjectPath::Instance(target.clone()),
        method: method.into(),
        params,
    })
}

fn http(operation: Operation) -> Bytes {
    http_of(&Request { namespace: namespace(), operation })
}

/// Any request.
pub(crate) fn http_of(request: &Request) -> Bytes {
    let (headers, body) = parts_of(request);
    let mut text = String::from("POST /cimom HTTP/1.1\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&body);
    bytes.into()
}

fn resource_uri(path: &InstancePath) -> String {
    format!("http://schemas.microsoft.com/wbem/wsman/1/wmi/{}/{}", namespace().as_str(), path.class)
}

/// A message as Windows' clients send it.
fn wsman(path: &InstancePath, action: &str, body: &str) -> Bytes {
    let id = path.key_str("InstanceID").unwrap_or_default();
    let envelope = format!(
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
         xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\"><s:Header>\
         <a:To>http://localhost:5985/wsman</a:To>\
         <w:ResourceURI s:mustUnderstand=\"true\">{}</w:ResourceURI>\
         <a:ReplyTo><a:Address s:mustUnderstand=\"true\">\
         http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo>\
         <a:Action s:mustUnderstand=\"true\">{action}</a:Action>\
         <w:MaxEnvelopeSize s:mustUnderstand=\"true\">512000</w:MaxEnvelopeSize>\
         <a:MessageID>uuid:A1B2C3D4-0000-4ABC-8DEF-00000000F00D</a:MessageID>\
         <w:Locale xml:lang=\"en-US\" s:mustUnderstand=\"false\"/>\
         <w:SelectorSet><w:Selector Name=\"InstanceID\">{id}</w:Selector></w:SelectorSet>\
         <w:OperationTimeout>PT60.000S</w:OperationTimeout></s:Header><s:Body>{body}</s:Body></s:Envelope>",
        resource_uri(path)
    );
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let head = format!(
        "POST /wsman HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\
         Content-Type: application/soap+xml;charset=UTF-8\r\nContent-Length: {}\r\n\r\n",
        envelope.len()
    );
    (head + &envelope).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announced_length_is_that_of_the_body() {
        let bytes = get_error(&job("Msvm_StorageJob", "X"));
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(body.contains("GetError") && body.contains("InstanceID"));
    }
}
