//! What one client may take of the server: bytes, time and connections.

mod support;

use cimwright_cim::Operation;
use std::sync::atomic::Ordering;
use support::{Client, Post, TestServer, basic, in_time};
use tokio::net::{TcpStream, UnixStream};

fn post() -> Post {
    Post::new(Operation::EnumerateQualifiers)
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_however_it_comes() {
    let server = TestServer::with(|c| c.limits.max_body_bytes = 4096);
    let large = post().replace("</CIM>", &format!("</CIM>{}", " ".repeat(8192)));
    let reply = server.ask(large.bytes()).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    let mut chunked = large.clone().with("Transfer-Encoding", "chunked").head();
    chunked.extend(format!("{:x}\r\n", large.body.len()).into_bytes());
    chunked.extend(&large.body);
    chunked.extend(b"\r\n0\r\n\r\n");
    assert_eq!(server.ask(chunked).await.status, 413);
    // What nobody would wait for to its end is answered all the same, and not read to its end.
    let mut client = server.connect().await;
    client.send(large.with("Content-Length", "99999999999").head()).await;
    client.send(vec![b' '; 16384]).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("Connection")), (413, Some("close")));
    let fits = post().replace("</CIM>", &format!("</CIM>{}", " ".repeat(2048)));
    server.ask(fits.bytes()).await.assert_message("CIM");
}

