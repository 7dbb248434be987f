//! The rules of CIM operations over HTTP, as DSP0200 and the clients in use have them.

mod support;

use cimwright_cim::Operation;
use support::{Post, TestServer};

/// An operation that the fake broker answers.
fn post() -> Post {
    Post::new(Operation::EnumerateQualifiers)
}

#[tokio::test]
async fn a_plain_request_is_answered() {
    let server = TestServer::start();
    for path in ["/cimom", "/", "/any/other?x=y"] {
        let reply = server.ask(post().line(&format!("POST {path} HTTP/1.1")).bytes()).await;
        reply.assert_message("<IMETHODRESPONSE NAME=\"EnumerateQualifiers\">");
        assert!(reply.body.contains("<MESSAGE ID=\"1001\""), "{reply:?}");
        assert_eq!(reply.header("Content-Type"), Some("application/xml; charset=\"utf-8\""));
        assert_eq!(reply.header("CIMOperation"), Some("MethodResponse"));
        assert_eq!(reply.header("Content-Length"), Some(reply.body.len().to_string().as_str()));
        assert!(reply.header("WBEMServerResponseTime").unwrap().parse::<u64>().is_ok());
        assert!(reply.header("CIMMethod").is_none() && reply.header("CIMObject").is_none());
    }
}

