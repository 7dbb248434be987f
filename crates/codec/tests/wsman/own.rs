//! Messages of our own: what is read, what is refused and how, and that no input does harm.

use super::compare::canonical;
use cimwright_cim::operation::AssociationFilter;
use cimwright_cim::{
    CimError, CimStatus, CimType, Class, Instance, InstancePath, KeyBinding, NamespaceName, ObjectPath,
    Param, Property, Value,
};
use cimwright_codec::cimxml::{Limits, class_text, parse_instance_text};
use cimwright_codec::wsman::{
    Action, Answered, Ask, AskedFilter, EnumerationMode, Fault, FaultCode, Filter, ItemWriter, Refusal,
    Request, Resource, ResponseWriter, Subcode, Target, decode_request, decode_response, encode_fault,
    encode_request, fault_of, soap_action_fits,
};
use proptest::prelude::*;
use std::time::Duration;

const CLASS: &str = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/virtualization/v2/Msvm_StorageJob";

/// An envelope with these headers beside the required ones, and this body.
fn envelope(action: &str, headers: &str, body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope' \
         xmlns:a='http://schemas.xmlsoap.org/ws/2004/08/addressing' \
         xmlns:w='http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd' \
         xmlns:n='http://schemas.xmlsoap.org/ws/2004/09/enumeration' \
         xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' \
         xmlns:cim='http://schemas.dmtf.org/wbem/wscim/1/common'><s:Header>\
         <a:To>http://h/wsman</a:To><a:Action s:mustUnderstand='1'>{action}</a:Action>\
         <a:MessageID>uuid:ABC-def</a:MessageID>\
         <w:ResourceURI>\n {CLASS} </w:ResourceURI>{headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )
}

fn decode(text: &str) -> Result<Request, Box<Refusal>> {
    decode_request(text.as_bytes(), &Limits::default())
}

const GET: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get";
const ENUMERATE: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Enumerate";

#[test]
fn a_get_is_read_and_answered() {
    let selectors = "<w:SelectorSet><w:Selector Name='InstanceID'>7</w:Selector></w:SelectorSet>";
    let request = decode(&envelope(GET, selectors, "")).unwrap();
    assert_eq!(request.action, Action::Get);
    assert_eq!(request.header.namespace(), Some(NamespaceName::new("root/virtualization/v2")));
    let path = InstancePath::new(None, "Msvm_StorageJob").with_key("InstanceID", "7");
    let inner = Instance::new("Msvm_Inner")
        .with("Deep", Value::Instance(Box::new(Instance::new("X").with("A", "1"))));
    let job = Instance::new("Msvm_StorageJob")
        .with("Owner", path)
        .with("None", Value::Array(Vec::new()))
        .with("Inner", Value::Instance(Box::new(inner)));
    let namespace = NamespaceName::new("root/virtualization/v2");
    let written =
        String::from_utf8(ResponseWriter::new(&request.header, "uuid:1", Some(&namespace)).instance(&job))
            .unwrap();
    // One client in use looks for these letters, not for namespaces.
    for part in [
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:a=",
        "<a:RelatesTo>uuid:ABC-def</a:RelatesTo>",
        "<a:Action>http://schemas.xmlsoap.org/ws/2004/09/transfer/GetResponse</a:Action>",
        &format!("<s:Body><p:Msvm_StorageJob xmlns:p=\"{CLASS}\" xsi:type=\"p:Msvm_StorageJob_Type\">"),
        &format!(
            "<p:Owner><a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address>\
             <a:ReferenceParameters><w:ResourceURI>{CLASS}</w:ResourceURI><w:SelectorSet>\
             <w:Selector Name=\"InstanceID\">7</w:Selector></w:SelectorSet></a:ReferenceParameters></p:Owner>"
        ),
        "<p:None xsi:nil=\"true\"/>",
        "<p:Inner xmlns:q=\"http://schemas.microsoft.com/wbem/wsman/1/wmi/root/virtualization/v2/Msvm_Inner\" \
         xsi:type=\"q:Msvm_Inner_Type\"><q:Deep xmlns:r=",
        "<r:A>1</r:A></q:Deep></p:Inner>",
    ] {
        assert!(written.contains(part), "{part}\n{written}");
    }
    canonical(&written);
}

