//! A conversion as a job, against the same qemu-img command and the sync that the job does too.

use super::report::{Goal, Report, Row, median, seconds};
use super::{Bench, message};
use crate::content::{self, ORDINARY};
use crate::failure::{Failure, Result};
use crate::qemu::{self, Format};
use crate::server;
use cimwright_cim::{InstancePath, Param, Value};
use cimwright_client::Client;
use cimwright_client::job::{JobHandle, State};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the client looks whether the job has ended.
const GLANCE: Duration = Duration::from_millis(10);

/// A disk that takes no time to convert: what is left is what a job costs, whatever it does.
const SMALL: u64 = 1 << 20;

/// A conversion.
struct Conversion<'a> {
    client: &'a Client,
    service: &'a InstancePath,
    source: &'a Path,
    target: &'a Path,
    format: Format,
}

/// Measures and reports.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let root = bench.scratch.make("images")?;
    let (source, small) = (root.join("source.raw"), root.join("small.raw"));
    content::write_raw(&source, bench.extent.disk, ORDINARY, 1)?;
    content::write_raw(&small, SMALL, ORDINARY, 2)?;
    let setup = bench.setup("convert", Some(&root)).await?;
    let server = setup.start().await?;
    let client = Client::connect(server::over_unix(server.addresses())).await?;
    let class = "Msvm_ImageManagementService";
    let found = client.enumerate_instance_names(&message::namespace(), class).await?;
    let service = found.into_iter().next().ok_or_else(|| Failure::Answer {
        asked: "where the image service is",
        answered: "no instance".to_owned(),
    })?;
    let service = InstancePath { host: None, ..service };
    let sizes = [(&source, bench.extent.disk, Goal::AtMost(1.03)), (&small, SMALL, Goal::None)];
    for ((source, size, goal), format) in
        sizes.into_iter().flat_map(|size| [(size, Format::Vhdx), (size, Format::Raw)])
    {
        let target = root.join("target").with_extension(format.extension());
        let conversion = Conversion { client: &client, service: &service, source, target: &target, format };
        // The first ones fill the page cache.
        conversion.directly().await?;
        let (mut jobs, mut floors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let rounds = if size == SMALL { 20 } else { bench.extent.conversions };
        for round in 0..rounds {
            // Whoever is first may meet what the one before left to be written.
            let (job, floor) = if round.is_multiple_of(2) {
                let job = conversion.as_job().await?;
                (job, conversion.directly().await?)
            } else {
                let floor = conversion.directly().await?;
                (conversion.as_job().await?, floor)
            };
            ratios.push(job / floor);
            jobs.push(job);
            floors.push(floor);
        }
        report.add(Row {
            what: format!(
                "convert {:.0} MiB raw to {} as a job; qemu-img with fsync",
                size as f64 / f64::from(1 << 20),
                format.extension()
            ),
            ours: spread(&jobs),
            floor: spread(&floors),
            ratio: Some(median(&ratios)),
            goal,
        });
    }
    drop(client);
    server.stop().await?;
    Ok(())
}

/// The median, and the fastest: the disk of a machine that is not alone makes single times differ by a tenth and more.
fn spread(times: &[f64]) -> String {
    let fastest = times.iter().copied().fold(f64::INFINITY, f64::min);
    format!("{}, fastest {}", seconds(median(times)), seconds(fastest))
}

impl Conversion<'_> {
    /// Seconds from the call to the sight of Completed.
    async fn as_job(&self) -> Result<f64> {
        self.clear()?;
        let data = message::setting_data(&self.target.to_string_lossy());
        let params = vec![
            Param::new("SourcePath", &*self.source.to_string_lossy()),
            Param::new("VirtualDiskSettingData", Value::Instance(Box::new(data))),
        ];
        let began = Instant::now();
        let answer =
            self.client.invoke(&self.service.clone().into(), "ConvertVirtualHardDisk", params).await?;
        let job = answer.job().cloned().ok_or_else(|| Failure::Answer {
            asked: "ConvertVirtualHardDisk",
            answered: format!("{:?} without a job", answer.code()),
        })?;
        let job = JobHandle::new(self.client, job);
        loop {
            let snapshot = job.snapshot().await?;
            if snapshot.state == State::COMPLETED {
                return Ok(began.elapsed().as_secs_f64());
            }
            if snapshot.state.is_ended() {
                let answered = snapshot.error_description.unwrap_or_default();
                return Err(Failure::Answer { asked: "a conversion", answered });
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Seconds of the command that the job runs, and of the syncs behind it.
    async fn directly(&self) -> Result<f64> {
        self.clear()?;
        let (source, target) = (self.source.to_string_lossy(), self.target.to_string_lossy());
        let mut arguments = vec!["convert", "-p"];
        if self.format == Format::Vhdx {
            arguments.extend(["-o", "subformat=dynamic"]);
        }
        arguments.extend(["-f", "raw", "-O", self.format.engine_name(), &source, &target]);
        let began = Instant::now();
        qemu::run(&arguments).await?;
        let directory = self.target.parent().unwrap_or(Path::new("/"));
        for path in [self.target, directory] {
            let file = std::fs::File::open(path).and_then(|file| file.sync_all());
            file.map_err(Failure::io("sync", path))?;
        }
        Ok(began.elapsed().as_secs_f64())
    }

    /// Both sides begin without a target and with nothing left to be written.
    fn clear(&self) -> Result<()> {
        match std::fs::remove_file(self.target) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::io("remove", self.target)(e));
            }
            _ => {}
        }
        rustix::fs::sync();
        Ok(())
    }
}
