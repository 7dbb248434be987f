//! The bench: what the server costs, as ratios to the least that the same work can cost, all measured in one run.
//!
//! - `reads`: GetError and GetInstance, against a bare hyper server that answers the same bytes (`bare`).
//! - `statics`: EnumerateInstances of many static instances, against the same bare server.
//! - `starts`: durable job starts, against bare SQLite commits.
//! - `convert`: a conversion as a job, against the same qemu-img command.
//! - `scale`: the cost of one instance among many (`fill` makes the many).
//! - `replica`: a replicated volume, against nbdcopy, cp and a volume that is not.
//! - `mof`: the MOF compiler, against pywbem's (`schema` has what it compiles).
//! - `startup`: from nothing to the first answer, and memory.
//! - `load`, `message`: the load generator, the same for both sides of every comparison.
//! - `report`: the table.

mod bare;
mod convert;
mod fill;
mod load;
mod message;
mod mof;
mod reads;
mod replica;
mod report;
mod scale;
mod schema;
mod starts;
mod startup;
mod statics;

use crate::failure::{Failure, Result};
use crate::program::until_stopped;
use crate::scratch::Scratch;
use crate::server::{self, Setup};
use report::Report;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is measured, and how long.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "bench", about = "Measure the server against the least that the same work can cost")]
pub struct Options {
    /// Smaller numbers: within a minute, and less exact
    #[arg(long)]
    pub quick: bool,

    /// Replace the table in docs/performance.md
    #[arg(long)]
    pub write: bool,

    /// Only these parts: reads, statics, starts, convert, scale, mof, startup, replica
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    pub only: Vec<Part>,

    /// The built server
    #[arg(long, value_name = "FILE", required_unless_present = "bare_answer")]
    pub server: Option<PathBuf>,

    /// Where the report goes
    #[arg(long, value_name = "FILE", default_value = "target/bench/report.md")]
    pub report: PathBuf,

    /// The page whose table --write replaces
    #[arg(long, value_name = "FILE", default_value = "docs/performance.md")]
    pub page: PathBuf,

    /// Where the scratch directory is made; it takes some 16 GiB [default: $TMPDIR or /var/tmp]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,

    /// The archive with the MOF of the DMTF's schema, for the parts mof and startup
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,

    /// The Python of an environment that has pywbem, for the part mof
    #[arg(long, value_name = "FILE")]
    pub python: Option<PathBuf>,

    /// Be the bare server that answers the bytes in this file
    #[arg(long, value_name = "FILE", hide = true)]
    pub bare_answer: Option<PathBuf>,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Part {
    Reads,
    Statics,
    Starts,
    Convert,
    Scale,
    Mof,
    Startup,
    Replica,
}

/// How much of everything.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    /// How often each comparison is repeated.
    pub(crate) rounds: usize,
    /// How long one side of it is measured.
    pub(crate) span: Duration,
    /// The size of the disk that is converted, in bytes.
    pub(crate) disk: u64,
    /// How often it is converted by each side.
    pub(crate) conversions: usize,
    /// How many jobs are stored, ascending.
    pub(crate) stored: Vec<usize>,
    /// How many jobs are stored for start-up and memory.
    pub(crate) many: usize,
    /// How often the server is started.
    pub(crate) startups: usize,
    /// The size of the volume that is replicated, in bytes.
    pub(crate) replica: u64,
    /// How much of it is different after a pause, in bytes.
    pub(crate) difference: u64,
    /// How often it is copied.
    pub(crate) copies: usize,
}

/// What all parts share.
pub(crate) struct Bench {
    pub(crate) extent: Extent,
    pub(crate) scratch: Scratch,
    binary: PathBuf,
}

impl Options {
    fn extent(&self) -> Extent {
        if self.quick {
            Extent {
                rounds: 3,
                span: Duration::from_millis(400),
                disk: 384 << 20,
                conversions: 3,
                stored: vec![100, 10_000, 50_000],
                many: 50_000,
                startups: 5,
                replica: 512 << 20,
                difference: 8 << 20,
                copies: 2,
            }
        } else {
            Extent {
                rounds: 7,
                span: Duration::from_millis(1500),
                disk: 4 << 30,
                conversions: 11,
                stored: vec![100, 10_000, 1_000_000],
                many: 100_000,
                startups: 10,
                replica: 4 << 30,
                difference: 64 << 20,
                copies: 5,
            }
        }
    }
}

impl Bench {
    /// A server of its own for a part, with a state directory that may exist already and a user.
    pub(crate) async fn setup(&self, name: &str, root: Option<&Path>) -> Result<Setup> {
        let setup = Setup {
            binary: self.binary.clone(),
            state: self.scratch.make(name)?,
            root: root.map(Path::to_owned),
            http: server::ANY_PORT.to_owned(),
            arguments: Vec::new(),
            log: self.scratch.path().join(format!("{name}.log")),
            guarded: false,
        };
        private(&setup.state)?;
        setup.add_user().await?;
        Ok(setup)
    }
}

/// Measures and reports.
///
/// # Errors
/// When something could not be measured; a goal that is not met is no error.
pub async fn run(options: Options) -> Result<()> {
    if let Some(answer) = &options.bare_answer {
        return bare::serve(answer).await;
    }
    until_stopped("bench", measure(options)).await
}

async fn measure(options: Options) -> Result<()> {
    let bench = Bench {
        extent: options.extent(),
        scratch: Scratch::new(options.scratch.as_deref())?,
        binary: options.server.clone().unwrap_or_default(),
    };
    let mut report = Report::new(options.quick).await?;
    let wanted = |part: Part| options.only.is_empty() || options.only.contains(&part);
    if wanted(Part::Reads) {
        reads::run(&bench, &mut report).await?;
    }
    if wanted(Part::Statics) {
        statics::run(&bench, &mut report).await?;
    }
    if wanted(Part::Starts) {
        starts::run(&bench, &mut report).await?;
    }
    if wanted(Part::Convert) {
        convert::run(&bench, &mut report).await?;
    }
    if wanted(Part::Scale) {
        scale::run(&bench, &mut report).await?;
    }
    if wanted(Part::Mof) {
        mof::run(&bench, &options, &mut report).await?;
    }
    if wanted(Part::Startup) {
        startup::run(&bench, &options, &mut report).await?;
    }
    if wanted(Part::Replica) {
        replica::run(&bench, &mut report).await?;
    }
    report.save(&options.report)?;
    if options.write {
        report.update(&options.page)?;
    }
    Ok(())
}

fn private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(path, mode).map_err(Failure::io("protect", path))
}
