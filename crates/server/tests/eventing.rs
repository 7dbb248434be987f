//! WS-Eventing at the socket, with the real broker behind it: an alert that is raised is fetched.
#![allow(clippy::unwrap_used, reason = "this is code of tests, although it is outside of test functions")]

mod support;

use cimwright_broker::Broker;
use cimwright_broker::indications::{Deliver, DeliveryError, Indications, IndicationsConfig, Parts, Target};
use cimwright_cim::{Instance, NamespaceName, Schema, Value};
use cimwright_codec::mof::{Source, compile_schema};
use cimwright_jobs::{JobKinds, Jobs, JobsConfig, SystemClock};
use cimwright_server::auth::users::UsersFile;
use cimwright_server::{Config, Role, Server};
use cimwright_store::MemoryStore;
use std::sync::Arc;
use support::{Client, Reply, TestServer, basic, in_time};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use uuid::Uuid;

const PLACE: &str = "root/virtualization/v2";
const CLASS: &str =
    "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/virtualization/v2/CIM_AlertIndication";
const EVENTING: &str = "http://schemas.xmlsoap.org/ws/2004/08/eventing";
const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";
const SUBSCRIBE: &str = "<e:Subscribe><e:Delivery Mode='http://schemas.dmtf.org/wbem/wsman/1/wsman/Pull'/>\
     <e:Expires>PT1M</e:Expires></e:Subscribe>";

fn request(user: &str, action: &str, headers: &str, body: &str) -> String {
    let body = format!(
        "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope' \
         xmlns:a='http://schemas.xmlsoap.org/ws/2004/08/addressing' \
         xmlns:w='http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd' xmlns:n='{ENUMERATION}' xmlns:e='{EVENTING}'>\
         <s:Header><a:To>http://h/wsman</a:To><a:Action>{action}</a:Action><a:MessageID>uuid:M-1</a:MessageID>\
         <w:ResourceURI>{CLASS}</w:ResourceURI>{headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    );
    format!(
        "POST /wsman HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\
         Content-Type: application/soap+xml;charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}",
        basic(user, "one"),
        body.len()
    )
}

fn pull(user: &str, context: &str, seconds: u8) -> String {
    let body = format!(
        "<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext><n:MaxTime>PT{seconds}S</n:MaxTime>\
         <n:MaxElements>10</n:MaxElements></n:Pull>"
    );
    request(user, &format!("{ENUMERATION}/Pull"), "", &body)
}

/// The text of the first element of this name.
fn text<'r>(reply: &'r Reply, name: &str) -> &'r str {
    let (_, after) = reply.body.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{reply:?}"));
    after.split('<').next().unwrap()
}

fn fault(reply: &Reply, word: &str) {
    assert_eq!(reply.status, 500, "{reply:?}");
    assert!(reply.body.contains(word), "{word}: {reply:?}");
}

fn schema(own: Option<&'static str>, place: &str) -> (NamespaceName, Schema) {
    let mut sources = vec![
        Source::new("qualifiers.mof", include_str!("../../../schema/qualifiers.mof")),
        Source::new("cim.mof", include_str!("../../../schema/cim/v2.mof")),
        Source::new("indications.mof", include_str!("../../../schema/cim/indications.mof")),
    ];
    sources.extend(own.map(|own| Source::new("own.mof", own)));
    let name = NamespaceName::new(place);
    let schema = compile_schema(&sources, &name).unwrap();
    (name, schema)
}

/// Nobody is sent anything here.
struct Nowhere;

#[async_trait::async_trait]
impl Deliver for Nowhere {
    async fn deliver(&self, _: Uuid, _: &Target, _: Instance) -> Result<(), DeliveryError> {
        Err(DeliveryError { reason: "nobody there".to_owned() })
    }

    fn forget(&self, _: Uuid) {}
}

