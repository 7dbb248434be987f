//! The namespace by which the server describes itself.

use crate::house::{House, admin, operator, reader};
use cimwright_broker::interop::{AccessPoint, Central, Discovery, INTEROP_NAMESPACE, Profile};
use cimwright_cim::operation::{AssociationFilter, InstanceOptions, OpenOptions, Operation, OperationResult};
use cimwright_cim::{CimStatus, ClassName, Instance, InstancePath, NamespaceName, Value};

const CIM: &str = INTEROP_NAMESPACE;

async fn house() -> House {
    let name = NamespaceName::new(CIM);
    let profile =
        |name, central, part_of| Profile { organization: 2, name, version: "1.0.0", central, part_of };
    let discovery = Discovery {
        computer: "test".to_owned(),
        version: "9.8.7".to_owned(),
        profiles: vec![
            profile("Server", Central::ObjectManager, None),
            profile("Job Control", Central::Jobs, Some("Server")),
        ],
        wmi_namespaces: vec![name],
    };
    let house = House::with_more(|builder| builder.discovery(discovery)).await;
    house.broker.announce(vec![AccessPoint { url: "http://test:1".to_owned() }]);
    house
}

async fn all(house: &House, class: &str) -> Vec<Instance> {
    let class = ClassName::new(class);
    let operation = Operation::EnumerateInstances { class, deep: true, options: InstanceOptions::default() };
    house.items(CIM, operation).await.unwrap()
}

async fn names(house: &House) -> Vec<String> {
    let found = all(house, "CIM_Namespace").await;
    found.iter().map(|i| i.get_str("Name").unwrap().to_owned()).collect()
}

async fn ends(house: &House, of: &InstancePath, association: &str) -> Vec<InstancePath> {
    let filter = AssociationFilter { assoc_class: Some(association.into()), ..Default::default() };
    let operation = Operation::AssociatorNames { object: of.clone().into(), filter };
    let found = house.items(CIM, operation).await.unwrap();
    found.into_iter().map(|i| i.path.unwrap()).collect()
}

/// The central instances of a profile, whole; with a filter only those that pass it.
async fn conforming(house: &House, of: &InstancePath, filter: Option<&str>) -> Vec<Instance> {
    let operation = Operation::OpenAssociatorInstances {
        object: of.clone(),
        filter: AssociationFilter {
            assoc_class: Some("CIM_ElementConformsToProfile".into()),
            ..Default::default()
        },
        options: InstanceOptions::default(),
        open: OpenOptions {
            filter: filter.map(|text| ("DMTF:FQL".to_owned(), text.to_owned())),
            max_object_count: 1000,
            ..OpenOptions::default()
        },
    };
    match house.ask(&reader(), CIM, operation).await.unwrap() {
        OperationResult::Pulled { items, .. } => items,
        other => panic!("{other:?}"),
    }
}

fn named(class: &str, name: &str) -> Operation {
    Operation::CreateInstance { instance: Instance::new(class).with("Name", name) }
}

#[tokio::test]
async fn a_namespace_is_made_filled_emptied_and_removed() {
    let house = house().await;
    assert!(names(&house).await.contains(&CIM.to_owned()));
    let error = house.ask(&operator(), CIM, named("CIM_Namespace", "root/new")).await.unwrap_err();
    assert_eq!(error.status, CimStatus::AccessDenied);
    let made = match house.ask(&admin(), CIM, named("CIM_Namespace", "root/new")).await.unwrap() {
        OperationResult::Created(path) => path,
        other => panic!("{other:?}"),
    };
    assert_eq!(house.get(&made).await.unwrap().get_str("Name"), Some("root/new"));
    assert!(names(&house).await.contains(&"root/new".to_owned()));
    let again = house.refused(CIM, named("CIM_Namespace", "ROOT/New")).await;
    assert_eq!(again.status, CimStatus::AlreadyExists);
    for wrong in ["", "root/a b", "root/\u{7}"] {
        let error = house.refused(CIM, named("CIM_Namespace", wrong)).await;
        assert_eq!(error.status, CimStatus::InvalidParameter, "{wrong:?}");
    }

    let class = cimwright_cim::Class::new("ACME_Thing");
    let create = Operation::CreateClass { class: Box::new(class) };
    house.ask(&admin(), "root/new", create).await.unwrap();
    let delete = || Operation::DeleteInstance { path: made.clone() };
    assert_eq!(house.refused(CIM, delete()).await.status, CimStatus::NamespaceNotEmpty);
    house.ask(&admin(), "root/new", Operation::DeleteClass { class: "ACME_Thing".into() }).await.unwrap();
    house.ask(&admin(), CIM, delete()).await.unwrap();
    assert_eq!(house.refused(CIM, delete()).await.status, CimStatus::NotFound);
    let gone = house.refused("root/new", Operation::EnumerateQualifiers).await;
    assert_eq!(gone.status, CimStatus::InvalidNamespace);

    let own = all(&house, "CIM_Namespace").await.into_iter().find(|i| i.get_str("Name") == Some(CIM));
    let delete = Operation::DeleteInstance { path: own.unwrap().path.unwrap() };
    assert_eq!(house.refused(CIM, delete).await.status, CimStatus::NotSupported);
}

