//! CIM-XML.

use super::Outcome;
use cimwright_cim::operation::{AssociationFilter, ClassOptions, InstanceOptions, OpenOptions, PullKind};
use cimwright_cim::query::Query;
use cimwright_cim::{
    ClassName, ClassPath, Instance, InstancePath, NamespaceName, ObjectPath, Operation, Request,
};
use cimwright_codec::cimxml::{
    EncodeContext, Headers, Limits, decode_export_request, decode_export_response, decode_request,
    decode_response, encode_export_request, encode_export_response, encode_request, encode_response,
    instance_text, parse_instance_text,
};
use std::fmt::Write;

/// Words of the language.
pub(super) const WORDS: &[&str] = &[
    "<VALUE>",
    "</VALUE>",
    "<VALUE.ARRAY>",
    "<VALUE.NULL/>",
    "<VALUE.REFERENCE>",
    "<INSTANCE CLASSNAME=\"A\">",
    "</INSTANCE>",
    "<PROPERTY NAME=\"A\" TYPE=\"uint8\">",
    "</PROPERTY>",
    "<PROPERTY.ARRAY NAME=\"A\" TYPE=\"string\">",
    "<INSTANCENAME CLASSNAME=\"A\">",
    "<KEYBINDING NAME=\"A\">",
    "<KEYVALUE VALUETYPE=\"numeric\">",
    "<CLASSNAME NAME=\"A\"/>",
    "<QUALIFIER NAME=\"Key\" TYPE=\"boolean\">",
    "<METHOD NAME=\"M\" TYPE=\"uint32\">",
    "<PARAMETER NAME=\"P\" TYPE=\"string\"/>",
    "<IPARAMVALUE NAME=\"ClassName\">",
    "<PARAMVALUE NAME=\"P\" PARAMTYPE=\"string\">",
    "EmbeddedObject=\"instance\"",
    "EMBEDDEDOBJECT=\"object\"",
    "TYPE=\"datetime\"",
    "TYPE=\"real64\"",
    "TYPE=\"char16\"",
    "TYPE=\"reference\"",
    "ARRAYSIZE=\"3\"",
    "<![CDATA[",
    "]]>",
    "&lt;",
    "&amp;",
    "&#0;",
    "&#x10FFFF;",
    "<!-- -->",
    "<?xml version=\"1.0\"?>",
    "<!DOCTYPE a [<!ENTITY b \"c\">]>",
    "&b;",
    "<ERROR CODE=\"1\"/>",
    "/>",
    "<MULTIREQ>",
    "xmlns=\"\"",
    "NaN",
    "INF",
    "20240101000000.000000+000",
    "<IRETURNVALUE>",
    "<RETURNVALUE PARAMTYPE=\"string\">",
];

/// Reads a request under the headers that go with it. What is read is written as a client writes it, and has to be read as the same.
pub(super) fn request(data: &[u8]) -> Outcome {
    let limits = Limits::default();
    let text = String::from_utf8_lossy(data);
    let method = attribute(&text, "METHODCALL NAME=\"").unwrap_or_default();
    let namespace: Vec<&str> =
        text.split("<NAMESPACE NAME=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let object = namespace.join("/");
    let batch = text.contains("<MULTIREQ>");
    let headers = Headers {
        cim_operation: Some(b"MethodCall"),
        cim_method: (!batch).then_some(method.as_bytes()),
        cim_object: (!batch).then_some(object.as_bytes()),
        cim_batch: batch,
        cim_protocol_version: None,
    };
    let message = match decode_request(data, &headers, &limits) {
        Ok(message) => message,
        Err(error) => return Outcome::of(&error.to_string()),
    };
    let mut outcome = String::new();
    for simple in &message.requests {
        let asked = match &simple.request {
            Ok(asked) => asked,
            Err(error) => {
                outcome.push_str(&error.description);
                continue;
            }
        };
        outcome.push_str(&simple.name);
        // What is written of a query may be longer than a query may be, if it was about as long as that already.
        let long = |o: &Operation| {
            matches!(o, Operation::ExecQuery { .. } | Operation::OpenQueryInstances { .. })
                && data.len() > super::query::LONG
        };
        if matches!(asked.operation, Operation::Unsupported { .. }) || long(&asked.operation) {
            continue;
        }
        let (body, sent) = encode_request(&message.id, asked);
        let headers = Headers {
            cim_method: Some(sent.cim_method.as_bytes()),
            cim_object: Some(sent.cim_object.as_bytes()),
            cim_batch: false,
            ..headers
        };
        match decode_request(&body, &headers, &limits) {
            // NaN is not equal to itself.
            Ok(again) => assert_eq!(
                format!("{:?}", again.requests[0].request),
                format!("{:?}", Ok::<_, ()>(asked)),
                "{}",
                String::from_utf8_lossy(&body)
            ),
            Err(error) => panic!("what was sent cannot be read: {error}\n{}", String::from_utf8_lossy(&body)),
        }
    }
    Outcome::of(&outcome)
}

/// Reads a response, an exported indication or the answer to one, or an embedded instance. What is read is written, and has to be
/// read as the same.
pub(super) fn response(data: &[u8]) -> Outcome {
    let limits = Limits::for_responses();
    let text = String::from_utf8_lossy(data);
    let mut outcome = String::new();
    if let Ok(instance) = parse_instance_text(&text) {
        let written = instance_text(&instance);
        assert_eq!(
            format!("{:?}", parse_instance_text(&written)),
            format!("{:?}", Ok::<_, ()>(instance)),
            "{written}"
        );
        outcome.push_str("instance");
    }
    match decode_export_request(data, &limits) {
        Ok((id, indication)) => {
            let written = encode_export_request(&id, &indication);
            let again = decode_export_request(&written, &limits).map_err(|e| e.to_string());
            assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, String>((id, indication))));
            outcome.push_str("export");
        }
        Err(error) => outcome.push_str(&error.to_string()),
    }
    if let Ok(answer) = decode_export_response(data, &limits) {
        let written = encode_export_response("1", &answer);
        let again = decode_export_response(&written, &limits);
        assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, ()>(answer)));
        outcome.push_str("exported");
    }
    let name = attribute(&text, "METHODRESPONSE NAME=\"").unwrap_or_default();
    let namespace = NamespaceName::new("root/cimv2");
    for operation in candidates(name, text.contains("<METHODRESPONSE ")) {
        let asked = Request { namespace: namespace.clone(), operation };
        let answer = match decode_response(data, &asked, &limits) {
            Ok(answer) => answer,
            Err(error) => {
                outcome.push_str(&error.to_string());
                continue;
            }
        };
        let intrinsic = !matches!(asked.operation, Operation::InvokeMethod { .. });
        let context = EncodeContext { host: "host", namespace: Some(&namespace) };
        let written = encode_response(&answer.id, &answer.name, intrinsic, &answer.result, &context);
        match decode_response(&written, &asked, &limits) {
            Ok(again) => {
                // Writing completes paths, so it is the second text that has to be the same.
                let second = encode_response(&again.id, &again.name, intrinsic, &again.result, &context);
                let (first, second) = (String::from_utf8_lossy(&written), String::from_utf8_lossy(&second));
                assert_eq!(second, first);
                let shown = format!("{answer:?}");
                let _ = write!(outcome, "{}", shown.split(['(', '{']).nth(2).unwrap_or_default());
            }
            Err(error) => {
                panic!("what was answered cannot be read: {error}\n{}", String::from_utf8_lossy(&written))
            }
        }
    }
    Outcome::of(&outcome)
}