#[tokio::test]
async fn what_clients_write_differently_is_accepted() {
    let server = TestServer::start();
    for request in [
        post().with("Content-Type", "text/xml"),
        post().with("Content-Type", "TEXT/XML; Charset=UTF-8"),
        post().with("CIMOperation", "methodcall"),
        post().with("CIMMethod", "enumeratequalifiers"),
        post().with("CIMObject", "root%2Ftest"),
        post().with("CIMProtocolVersion", "1.0"),
        post().with("Accept-Encoding", "gzip, deflate").with("Accept-Language", "de"),
        post().with("TE", "trailers"),
        post().with("Pragma", "UpdateExpiredPassword"),
        post().with("CIMRoleAuthenticate", "credentialnotrequired"),
        post().replace("<?xml", "\u{feff}<?xml"),
    ] {
        server.ask(request.bytes()).await.assert_message("<IMETHODRESPONSE");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_message_is_told_by_http() {
    let server = TestServer::start();
    let bad_request = |token| (400, Some(token));
    let not_implemented = |token| (501, Some(token));
    for (request, verdict) in [
        (post().with("CIMMethod", "GetClass"), bad_request("header-mismatch")),
        (post().without("CIMMethod"), bad_request("header-mismatch")),
        (post().with("CIMObject", "root/other"), bad_request("header-mismatch")),
        (post().without("CIMObject"), bad_request("header-mismatch")),
        (post().with("CIMProtocolVersion", "1.1"), bad_request("header-mismatch")),
        (post().with("CIMBatch", ""), bad_request("header-mismatch")),
        (post().without("CIMOperation"), (400, None)),
        (post().with("CIMOperation", "Frob"), bad_request("unsupported-operation")),
        (post().replace("</CIM>", ""), bad_request("request-not-well-formed")),
        (post().replace("IMETHODCALL", "IMETHODCAL"), bad_request("request-not-valid")),
        (
            post().replace("CIMVERSION=\"2.0\"", "CIMVERSION=\"3.0\""),
            not_implemented("unsupported-cim-version"),
        ),
        (
            post().replace("DTDVERSION=\"2.0\"", "DTDVERSION=\"3.0\""),
            not_implemented("unsupported-dtd-version"),
        ),
        (
            post().replace("PROTOCOLVERSION=\"1.0\"", "PROTOCOLVERSION=\"2.0\""),
            not_implemented("unsupported-protocol-version"),
        ),
    ] {
        let reply = server.ask(request.bytes()).await;
        assert_eq!(reply.verdict(), verdict, "{request:?}\n{reply:?}");
        assert!(!reply.body.is_empty());
        // What the header says is the percent-encoded text.
        let detail = reply.header("PGErrorDetail").unwrap_or_default();
        assert_eq!(detail.is_empty(), verdict.1.is_none(), "{reply:?}");
        assert!(!detail.contains([' ', '<', '"']), "{detail}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_http_is_told_without_cim_error() {
    let server = TestServer::start();
    for (request, status) in [
        (post().with("Content-Type", "text/plain"), 400),
        (post().with("Content-Type", "application/xml; charset=iso-8859-1"), 400),
        (post().without("Content-Type"), 400),
        (post().without("Host"), 400),
        (post().with("Content-Encoding", "gzip"), 415),
    ] {
        let reply = server.ask(request.bytes()).await;
        assert_eq!(reply.verdict(), (status, None), "{request:?}");
    }
    // Latin-1 is no UTF-8.
    let mut latin = post().replace("1001", "10é1");
    let at = latin.body.iter().position(|b| *b == 0xc3).unwrap();
    latin.body.splice(at..at + 2, [0xe9]);
    assert_eq!(server.ask(latin.bytes()).await.status, 400);
}

#[tokio::test]
async fn only_post_is_served() {
    let server = TestServer::start();
    for (method, status) in [("GET", 405), ("PUT", 405), ("FROB", 501)] {
        let reply = server.ask(format!("{method} /cimom HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(reply.status, status, "{method}");
        assert!(reply.header("Allow").unwrap().starts_with("POST"), "{method}");
    }
    let reply = server.ask(post().line("POST /wsman HTTP/1.1").bytes()).await;
    assert!(reply.body.contains("SchemaValidationError"), "WS-Management has its own place: {reply:?}");
}

#[tokio::test]
async fn options_tell_what_the_server_can_do() {
    let server = TestServer::start();
    let reply = server.ask(post().line("OPTIONS /cimom HTTP/1.1").bytes()).await;
    assert_eq!(reply.status, 200);
    assert!(reply.header("Opt").unwrap().ends_with("ns=77"));
    let groups = reply.header("77-CIMSupportedFunctionalGroups").unwrap();
    assert!(groups.contains("schema-manipulation"), "{groups}");
    assert_eq!(reply.header("77-CIMSupportsMultipleOperations"), Some(""));
    let reply = server.ask("OPTIONS /cimom HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()).await;
    assert_eq!(reply.status, 401, "only to those who may ask");
}

#[tokio::test]
async fn m_post_renames_the_headers() {
    let server = TestServer::start();
    let man = "http://www.dmtf.org/cim/mapping/http/v1.0 ; ns=73";
    let renamed = |post: Post| {
        let mut post = post.line("M-POST /cimom HTTP/1.1").with("Man", man);
        for (name, _) in &mut post.headers {
            if name.starts_with("CIM") {
                *name = format!("73-{name}");
            }
        }
        post
    };
    let reply = server.ask(renamed(post()).bytes()).await;
    reply.assert_message("<IMETHODRESPONSE");
    assert_eq!(reply.header("Ext"), Some(""));
    assert_eq!(reply.header("Cache-Control"), Some("no-cache"));
    assert!(reply.header("Man").unwrap().starts_with("http://www.dmtf.org/cim/mapping/http/v1.0"));
    assert_eq!(reply.header("73-CIMOperation"), Some("MethodResponse"));
    assert_eq!(reply.header("CIMOperation"), None);

    let encoded = Post::method("WhoAmI").with("CIMObject", "root%2Ftest%3ATest");
    server.ask(renamed(encoded).bytes()).await.assert_message("ann administrator");

    let mismatch = server.ask(renamed(post()).with("73-CIMMethod", "GetClass").bytes()).await;
    assert_eq!((mismatch.status, mismatch.header("73-CIMError")), (400, Some("header-mismatch")));
    // Without the digits they are not the headers of this extension.
    let unnamed = server.ask(post().line("M-POST / HTTP/1.1").with("Man", man).bytes()).await;
    assert_eq!(unnamed.status, 400);
    let undeclared = server.ask(renamed(post()).without("Man").bytes()).await;
    assert_eq!(undeclared.status, 510);
    let old = server.ask(renamed(post()).line("M-POST /cimom HTTP/1.0").bytes()).await;
    assert_eq!(old.status, 400);
}

#[tokio::test]
async fn errors_of_operations_are_messages() {
    let server = TestServer::start();
    let reply = server.ask(Post::method("Nothing").bytes()).await;
    reply.assert_message("<METHODRESPONSE NAME=\"Nothing\"><ERROR CODE=\"6\"");
    let unknown = post().replace("\"EnumerateQualifiers\"", "\"Frob\"").with("CIMMethod", "Frob");
    server.ask(unknown.bytes()).await.assert_message("<IMETHODRESPONSE NAME=\"Frob\"><ERROR CODE=\"7\"");
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order() {
    let server = TestServer::start();
    let simple = |p: &Post| {
        let body = String::from_utf8(p.body.clone()).unwrap();
        let (from, to) = (body.find("<SIMPLEREQ>").unwrap(), body.find("</SIMPLEREQ>").unwrap() + 12);
        body[from..to].to_owned()
    };
    let first = post();
    let requests =
        [simple(&first), simple(&Post::method("Nothing")), simple(&Post::enumerate("Small"))].concat();
    let batch = first
        .clone()
        .replace(&simple(&first), &format!("<MULTIREQ>{requests}</MULTIREQ>"))
        .without("CIMMethod")
        .without("CIMObject");
    let reply = server.ask(batch.clone().with("CIMBatch", "").bytes()).await;
    reply.assert_message("<MULTIRSP><SIMPLERSP><IMETHODRESPONSE NAME=\"EnumerateQualifiers\">");
    let at = |part| reply.body.find(part).unwrap();
    assert!(
        at("EnumerateQualifiers") < at("<ERROR CODE=\"6\"") && at("<ERROR CODE") < at("EnumerateInstances")
    );
    assert_eq!(reply.body.matches("<VALUE.NAMEDINSTANCE>").count(), 2);
    assert_eq!(server.ask(batch.bytes()).await.verdict(), (400, Some("header-mismatch")));

    let small = TestServer::with(|c| c.limits.max_batch_response_bytes = 1000);
    let reply = small.ask(batch.with("CIMBatch", "").bytes()).await;
    reply.assert_message("<IMETHODRESPONSE NAME=\"EnumerateInstances\"><ERROR CODE=\"27\"");
}

#[tokio::test]
async fn chunked_requests_and_many_on_one_connection() {
    let server = TestServer::start();
    let mut client = server.connect().await;
    let mut chunked = post().with("Transfer-Encoding", "chunked");
    let body = std::mem::take(&mut chunked.body);
    let mut bytes = chunked.head();
    for piece in body.chunks(100) {
        bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        bytes.extend(piece);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    client.ask(bytes).await.assert_message("<IMETHODRESPONSE");
    for _ in 0..3 {
        client.ask(post().bytes()).await.assert_message("<IMETHODRESPONSE");
    }
    // Two at once are answered one after the other.
    client.send([post().bytes(), Post::method("WhoAmI").bytes()].concat()).await;
    client.reply().await.assert_message("EnumerateQualifiers");
    client.reply().await.assert_message("WhoAmI");
    // A refusal leaves the connection usable.
    assert_eq!(client.ask(post().without("Authorization").bytes()).await.status, 401);
    client.ask(post().bytes()).await.assert_message("<IMETHODRESPONSE");
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_to_go_on_or_not() {
    let server = TestServer::start();
    let mut client = server.connect().await;
    let post = post().with("Expect", "100-continue");
    client.send(post.head()).await;
    assert_eq!(client.reply().await.status, 100);
    client.ask(&post.body).await.assert_message("<IMETHODRESPONSE");

    let mut client = server.connect().await;
    client.send(post.without("Authorization").head()).await;
    assert_eq!(client.reply().await.status, 401);
}

#[tokio::test]
async fn http_1_0_is_served() {
    let server = TestServer::start();
    let old = |p: Post| p.line("POST /cimom HTTP/1.0").without("Host");
    let mut client = server.connect().await;
    client.ask(old(post()).bytes()).await.assert_message("<IMETHODRESPONSE");
    assert!(client.is_closed().await);
    // What is too long to be sent whole ends with the connection.
    let reply = server.ask(old(Post::enumerate("Large")).bytes()).await;
    reply.assert_message("</IRETURNVALUE></IMETHODRESPONSE></SIMPLERSP></MESSAGE></CIM>");
    assert_eq!(reply.header("Transfer-Encoding"), None);
    let broken = server.ask(old(Post::enumerate("LargeBroken")).bytes()).await;
    assert!(!broken.body.contains("</MESSAGE>"));
}

#[tokio::test]
async fn long_answers_are_chunked_and_short_ones_are_not() {
    let server = TestServer::start();
    let small = server.ask(Post::enumerate("Small").bytes()).await;
    small.assert_message("</CIM>");
    assert!(small.header("Content-Length").is_some());
    let large = server.ask(Post::enumerate("Large").bytes()).await;
    large.assert_message("</CIM>");
    assert_eq!(large.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(large.header("CIMOperation"), Some("MethodResponse"));
    assert_eq!(large.body.matches("<VALUE.NAMEDINSTANCE>").count(), 40);
    // Its trailers are not needed.
    let large = server.ask(Post::enumerate("Large").with("TE", "trailers").bytes()).await;
    large.assert_message("</CIM>");
    assert_eq!(large.trailers, "");
}

#[tokio::test]
async fn an_answer_that_fails_is_never_taken_for_a_whole_one() {
    let server = TestServer::start();
    let early = server.ask(Post::enumerate("SmallBroken").bytes()).await;
    early.assert_message("<IMETHODRESPONSE NAME=\"EnumerateInstances\"><ERROR CODE=\"1\"");
    assert!(!early.body.contains("VALUE.NAMEDINSTANCE"));

    let late = server.ask(Post::enumerate("LargeBroken").bytes()).await;
    assert_eq!(late.status, 200);
    assert!(!late.complete, "the client has to see that something is missing");

    let told = server.ask(Post::enumerate("LargeBroken").with("TE", "trailers").bytes()).await;
    assert!(told.complete);
    let announced = told.header("Trailer").unwrap().to_ascii_lowercase();
    assert!(announced.contains("cimstatuscode") && announced.contains("cimstatuscodedescription"));
    assert_eq!(
        told.trailers.to_ascii_lowercase(),
        "cimstatuscode: 1\ncimstatuscodedescription: the%20disk%20is%20gone:%20100%20%25\n"
    );
    assert!(!told.body.contains("</MESSAGE>"));
}
