//! WS-Management at the socket: who gets in, what goes out, and that nothing reaches the object manager without a user.
#![allow(clippy::unwrap_used, reason = "this is code of tests, although it is outside of test functions")]

mod support;

use std::sync::atomic::Ordering;
use support::{Reply, TestServer, basic};

const CLASS: &str = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/test/Large";
const GET: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get";
const PULL: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Pull";
const ENUMERATE: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Enumerate";
const IDENTIFY: &str = "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope'><s:Header/><s:Body>\
     <i:Identify xmlns:i='http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd'/></s:Body></s:Envelope>";

fn envelope(resource: &str, action: &str, headers: &str, body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope' \
         xmlns:a='http://schemas.xmlsoap.org/ws/2004/08/addressing' \
         xmlns:w='http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd' \
         xmlns:n='http://schemas.xmlsoap.org/ws/2004/09/enumeration'><s:Header>\
         <a:To>http://h/wsman</a:To><a:Action>{action}</a:Action><a:MessageID>uuid:M-1</a:MessageID>\
         <w:ResourceURI>{resource}</w:ResourceURI>{headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )
}

fn post(path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{request}\r\n{body}")
}

async fn ask(server: &TestServer, body: &str) -> Reply {
    let authorization = basic("ann", "secret");
    let headers =
        [("Authorization", authorization.as_str()), ("Content-Type", "application/soap+xml;charset=UTF-8")];
    server.ask(post("/wsman", &headers, body)).await
}

fn on_instance(action: &str) -> String {
    let selectors = "<w:SelectorSet><w:Selector Name='InstanceID'>7</w:Selector></w:SelectorSet>";
    envelope(CLASS, action, selectors, "")
}

