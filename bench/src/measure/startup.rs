//! From nothing to the first answer, and the memory of a server that does nothing.

use super::report::{Goal, Report, Row, mebibytes, median, millis};
use super::{Bench, Options, fill, message, schema};
use crate::failure::Result;
use crate::server::{self, Server, Setup};
use cimwright_cim::InstancePath;
use cimwright_client::Client;
use std::path::Path;
use std::time::Duration;

/// How long a server is left alone before its memory is looked at.
const IDLE: Duration = Duration::from_millis(500);

/// Measures and reports.
pub(crate) async fn run(bench: &Bench, options: &Options, report: &mut Report) -> Result<()> {
    with_jobs(bench, report).await?;
    match options.schema.as_deref().filter(|file| file.is_file()) {
        Some(archive) => with_schema(bench, archive, report).await,
        None => {
            println!("skipped: the schema of the DMTF is not here (--schema FILE)");
            Ok(())
        }
    }
}

async fn with_schema(bench: &Bench, archive: &Path, report: &mut Report) -> Result<()> {
    let root = schema::unpacked(bench, archive)?;
    let setup = bench.setup("startup-schema", None).await?;
    let (classes, instance) = schema::fill(&setup.state, &root).await?;
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..bench.extent.startups {
        let (server, passed) = first_answer(&setup, &instance, false).await?;
        times.push(passed);
        tokio::time::sleep(IDLE).await;
        memory.push(server.memory().resident as f64);
        server.stop().await?;
    }
    let time = median(&times);
    report.add(Row {
        what: format!(
            "start to first answered GetInstance, unix socket, the schema of the DMTF ({classes} classes) loaded; part of 100 ms"
        ),
        ours: millis(time),
        floor: String::new(),
        ratio: Some(time / 0.1),
        goal: Goal::AtMost(1.0),
    });
    report.add(Row {
        what: "resident memory, idle, the schema of the DMTF loaded".to_owned(),
        ours: mebibytes(median(&memory) as u64),
        floor: String::new(),
        ratio: None,
        goal: Goal::None,
    });
    Ok(())
}

async fn with_jobs(bench: &Bench, report: &mut Report) -> Result<()> {
    for count in [1, bench.extent.many] {
        let setup = bench.setup(&format!("startup-{count}"), None).await?;
        let ids = fill::fill(&setup.state, count).await?;
        let job = message::job("Msvm_StorageJob", &ids[count / 2].to_string());
        let (mut local, mut remote, mut memory) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..bench.extent.startups {
            let (server, passed) = first_answer(&setup, &job, false).await?;
            local.push(passed);
            tokio::time::sleep(IDLE).await;
            memory.push(server.memory().resident as f64);
            server.stop().await?;
            let (server, passed) = first_answer(&setup, &job, true).await?;
            remote.push(passed);
            server.stop().await?;
        }
        let stored = if count == 1 { "1 stored job".to_owned() } else { format!("{count} stored jobs") };
        let mut add = |what: String, ours: String, goal, ratio| {
            report.add(Row { what, ours, floor: String::new(), ratio, goal });
        };
        for (what, times) in [("unix socket", local), ("HTTP with a password", remote)] {
            let time = median(&times);
            let what = format!("start to first answered GetInstance, {what}, {stored}; part of 100 ms");
            add(what, millis(time), Goal::AtMost(1.0), Some(time / 0.1));
        }
        let memory = mebibytes(median(&memory) as u64);
        add(format!("resident memory, idle, {stored}"), memory, Goal::None, None);
    }
    Ok(())
}

/// Starts the server and asks for the instance as soon as somebody listens.
async fn first_answer(setup: &Setup, path: &InstancePath, password: bool) -> Result<(Server, f64)> {
    let server = setup.start().await?;
    let addresses = server.addresses();
    let endpoint = if password { server::over_http(addresses) } else { server::over_unix(addresses) };
    let client = Client::connect(endpoint).await?;
    client.get_instance(path, None).await?;
    let passed = server.spawned().elapsed().as_secs_f64();
    Ok((server, passed))
}