#[tokio::test]
async fn wmi_makes_the_namespaces_below() {
    let house = house().await;
    house.ask(&admin(), CIM, named("__Namespace", "below")).await.unwrap();
    assert!(names(&house).await.contains(&format!("{CIM}/below")));
    let below = all(&house, "__Namespace").await;
    assert_eq!(below.iter().map(|i| i.get_str("Name")).collect::<Vec<_>>(), [Some("below")]);
    let error = house.refused(CIM, named("__Namespace", "a/b")).await;
    assert_eq!(error.status, CimStatus::InvalidParameter);
    let delete = Operation::DeleteInstance { path: below[0].path.clone().unwrap() };
    house.ask(&admin(), CIM, delete).await.unwrap();
    assert!(all(&house, "__Namespace").await.is_empty());
}

#[tokio::test]
async fn the_server_and_what_belongs_to_it_are_found() {
    let house = house().await;
    let managers = all(&house, "CIM_ObjectManager").await;
    let [manager] = &managers[..] else { panic!("{managers:?}") };
    assert!(manager.get_str("Description").unwrap().ends_with("version 9.8.7"));
    let manager = manager.path.clone().unwrap();
    assert!(house.get(&manager).await.is_ok());
    let mechanisms = ends(&house, &manager, "CIM_CommMechanismForManager").await;
    assert_eq!(mechanisms[0].key_str("Name"), Some("http://test:1"));
    assert!(house.get(&mechanisms[0]).await.is_ok());
    assert_eq!(ends(&house, &manager, "CIM_HostedService").await[0].key_str("Name"), Some("test"));
    let statistics = ends(&house, &manager, "CIM_ElementStatisticalData").await;
    assert!(house.get(&statistics[0]).await.is_ok());
    for association in ["CIM_CommMechanismForManager", "CIM_HostedService", "CIM_NamespaceInManager"] {
        let filter = AssociationFilter { assoc_class: Some(association.into()), ..Default::default() };
        let options = InstanceOptions::default();
        let operation = Operation::Associators { object: manager.clone().into(), filter, options };
        let whole = house.items(CIM, operation).await.unwrap();
        let paths: Vec<_> = whole.into_iter().map(|i| i.path.unwrap()).collect();
        assert_eq!(paths, ends(&house, &manager, association).await, "{association}");
    }
    let namespaces = ends(&house, &manager, "CIM_NamespaceInManager").await;
    assert_eq!(namespaces.len(), names(&house).await.len());
}

#[tokio::test]
async fn profiles_lead_to_their_central_instances() {
    let house = house().await;
    let job = house.start(&operator(), crate::house::V2, "gate", "w").await;
    let profiles = all(&house, "CIM_RegisteredProfile").await;
    let path = |name: &str| {
        let found = profiles.iter().find(|p| p.get_str("RegisteredName") == Some(name));
        found.and_then(|p| p.path.clone()).unwrap()
    };
    let (server, jobs) = (path("Server"), path("Job Control"));
    assert_eq!(ends(&house, &server, "CIM_ElementConformsToProfile").await.len(), 1);
    assert_eq!(ends(&house, &jobs, "CIM_ReferencedProfile").await, [server]);
    let central = ends(&house, &jobs, "CIM_ElementConformsToProfile").await;
    assert!(central.contains(&job), "{central:?}");
    let whole = conforming(&house, &jobs, None).await;
    assert_eq!(whole.len(), central.len());
    let shown = whole.iter().find(|i| i.path.as_ref() == Some(&job)).unwrap();
    assert_eq!(shown, &house.get(&job).await.unwrap(), "as its own namespace shows it");
    let label = shown.get_str("Name").unwrap();
    let found = conforming(&house, &jobs, Some(&format!("Name = '{label}'"))).await;
    assert!(found.iter().any(|i| i.path.as_ref() == Some(&job)), "{found:?}");
    assert!(conforming(&house, &jobs, Some("Name = 'another'")).await.is_empty());
    let operation = Operation::InvokeMethod {
        target: jobs.into(),
        method: "GetCentralInstances".into(),
        params: Vec::new(),
    };
    let OperationResult::Method { return_value, out } = house.ask(&reader(), CIM, operation).await.unwrap()
    else {
        panic!("no answer of a method")
    };
    assert_eq!(return_value, Some(Value::Uint8(0)));
    let Some(Value::Array(paths)) = &out[0].value else { panic!("{out:?}") };
    assert_eq!(paths.len(), central.len());
    house.script.end("w", true);
    house.until(&job, 7).await;
}