#[tokio::test]
async fn strangers_are_read_less_of() {
    let server = TestServer::with(|c| c.wsman.anonymous_identify = true);
    let identify = |padding: usize, more: &str| {
        let body = format!(
            "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope' \
             xmlns:i='http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd'>\
             <s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>{}",
            " ".repeat(padding)
        );
        format!(
            "POST /wsman HTTP/1.1\r\nHost: x\r\nWSMANIDENTIFY: unauthenticated\r\n{more}\
             Content-Type: application/soap+xml;charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    assert_eq!(server.ask(identify(100, "")).await.status, 200);
    assert_eq!(server.ask(identify(20_000, "")).await.status, 413);
    let known = format!("Authorization: {}\r\n", basic("ann", "secret"));
    assert_eq!(server.ask(identify(20_000, &known)).await.status, 200);
}

#[tokio::test]
async fn headers_that_are_too_long_or_too_many_are_refused() {
    let server = TestServer::with(|c| {
        c.limits.max_header_bytes = 8192;
        c.limits.max_headers = 20;
    });
    let long = post().with("X-Long", &"x".repeat(10_000));
    assert_eq!(server.ask(long.bytes()).await.status, 431);
    let mut many = post();
    for i in 0..30 {
        many = many.with(&format!("X-{i}"), "x");
    }
    assert_eq!(server.ask(many.bytes()).await.status, 431);
    let long_uri = post().line(&format!("POST /{} HTTP/1.1", "x".repeat(10_000)));
    assert!([414, 431].contains(&server.ask(long_uri.bytes()).await.status));
    server.ask(post().bytes()).await.assert_message("CIM");
}

#[tokio::test]
async fn who_is_slow_is_cut_off() {
    let server = TestServer::with(|c| {
        c.limits.header_read_timeout_ms = 100;
        c.limits.body_read_timeout_ms = 100;
        c.limits.keep_alive_ms = 200;
    });
    let mut silent = server.connect().await;
    let mut slow_head = server.connect().await;
    slow_head.send("POST /cimom HTTP/1.1\r\nHost: ").await;
    let mut slow_body = server.connect().await;
    slow_body.send(post().head()).await;
    let mut idle = server.connect().await;
    idle.ask(post().bytes()).await.assert_message("CIM");
    let mut slow_again = server.connect().await;
    slow_again.ask(post().bytes()).await.assert_message("CIM");
    slow_again.send("POST").await;
    assert!(silent.is_closed().await);
    assert!(slow_head.is_closed().await);
    let reply = slow_body.reply().await;
    assert_eq!((reply.status, reply.header("Connection")), (408, Some("close")));
    assert!(slow_body.is_closed().await);
    assert!(idle.is_closed().await);
    assert!(slow_again.is_closed().await);
}

#[tokio::test]
async fn work_takes_as_long_as_it_takes() {
    let server = TestServer::with(|c| {
        c.limits.header_read_timeout_ms = 20;
        c.limits.body_read_timeout_ms = 20;
        c.limits.keep_alive_ms = 20;
        c.limits.write_stall_timeout_ms = 20;
    });
    let mut client = server.connect().await;
    client.send(Post::method("Wait").bytes()).await;
    in_time(server.fake.begun.notified()).await;
    // An idle connection is opened and cut off meanwhile: so much time has passed.
    for _ in 0..3 {
        assert!(server.connect().await.is_closed().await);
    }
    server.fake.release.notify_one();
    client.reply().await.assert_message("Wait");
}

#[tokio::test]
async fn who_does_not_take_the_answer_is_cut_off() {
    let server = TestServer::with(|c| {
        c.limits.write_stall_timeout_ms = 100;
        c.limits.header_read_timeout_ms = 100;
    });
    let mut client = server.connect().await;
    client.send(Post::enumerate("Endless").bytes()).await;
    // Not read: the buffers fill up, the time passes, and the server lets go of the stream.
    let mut witness = server.connect().await;
    let before = loop {
        let before = server.fake.portions.load(Ordering::SeqCst);
        assert!(witness.is_closed().await);
        witness = server.connect().await;
        if before > 0 && before == server.fake.portions.load(Ordering::SeqCst) {
            break before;
        }
    };
    for _ in 0..3 {
        assert!(witness.is_closed().await);
        witness = server.connect().await;
    }
    assert_eq!(server.fake.portions.load(Ordering::SeqCst), before);
    let reply = client.reply().await;
    assert!(!reply.complete, "the connection was cut off in the middle");
}

#[tokio::test]
async fn connections_are_counted() {
    let server = TestServer::with(|c| c.limits.connections = 2);
    let mut first = server.connect().await;
    first.ask(post().bytes()).await.assert_message("CIM");
    let mut second = server.connect().await;
    second.ask(post().bytes()).await.assert_message("CIM");
    let mut third = server.connect().await;
    let reply = third.reply().await;
    assert_eq!((reply.status, reply.header("Retry-After")), (503, Some("1")));
    // The network being full does not lock out the administrator.
    let stream = in_time(UnixStream::connect(server.addrs.unix.as_ref().unwrap())).await.unwrap();
    Client::new(stream).ask(post().bytes()).await.assert_message("CIM");
    drop(first);
    let reply = loop {
        // The place is free once the server has seen that the client is gone.
        let mut next = server.connect().await;
        next.send(post().bytes()).await;
        match next.try_reply().await {
            Some(reply) if reply.status != 503 => break reply,
            _ => {}
        }
    };
    reply.assert_message("CIM");
    second.ask(post().bytes()).await.assert_message("CIM");

    let server = TestServer::with(|c| c.limits.connections_per_address = 1);
    let mut first = server.connect().await;
    first.ask(post().bytes()).await.assert_message("CIM");
    assert_eq!(server.connect().await.reply().await.status, 503);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let other: TcpStream = in_time(socket.connect(server.http())).await.unwrap();
    Client::new(other).ask(post().bytes()).await.assert_message("CIM");
}

#[tokio::test]
async fn garbage_is_answered_or_cut_off() {
    let server = TestServer::start();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHo st: x\r\n\r\n",
    ] {
        let mut client = server.connect().await;
        client.send(garbage).await;
        if let Some(reply) = client.try_reply().await {
            assert!((400..500).contains(&reply.status), "{garbage:?}: {reply:?}");
        }
    }
    server.ask(post().bytes()).await.assert_message("CIM");
}