#[tokio::test]
async fn nothing_reaches_the_object_manager_without_a_user() {
    let server = TestServer::with(|c| c.wsman.anonymous_identify = true);
    let get = on_instance(GET);
    let wrong = basic("ann", "wrong");
    for headers in [
        &[][..],
        &[("Authorization", "")],
        &[("Authorization", "Basic")],
        &[("Authorization", "Basic YW5u")],
        &[("Authorization", &wrong)],
        &[("Authorization", "Negotiate AAAA")],
        &[("Authorization", "Bearer x")],
        &[("WSMANIDENTIFY", "unauthenticated")],
    ] {
        for path in ["/wsman", "/wsman/", "/wsman-anon/identify"] {
            let mut headers = headers.to_vec();
            headers.push(("Content-Type", "application/soap+xml"));
            let reply = server.ask(post(path, &headers, &get)).await;
            assert_eq!(reply.status, 401, "{path} {headers:?}");
            assert!(reply.header("WWW-Authenticate").is_some(), "{path} {headers:?}");
        }
    }
    assert_eq!(server.fake.done.load(Ordering::SeqCst), 0);
    assert_eq!(ask(&server, &get).await.status, 200);
    assert_eq!(server.fake.done.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn strangers_are_told_what_this_is_only_if_it_is_configured() {
    let soap = ("Content-Type", "application/soap+xml");
    let server = TestServer::start();
    for headers in [vec![soap], vec![soap, ("WSMANIDENTIFY", "unauthenticated")]] {
        for path in ["/wsman", "/wsman-anon/identify"] {
            assert_eq!(server.ask(post(path, &headers, IDENTIFY)).await.status, 401, "{path}");
        }
    }
    ask(&server, IDENTIFY).await.assert_message(concat!("<wsmid:ProductVersion>", env!("CARGO_PKG_VERSION")));
    let server = TestServer::with(|c| c.wsman.anonymous_identify = true);
    assert_eq!(server.ask(post("/wsman", &[soap], IDENTIFY)).await.status, 401);
    for (path, headers) in
        [("/wsman", vec![soap, ("WSMANIDENTIFY", "unauthenticated")]), ("/wsman-anon/identify", vec![soap])]
    {
        let reply = server.ask(post(path, &headers, IDENTIFY)).await;
        reply.assert_message("<wsmid:ProductVersion>0.0.0</wsmid:ProductVersion>");
        // Whoever is somebody may say more.
        let long = format!("{}{IDENTIFY}", " ".repeat(64 << 10));
        assert_eq!(server.ask(post(path, &headers, &long)).await.status, 413);
        ask(&server, &long).await.assert_message("<wsmid:ProductVersion>");
    }
}

#[tokio::test]
async fn get_and_methods_are_answered() {
    let server = TestServer::start();
    let reply = ask(&server, &on_instance(GET)).await;
    reply.assert_message("<a:RelatesTo>uuid:M-1</a:RelatesTo>");
    reply.assert_message(&format!("<p:Large xmlns:p=\"{CLASS}\" xsi:type=\"p:Large_Type\"><p:InstanceID>"));
    assert_eq!(reply.header("Content-Type"), Some("application/soap+xml;charset=UTF-8"));
    let reply = ask(&server, &on_instance(&format!("{CLASS}/WhoAmI"))).await;
    reply.assert_message("<p:ReturnValue>ann administrator</p:ReturnValue></p:WhoAmI_OUTPUT>");
}

#[tokio::test]
async fn a_failure_is_a_fault_with_the_reasons_behind_it() {
    let server = TestServer::start();
    let reply = ask(&server, &on_instance(&format!("{CLASS}/Fail"))).await;
    assert_eq!(reply.status, 500);
    for part in [
        "<s:Value>w:InternalError</s:Value>",
        "b:IsCIM_Error=\"true\"",
        "<p:Message>No space is left</p:Message>",
        "<a:RelatesTo>uuid:M-1</a:RelatesTo>",
    ] {
        assert!(reply.body.contains(part), "{part}: {reply:?}");
    }
    assert!(!reply.body.contains("WSManFault"));
    let reply = ask(&server, &on_instance(&format!("{CLASS}/Panic"))).await;
    assert!(reply.status == 500 && reply.body.contains("w:InternalError"), "{reply:?}");
    for (resource, subcode) in [
        ("http://schemas.microsoft.com/wbem/wsman/1/wmi/root/none/Large", "a:DestinationUnreachable"),
        ("http://schemas.microsoft.com/wbem/wsman/1/wmi/root/test/None", "a:DestinationUnreachable"),
        ("http://schemas.microsoft.com/wbem/wsman/1/config", "a:DestinationUnreachable"),
        (CLASS, "w:InvalidSelectors"),
    ] {
        let reply = ask(&server, &envelope(resource, GET, "", "")).await;
        assert!(reply.status == 500 && reply.body.contains(subcode), "{resource}: {reply:?}");
    }
    // Windows' own clients look for a detail of their own.
    let authorization = basic("ann", "secret");
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/soap+xml"),
        ("User-Agent", "Microsoft WinRM Client"),
    ];
    let reply = server.ask(post("/wsman", &headers, &envelope(CLASS, GET, "", ""))).await;
    assert!(reply.body.contains("<f:WSManFault"), "{reply:?}");
}

#[tokio::test]
async fn a_client_that_waits_no_longer_is_told_so() {
    let server = TestServer::start();
    let headers = "<w:OperationTimeout>PT0.2S</w:OperationTimeout>\
                   <w:SelectorSet><w:Selector Name='InstanceID'>7</w:Selector></w:SelectorSet>";
    let reply = ask(&server, &envelope(CLASS, &format!("{CLASS}/Wait"), headers, "")).await;
    assert!(reply.status == 500 && reply.body.contains("w:TimedOut"), "{reply:?}");
    // What was begun goes on.
    server.fake.release.notify_one();
    server.fake.ended.notified().await;
}

#[tokio::test]
async fn what_is_no_soap_is_refused_on_the_level_of_http() {
    let server = TestServer::start();
    let authorization = basic("ann", "secret");
    let with = |more: (&'static str, &'static str)| {
        server.ask(post("/wsman", &[("Authorization", authorization.as_str()), more], &on_instance(GET)))
    };
    assert_eq!(with(("Content-Type", "text/plain")).await.status, 415);
    assert_eq!(with(("Content-Type", "text/xml")).await.status, 200);
    assert_eq!(server.ask("GET /wsman HTTP/1.1\r\nHost: x\r\n\r\n").await.status, 405);
    // A client that logs in step by step sends nothing until it is through.
    let empty = post("/wsman", &[("Authorization", authorization.as_str())], "");
    let reply = server.ask(empty).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    let reply = server
        .ask(post(
            "/wsman",
            &[
                ("Authorization", authorization.as_str()),
                ("Content-Type", "application/soap+xml"),
                ("SOAPAction", "\"urn:other\""),
            ],
            &on_instance(GET),
        ))
        .await;
    assert!(reply.status == 500 && reply.body.contains("faultDetail/ActionMismatch"), "{reply:?}");
}

fn context(reply: &Reply) -> String {
    let (_, rest) = reply.body.split_once("<n:EnumerationContext>").expect("a context");
    rest.split_once('<').unwrap().0.to_owned()
}

fn pull(context: &str, headers: &str, more: &str) -> String {
    let body = format!("<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext>{more}</n:Pull>");
    // Some clients pull on another resource URI than they enumerated.
    envelope("http://schemas.microsoft.com/wbem/wsman/1/wmi/root/test/*", PULL, headers, &body)
}

#[tokio::test]
async fn an_enumeration_is_pulled_within_what_the_client_takes() {
    let server = TestServer::start();
    let begin = ask(&server, &envelope(CLASS, ENUMERATE, "", "<n:Enumerate/>")).await;
    begin.assert_message("<n:Expires>PT10M</n:Expires><n:EnumerationContext>uuid:");
    let context = context(&begin);
    // One item when the client does not say.
    let reply = ask(&server, &pull(&context, "", "")).await;
    assert_eq!(reply.body.matches("<p:Large ").count(), 1);
    // An item has 32 KiB: three of them fit into 120,000 bytes, and none into 16,384.
    let small = "<w:MaxEnvelopeSize>16384</w:MaxEnvelopeSize>";
    let many = "<n:MaxElements>100</n:MaxElements>";
    let reply = ask(&server, &pull(&context, small, many)).await;
    assert!(reply.status == 500 && reply.body.contains("faultDetail/MaxEnvelopeSize"), "{reply:?}");
    let reply = ask(&server, &pull(&context, "<w:MaxEnvelopeSize>120000</w:MaxEnvelopeSize>", many)).await;
    assert_eq!(reply.body.matches("<p:Large ").count(), 3);
    assert!(reply.body.len() <= 120_000);
    let reply = ask(
        &server,
        &pull(&context, "", "<n:MaxElements>100</n:MaxElements><n:MaxCharacters>40000</n:MaxCharacters>"),
    )
    .await;
    assert_eq!(reply.body.matches("<p:Large ").count(), 1);
    let mut seen = 5;
    loop {
        let reply = ask(&server, &pull(&context, "", many)).await;
        seen += reply.body.matches("<p:Large ").count();
        if reply.body.contains("<n:EndOfSequence/>") {
            assert!(!reply.body.contains("<n:EnumerationContext>"));
            break;
        }
    }
    assert_eq!(seen, 40);
    let reply = ask(&server, &pull(&context, "", "")).await;
    assert!(reply.body.contains("n:InvalidEnumerationContext"), "{reply:?}");
}

#[tokio::test]
async fn enumerations_are_renewed_released_and_counted() {
    let server = TestServer::with(|c| c.wsman.contexts_per_user = 2);
    let begin = envelope(CLASS, ENUMERATE, "", "<n:Enumerate><n:Expires>PT1M</n:Expires></n:Enumerate>");
    let first = ask(&server, &begin).await;
    first.assert_message("<n:Expires>PT1M</n:Expires>");
    ask(&server, &begin).await.assert_message("EnumerationContext");
    let refused = ask(&server, &begin).await;
    assert!(refused.status == 500 && refused.body.contains("w:QuotaLimit"), "{refused:?}");
    let context = context(&first);
    let on = |action: &str, more: &str| {
        let name = action.rsplit('/').next().unwrap().to_owned();
        let body =
            format!("<n:{name}><n:EnumerationContext>{context}</n:EnumerationContext>{more}</n:{name}>");
        envelope(CLASS, &format!("http://schemas.xmlsoap.org/ws/2004/09/enumeration/{name}"), "", &body)
    };
    ask(&server, &on("Renew", "<n:Expires>PT5M</n:Expires>"))
        .await
        .assert_message("<n:RenewResponse><n:Expires>PT5M<");
    ask(&server, &on("GetStatus", "")).await.assert_message("<n:GetStatusResponse><n:Expires>PT4M5");
    ask(&server, &on("Release", "")).await.assert_message("<s:Body></s:Body>");
    let gone = ask(&server, &on("Release", "")).await;
    assert!(gone.body.contains("n:InvalidEnumerationContext"), "{gone:?}");
    ask(&server, &begin).await.assert_message("EnumerationContext");
}

#[tokio::test]
async fn an_optimized_enumeration_begins_with_items() {
    let server = TestServer::start();
    let body = "<n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>1000</w:MaxElements>\
                <w:EnumerationMode>EnumerateObjectAndEPR</w:EnumerationMode></n:Enumerate>";
    let small = CLASS.replace("Large", "Small");
    let reply = ask(&server, &envelope(&small, ENUMERATE, "", body)).await;
    reply.assert_message("<n:EnumerationContext></n:EnumerationContext><w:Items><w:Item>");
    reply.assert_message("</w:Item></w:Items><w:EndOfSequence/></n:EnumerateResponse>");
    assert_eq!(reply.body.matches("<a:EndpointReference>").count(), 2);
    // 512,000 bytes when the client does not say what it takes; the rest is pulled.
    let reply = ask(&server, &envelope(CLASS, ENUMERATE, "", body)).await;
    assert!(!reply.body.contains("EndOfSequence") && reply.body.len() <= 512_000);
    ask(&server, &pull(&context(&reply), "", "")).await.assert_message("<n:Items><w:Item>");
}