/// What is gone through for every instance or repeated in every message.
#[test]
fn filters_and_destinations_are_bounded() {
    let selectors = |n: usize| {
        let one: String = (0..n).map(|n| format!("<w:Selector Name='S{n}'>1</w:Selector>")).collect();
        let dialect = "http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter";
        let filter = format!("<w:Filter Dialect='{dialect}'><w:SelectorSet>{one}</w:SelectorSet></w:Filter>");
        envelope(ENUMERATE, "", &format!("<n:Enumerate>{filter}</n:Enumerate>"))
    };
    let properties = |n: usize| {
        let object = format!(
            "<b:Object><a:Address/><a:ReferenceParameters><w:ResourceURI>{CLASS}</w:ResourceURI><w:SelectorSet>\
             <w:Selector Name='InstanceID'>7</w:Selector></w:SelectorSet></a:ReferenceParameters></b:Object>"
        );
        let names = "<b:IncludeResultProperty>A</b:IncludeResultProperty>".repeat(n);
        let dialect = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter";
        let filter = format!(
            "<w:Filter Dialect='{dialect}' xmlns:b='http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd'>\
             <b:AssociatedInstances>{object}{names}</b:AssociatedInstances></w:Filter>"
        );
        envelope(ENUMERATE, "", &format!("<n:Enumerate>{filter}</n:Enumerate>"))
    };
    let parameters = |n: usize| {
        let one: String = (0..n).map(|n| format!("<m{n} xmlns='urn:m'/>")).collect();
        let action = "http://schemas.xmlsoap.org/ws/2004/08/eventing/Subscribe";
        let body = format!(
            "<e:Subscribe xmlns:e='http://schemas.xmlsoap.org/ws/2004/08/eventing'><e:Delivery><e:NotifyTo>\
             <a:Address>http://h/</a:Address><a:ReferenceParameters>{one}</a:ReferenceParameters></e:NotifyTo>\
             </e:Delivery></e:Subscribe>"
        );
        envelope(action, "", &body)
    };
    for (message, most) in
        [(&selectors as &dyn Fn(usize) -> String, 64), (&properties, 1024), (&parameters, 64)]
    {
        assert!(decode(&message(most)).is_ok(), "{:?}", decode(&message(most)));
        let refusal = decode(&message(most + 1)).unwrap_err();
        assert!(refusal.fault.reason.contains(&format!("more than {most} ")), "{refusal:?}");
    }
}

#[test]
fn options_of_windows_and_openwsman_change_the_form_of_instances() {
    let job = || {
        let mut job =
            Instance::new("Msvm_StorageJob").with("Name", "n").with("None", Value::Array(Vec::new()));
        let mut null = Property::new("Null", CimType::Uint16, None);
        job.properties.push(null.clone());
        null.name = "NullArray".into();
        null.is_array = true;
        job.properties.push(null);
        job
    };
    let shown = |options: &str| {
        let request = decode(&envelope(GET, options, "")).unwrap();
        let written = ResponseWriter::new(&request.header, "uuid:1", None).instance(&job());
        let written = String::from_utf8(written).unwrap();
        canonical(&written);
        let (_, shown) = written.split_once("<p:Name>n</p:Name>").unwrap();
        shown.split_once("</p:Msvm_StorageJob>").unwrap().0.to_owned()
    };
    let nil = |name: &str| format!("<p:{name} xsi:nil=\"true\"/>");
    assert_eq!(shown(""), [nil("None"), nil("Null"), nil("NullArray")].concat());
    for option in [
        "<w:Option Name='msftwinrm:UsePreciseArrays' Type='xs:boolean'>true</w:Option>",
        "<w:Option Name='msftwinrm:UsePreciseArrays' MustComply='true'>TRUE</w:Option>",
    ] {
        let marked = "<p:NullArray xmlns:m=\"http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd\" \
                      m:IsNullArray=\"true\" xsi:nil=\"true\"/>";
        let precise = shown(&format!("<w:OptionSet>{option}</w:OptionSet>"));
        assert_eq!(precise, [&nil("Null"), marked].concat());
    }
    for option in [
        "<o:Option xmlns:o='http://schema.openwsman.org/2006/openwsman' Name='ExcludeNilProperties'/>",
        "<w:Option Name='msftwinrm:ExcludeNilProperties'>true</w:Option>",
    ] {
        assert_eq!(shown(&format!("<w:OptionSet>{option}</w:OptionSet>")), "");
    }
    let not = "<w:OptionSet><w:Option Name='UsePreciseArrays'>false</w:Option></w:OptionSet>";
    assert_eq!(shown(not), shown(""));
}

