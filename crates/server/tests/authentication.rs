//! Who is let in, over every way in.

mod support;

use cimwright_cim::Operation;
use cimwright_server::Role;
use cimwright_server::config::UnixPeer;
use std::sync::atomic::Ordering;
use support::{Client, Post, TestServer, basic, in_time};
use tokio::net::UnixStream;

fn who_am_i() -> Post {
    Post::method("WhoAmI").without("Authorization")
}

#[tokio::test]
async fn everything_but_the_right_password_is_challenged() {
    let server = TestServer::start();
    let right = basic("ann", "secret");
    let overlong = format!("Basic {}", "QUFB".repeat(2000));
    for authorization in [
        None,
        Some(""),
        Some("Basic"),
        Some("Basic "),
        Some("Basic ===="),
        Some("Basic \u{fc}\u{fc}"),
        Some("Basic YW5u"),
        Some("Negotiate YW5uOnNlY3JldA=="),
        Some("Bearer x"),
        Some(right.trim_start_matches("Basic ")),
        Some(&overlong),
        Some(&basic("", "")),
        Some(&basic("ann", "")),
        Some(&basic("ann", "Secret")),
        Some(&basic("ann", "secret ")),
        Some(&basic("Ann", "secret")),
        Some(&basic("bob", "secret")),
    ] {
        let mut request = who_am_i();
        if let Some(value) = authorization {
            request = request.with("Authorization", value);
        }
        let reply = server.ask(request.bytes()).await;
        assert_eq!(reply.verdict(), (401, None), "{authorization:?}: {reply:?}");
        assert_eq!(reply.header("WWW-Authenticate"), Some("Basic realm=\"cimwright\""));
        assert!(!reply.body.is_empty());
    }
    assert_eq!(server.fake.done.load(std::sync::atomic::Ordering::SeqCst), 0);
    let twice = {
        let mut request = who_am_i();
        for _ in 0..2 {
            request.headers.push(("Authorization".to_owned(), right.clone()));
        }
        request
    };
    assert_eq!(server.ask(twice.bytes()).await.status, 401);
    server.ask(who_am_i().with("Authorization", &right).bytes()).await.assert_message("ann administrator");
    let lower = right.replace("Basic", "basic");
    server.ask(who_am_i().with("Authorization", &lower).bytes()).await.assert_message("ann administrator");
}

#[tokio::test]
async fn no_part_of_the_right_header_is_enough() {
    let server = TestServer::start();
    // Without padding, which may be left out.
    server.users().add("bo", Role::Administrator, "pwd", false).unwrap();
    let right = basic("bo", "pwd");
    assert!(!right.ends_with('='));
    let mut client = server.connect().await;
    for protocol in [who_am_i(), who_am_i().line("POST /wsman HTTP/1.1")] {
        for length in 0..right.len() {
            let reply = client.ask(protocol.clone().with("Authorization", &right[..length]).bytes()).await;
            assert_eq!(reply.status, 401, "{length}: {reply:?}");
        }
    }
    assert_eq!(server.fake.done.load(Ordering::SeqCst), 0, "nothing has reached the broker");
    client.ask(who_am_i().with("Authorization", &right).bytes()).await.assert_message("bo administrator");
}

