//! What other clients and servers write and must be understood, and what must be refused: files that are only read.

use crate::model::{JOB, ask, call, embedded, file_path, hyper_v, interop, job_path, returned, with_path};
use crate::{folder, golden};
use cimwright_cim::operation::{AssociationFilter, InstanceOptions, ObjectShape};
use cimwright_cim::{
    CimStatus, CimType, Embedded, Instance, InstancePath, NamespaceName, Operation, OperationResult, Param,
    Request, Severity, Value,
};
use cimwright_codec::cimxml::{Headers, Limits, decode_request, decode_response};

/// The files in the golden folder that no case writes.
pub(crate) const FILES: [&str; 6] = [
    "t01-old-client.req.xml",
    "t02-cdata.rsp.xml",
    "t03-loose-parameters.req.xml",
    "t04-batch.req.xml",
    "t05-sparse-error.rsp.xml",
    "t06-local-paths.rsp.xml",
];

#[test]
fn an_old_client_is_understood() {
    let object = format!("root/virtualization/v2:Msvm_StorageJob.InstanceID=\"{JOB}\"");
    let headers = Headers {
        cim_operation: Some(b"methodcall"),
        cim_method: Some(b"RequestStateChange"),
        cim_object: Some(object.as_bytes()),
        cim_protocol_version: Some(b"1.2"),
        cim_batch: false,
    };
    let message = decode_request(golden(FILES[0]).as_bytes(), &headers, &Limits::default()).unwrap();
    assert_eq!((message.id.as_str(), message.protocol_version.as_str()), ("a\"\nb", "1.2"));
    // The name is echoed as it came; as a CIM name it is the same.
    assert_eq!(message.requests[0].name, "requeststatechange");
    let untyped = |name: &str, value: Value| Param { cim_type: None, ..Param::new(name, value) };
    let plain = || embedded(Instance::new("X"));
    let expected = call(
        job_path(),
        "RequestStateChange",
        vec![
            Param::new("RequestedState", Value::Uint16(5)),
            untyped("TimeoutPeriod", "00000000000130.000000:000".into()),
            Param::new("Setting", plain()),
            Param::new("Bare", plain()),
            Param::new("Name", InstancePath::new(None, "Y").with_key("", Value::Uint64(7))),
            Param::new("Text", InstancePath::new(hyper_v(), "Y").with_key("A", "1")),
            Param { embedded: Some(Embedded::Object), ..Param::null("Object", CimType::String) },
            untyped("Tags", Value::Array(Vec::new())),
        ],
    );
    assert_eq!(message.requests[0].request, Ok(expected));
}

#[test]
fn embedded_objects_may_come_in_cdata() {
    let asked = call(job_path(), "GetError", Vec::new());
    let response = decode_response(golden(FILES[1]).as_bytes(), &asked, &Limits::default()).unwrap();
    let error = Instance::new("CIM_Error").with("Message", "4 < 8 GB");
    assert_eq!(response.result, Ok(returned(0, vec![Param::new("Error", embedded(error))])));
}

#[test]
fn parameters_may_come_in_any_case_and_order() {
    let headers = Headers {
        cim_operation: Some(b"MethodCall"),
        cim_method: Some(b"EnumerateInstances"),
        cim_object: Some(b"/root%2Fvirtualization/v2"),
        ..Headers::default()
    };
    let message = decode_request(golden(FILES[2]).as_bytes(), &headers, &Limits::default()).unwrap();
    let expected = ask(Operation::EnumerateInstances {
        class: "CIM_ConcreteJob".into(),
        deep: false,
        options: InstanceOptions {
            include_class_origin: false,
            property_list: Some(vec!["JobState".into()]),
        },
    });
    assert_eq!(message.requests[0].request, Ok(expected));
}

#[test]
fn each_request_of_a_batch_fails_for_itself() {
    let headers = Headers { cim_operation: Some(b"MethodCall"), cim_batch: true, ..Headers::default() };
    let text = golden(FILES[3]);
    let message = decode_request(text.as_bytes(), &headers, &Limits::default()).unwrap();
    assert!(message.batch);
    let [first, second, third] = message.requests.as_slice() else { panic!("three requests") };
    assert_eq!(first.request, Ok(call(job_path(), "GetError", Vec::new())));
    assert!(!first.intrinsic && second.intrinsic);
    let error = second.request.as_ref().unwrap_err();
    assert_eq!(error.status, CimStatus::InvalidParameter);
    assert!(error.description.contains("ClassName is required"), "{error}");
    let create = Operation::CreateClass { class: Box::new(cimwright_cim::Class::new("Cimwright_Note")) };
    assert_eq!(third.request, Ok(Request { namespace: interop(), operation: create }));

    let without = Headers { cim_batch: false, ..headers };
    let refused = decode_request(text.as_bytes(), &without, &Limits::default()).unwrap_err();
    assert_eq!((refused.http_status, refused.cim_error), (400, Some("header-mismatch")));
    let superfluous = Headers { cim_method: Some(b"GetError"), ..headers };
    let refused = decode_request(text.as_bytes(), &superfluous, &Limits::default()).unwrap_err();
    assert_eq!(refused.cim_error, Some("header-mismatch"));
}

#[test]
fn errors_of_others_are_read_as_far_as_they_go() {
    let asked = call(job_path(), "GetError", Vec::new());
    let response = decode_response(golden(FILES[4]).as_bytes(), &asked, &Limits::default()).unwrap();
    let error = response.result.unwrap_err();
    assert_eq!((error.status, error.description.as_str()), (CimStatus::NotFound, "no such job"));
    assert_eq!(
        (error.details[0].message.as_str(), error.details[0].severity),
        ("gone", Severity::Information)
    );
}