#[test]
fn filters_in_xpath_are_read() {
    for dialect in [
        "",
        " Dialect='http://www.w3.org/TR/1999/REC-xpath-19991116'",
        " Dialect='http://schemas.dmtf.org/wbem/wsman/1/wsman/XPath-Level1'",
    ] {
        let body = format!("<n:Enumerate><w:Filter{dialect}> JobState = 7 </w:Filter></n:Enumerate>");
        let Action::Enumerate(asked) = decode(&envelope(ENUMERATE, "", &body)).unwrap().action else {
            panic!("no Enumerate")
        };
        assert_eq!(asked.filter, Some(Filter::XPath("JobState = 7".to_owned())));
    }
}

#[test]
fn both_forms_of_get_error_are_written() {
    let action = format!("{CLASS}/GetError");
    let request = decode(&envelope(&action, "", "")).unwrap();
    assert_eq!(request.action, Action::Invoke { method: "GetError".into(), params: Vec::new() });
    let error = Instance::new("Msvm_Error").with("Message", "no \"space\" <left>");
    for (value, part) in [
        (Value::InstanceText(Box::new(error.clone())), "<p:Error>&lt;INSTANCE CLASSNAME=\"Msvm_Error\"&gt;"),
        (
            Value::Instance(Box::new(error.clone())),
            "<q:Message>no \"space\" &lt;left&gt;</q:Message></p:Error>",
        ),
    ] {
        let out = [Param::new("Error", value)];
        let written = ResponseWriter::new(&request.header, "uuid:1", None).method(
            "GetError",
            &out,
            Some(&Value::Uint32(0)),
        );
        let written = String::from_utf8(written).unwrap();
        assert!(written.contains(part), "{written}");
        assert!(written.contains("<p:ReturnValue>0</p:ReturnValue></p:GetError_OUTPUT>"), "{written}");
        if let Some((_, text)) = written.split_once("<p:Error>") {
            let text = text.split_once("</p:Error>").unwrap().0;
            let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            assert_eq!(parse_instance_text(&text), Ok(error.clone()));
        }
    }
}

#[test]
fn parameters_are_read_in_every_form() {
    let body = format!(
        "<p:Do_INPUT xmlns:p='{CLASS}'>\
         <p:Text><![CDATA[<INSTANCE CLASSNAME=\"X\"/>]]></p:Text>\
         <p:One>1</p:One><p:One>2</p:One><p:Nil xsi:nil='true'/>\
         <p:Ref><a:EndpointReference><a:Address/><a:ReferenceParameters><w:ResourceURI>{CLASS}</w:ResourceURI>\
         <w:SelectorSet><w:Selector Name='K'>v</w:Selector></w:SelectorSet></a:ReferenceParameters>\
         </a:EndpointReference></p:Ref>\
         <p:Time><cim:Interval>PT5S</cim:Interval></p:Time>\
         <p:Nested><q:X xmlns:q='http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/X'><q:A>1</q:A></q:X></p:Nested>\
         <p:Typed xsi:type='undeclared:X_Type'/></p:Do_INPUT>"
    );
    let request = decode(&envelope(&format!("{CLASS}/Do"), "", &body)).unwrap();
    let Action::Invoke { params, .. } = request.action else { panic!("no Invoke") };
    let value = |name: &str| params.iter().find(|p| p.name.is(name)).and_then(|p| p.value.clone());
    assert_eq!(value("Text"), Some("<INSTANCE CLASSNAME=\"X\"/>".into()));
    assert_eq!(value("One"), Some(Value::strings(["1", "2"])));
    assert_eq!(value("Nil"), None);
    let path =
        InstancePath::new(NamespaceName::new("root/virtualization/v2"), "Msvm_StorageJob").with_key("K", "v");
    assert_eq!(value("Ref"), Some(Value::Reference(Box::new(ObjectPath::Instance(path)))));
    assert_eq!(value("Time"), Some(Value::DateTime("00000000000005.000000:000".parse().unwrap())));
    assert_eq!(value("Nested"), Some(Value::Instance(Box::new(Instance::new("X").with("A", "1")))));
    assert_eq!(value("Typed"), Some(Value::Instance(Box::new(Instance::new("X")))));
}