#[test]
fn principals_are_made_by_authentication_alone() {
    // What executes an operation takes a Principal, and a Principal has no other constructor than this one.
    let mut makers = Vec::new();
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut directories: Vec<_> =
        ["server", "broker", "codec", "cli", "jobs", "client"].map(|c| crates.join(c).join("src")).into();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap_or_default();
            let code = source.split("#[cfg(test)]").next().unwrap_or_default();
            if code.contains("Principal::authenticated") && !path.ends_with("tests.rs") {
                makers.push(path.strip_prefix(crates).unwrap().to_owned());
            }
        }
    }
    assert!(makers.len() >= 3, "{makers:?}");
    let elsewhere: Vec<_> = makers.iter().filter(|path| !path.starts_with("server/src/auth")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[tokio::test]
async fn credentials_come_before_everything_cim() {
    let server = TestServer::start();
    for request in [
        who_am_i().without("CIMOperation"),
        who_am_i().with("Content-Type", "text/plain"),
        who_am_i().replace("</CIM>", ""),
    ] {
        assert_eq!(server.ask(request.bytes()).await.status, 401, "{request:?}");
    }
    let get = server.ask("GET /cimom HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(get.status, 405, "the method is no secret");
}

#[tokio::test]
async fn users_take_effect_at_once() {
    let server = TestServer::start();
    let bob = |password| who_am_i().with("Authorization", &basic("bob", password)).bytes();
    let mut client = server.connect().await;
    assert_eq!(client.ask(bob("one")).await.status, 401);
    server.users().add("bob", Role::Operator, "one", false).unwrap();
    client.ask(bob("one")).await.assert_message("bob operator");
    server.users().add("bob", Role::Reader, "one", true).unwrap();
    client.ask(bob("one")).await.assert_message("bob reader");
    server.users().add("bob", Role::Reader, "two", true).unwrap();
    assert_eq!(client.ask(bob("one")).await.status, 401);
    client.ask(bob("two")).await.assert_message("bob reader");
    server.users().remove("bob").unwrap();
    assert_eq!(client.ask(bob("two")).await.status, 401);
    client
        .ask(who_am_i().with("Authorization", &basic("ann", "secret")).bytes())
        .await
        .assert_message("ann administrator");
    // Without a file that can be understood, nobody is let in, whoever was before.
    std::fs::write(server.users().path(), "[[user]]\nname = 3\n").unwrap();
    assert_eq!(
        client.ask(who_am_i().with("Authorization", &basic("ann", "secret")).bytes()).await.status,
        401
    );
}

#[tokio::test]
async fn guessing_one_user_keeps_nobody_else_waiting() {
    let server = TestServer::start();
    server.users().add("bob", Role::Reader, "one", false).unwrap();
    let guess = who_am_i().with("Authorization", &basic("bob", "guess")).bytes();
    for _ in 0..3 {
        assert_eq!(server.ask(&guess).await.status, 401);
    }
    // The next ones are answered late; ann, and bob himself, are not.
    let mut guesses: Vec<_> = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.send(&guess).await;
        guesses.push(client);
    }
    for (user, password) in [("ann", "secret"), ("bob", "one")] {
        let request = who_am_i().with("Authorization", &basic(user, password));
        server.ask(request.bytes()).await.assert_message(user);
    }
    for mut guess in guesses {
        assert_eq!(guess.reply().await.status, 401);
    }
}

#[tokio::test]
async fn the_unix_socket_knows_its_peer() {
    let own = rustix::process::geteuid().as_raw();
    let server = TestServer::start();
    let path = server.addrs.unix.clone().unwrap();
    let mut client = Client::new(in_time(UnixStream::connect(&path)).await.unwrap());
    client.ask(who_am_i().bytes()).await.assert_message(&format!("uid:{own} administrator"));
    // A password, if there is one, says who it is, and has to be right.
    let with = |password| who_am_i().with("Authorization", &basic("ann", password)).bytes();
    client.ask(with("secret")).await.assert_message("ann administrator");
    assert_eq!(client.ask(with("wrong")).await.status, 401);
    drop(client);
    assert!(server.ended().await);
    assert!(!path.exists(), "the socket is removed");

    let mapped = TestServer::with(|c| {
        c.auth.unix_peers = vec![UnixPeer { uid: own, name: "eve".to_owned(), role: Role::Reader }];
    });
    let stream = in_time(UnixStream::connect(mapped.addrs.unix.as_ref().unwrap())).await.unwrap();
    Client::new(stream).ask(who_am_i().bytes()).await.assert_message("eve reader");
}

#[tokio::test]
async fn health_and_metrics_are_for_this_machine() {
    let server = TestServer::start();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let health = server.ask(get("/healthz")).await;
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    assert_eq!(server.ask("POST /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.status, 405);
    server.ask(Post::new(Operation::EnumerateQualifiers).bytes()).await.assert_message("CIM");
    server.ask(Post::method("Nothing").bytes()).await.assert_message("ERROR");
    server.ask(who_am_i().bytes()).await;
    let metrics = server.ask(get("/metrics")).await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("Content-Type").unwrap().starts_with("text/plain; version=0.0.4"));
    for line in [
        "cimwright_requests_total{operation=\"EnumerateQualifiers\",status=\"OK\"} 1",
        "cimwright_requests_total{operation=\"InvokeMethod\",status=\"CIM_ERR_NOT_FOUND\"} 1",
        "cimwright_authentication_failures_total{reason=\"missing\"} 1",
        "cimwright_http_responses_total{status=\"401\"} 1",
        "cimwright_jobs{state=\"unfinished\"} 3",
        "cimwright_connections 1",
    ] {
        assert!(metrics.body.lines().any(|l| l == line), "{line} in\n{}", metrics.body);
    }
}
