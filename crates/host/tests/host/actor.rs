//! The provider's side: a process that plays a part.

use crate::{NAMESPACE, plugin};
use cimwright_sdk::process::frame::{MAX_FRAME, encode, receive};
use cimwright_sdk::process::wire::{
    Answer, FromProvider, Hello, Operation, ToProvider, WireDeclaration, WireInstance, WireServed,
};
use std::os::fd::AsFd;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

/// No test: what the processes of the tests run.
#[test]
fn plays_its_part() {
    let Ok(part) = std::env::var("PART") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        match part.as_str() {
            "plugin" => cimwright_sdk::process::serve(plugin::plugin()).await.unwrap(),
            part => Actor::on_stage().play(part).await,
        }
    });
    std::process::exit(0);
}

pub(crate) fn hello() -> Hello {
    Hello {
        versions: vec![1],
        name: "actor".to_owned(),
        declarations: vec![WireDeclaration {
            namespace: NAMESPACE.to_owned(),
            name: "test.mof".to_owned(),
            mof: plugin::MOF.to_owned(),
        }],
        classes: vec![WireServed {
            namespace: NAMESPACE.to_owned(),
            class: "Test_Thing".to_owned(),
            instances: true,
            methods: true,
            knows_owners: false,
        }],
        dialects: Vec::new(),
        kinds: vec!["work".to_owned()],
    }
}

struct Actor {
    stream: UnixStream,
}

impl Actor {
    fn on_stage() -> Self {
        let socket =
            std::os::unix::net::UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
        socket.set_nonblocking(true).unwrap();
        Self { stream: UnixStream::from_std(socket).unwrap() }
    }

    async fn say(&mut self, message: &FromProvider) {
        self.bytes(&encode(message).unwrap()).await;
    }

    /// A server that has closed the connection is what some parts are about.
    async fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Waits for the next call.
    async fn call(&mut self) -> (u64, Operation) {
        loop {
            match receive(&mut self.stream).await {
                Ok(Some(ToProvider::Call(call))) => return (call.id, call.operation),
                Ok(Some(_)) => {}
                _ => std::process::exit(0),
            }
        }
    }

    async fn for_ever(&mut self) {
        std::future::pending::<()>().await;
    }

    async fn play(&mut self, part: &str) {
        let mut hello = hello();
        match part {
            "silent" => return self.for_ever().await,
            "early end" => {
                eprintln!("the licence has expired");
                std::process::exit(3);
            }
            "nonsense at once" => return self.bytes(b"\0\0\0\x04what").await,
            "future" => hello.versions = vec![7],
            "foreign namespace" => hello.declarations[0].namespace = "root/virtualization/v2".to_owned(),
            "foreign class" => hello.classes[0].class = "CIM_ConcreteJob".to_owned(),
            "overrides" => hello.declarations[0].mof.push_str("\nclass CIM_Error { string Message; };"),
            // Something else every time.
            "fickle" => hello.kinds.push(std::process::id().to_string()),
            _ => {}
        }
        self.say(&FromProvider::Hello(Box::new(hello))).await;
        let (id, _) = self.call().await;
        match part {
            "nonsense" => self.bytes(b"\0\0\0\x0f{\"answer\":\"42\"}").await,
            "unasked" => {
                self.say(&FromProvider::Answer { id: id + 1000, answer: Answer::Done {} }).await;
            }
            "misplaced" => self.say(&FromProvider::Answer { id, answer: Answer::Done {} }).await,
            "too long" => self.bytes(&(MAX_FRAME as u32 + 1).to_be_bytes()).await,
            "pushy" => {
                // All in one piece, so that the server cannot have allowed them one by one.
                let portion = FromProvider::Portion { id, instances: vec![], last: false };
                self.bytes(&encode(&portion).unwrap().repeat(100)).await;
            }
            "endless" => self.endless(id).await,
            "deaf" => return self.for_ever().await,
            // One answer, then its end.
            "brief" | "fickle" => {
                self.say(&FromProvider::Answer { id, answer: Answer::Instance { instance: None } }).await;
                return;
            }
            other => panic!("nobody plays {other}"),
        }
        self.for_ever().await;
    }

    /// Instances without end, each portion when it is allowed.
    async fn endless(&mut self, id: u64) {
        let thing = cimwright_cim::Instance::new("Test_Thing").with("Name", "x".repeat(1 << 20));
        loop {
            let instances = vec![WireInstance::from(&thing)];
            self.say(&FromProvider::Portion { id, instances, last: false }).await;
            loop {
                match receive(&mut self.stream).await {
                    Ok(Some(ToProvider::More { .. })) => break,
                    Ok(Some(ToProvider::Cancel { .. })) => {
                        self.say(&FromProvider::Answer { id, answer: Answer::Stopped {} }).await;
                    }
                    Ok(Some(_)) => {}
                    _ => std::process::exit(0),
                }
            }
        }
    }
}
