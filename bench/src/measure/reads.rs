//! GetError and GetInstance of a failed job, against a bare hyper server that answers the same bytes.

use super::bare::Bare;
use super::load::{ClientKind, Connection, Load, check};
use super::message;
use super::report::{Goal, Report, Row, median, micros, rate};
use super::{Bench, load};
use crate::failure::{Failure, Result};
use crate::server;
use bytes::Bytes;
use cimwright_cim::InstancePath;
use cimwright_client::Client;
use cimwright_client::job::JobHandle;
use std::sync::Arc;
use std::time::Duration;

/// Measures and reports.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let setup = bench.setup("reads", None).await?;
    let server = setup.start().await?;
    let job = failed_job(&server).await?;
    let operations = [
        ("GetError", message::get_error(&job), "CWDEMO1001"),
        ("GetInstance", message::get_instance(&job), "<IRETURNVALUE>"),
    ];
    for (name, request, expect) in operations {
        let answer = bench.scratch.path().join(format!("{name}.http"));
        let mut connection = Connection::open(server.addresses().http).await?;
        connection.ask(&request).await?;
        check(connection.body(), expect)?;
        std::fs::write(&answer, connection.whole()).map_err(Failure::io("write", &answer))?;
        let bytes = connection.whole().len();
        let bare = Bare::start(&answer).await?;
        let requests: Arc<[Bytes]> = Arc::from([request]);
        for (client, connections) in
            [(ClientKind::Hyper, 1), (ClientKind::Hyper, 32), (ClientKind::Lean, 1), (ClientKind::Lean, 32)]
        {
            let ours = Load {
                address: server.addresses().http,
                pid: server.pid(),
                requests: Arc::clone(&requests),
                connections,
                span: bench.extent.span,
                expect,
                client,
            };
            let floor = Load { address: bare.address, pid: bare.pid(), ..ours.clone() };
            let (mut ours_rates, mut floor_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            let (mut ours_cpu, mut floor_cpu) = (Vec::new(), Vec::new());
            for _ in 0..bench.extent.rounds {
                let (a, b) = (ours.run().await?, floor.run().await?);
                ratios.push(a.per_second / b.per_second);
                ours_rates.push(a.per_second);
                floor_rates.push(b.per_second);
                ours_cpu.push(a.cpu.as_secs_f64());
                floor_cpu.push(b.cpu.as_secs_f64());
            }
            let (kind, goal) = match client {
                ClientKind::Hyper if name == "GetError" => ("", Goal::AtLeast(0.5)),
                ClientKind::Hyper => ("", Goal::None),
                ClientKind::Lean => (" of the lean client", Goal::None),
            };
            let plural = if connections == 1 { "" } else { "s" };
            report.add(Row {
                what: format!("{name}, {connections} connection{plural}{kind}, answer of {bytes} bytes"),
                ours: format!("{}, {} CPU each", rate(median(&ours_rates)), micros(median(&ours_cpu))),
                floor: format!("{}, {} CPU each", rate(median(&floor_rates)), micros(median(&floor_cpu))),
                ratio: Some(median(&ratios)),
                goal,
            });
        }
    }
    wsman(bench, &server, &job, report).await?;
    server.stop().await?;
    Ok(())
}

/// The same over WS-Management, against CIM-XML of the same server.
async fn wsman(
    bench: &Bench,
    server: &server::Server,
    job: &InstancePath,
    report: &mut Report,
) -> Result<()> {
    for (name, soap, plain, expect) in [
        (
            "GetError",
            message::wsman_get_error(job),
            message::get_error(job),
            ["GetError_OUTPUT", "CWDEMO1001"],
        ),
        ("Get", message::wsman_get(job), message::get_instance(job), ["<p:InstanceID>", "<IRETURNVALUE>"]),
    ] {
        let [over_soap, over_plain] = [(soap, expect[0]), (plain, expect[1])].map(|(request, expect)| Load {
            address: server.addresses().http,
            pid: server.pid(),
            requests: Arc::from([request]),
            connections: 1,
            span: bench.extent.span,
            expect,
            client: ClientKind::Lean,
        });
        let (mut soap_rates, mut plain_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..bench.extent.rounds {
            let (a, b) = (over_soap.run().await?, over_plain.run().await?);
            ratios.push(a.per_second / b.per_second);
            soap_rates.push(a.per_second);
            plain_rates.push(b.per_second);
        }
        report.add(Row {
            what: format!("{name} over WS-Management, 1 connection of the lean client, against CIM-XML"),
            ours: rate(median(&soap_rates)),
            floor: rate(median(&plain_rates)),
            ratio: Some(median(&ratios)),
            goal: Goal::AtLeast(0.8),
        });
    }
    Ok(())
}

/// A job that failed, with a reason behind its reason.
async fn failed_job(server: &server::Server) -> Result<InstancePath> {
    let client = Client::connect(server::over_unix(server.addresses())).await?;
    let service = demo_service(&client).await?;
    let answer = client.invoke(&service.into(), "StartJob", message::start_params("fail")).await?;
    let job = answer.job().cloned().ok_or_else(|| Failure::Answer {
        asked: "StartJob",
        answered: format!("{:?} without a job", answer.code()),
    })?;
    for _ in 0..1000 {
        if JobHandle::new(&client, job.clone()).snapshot().await?.state.is_ended() {
            return Ok(InstancePath { host: None, ..job });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(Failure::Late { what: "a job of no length", seconds: 5 })
}

/// The path of the demonstration service.
pub(crate) async fn demo_service(client: &Client) -> Result<InstancePath> {
    let found = client.enumerate_instance_names(&message::namespace(), "Cimwright_DemoService").await?;
    let path = found.into_iter().next().ok_or_else(|| Failure::Answer {
        asked: "where the demonstration service is",
        answered: "no instance".to_owned(),
    })?;
    Ok(InstancePath { host: None, ..path })
}

/// GetInstance of these jobs in turn, over one connection.
pub(crate) fn get_instances(bench: &Bench, server: &server::Server, paths: &[InstancePath]) -> load::Load {
    Load {
        address: server.addresses().http,
        pid: server.pid(),
        requests: paths.iter().map(message::get_instance).collect(),
        connections: 1,
        span: bench.extent.span,
        expect: "<IRETURNVALUE>",
        client: ClientKind::Lean,
    }
}
