//! The whole schema of the DMTF, compiled by `cimwright mof check` and by pywbem's `mof_compiler` without a server. Both are programs
//! that begin, read the files, and end.

use super::report::{Goal, Report, Row, median, millis, seconds};
use super::{Bench, Options, schema};
use crate::failure::{Failure, Result};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;
use tokio::process::Command;

/// How often they take turns. pywbem's takes seconds.
const TURNS: usize = 3;

/// Measures and reports; says so if there is no schema or no pywbem.
pub(crate) async fn run(bench: &Bench, options: &Options, report: &mut Report) -> Result<()> {
    let Some(archive) = options.schema.as_deref().filter(|file| file.is_file()) else {
        println!("skipped: the schema of the DMTF is not here (--schema FILE)");
        return Ok(());
    };
    let root = schema::unpacked(bench, archive)?;
    let compiler = options.python.as_deref().and_then(Path::parent).map(|bin| bin.join("mof_compiler"));
    let Some(compiler) = compiler.filter(|file| file.is_file()) else {
        println!("skipped: pywbem's mof_compiler is not here (--python FILE)");
        return Ok(());
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        for _ in 0..bench.extent.conversions {
            let mut command = Command::new(&bench.binary);
            command.args(["mof", "check", "--strict"]).arg(&root);
            ours.push(timed(&mut command).await?);
        }
        let mut command = Command::new(&compiler);
        // A dry run asks no server, so it does not matter that nobody listens there.
        command
            .args(["--dry-run", "--server", "http://127.0.0.1:1", "--namespace", "root/cimv2", "--include"])
            .arg(root.parent().unwrap_or(Path::new(".")))
            .arg(&root);
        theirs.push(timed(&mut command).await?);
    }
    let (ours, theirs) = (median(&ours), median(&theirs));
    report.add(Row {
        what: "the schema of the DMTF (1634 files): `cimwright mof check`, beside pywbem's `mof_compiler --dry-run`"
            .to_owned(),
        ours: millis(ours),
        floor: seconds(theirs),
        ratio: Some(theirs / ours),
        goal: Goal::AtLeast(40.0),
    });
    Ok(())
}

async fn timed(command: &mut Command) -> Result<f64> {
    let line = format!("{:?}", command.as_std());
    let start = Instant::now();
    let output =
        command.stdin(Stdio::null()).output().await.map_err(Failure::connection("starting a compiler"))?;
    let passed = start.elapsed().as_secs_f64();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).chars().take(2000).collect();
        return Err(Failure::Program { line, said });
    }
    Ok(passed)
}