#[tokio::test]
async fn an_alert_is_fetched() {
    let state = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let namespaces = vec![
        schema(None, PLACE),
        schema(Some(include_str!("../../../schema/interop/indications.mof")), "root/interop"),
    ];
    let indications = Indications::open(Parts {
        outbox: store.clone(),
        clock: Arc::new(SystemClock),
        namespaces: &namespaces,
        dialects: Vec::new(),
        parser: Arc::new(cimwright_codec::query::parse),
        config: IndicationsConfig::default(),
    })
    .await
    .unwrap();
    let jobs =
        Jobs::open(store, Arc::new(SystemClock), JobKinds::new(), JobsConfig::default()).await.unwrap();
    let mut builder = Broker::builder(jobs).indications(indications.clone());
    for (name, schema) in namespaces {
        builder = builder.namespace(name, schema);
    }
    indications.start(Arc::new(Nowhere));
    let mut config = Config::default();
    config.server.state = state.path().to_owned();
    config.server.http = vec!["127.0.0.1:0".parse().unwrap()];
    config.server.https.clear();
    let users = UsersFile::in_state(state.path());
    for (name, role) in [("olga", Role::Operator), ("otto", Role::Operator), ("rita", Role::Reader)] {
        users.add(name, role, "one", false).unwrap();
    }
    let server = Server::bind(&config, Arc::new(builder.build().unwrap())).unwrap();
    let address = server.local_addrs().http[0];
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    let mut client = Client::new(in_time(TcpStream::connect(address)).await.unwrap());

    let subscribe = format!("{EVENTING}/Subscribe");
    fault(&client.ask(request("rita", &subscribe, "", SUBSCRIBE)).await, "AccessDenied");
    let reply = client.ask(request("olga", &subscribe, "", SUBSCRIBE)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(text(&reply, "e:Expires"), "PT1M");
    let identifier = format!("<e:Identifier>{}</e:Identifier>", text(&reply, "e:Identifier"));
    let context = text(&reply, "n:EnumerationContext").to_owned();
    fault(&client.ask(pull("olga", &context, 1)).await, "TimedOut");
    fault(&client.ask(pull("otto", &context, 1)).await, "InvalidEnumerationContext");

    // One that waits is told as soon as there is something to tell.
    client.send(pull("olga", &context, 60)).await;
    let alert = Instance::new("CIM_AlertIndication")
        .with("AlertType", Value::Uint16(2))
        .with("PerceivedSeverity", Value::Uint16(3))
        .with("Description", "the disk is full");
    indications.sink().raise(&NamespaceName::new(PLACE), alert).await.unwrap();
    let reply = client.reply().await;
    assert_eq!(text(&reply, "p:Description"), "the disk is full");
    assert_eq!(text(&reply, "p:SequenceNumber"), "0");
    let next = text(&reply, "n:EnumerationContext").to_owned();
    assert_eq!(text(&client.ask(pull("olga", &context, 1)).await, "p:SequenceNumber"), "0", "given again");
    fault(&client.ask(pull("olga", &next, 1)).await, "TimedOut");
    fault(&client.ask(pull("olga", &context, 1)).await, "TimedOut");

    let unsubscribe = format!("{EVENTING}/Unsubscribe");
    fault(&client.ask(request("otto", &unsubscribe, &identifier, "")).await, "InvalidMessage");
    let reply = client.ask(request("olga", &unsubscribe, &identifier, "")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    fault(&client.ask(request("olga", &unsubscribe, &identifier, "")).await, "InvalidMessage");
    fault(&client.ask(pull("olga", &next, 1)).await, "InvalidEnumerationContext");
    stop.send(()).unwrap();
    assert!(in_time(running).await.unwrap());
}

#[tokio::test]
async fn without_indications_there_is_nothing_to_subscribe_to() {
    let server = TestServer::start();
    let request = request("ann", &format!("{EVENTING}/Subscribe"), "", SUBSCRIBE);
    let request = request.replace(&basic("ann", "one"), &basic("ann", "secret"));
    let request = request.replace(PLACE, "root/test");
    // The class is shorter by this much.
    let length = |r: &str| r.split_once("\r\n\r\n").unwrap().1.len();
    let announced = length(&request) + PLACE.len() - "root/test".len();
    let request = request.replace(&format!("Length: {announced}"), &format!("Length: {}", length(&request)));
    fault(&server.ask(request).await, "EventSourceUnableToProcess");
}