#[test]
fn paths_of_sets_may_be_local() {
    let asked = ask(Operation::Associators {
        object: job_path().into(),
        filter: AssociationFilter::default(),
        options: InstanceOptions::default(),
    });
    let response = decode_response(golden(FILES[5]).as_bytes(), &asked, &Limits::default()).unwrap();
    let item = with_path(Instance::new("CIM_LogicalFile").with("Name", ""), file_path());
    assert_eq!(
        response.result,
        Ok(OperationResult::Instances { shape: ObjectShape::ObjectWithPath, items: vec![item] })
    );
}

#[test]
fn hostile_messages_are_refused() {
    let headers = Headers {
        cim_operation: Some(b"MethodCall"),
        cim_method: Some(b"GetInstance"),
        cim_object: Some(b"root"),
        ..Headers::default()
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder().join("hostile")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let error = decode_request(&bytes, &headers, &Limits::default()).unwrap_err();
        let token = match path.file_stem().and_then(|s| s.to_str()).unwrap() {
            "cut-off" => "request-not-well-formed",
            _ => "request-not-valid",
        };
        assert_eq!((error.http_status, error.cim_error), (400, Some(token)), "{}: {error}", path.display());
        seen += 1;
    }
    assert!(seen >= 7, "only {seen} files");
}

#[test]
fn what_is_wrong_with_one_request_is_answered_inside_the_response() {
    let request = |name: &str, params: &str| {
        let body = format!(
            "<CIM CIMVERSION='2.0' DTDVERSION='2.0'><MESSAGE ID='1' PROTOCOLVERSION='1.0'><SIMPLEREQ><IMETHODCALL \
             NAME='{name}'><LOCALNAMESPACEPATH><NAMESPACE NAME='root'/></LOCALNAMESPACEPATH>{params}</IMETHODCALL>\
             </SIMPLEREQ></MESSAGE></CIM>"
        );
        let headers = Headers {
            cim_operation: Some(b"MethodCall"),
            cim_method: Some(name.as_bytes()),
            cim_object: Some(b"root"),
            ..Headers::default()
        };
        let message = decode_request(body.as_bytes(), &headers, &Limits::default()).unwrap();
        message.requests.into_iter().next().unwrap().request
    };
    let param = |name: &str, content: &str| format!("<IPARAMVALUE NAME='{name}'>{content}</IPARAMVALUE>");
    let class = param("ClassName", "<CLASSNAME NAME='X'/>");
    for (name, params) in [
        ("EnumerateInstanceNames", String::new()),
        ("EnumerateInstanceNames", param("ClassName", "")),
        ("EnumerateInstanceNames", param("ClassName", "<VALUE>X</VALUE>")),
        ("EnumerateInstanceNames", format!("{class}{class}")),
        ("EnumerateInstanceNames", class.clone() + &param("Frob", "<VALUE>1</VALUE>")),
        ("EnumerateInstances", class.clone() + &param("DeepInheritance", "<VALUE>yes</VALUE>")),
        ("EnumerateInstances", class.clone() + &param("LocalOnly", "<VALUE>1</VALUE>")),
        ("OpenEnumerateInstances", class.clone() + &param("MaxObjectCount", "<VALUE>4294967296</VALUE>")),
        ("OpenEnumerateInstances", class.clone() + &param("OperationTimeout", "<VALUE>-1</VALUE>")),
        ("OpenEnumerateInstances", class.clone() + &param("FilterQuery", "<VALUE>a</VALUE>")),
        ("PullInstances", param("EnumerationContext", "<VALUE>a</VALUE>")),
        (
            "GetInstance",
            param(
                "InstanceName",
                "<INSTANCENAME CLASSNAME='X'><KEYVALUE TYPE='uint8'>256</KEYVALUE></INSTANCENAME>",
            ),
        ),
        (
            "CreateInstance",
            param(
                "NewInstance",
                "<INSTANCE CLASSNAME='X'><PROPERTY NAME='a' TYPE='sint8'><VALUE>128</VALUE></PROPERTY></INSTANCE>",
            ),
        ),
        (
            "ModifyInstance",
            param(
                "ModifiedInstance",
                "<VALUE.NAMEDINSTANCE><INSTANCENAME CLASSNAME='X'/><INSTANCE CLASSNAME='Y'/></VALUE.NAMEDINSTANCE>",
            ),
        ),
    ] {
        let error = request(name, &params).unwrap_err();
        assert_eq!(error.status, CimStatus::InvalidParameter, "{name} {params}: {error}");
        assert!(!error.description.is_empty());
    }
    let keys: String =
        (0..300).map(|n| format!("<KEYBINDING NAME='k{n}'><KEYVALUE/></KEYBINDING>")).collect();
    let path = param("InstanceName", &format!("<INSTANCENAME CLASSNAME='X'>{keys}</INSTANCENAME>"));
    assert!(request("GetInstance", &path).unwrap_err().description.contains("too many keys"));
    let many: String = (0..300).map(|n| param(&format!("p{n}"), "")).collect();
    assert!(request("GetInstance", &many).unwrap_err().description.contains("too many parameters"));
    let unknown = request("FrobProperty", &param("Anything", "<VALUE>1</VALUE>")).unwrap();
    assert_eq!(unknown.operation, Operation::Unsupported { name: "FrobProperty".into() });
    assert_eq!(unknown.namespace, NamespaceName::new("root"));
}
