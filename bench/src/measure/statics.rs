//! EnumerateInstances of many static instances, against a bare hyper server that answers the same bytes.

use super::Bench;
use super::bare::Bare;
use super::load::{ClientKind, Load, check, fetch};
use super::message;
use super::report::{Goal, Report, Row, mebibytes, median, rate};
use crate::failure::{Failure, Result};
use bytes::Bytes;
use cimwright_cim::{
    CimType, Class, Instance, InstancePath, NamespaceName, Property, Qualifier, Request, Value,
};
use cimwright_repository::{Change, RepositoryStore as _};
use cimwright_store::SqliteRepository;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How many static instances there are.
const COUNT: u32 = 10_000;

/// How many clients ask for all of them at the same time.
const CLIENTS: usize = 32;

/// How long one side is measured at most.
const LONGEST: Duration = Duration::from_secs(60);

const CLASS: &str = "Bench_Volume";

/// Measures and reports.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let setup = bench.setup("statics", None).await?;
    fill(&setup.state).await?;
    let server = setup.start().await?;
    let idle = server.memory().resident;
    let operation = message::enumerate_instances(CLASS);
    let request = message::http_of(&Request { namespace: namespace(), operation });
    let body = fetch(server.addresses().http, &request).await?;
    check(&body, "volume-9999")?;
    let answer = bench.scratch.path().join("statics.http");
    let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-type: application/xml; charset=\"utf-8\"\r\n\r\n".to_vec();
    bytes.extend_from_slice(&body);
    std::fs::write(&answer, bytes).map_err(Failure::io("write", &answer))?;
    let bare = Bare::start(&answer).await?;
    let requests: Arc<[Bytes]> = Arc::from([request]);
    for connections in [1, CLIENTS] {
        let mut ours = Load {
            address: server.addresses().http,
            pid: server.pid(),
            requests: Arc::clone(&requests),
            connections,
            span: bench.extent.span * 3,
            expect: "<VALUE.NAMEDINSTANCE>",
            client: ClientKind::Hyper,
        };
        let mut floor = Load { address: bare.address, pid: bare.pid(), ..ours.clone() };
        let (mut ours_rates, mut floor_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..bench.extent.rounds {
            let (mut a, mut b) = (ours.run().await?, floor.run().await?);
            // On a busy machine that many large answers may take longer than a round.
            while (a.per_second == 0.0 || b.per_second == 0.0) && ours.span < LONGEST {
                (ours.span, floor.span) = (ours.span * 2, floor.span * 2);
                (a, b) = (ours.run().await?, floor.run().await?);
            }
            ratios.push(a.per_second / b.per_second);
            ours_rates.push(a.per_second);
            floor_rates.push(b.per_second);
        }
        let shown = |rates: &[f64]| {
            let median = median(rates);
            format!("{}, {}/s", rate(median), mebibytes((median * body.len() as f64) as u64))
        };
        let plural = if connections == 1 { "" } else { "s" };
        report.add(Row {
            what: format!(
                "EnumerateInstances of {COUNT} static instances, {connections} connection{plural}, answer of {}",
                mebibytes(body.len() as u64)
            ),
            ours: shown(&ours_rates),
            floor: shown(&floor_rates),
            ratio: Some(median(&ratios)),
            goal: if connections == CLIENTS { Goal::AtLeast(0.3) } else { Goal::None },
        });
    }
    // Streamed answers take the room of their portions; whole ones would take that of all their bytes.
    let (peak, whole) = (server.memory().peak, CLIENTS as u64 * body.len() as u64);
    report.add(Row {
        what: format!(
            "most resident memory while {CLIENTS} clients enumerate {COUNT} static instances (idle: {}), as growth; {CLIENTS} whole answers",
            mebibytes(idle)
        ),
        ours: mebibytes(peak),
        floor: mebibytes(whole),
        ratio: Some(peak.saturating_sub(idle) as f64 / whole as f64),
        goal: Goal::None,
    });
    server.stop().await?;
    Ok(())
}

fn namespace() -> NamespaceName {
    NamespaceName::new("root/bench")
}

/// Puts a class and its instances into the repository of a state directory that no server uses.
async fn fill(state: &Path) -> Result<()> {
    let failed = |e: cimwright_repository::RepositoryError| Failure::Answer {
        asked: "the repository",
        answered: e.to_string(),
    };
    let store = SqliteRepository::open(&state.join("repository.sqlite")).await.map_err(failed)?;
    let mut changes =
        vec![Change::AddNamespace(namespace()), Change::SetClass(namespace(), Arc::new(class()))];
    changes.extend((0..COUNT).map(|n| Change::SetInstance(namespace(), Arc::new(instance(n)))));
    store.apply(&changes).await.map_err(failed)
}

fn class() -> Class {
    let mut class = Class::new(CLASS);
    let mut key = Property::new("DeviceID", CimType::String, None);
    key.qualifiers.push(Qualifier::flag("Key"));
    class.properties.push(key);
    class.properties.extend(properties(0).into_iter().map(|p| Property { value: None, ..p }));
    class
}

fn properties(n: u32) -> Vec<Property> {
    let property = |name: &str, value: Value| {
        let cim_type = value.cim_type().unwrap_or(CimType::String);
        Property::new(name, cim_type, Some(value))
    };
    vec![
        property("ElementName", format!("volume-{n}").as_str().into()),
        property("Caption", format!("Volume {n} of the bench").as_str().into()),
        property("OperationalStatus", Value::uint16s([2])),
        property("HealthState", Value::Uint16(5)),
        property("EnabledState", Value::Uint16(2)),
        property("BlockSize", Value::Uint64(4096)),
        property("NumberOfBlocks", Value::Uint64(u64::from(n) * 1024)),
        property("IsComposite", Value::Boolean(false)),
    ]
}

fn instance(n: u32) -> Instance {
    let id = format!("bench:{n:08}");
    let mut instance = Instance::new(CLASS).with("DeviceID", id.as_str());
    instance.properties.extend(properties(n));
    instance.path = Some(InstancePath::new(namespace(), CLASS).with_key("DeviceID", id.as_str()));
    instance
}
