//! ExecQuery and OpenQueryInstances.

use crate::house::*;
use cimwright_cim::operation::{ObjectShape, OpenOptions, Operation, OperationResult};
use cimwright_cim::{CimError, CimStatus, Instance, Value};
use cimwright_codec::query::parse;

async fn wql(house: &House, text: &str) -> Result<Vec<Instance>, CimError> {
    house.items(V2, Operation::ExecQuery { query: parse("WQL", text)? }).await
}

#[tokio::test]
async fn jobs_are_found_by_what_they_show() {
    let house = House::open().await;
    let good = house.start(&operator(), V2, "ok", "good").await;
    let bad = house.start(&operator(), V2, "fail", "bad").await;
    house.until(&good, 7).await;
    house.until(&bad, 10).await;
    let id = bad.key_str("InstanceID").unwrap();
    let rows = [
        ("SELECT * FROM Msvm_StorageJob".to_owned(), 2),
        ("SELECT * FROM CIM_ConcreteJob WHERE JobState = 10".to_owned(), 1),
        ("SELECT * FROM CIM_ConcreteJob WHERE Name LIKE 'G%' OR ErrorCode <> 0".to_owned(), 2),
        (format!("select * from Msvm_StorageJob WHERE InstanceID = '{id}'"), 1),
        (format!("select * from Msvm_StorageJob WHERE InstanceID = '{}'", id.to_lowercase()), 1),
        (format!("SELECT * FROM Msvm_StorageJob WHERE InstanceID = '{id}' AND JobState = 7"), 0),
        ("SELECT * FROM Msvm_StorageJob WHERE InstanceID = 'nonsense'".to_owned(), 0),
        (format!("SELECT * FROM Msvm_ConcreteJob WHERE InstanceID = '{id}'"), 0),
        ("SELECT * FROM CIM_ConcreteJob WHERE __CLASS = 'Msvm_StorageJob'".to_owned(), 2),
        ("SELECT * FROM Test_Disk WHERE Size > 6".to_owned(), 2),
    ];
    for (text, count) in rows {
        assert_eq!(wql(&house, &text).await.unwrap().len(), count, "{text}");
    }
    let found =
        wql(&house, &format!("SELECT * FROM CIM_ConcreteJob WHERE InstanceID = '{id}'")).await.unwrap();
    assert_eq!(found[0], house.get(&bad).await.unwrap());
}

#[tokio::test]
async fn the_other_language_finds_the_same_and_knows_more() {
    let house = House::open().await;
    let good = house.start(&operator(), V2, "ok", "good").await;
    let bad = house.start(&operator(), V2, "fail", "bad").await;
    house.until(&good, 7).await;
    house.until(&bad, 10).await;
    let rows = [
        ("SELECT * FROM Msvm_StorageJob", 2),
        ("SELECT * FROM CIM_ConcreteJob j WHERE j.JobState = #'Exception'", 1),
        ("SELECT * FROM CIM_ConcreteJob WHERE JobState <> #'Exception' AND Name LIKE 'g.*'", 1),
        ("SELECT * FROM CIM_ConcreteJob WHERE Name LIKE 'G.*' OR Name = 'GOOD'", 0),
        ("SELECT * FROM CIM_ConcreteJob j WHERE j ISA Msvm_StorageJob", 2),
        ("SELECT * FROM CIM_ConcreteJob WHERE Msvm_StorageJob::JobState = 7", 1),
        ("SELECT * FROM CIM_ConcreteJob WHERE ANY OperationalStatus[*] = 2", 1),
        ("SELECT * FROM CIM_ConcreteJob WHERE EVERY OperationalStatus[*] = 17", 0),
        ("SELECT * FROM CIM_ConcreteJob WHERE OperationalStatus[0] = 2 OR OperationalStatus[1] = 2", 1),
        ("SELECT * FROM CIM_ConcreteJob WHERE Name <> ElementName OR ElementName IS NULL", 0),
    ];
    for (text, count) in rows {
        let query = parse("DMTF:CQL", text).unwrap();
        let found = house.items(V2, Operation::ExecQuery { query }).await;
        assert_eq!(found.map(|f| f.len()), Ok(count), "{text}");
    }
    let wrong = [
        "SELECT Nope FROM CIM_ConcreteJob",
        "SELECT * FROM CIM_ConcreteJob WHERE JobState = #'Nope'",
        "SELECT * FROM CIM_ConcreteJob WHERE JobState = '7'",
        "SELECT * FROM CIM_ConcreteJob WHERE Nope::JobState = 7",
        "SELECT * FROM CIM_ConcreteJob WHERE Name = JobState",
        "SELECT * FROM CIM_ConcreteJob WHERE OperationalStatus = 7",
    ];
    for text in wrong {
        let query = parse("DMTF:CQL", text).unwrap();
        let error = house.items(V2, Operation::ExecQuery { query }).await.unwrap_err();
        assert_eq!(error.status, CimStatus::InvalidQuery, "{text}: {error}");
    }
}

#[tokio::test]
async fn a_projection_shows_what_is_selected() {
    let house = House::open().await;
    let job = house.start(&operator(), V2, "ok", "w").await;
    house.until(&job, 7).await;
    let found = wql(&house, "SELECT name, JobState, __CLASS, __PATH FROM CIM_ConcreteJob").await.unwrap();
    let names: Vec<&str> = found[0].properties.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(found[0].get("JobState"), Some(&Value::Uint16(7)));
    assert_eq!(found[0].get_str("__CLASS"), Some("Msvm_StorageJob"));
    assert!(found[0].get_str("__PATH").unwrap().starts_with("root/virtualization/v2:Msvm_StorageJob."));
}

#[tokio::test]
async fn a_query_must_fit_its_class() {
    let house = House::open().await;
    let rows = [
        ("SELECT * FROM Nope", CimStatus::InvalidClass),
        ("SELECT Nope FROM CIM_ConcreteJob", CimStatus::InvalidQuery),
        ("SELECT * FROM CIM_ConcreteJob WHERE Nope = 1", CimStatus::InvalidQuery),
        ("SELECT * FROM CIM_ConcreteJob WHERE NOT (Name = 'x' OR Nope IS NULL)", CimStatus::InvalidQuery),
        ("SELECT * FROM CIM_ConcreteJob WHERE Name.Inner = 1", CimStatus::InvalidQuery),
    ];
    for (text, status) in rows {
        assert_eq!(wql(&house, text).await.unwrap_err().status, status, "{text}");
    }
}

#[tokio::test]
async fn a_query_can_be_pulled() {
    let house = House::open().await;
    let job = house.start(&operator(), V2, "ok", "w").await;
    house.until(&job, 7).await;
    let operation = Operation::OpenQueryInstances {
        query: parse("WQL", "SELECT Name FROM CIM_ConcreteJob WHERE JobState = 7").unwrap(),
        return_query_result_class: true,
        open: OpenOptions { max_object_count: 10, ..OpenOptions::default() },
    };
    let OperationResult::Pulled { shape, items, context, query_result_class } =
        house.ask(&reader(), V2, operation).await.unwrap()
    else {
        panic!("not pulled")
    };
    assert_eq!((shape, items.len(), context), (ObjectShape::Instance, 1, None));
    let class = query_result_class.unwrap();
    assert_eq!(class.properties.len(), 1);
    assert!(class.properties[0].name.is("Name"));
}
