//! From nothing to the first answer, and the memory of a server that does nothing.

use super::report::{Goal, Report, Row, mebibytes, median, millis};
use super::{Bench, fill, message};
use crate::failure::Result;
use crate::server::{self, Server, Setup};
use cimwright_cim::InstancePath;
use cimwright_client::Client;
use std::time::Duration;

/// How long a server is left alone before its memory is looked at.
const IDLE: Duration = Duration::from_millis(500);

/// Measures and reports.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
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

/// Starts the server and asks for the job as soon as somebody listens.
async fn first_answer(setup: &Setup, job: &InstancePath, password: bool) -> Result<(Server, f64)> {
    let server = setup.start().await?;
    let addresses = server.addresses();
    let endpoint = if password { server::over_http(addresses) } else { server::over_unix(addresses) };
    let client = Client::connect(endpoint).await?;
    client.get_instance(job, None).await?;
    let passed = server.spawned().elapsed().as_secs_f64();
    Ok((server, passed))
}
