//! What is answered on the HTTP level.

use crate::golden;
use cimwright_cim::operation::InstanceOptions;
use cimwright_cim::{CimStatus, InstancePath, Name, NamespaceName, Operation, Request};
use cimwright_codec::cimxml::{DecodeError, Headers, Limits, decode_request, encode_request};

const GOOD: Headers<'static> = Headers {
    cim_operation: Some(b"MethodCall"),
    cim_method: Some(b"EnumerateInstanceNames"),
    cim_object: Some(b"root/virtualization/v2"),
    cim_protocol_version: Some(b"1.0"),
    cim_batch: false,
};

fn refused(text: &str, headers: &Headers<'_>) -> (u16, Option<&'static str>) {
    match decode_request(text.as_bytes(), headers, &Limits::default()) {
        Err(DecodeError { http_status, cim_error, detail }) => {
            assert!(!detail.is_empty());
            (http_status, cim_error)
        }
        Ok(message) => panic!("accepted: {message:?}"),
    }
}

#[test]
fn headers_must_agree_with_the_message() {
    let text = golden("i08-enumerate-names.req.xml");
    assert!(decode_request(text.as_bytes(), &GOOD, &Limits::default()).is_ok());
    let mismatch = (400, Some("header-mismatch"));
    for headers in [
        Headers { cim_method: Some(b"GetClass"), ..GOOD },
        Headers { cim_method: Some(b""), ..GOOD },
        Headers { cim_method: None, ..GOOD },
        Headers { cim_object: Some(b"root/other"), ..GOOD },
        Headers { cim_object: Some(b" "), ..GOOD },
        Headers { cim_object: None, ..GOOD },
        Headers { cim_protocol_version: Some(b"1.1"), ..GOOD },
        Headers { cim_batch: true, ..GOOD },
    ] {
        assert_eq!(refused(&text, &headers), mismatch, "{headers:?}");
    }
    assert_eq!(refused(&text, &Headers { cim_operation: None, ..GOOD }), (400, None));
    let other = Headers { cim_operation: Some(b"Frob"), ..GOOD };
    assert_eq!(refused(&text, &other), (400, Some("unsupported-operation")));
    let encoded = Headers {
        cim_method: Some(b"Enumerate%49nstanceNames"),
        cim_object: Some(b"root%2Fvirtualization%2Fv2"),
        ..GOOD
    };
    assert!(decode_request(text.as_bytes(), &encoded, &Limits::default()).is_ok());
}

#[test]
fn the_object_of_an_extrinsic_call_is_compared_as_a_path() {
    let text = golden("m11-start-job.req.xml");
    let headers =
        |object| Headers { cim_method: Some(b"convertvirtualharddisk"), cim_object: Some(object), ..GOOD };
    // Clients sort the keys or do not, and encode the header or do not.
    let plain = r#"root/virtualization/v2:Msvm_ImageManagementService.SystemName="HOST1",Name="vhdsvc",CreationClassName="Msvm_ImageManagementService",SystemCreationClassName="Msvm_ComputerSystem""#;
    assert!(decode_request(text.as_bytes(), &headers(plain.as_bytes()), &Limits::default()).is_ok());
    let other = plain.replace("HOST1", "HOST2");
    assert_eq!(refused(&text, &headers(other.as_bytes())), (400, Some("header-mismatch")));
    assert_eq!(refused(&text, &headers(b"root/virtualization/v2")), (400, Some("header-mismatch")));
    // Nobody can know the encoding of these bytes, so they are no reason to refuse.
    assert!(decode_request(text.as_bytes(), &headers(b"root:X.K=\"\xe9\""), &Limits::default()).is_ok());
}

#[test]
fn versions_and_grammar_have_their_tokens() {
    let text = golden("i08-enumerate-names.req.xml");
    let with = |from: &str, to: &str| {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        refused(&changed, &Headers { cim_protocol_version: None, ..GOOD })
    };
    assert_eq!(with("CIMVERSION=\"2.0\"", "CIMVERSION=\"3.0\""), (501, Some("unsupported-cim-version")));
    assert_eq!(with("DTDVERSION=\"2.0\"", "DTDVERSION=\"3.0\""), (501, Some("unsupported-dtd-version")));
    assert_eq!(with("DTDVERSION=\"2.0\"", "DTDVERSION=\"2\""), (501, Some("unsupported-dtd-version")));
    assert_eq!(
        with("PROTOCOLVERSION=\"1.0\"", "PROTOCOLVERSION=\"2.0\""),
        (501, Some("unsupported-protocol-version"))
    );
    assert_eq!(with("</CIM>", ""), (400, Some("request-not-well-formed")));
    assert_eq!(with("IMETHODCALL", "IMETHODCAL"), (400, Some("request-not-valid")));
    assert_eq!(with("SIMPLEREQ", "SIMPLERSP"), (400, Some("request-not-valid")));
    assert_eq!(with("LOCALNAMESPACEPATH", "LOCALCLASSPATH"), (400, Some("request-not-valid")));
    assert_eq!(with("MESSAGE ID", "MESSAGE NAME"), (400, Some("request-not-valid")));
    let tight = Limits { elements: 5, ..Limits::default() };
    let error = decode_request(text.as_bytes(), &GOOD, &tight).unwrap_err();
    assert_eq!((error.http_status, error.cim_error), (413, None));
}

/// Each property of every instance is looked for in the list.
#[test]
fn property_lists_are_bounded() {
    let most = Limits::default().features;
    let asked = |names: usize| {
        let property_list = Some((0..names).map(|n| Name::from(format!("P{n}"))).collect());
        let options = InstanceOptions { include_class_origin: false, property_list };
        let path = InstancePath::new(None, "X").with_key("K", "1");
        let operation = Operation::GetInstance { path, options };
        let (body, sent) =
            encode_request("1", &Request { namespace: NamespaceName::new("root/cimv2"), operation });
        let headers = Headers {
            cim_method: Some(sent.cim_method.as_bytes()),
            cim_object: Some(sent.cim_object.as_bytes()),
            ..GOOD
        };
        decode_request(&body, &headers, &Limits::default()).unwrap().requests.remove(0).request
    };
    assert!(asked(most).is_ok());
    assert_eq!(asked(most + 1).map_err(|e| e.status), Err(CimStatus::ServerLimitsExceeded));
}