fn refused(text: &str) -> (Option<Subcode>, Option<&'static str>) {
    let refusal = decode(text).expect_err(text);
    let fault: Fault = refusal.fault;
    encode_fault(&fault, "uuid:1", &refusal.message_id);
    (fault.subcode, fault.detail)
}

#[test]
fn what_is_wrong_gets_its_fault() {
    let get = |headers: &str| refused(&envelope(GET, headers, ""));
    use Subcode as S;
    for (headers, subcode, detail) in [
        ("<w:MaxEnvelopeSize>8191</w:MaxEnvelopeSize>", S::EncodingLimit, Some("MinimumEnvelopeLimit")),
        ("<w:MaxEnvelopeSize>x</w:MaxEnvelopeSize>", S::InvalidMessageInformationHeader, None),
        (
            "<w:OperationTimeout>2024-01-01T00:00:00Z</w:OperationTimeout>",
            S::InvalidMessageInformationHeader,
            Some("InvalidTimeout"),
        ),
        (
            "<a:ReplyTo><a:Address>http://elsewhere/</a:Address></a:ReplyTo>",
            S::UnsupportedFeature,
            Some("AddressingMode"),
        ),
        ("<w:Locale xml:lang='de' s:mustUnderstand='true'/>", S::UnsupportedFeature, Some("Locale")),
        (
            "<w:SelectorSet><w:Selector Name='A'>1</w:Selector><w:Selector Name='a'>2</w:Selector></w:SelectorSet>",
            S::InvalidSelectors,
            Some("DuplicateSelectors"),
        ),
        (
            "<w:OptionSet><w:Option Name='x' MustComply='true'/></w:OptionSet>",
            S::InvalidOptions,
            Some("NotSupported"),
        ),
        ("<w:FragmentTransfer>a|b</w:FragmentTransfer>", S::InvalidRepresentation, Some("InvalidFragment")),
        ("<w:FragmentTransfer Dialect='urn:x'>a</w:FragmentTransfer>", S::FragmentDialectNotSupported, None),
    ] {
        assert_eq!(get(headers), (Some(subcode), detail), "{headers}");
    }
    let enumerate =
        |inner: &str| refused(&envelope(ENUMERATE, "", &format!("<n:Enumerate>{inner}</n:Enumerate>")));
    for (inner, subcode) in [
        ("<w:Filter Dialect='urn:x'>a</w:Filter>", S::FilterDialectRequestedUnavailable),
        (
            "<w:Filter Dialect='http://schemas.microsoft.com/wbem/wsman/1/WQL'>x</w:Filter><n:Filter/>",
            S::CannotProcessFilter,
        ),
        ("<w:EnumerationMode>All</w:EnumerationMode>", S::UnsupportedFeature),
        (
            "<b:PolymorphismMode xmlns:b='http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd'>x</b:PolymorphismMode>",
            S::PolymorphismModeNotSupported,
        ),
        ("<w:MaxElements>0</w:MaxElements>", S::SchemaValidationError),
        ("<n:Expires>PT0S</n:Expires>", S::InvalidExpirationTime),
    ] {
        assert_eq!(enumerate(inner).0, Some(subcode), "{inner}");
    }
    assert_eq!(refused(&envelope("urn:x/Do", "", "")).0, Some(S::ActionNotSupported));
    assert_eq!(refused(&envelope(ENUMERATE, "", "")).0, Some(S::SchemaValidationError));
    assert_eq!(refused("<x/>").0, Some(S::SchemaValidationError));
    assert_eq!(refused("").0, Some(S::SchemaValidationError));
    let soap_1_1 = "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'/>";
    assert_eq!(decode(soap_1_1).unwrap_err().fault.code, FaultCode::VersionMismatch);
    let unknown = decode(&envelope(GET, "<t:T xmlns:t='urn:t' s:mustUnderstand='true'/>", "")).unwrap_err();
    assert_eq!(unknown.fault.not_understood, Some(("urn:t".into(), "T".into())));
    assert_eq!(unknown.message_id, "uuid:ABC-def");
}