fn attribute<'t>(text: &'t str, before: &str) -> Option<&'t str> {
    text.split_once(before)?.1.split('"').next()
}

/// The operations that such a response can answer.
fn candidates(name: &str, extrinsic: bool) -> Vec<Operation> {
    let class = ClassName::new("A");
    let path = InstancePath::new(None, "A").with_key("K", "k");
    let object = ObjectPath::Instance(path.clone());
    let whole = ObjectPath::Class(ClassPath::new(NamespaceName::new("root/cimv2"), "A"));
    let options = InstanceOptions::default();
    let class_options = ClassOptions {
        local_only: false,
        include_qualifiers: true,
        include_class_origin: true,
        property_list: None,
    };
    let filter = AssociationFilter::default();
    let open = OpenOptions::default();
    let query = Query { select: None, from: class.clone(), condition: None, fold_case: true };
    if extrinsic {
        return vec![Operation::InvokeMethod { target: object, method: name.into(), params: Vec::new() }];
    }
    let pull = |kind| Operation::Pull { kind, context: "c".to_owned(), max_object_count: 1 };
    match name {
        "GetClass" => vec![Operation::GetClass { class, options: class_options }],
        "EnumerateClasses" => {
            vec![Operation::EnumerateClasses { class: Some(class), deep: true, options: class_options }]
        }
        "EnumerateClassNames" => vec![Operation::EnumerateClassNames { class: None, deep: true }],
        "GetQualifier" => vec![Operation::GetQualifier { name: "Key".into() }],
        "EnumerateQualifiers" => vec![Operation::EnumerateQualifiers],
        "GetInstance" => vec![Operation::GetInstance { path, options }],
        "EnumerateInstances" => vec![Operation::EnumerateInstances { class, deep: true, options }],
        "EnumerateInstanceNames" => vec![Operation::EnumerateInstanceNames { class }],
        "CreateInstance" => vec![Operation::CreateInstance { instance: Instance::new("A") }],
        "DeleteInstance" => vec![Operation::DeleteInstance { path }],
        "GetProperty" => vec![Operation::GetProperty { path, property: "P".into() }],
        "Associators" => [object, whole]
            .map(|object| Operation::Associators { object, filter: filter.clone(), options: options.clone() })
            .to_vec(),
        "AssociatorNames" => [object, whole]
            .map(|object| Operation::AssociatorNames { object, filter: filter.clone() })
            .to_vec(),
        "References" => [object, whole]
            .map(|object| Operation::References { object, filter: filter.clone(), options: options.clone() })
            .to_vec(),
        "ReferenceNames" => [object, whole]
            .map(|object| Operation::ReferenceNames { object, filter: filter.clone() })
            .to_vec(),
        "ExecQuery" => vec![Operation::ExecQuery { query }],
        "OpenEnumerateInstances" => {
            vec![Operation::OpenEnumerateInstances { class, deep: true, options, open }]
        }
        "OpenEnumerateInstancePaths" => vec![Operation::OpenEnumerateInstancePaths { class, open }],
        "OpenQueryInstances" => {
            vec![Operation::OpenQueryInstances { query, return_query_result_class: true, open }]
        }
        "PullInstancesWithPath" => vec![pull(PullKind::InstancesWithPath)],
        "PullInstancePaths" => vec![pull(PullKind::InstancePaths)],
        "PullInstances" => vec![pull(PullKind::Instances)],
        "CloseEnumeration" => vec![Operation::CloseEnumeration { context: "c".to_owned() }],
        "EnumerationCount" => vec![Operation::EnumerationCount { context: "c".to_owned() }],
        other => vec![Operation::Unsupported { name: other.to_owned() }],
    }
}
