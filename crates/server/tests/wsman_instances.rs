//! What WS-Management makes of instances, at the socket: fragments, octet strings, superclasses in resource URIs, filters,
//! polymorphism, points in time and totals. The object manager is a shelf of books that keeps what it is given.

#![allow(clippy::unwrap_used, reason = "this is code of tests, although it is outside of test functions")]

mod support;

use async_trait::async_trait;
use cimwright_cim::operation::ObjectShape;
use cimwright_cim::{
    CimError, CimStatus, Instance, InstancePath, NamespaceName, ObjectPath, Operation, OperationResult,
    Param, Request, Schema, Value,
};
use cimwright_codec::mof::{Source, compile_schema};
use cimwright_server::auth::users::UsersFile;
use cimwright_server::execute::{Answer, Execute, JobNumbers};
use cimwright_server::{Config, Principal, Role, Server};
use std::sync::{Arc, Mutex};
use support::{Client, Reply, basic, in_time};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

const MOF: &str = "
Qualifier Key : boolean = false, Scope(property, reference), Flavor(DisableOverride, ToSubclass);
Qualifier In : boolean = true, Scope(parameter), Flavor(DisableOverride, ToSubclass);
Qualifier Out : boolean = false, Scope(parameter), Flavor(DisableOverride, ToSubclass);
Qualifier OctetString : boolean = false, Scope(property, parameter), Flavor(DisableOverride, ToSubclass);
Qualifier EmbeddedInstance : string = null, Scope(property, parameter, method);
class Author { string Name; };
class Thing { string Note; };
class Item : Thing { [Key] string ID; uint32 Touch(); };
class Pair { [Key] string ID; string Note; };
class Left : Pair { };
class Right : Pair { };
class Book : Item {
    uint16 Pages[]; [OctetString] uint8 Cover[]; [EmbeddedInstance(\"Author\")] string By;
    uint32 Stamp([OctetString] uint8 Mark[], [In(false), Out, OctetString] uint8 Back[]);
};
";
const WMI: &str = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/test/";
const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer/";
const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration/";
const BINDING: &str = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd";

/// Keeps instances, each under the class that it is of.
struct Shelf {
    schema: Arc<Schema>,
    instances: Mutex<Vec<Instance>>,
}

impl Shelf {
    fn new() -> Self {
        let sources = [Source::new("shelf.mof", MOF)];
        let schema = Arc::new(compile_schema(&sources, &NamespaceName::new("root/test")).unwrap());
        let put = |class: &str, id: &str| {
            let mut instance = Instance::new(class).with("ID", id).with("Note", format!("a {class}"));
            instance.path =
                Some(InstancePath::new(NamespaceName::new("root/test"), class).with_key("ID", id));
            instance
        };
        let author = Instance::new("Author").with("Name", "ann");
        let bytes = [0, 0, 0, 7, 1, 2, 3].map(|b| Some(Value::Uint8(b)));
        let book = put("Book", "b")
            .with("Pages", Value::uint16s([10, 20, 30]))
            .with("Cover", Value::Array(bytes.into()))
            .with("By", Value::Instance(Box::new(author)));
        Self {
            schema,
            instances: Mutex::new(vec![
                put("Item", "i"),
                book,
                put("Left", "t"),
                put("Right", "t"),
                put("Right", "r"),
            ]),
        }
    }

    fn at(instances: &[Instance], path: &InstancePath) -> Result<usize, CimError> {
        let same = |i: &Instance| {
            i.path.as_ref().is_some_and(|p| p.class == path.class && p.key_str("ID") == path.key_str("ID"))
        };
        instances.iter().position(same).ok_or_else(|| CimError::not_found(format!("no {path:?}")))
    }
}

#[async_trait]
impl Execute for Shelf {
    async fn execute(&self, _: &Principal, request: Request) -> Result<Answer, CimError> {
        let mut instances = self.instances.lock().unwrap();
        let result = match request.operation {
            Operation::GetInstance { path, options } => {
                let mut found = instances[Self::at(&instances, &path)?].clone();
                if let Some(list) = options.property_list {
                    found.properties.retain(|p| list.contains(&p.name));
                }
                OperationResult::Instance(Box::new(found))
            }
            Operation::ModifyInstance { instance, property_list } => {
                let at = Self::at(&instances, instance.path.as_ref().unwrap())?;
                for property in instance.properties {
                    assert!(property_list.as_ref().is_none_or(|list| list.contains(&property.name)));
                    instances[at].properties.retain(|p| p.name != property.name);
                    instances[at].properties.push(property);
                }
                OperationResult::Void
            }
            Operation::DeleteInstance { path } => {
                let at = Self::at(&instances, &path)?;
                instances.remove(at);
                OperationResult::Void
            }
            Operation::InvokeMethod { target, method, params } => {
                let ObjectPath::Instance(path) = target else {
                    return Err(CimError::not_supported("no class"));
                };
                Self::at(&instances, &path)?;
                if self.schema.class(path.class.as_str()).and_then(|c| c.method(method.as_str())).is_none() {
                    return Err(CimError::new(CimStatus::MethodNotFound, "no such method"));
                }
                let back = params.into_iter().next().map(|p| Param::new("Back", p.value.unwrap()));
                let return_value = Some(Value::Uint32(0));
                OperationResult::Method { return_value, out: back.into_iter().collect() }
            }
            Operation::EnumerateInstances { class, .. } => {
                let is = |i: &&Instance| self.schema.is_a(i.class.as_str(), class.as_str());
                OperationResult::Instances {
                    items: instances.iter().filter(is).cloned().collect(),
                    shape: ObjectShape::NamedInstance,
                }
            }
            Operation::ExecQuery { mut query } => {
                query.bind(&self.schema)?;
                let is = |i: &&Instance| {
                    self.schema.is_a(i.class.as_str(), query.from.as_str()) && query.matches(i, &*self.schema)
                };
                OperationResult::Instances {
                    items: instances.iter().filter(is).cloned().collect(),
                    shape: ObjectShape::NamedInstance,
                }
            }
            other => return Err(CimError::not_supported(format!("{other:?}"))),
        };
        Ok(Answer::Whole(result))
    }

    fn schema(&self, _: &Principal, namespace: &NamespaceName) -> Option<Arc<Schema>> {
        (namespace.as_str() == "root/test").then(|| Arc::clone(&self.schema))
    }

    fn namespaces(&self, _: &Principal) -> Vec<NamespaceName> {
        vec![NamespaceName::new("root/test")]
    }

    async fn job_numbers(&self) -> Option<JobNumbers> {
        None
    }
}

struct Running {
    address: std::net::SocketAddr,
    _state: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
}

impl Running {
    fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.state = state.path().to_owned();
        config.server.http = vec!["127.0.0.1:0".parse().unwrap()];
        config.server.https.clear();
        UsersFile::in_state(state.path()).add("ann", Role::Administrator, "secret", false).unwrap();
        let server = Server::bind(&config, Arc::new(Shelf::new()) as Arc<dyn Execute>).unwrap();
        let address = server.local_addrs().http[0];
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { address, _state: state, _stop: stop }
    }

    /// One message to a class, with headers beside the required ones.
    async fn ask(&self, action: &str, class: &str, headers: &str, body: &str) -> Reply {
        let envelope = format!(
            "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope' xmlns:b='{BINDING}' \
             xmlns:a='http://schemas.xmlsoap.org/ws/2004/08/addressing' \
             xmlns:w='http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd' \
             xmlns:n='http://schemas.xmlsoap.org/ws/2004/09/enumeration'><s:Header><a:To>http://h/wsman</a:To>\
             <a:Action>{action}</a:Action><a:MessageID>uuid:M-1</a:MessageID>\
             <w:ResourceURI>{WMI}{class}</w:ResourceURI>{headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
        );
        let request = format!(
            "POST /wsman HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/soap+xml\r\n\
             Content-Length: {}\r\n\r\n{envelope}",
            basic("ann", "secret"),
            envelope.len()
        );
        let mut client = Client::new(TcpStream::connect(self.address).await.unwrap());
        in_time(client.ask(request)).await
    }

    /// A message to the instance with this key.
    async fn on(&self, action: &str, class: &str, id: &str, headers: &str, body: &str) -> Reply {
        let selectors =
            format!("<w:SelectorSet><w:Selector Name='ID'>{id}</w:Selector></w:SelectorSet>{headers}");
        self.ask(action, class, &selectors, body).await
    }

    async fn get(&self, class: &str, id: &str) -> Reply {
        self.on(&format!("{TRANSFER}Get"), class, id, "", "").await
    }

    /// Put of a fragment; its body as it is.
    async fn put(&self, fragment: &str, body: &str) -> Reply {
        let headers = format!("<w:FragmentTransfer s:mustUnderstand='true'>{fragment}</w:FragmentTransfer>");
        let body = format!("<w:XmlFragment>{body}</w:XmlFragment>");
        self.on(&format!("{TRANSFER}Put"), "Book", "b", &headers, &body).await
    }

    /// An optimised enumeration with these elements in it.
    async fn enumerate(&self, class: &str, headers: &str, more: &str) -> Reply {
        let body = format!(
            "<n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>10</w:MaxElements>{more}</n:Enumerate>"
        );
        self.ask(&format!("{ENUMERATION}Enumerate"), class, headers, &body).await
    }
}

#[track_caller]
fn assert_fault(reply: &Reply, parts: &[&str]) {
    assert_eq!(reply.status, 500, "{reply:?}");
    for part in parts {
        assert!(reply.body.contains(part), "{part}: {reply:?}");
    }
}

#[tokio::test]
async fn fragments_are_put_where_they_belong() {
    let shelf = Running::start();
    let pages = |n: [u16; 3]| n.map(|n| format!("<p:Pages>{n}</p:Pages>")).concat();
    shelf.put("Pages[2]", "<Pages>25</Pages>").await.assert_message("<p:Pages xmlns:p=");
    shelf.get("Book", "b").await.assert_message(&pages([10, 25, 30]));
    shelf.put("Pages[2]/text()", "26").await.assert_message("<w:XmlFragment>26</w:XmlFragment>");
    shelf.get("Book", "b").await.assert_message(&pages([10, 26, 30]));
    shelf.put("By/Name", "<q:Name xmlns:q='urn:q'>bob</q:Name>").await.assert_message(">bob<");
    shelf.get("Book", "b").await.assert_message("<q:Name>bob</q:Name></p:By>");
    shelf.put("Pages", "<Pages>1</Pages><Pages>2</Pages>").await.assert_message("<p:Pages ");
    assert!(!shelf.get("Book", "b").await.body.contains("<p:Pages>26<"));
    for (fragment, body, detail) in [
        ("Pages[9]", "<Pages>1</Pages>", "InvalidValues"),
        ("Pages[1]", "<Pages>many</Pages>", "InvalidValues"),
        ("Note/Name", "<Name>x</Name>", "InvalidValues"),
        ("Pages[1]", "<Note>x</Note>", "InvalidFragment"),
        ("Colour", "<Colour>x</Colour>", "InvalidFragment"),
    ] {
        assert_fault(&shelf.put(fragment, body).await, &["x:InvalidRepresentation", detail]);
    }
}

#[tokio::test]
async fn a_part_is_never_taken_for_the_whole() {
    let shelf = Running::start();
    let fragment = "<w:FragmentTransfer s:mustUnderstand='true'>Pages[1]</w:FragmentTransfer>";
    for action in [format!("{TRANSFER}Delete"), format!("{WMI}Book/Touch")] {
        let reply = shelf.on(&action, "Book", "b", fragment, "").await;
        assert_fault(&reply, &["w:UnsupportedFeature", "faultDetail/FragmentLevelAccess"]);
    }
    shelf.get("Book", "b").await.assert_message("<p:Book ");
    // Nor is an enumeration of what is selected taken for one of everything.
    let reply = shelf.on(&format!("{ENUMERATION}Enumerate"), "Book", "b", "", "<n:Enumerate/>").await;
    assert_fault(&reply, &["w:InvalidSelectors", "faultDetail/UnexpectedSelectors", "filter"]);
}

#[tokio::test]
async fn octet_strings_are_base64_both_ways() {
    let shelf = Running::start();
    shelf.get("Book", "b").await.assert_message("<p:Cover>AQID</p:Cover>");
    shelf.enumerate("Book", "", "").await.assert_message("<p:Cover>AQID</p:Cover>");
    let body = format!("<p:Book xmlns:p='{WMI}Book'><p:Cover>CQg=</p:Cover></p:Book>");
    let reply = shelf.on(&format!("{TRANSFER}Put"), "Book", "b", "", &body).await;
    reply.assert_message("<p:Cover>CQg=</p:Cover>");
    let body = format!("<p:Stamp_INPUT xmlns:p='{WMI}Book'><p:Mark>AQID</p:Mark></p:Stamp_INPUT>");
    let reply = shelf.on(&format!("{WMI}Book/Stamp"), "Book", "b", "", &body).await;
    reply.assert_message("<p:Back>AQID</p:Back>");
}

#[tokio::test]
async fn an_instance_is_found_by_its_superclass() {
    let shelf = Running::start();
    // Also where only a subclass has keys.
    shelf.get("Thing", "b").await.assert_message("<p:Book ");
    shelf.get("Thing", "i").await.assert_message("<p:Item ");
    assert_fault(&shelf.get("Thing", "nothing").await, &["w:InvalidSelectors"]);
    let reply = shelf.on(&format!("{WMI}Thing/Stamp"), "Thing", "b", "", "").await;
    reply.assert_message("<p:ReturnValue>0</p:ReturnValue></p:Stamp_OUTPUT>");
    let reply = shelf.get("Item", "b").await;
    reply.assert_message("<p:Book xmlns:p=\"http://schemas.microsoft.com/wbem/wsman/1/wmi/root/test/Book\"");
    reply.assert_message("<p:Cover>");
    // Not the first of several.
    shelf.get("Pair", "r").await.assert_message("<p:Right ");
    for action in ["Get", "Delete"] {
        let reply = shelf.on(&format!("{TRANSFER}{action}"), "Pair", "t", "", "").await;
        assert_fault(&reply, &["w:InvalidSelectors", "AmbiguousSelectors"]);
    }
    let body = format!("<p:Item xmlns:p='{WMI}Item'><p:Note>by the superclass</p:Note></p:Item>");
    let reply = shelf.on(&format!("{TRANSFER}Put"), "Item", "b", "", &body).await;
    reply.assert_message("<p:Note>by the superclass</p:Note>");
    let reply = shelf.on(&format!("{WMI}Item/Touch"), "Item", "b", "", "").await;
    reply.assert_message("<p:ReturnValue>0</p:ReturnValue></p:Touch_OUTPUT>");
    // What a subclass adds is there as well; what nobody has is not.
    let body = format!("<p:Stamp_INPUT xmlns:p='{WMI}Item'><p:Mark>AQID</p:Mark></p:Stamp_INPUT>");
    let reply = shelf.on(&format!("{WMI}Item/Stamp"), "Item", "b", "", &body).await;
    reply.assert_message("<p:Back>AQID</p:Back>");
    assert_fault(
        &shelf.on(&format!("{WMI}Item/Stamp"), "Item", "i", "", &body).await,
        &["a:ActionNotSupported"],
    );
    assert_fault(&shelf.get("Item", "nothing").await, &["a:DestinationUnreachable"]);
    // The other way round it is no instance of the class.
    assert_fault(&shelf.get("Book", "i").await, &["a:DestinationUnreachable"]);
    let delete = format!("{TRANSFER}Delete");
    shelf.on(&delete, "Item", "b", "", "").await.assert_message("<s:Body></s:Body>");
    assert_fault(&shelf.on(&delete, "Item", "b", "", "").await, &["a:DestinationUnreachable"]);
}

#[tokio::test]
async fn filters_and_polymorphism_go_together() {
    let shelf = Running::start();
    let wql = "Dialect='http://schemas.microsoft.com/wbem/wsman/1/WQL'";
    let selectors = "Dialect='http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter'";
    let by_id = |id: &str| format!("<w:SelectorSet><w:Selector Name='ID'>{id}</w:Selector></w:SelectorSet>");
    for filter in [
        String::new(),
        "<w:Filter>ID = 'b' or ID = 'i'</w:Filter>".to_owned(),
        "<w:Filter>not(Note = 'x')</w:Filter>".to_owned(),
        format!("<w:Filter {wql}>SELECT * FROM Item</w:Filter>"),
    ] {
        let mode = |mode: &str| format!("{filter}<b:PolymorphismMode>{mode}</b:PolymorphismMode>");
        let all = shelf.enumerate("Item", "", &filter).await;
        all.assert_message("<p:Book ");
        let none = shelf.enumerate("Item", "", &mode("None")).await;
        none.assert_message("<p:Item ");
        assert!(!none.body.contains("<p:Book ") && none.body.matches("</p:Item>").count() == 1, "{none:?}");
        let excluded = shelf.enumerate("Item", "", &mode("ExcludeSubClassProperties")).await;
        assert_eq!(excluded.body.matches("</p:Item>").count(), 2, "{excluded:?}");
        assert!(!excluded.body.contains("<p:Cover>"), "{excluded:?}");
    }
    for (filter, found) in [
        ("<w:Filter>/p:Book[p:Pages = 20]</w:Filter>".to_owned(), true),
        ("<w:Filter>/Book[Pages[1] = 20]</w:Filter>".to_owned(), false),
        ("<w:Filter>By/Name = 'ann'</w:Filter>".to_owned(), true),
        (format!("<w:Filter {selectors}>{}</w:Filter>", by_id("b")), true),
        (format!("<w:Filter {selectors}>{}</w:Filter>", by_id("i")), false),
    ] {
        let reply = shelf.enumerate("Book", "", &filter).await;
        reply.assert_message("<w:EndOfSequence/>");
        assert_eq!(reply.body.contains("<p:Book "), found, "{filter}: {reply:?}");
    }
    let wrong = shelf.enumerate("Book", "", "<w:Filter>Colour = 1</w:Filter>").await;
    assert_fault(&wrong, &["n:CannotProcessFilter", "Book has no property Colour"]);
}

#[tokio::test]
async fn an_enumeration_may_end_at_a_point_in_time() {
    let shelf = Running::start();
    let enumerate = |expires: &str| format!("<n:Enumerate><n:Expires>{expires}</n:Expires></n:Enumerate>");
    let action = format!("{ENUMERATION}Enumerate");
    // It is far away, and what is granted is not.
    let reply = shelf.ask(&action, "Item", "", &enumerate("9000-01-01T00:00:00Z")).await;
    reply.assert_message("<n:Expires>2");
    let past = shelf.ask(&action, "Item", "", &enumerate("2001-01-01T00:00:00+02:00")).await;
    assert_fault(&past, &["n:InvalidExpirationTime", "in the past"]);
    let (_, rest) = reply.body.split_once("<n:EnumerationContext>").unwrap();
    let context = rest.split_once('<').unwrap().0;
    let renew = |expires: &str| {
        format!(
            "<n:Renew><n:EnumerationContext>{context}</n:EnumerationContext><n:Expires>{expires}</n:Expires></n:Renew>"
        )
    };
    let action = format!("{ENUMERATION}Renew");
    let reply = shelf.ask(&action, "Item", "", &renew("9000-01-01T00:00:00Z")).await;
    reply.assert_message("<n:RenewResponse><n:Expires>2");
    shelf.ask(&action, "Item", "", &renew("PT1M")).await.assert_message("<n:Expires>PT1M<");
    let past = shelf.ask(&action, "Item", "", &renew("2001-01-01T00:00:00Z")).await;
    assert_fault(&past, &["n:InvalidExpirationTime"]);
}

#[tokio::test]
async fn the_total_is_told_when_it_is_known() {
    let shelf = Running::start();
    let total = "<w:RequestTotalItemsCountEstimate/>";
    let reply = shelf.enumerate("Item", total, "").await;
    reply.assert_message("<w:TotalItemsCountEstimate>2</w:TotalItemsCountEstimate>");
    let body = "<n:Enumerate/>";
    let reply = shelf.ask(&format!("{ENUMERATION}Enumerate"), "Item", total, body).await;
    reply.assert_message("<w:TotalItemsCountEstimate>2</w:TotalItemsCountEstimate>");
    let (_, rest) = reply.body.split_once("<n:EnumerationContext>").unwrap();
    let context = rest.split_once('<').unwrap().0;
    let body = format!("<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext></n:Pull>");
    for _ in 0..2 {
        let reply = shelf.ask(&format!("{ENUMERATION}Pull"), "Item", total, &body).await;
        reply.assert_message("<w:TotalItemsCountEstimate>2</w:TotalItemsCountEstimate>");
    }
    assert!(!shelf.enumerate("Item", "", "").await.body.contains("TotalItemsCountEstimate"));
}

#[tokio::test]
async fn a_mistake_is_told_with_what_would_be_right() {
    let shelf = Running::start();
    let get = format!("{TRANSFER}Get");
    let none = "<w:SelectorSet><w:Selector Name='Id2'>1</w:Selector></w:SelectorSet>";
    let elsewhere = "none/Book";
    for (class, headers, subcode, part) in [
        ("Boook", "", "a:DestinationUnreachable", "did you mean Book?"),
        ("*", "", "a:DestinationUnreachable", "name one in its place"),
        (elsewhere, "", "a:DestinationUnreachable", "no namespace root/test/none; known here: root/test"),
        (
            "Book",
            "",
            "w:InvalidSelectors",
            "the selector ID is missing; an instance of Book is selected by ID",
        ),
        ("Book", none, "w:InvalidSelectors", "Book has no key Id2; an instance of Book is selected by ID"),
        ("Book", "<w:OperationTimeout>60</w:OperationTimeout>", "a:InvalidMessageInformationHeader", "PT60S"),
    ] {
        assert_fault(&shelf.ask(&get, class, headers, "").await, &[subcode, part]);
    }
    for (action, body, subcode, part) in [
        (format!("{WMI}Book/Stamp"), "<Other_INPUT/>", "w:SchemaValidationError", "Stamp_INPUT is expected"),
        (format!("{TRANSFER}Fetch"), "", "a:ActionNotSupported", "the resource URI of its class"),
        (get.clone(), "<a></b>", "w:SchemaValidationError", "no sound XML"),
        (
            format!("{ENUMERATION}Enumerate"),
            "<n:Enumerate><w:Filter>SELECT * FROM Book</w:Filter></n:Enumerate>",
            "n:CannotProcessFilter",
            "needs the Dialect http://schemas.microsoft.com/wbem/wsman/1/WQL",
        ),
    ] {
        assert_fault(&shelf.ask(&action, "Book", "", body).await, &[subcode, part]);
    }
}