#[test]
fn what_peers_do_is_tolerated() {
    let request = decode(&envelope(
        GET,
        "<w:OptionSet s:mustUnderstand='true'/><t:T xmlns:t='urn:t' mustUnderstand='true'/>\
         <w:Locale xml:lang='de' s:mustUnderstand='false'/>",
        "",
    ));
    assert!(request.is_ok(), "{request:?}");
    let identify = "<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'><e:Body>\
                    <i:Identify xmlns:i='http://schemas.dmtf.org/wbem/wsman/identify/1/wsmanidentity.xsd'><x/></i:Identify>\
                    </e:Body></e:Envelope>";
    assert_eq!(decode(identify).unwrap().action, Action::Identify);
    assert!(soap_action_fits("\"a\"", "a") && soap_action_fits("", "a") && !soap_action_fits("b", "a"));
    let filter = "<n:Enumerate><w:Filter Dialect='http://schemas.microsoft.com/wbem/wsman/1/WQL'>\
                  associators of {X.K=\"v\"}</w:Filter></n:Enumerate>";
    let request = decode(&envelope(ENUMERATE, "", filter)).unwrap();
    let Action::Enumerate(enumerate) = request.action else { panic!("no Enumerate") };
    assert!(matches!(enumerate.filter, Some(Filter::Association(_))));
}

#[test]
fn every_status_has_a_fault_and_keeps_its_number() {
    for status in CimStatus::ALL {
        for representation in [false, true] {
            let fault = fault_of(&CimError::new(*status, "why"), representation);
            let code = fault.errors[0].get("CIMStatusCode");
            assert_eq!(code, Some(&Value::Uint32(status.code())), "{status}");
            let written = String::from_utf8(encode_fault(&fault, "uuid:1", "uuid:2")).unwrap();
            assert!(written.contains("b:IsCIM_Error=\"true\""), "{written}");
            canonical(&written);
        }
    }
    for subcode in Subcode::ALL {
        canonical(&String::from_utf8(encode_fault(&Fault::new(*subcode, "&"), "uuid:1", "")).unwrap());
    }
}

/// What a client writes, a server reads, and the other way round.
#[test]
fn both_halves_fit_together() {
    let namespace = NamespaceName::new("root/virtualization/v2");
    let keys = [KeyBinding { name: "InstanceID".into(), value: "7".into() }];
    let target =
        Target { to: "http://h/wsman", namespace: &namespace, class: "Msvm_StorageJob", keys: &keys };
    let ask = |ask: &Ask<'_>| {
        let request = decode_request(&encode_request("uuid:1", &target, ask), &Limits::default()).unwrap();
        assert_eq!(request.header.namespace().as_ref(), Some(&namespace), "{ask:?}");
        assert_eq!(request.header.message_id, "uuid:1");
        request
    };
    let answered = |bytes: Vec<u8>| decode_response(&bytes, "uuid:1", &Limits::default()).unwrap();
    let job = Instance::new("Msvm_StorageJob").with("Name", "a < b").with("Count", "2");
    let request = ask(&Ask::Get);
    assert_eq!((&request.action, request.header.selectors[0].value.as_str()), (&Action::Get, Some("7")));
    let written = ResponseWriter::new(&request.header, "uuid:2", None).instance(&job);
    assert_eq!(answered(written), Ok(Answered::Instance(job.clone())));
    let request = ask(&Ask::Put { instance: &job });
    assert_eq!(request.header.modified_properties(), Some(vec!["Name".into(), "Count".into()]));
    assert_eq!(request.action, Action::Put { representation: job.clone() });
    let params = [
        Param::new("Sizes", Value::uint16s([1, 2])),
        Param::new("Inner", Value::Instance(Box::new(job.clone()))),
    ];
    let request = ask(&Ask::Invoke { method: "Do", params: &params });
    let Action::Invoke { method, params } = &request.action else { panic!("no Invoke") };
    assert_eq!((method.as_str(), &params[0].value), ("Do", &Some(Value::strings(["1", "2"]))));
    assert_eq!(params[1].value, Some(Value::Instance(Box::new(job.clone()))));
    let written =
        ResponseWriter::new(&request.header, "uuid:2", None).method("Do", &[], Some(&Value::Uint32(4096)));
    let Ok(Answered::Method(found)) = answered(written) else { panic!("no method") };
    assert_eq!(found[0].value, Some("4096".into()));
    let source = InstancePath::new(namespace.clone(), "X").with_key("K", "v");
    let filter = AssociationFilter { role: Some("R".into()), ..AssociationFilter::default() };
    for asked in [
        AskedFilter::Query { text: "SELECT * FROM X WHERE A < 1", language: "WQL" },
        AskedFilter::Association { source: &source, associated: true, filter: &filter },
    ] {
        let request = ask(&Ask::Enumerate { mode: EnumerationMode::ObjectAndEpr, filter: Some(asked) });
        let Action::Enumerate(enumerate) = &request.action else { panic!("no Enumerate") };
        match &enumerate.filter {
            Some(Filter::Query { text, .. }) => assert_eq!(text, "SELECT * FROM X WHERE A < 1"),
            Some(Filter::Association(query)) => {
                assert_eq!((&query.source, query.associated, &query.filter), (&source, true, &filter));
            }
            other => panic!("{other:?}"),
        }
        let located = Instance { path: Some(source.clone()), ..job.clone() };
        let mut items = ItemWriter::new(&request.header.uris, Some(&namespace), enumerate.mode, false, None);
        items.push(&located);
        let written = ResponseWriter::new(&request.header, "uuid:2", None);
        let written = written.enumerated(Duration::from_secs(60), "context", Some(items));
        let expected = Answered::Items { items: vec![located], context: Some("context".into()) };
        assert_eq!(answered(written), Ok(expected));
    }
    assert!(matches!(ask(&Ask::Pull { context: "c" }).action, Action::Pull(_)));
    assert_eq!(ask(&Ask::Delete).action, Action::Delete);
    let class = encode_request("uuid:1", &target, &Ask::GetClass);
    let class = decode_request(&class, &Limits::default()).unwrap();
    assert_eq!(class.header.resource, Some(Resource::ClassRepository));
    let text = class_text(&Class::new("Msvm_StorageJob"));
    let written = ResponseWriter::new(&class.header, "uuid:2", None).class_text(&text);
    assert!(matches!(answered(written), Ok(Answered::Class(class)) if class.name.is("Msvm_StorageJob")));
    let error = CimError::new(CimStatus::NamespaceNotEmpty, "not now");
    assert_eq!(answered(encode_fault(&fault_of(&error, false), "uuid:2", "uuid:1")), Err(error));
    let other = ResponseWriter::new(&request_of(GET), "uuid:2", None).empty();
    assert!(decode_response(&other, "uuid:1", &Limits::default()).unwrap_err().contains("uuid:ABC-def"));
}

