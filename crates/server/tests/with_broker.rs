//! The server with the real broker behind it: that the two fit together.

mod support;

use cimwright_broker::Broker;
use cimwright_cim::operation::InstanceOptions;
use cimwright_cim::{ClassName, InstancePath, NamespaceName, Operation};
use cimwright_codec::mof::{Source, compile_schema};
use cimwright_jobs::{JobKinds, Jobs, JobsConfig, SystemClock};
use cimwright_server::auth::users::UsersFile;
use cimwright_server::{Config, Role, Server};
use cimwright_store::MemoryStore;
use std::sync::Arc;
use support::{Client, Post, basic, in_time};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

const MOF: &str = "
Qualifier Key : boolean = false, Scope(property, reference), Flavor(DisableOverride, ToSubclass);
class Test { [Key] string InstanceID; };
class TestChild : Test { uint32 Size; };
";

#[tokio::test]
async fn operations_reach_the_broker_and_come_back() {
    let state = tempfile::tempdir().unwrap();
    let config_of_jobs = JobsConfig::default();
    let store = Arc::new(MemoryStore::new());
    let jobs = Jobs::open(store, Arc::new(SystemClock), JobKinds::new(), config_of_jobs).await.unwrap();
    let namespace = NamespaceName::new("root/test");
    let schema = compile_schema(&[Source::new("test.mof", MOF)], &namespace).unwrap();
    let broker = Broker::builder(jobs).namespace(namespace, schema).build().unwrap();

    let mut config = Config::default();
    config.server.state = state.path().to_owned();
    config.server.http = vec!["127.0.0.1:0".parse().unwrap()];
    config.server.https.clear();
    UsersFile::in_state(state.path()).add("rae", Role::Reader, "one", false).unwrap();
    let server = Server::bind(&config, Arc::new(broker)).unwrap();
    let address = server.local_addrs().http[0];
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));

    let mut client = Client::new(in_time(TcpStream::connect(address)).await.unwrap());
    let options = InstanceOptions::default;
    for (operation, part) in [
        (
            Operation::EnumerateClassNames { class: None, deep: true },
            "<IRETURNVALUE><CLASSNAME NAME=\"Test\"/><CLASSNAME NAME=\"TestChild\"/></IRETURNVALUE>",
        ),
        (
            Operation::EnumerateInstances { class: ClassName::new("Test"), deep: true, options: options() },
            "<IRETURNVALUE></IRETURNVALUE>",
        ),
        (Operation::EnumerateInstanceNames { class: ClassName::new("Nope") }, "<ERROR CODE=\"5\""),
        (
            Operation::GetInstance {
                path: InstancePath::new(None, "Test").with_key("InstanceID", "1"),
                options: options(),
            },
            "<ERROR CODE=\"6\"",
        ),
        (
            Operation::DeleteInstance { path: InstancePath::new(None, "Test").with_key("InstanceID", "1") },
            "<ERROR CODE=\"2\"",
        ),
    ] {
        let request = Post::new(operation).with("Authorization", &basic("rae", "one"));
        client.ask(request.bytes()).await.assert_message(part);
    }
    let metrics = client.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(metrics.body.contains("cimwright_jobs{state=\"unfinished\"} 0\n"), "{}", metrics.body);
    stop.send(()).unwrap();
    assert!(in_time(running).await.unwrap());
}