fn request_of(action: &str) -> cimwright_codec::wsman::Header {
    decode(&envelope(action, "", "")).unwrap().header
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A good message with bytes changed, cut out or repeated.
    #[test]
    fn no_message_panics(
        which in 0usize..3,
        edits in proptest::collection::vec((any::<u16>(), any::<u8>(), 0u8..3), 1..12),
    ) {
        let text = match which {
            0 => envelope(GET, "<w:SelectorSet><w:Selector Name='K'>v</w:Selector></w:SelectorSet>", ""),
            1 => envelope(ENUMERATE, "", "<n:Enumerate><w:OptimizeEnumeration/><n:Expires>PT1M</n:Expires></n:Enumerate>"),
            _ => envelope(&format!("{CLASS}/Do"), "", "<Do_INPUT><A><b><c/></b></A><A xsi:nil='1'/></Do_INPUT>"),
        };
        let mut bytes = text.into_bytes();
        for (at, byte, kind) in edits {
            let at = usize::from(at) % bytes.len().max(1);
            match kind {
                0 if !bytes.is_empty() => bytes[at] = byte,
                1 if !bytes.is_empty() => { bytes.remove(at); }
                _ => bytes.insert(at.min(bytes.len()), byte),
            }
        }
        let _ = decode_response(&bytes, "uuid:ABC-def", &Limits::default());
        if let Err(refusal) = decode_request(&bytes, &Limits::default()) {
            encode_fault(&refusal.fault, "uuid:1", &refusal.message_id);
        }
    }

    #[test]
    fn no_text_of_a_value_is_lost(text in "\\PC{0,40}") {
        let request = decode(&envelope(GET, "", "")).unwrap();
        let instance = Instance::new("X").with("Text", text.as_str());
        let written = String::from_utf8(ResponseWriter::new(&request.header, "uuid:1", None).instance(&instance)).unwrap();
        let body = written.split_once("<s:Body>").unwrap().1.split_once("</s:Body>").unwrap().0;
        let create = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Create";
        let request = decode(&envelope(create, "", body)).unwrap();
        let Action::Create { representation } = request.action else { panic!("no Create") };
        prop_assert_eq!(representation.get_str("Text"), Some(text.as_str()));
    }
}
