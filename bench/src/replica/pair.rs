//! Two servers that are partners of each other, each with a volume, on the loopback interface.

use crate::failure::{Failure, Result};
use crate::nbd;
use crate::proc::{self, Engine};
use crate::scratch::Scratch;
use crate::server::{self, ANY_PORT, Server, Setup};
use cimwright_cim::{Param, Value};
use cimwright_client::Client;
use cimwright_client::job::{JobHandle, JobSnapshot, State};
use cimwright_client::replica::{Called, Group, JOB_STARTED, Replication, Status};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The name of both groups.
pub(crate) const GROUP: &str = "drill";
/// How often is looked whether something has happened.
pub(crate) const GLANCE: Duration = Duration::from_millis(20);

const CONFIG: &str = "[replication]\nlisten = \"127.0.0.1\"\nplain_loopback = true\n";

/// Whether a write waits for the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It does.
    Sync,
    /// It does not.
    Async,
}

/// One computer.
pub(crate) struct Host {
    /// Its name.
    pub(crate) name: &'static str,
    setup: Setup,
    /// The server; none while it is down.
    server: Option<Server>,
    /// Its volume.
    pub(crate) volume: PathBuf,
    log: PathBuf,
}

/// Two of them; one is the source.
pub(crate) struct Pair {
    hosts: [Host; 2],
    /// Which of them is the source.
    source: usize,
}

impl Mode {
    /// ReplicationMode.
    fn number(self) -> Value {
        Value::Uint32(match self {
            Self::Sync => 1,
            Self::Async => 2,
        })
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

impl Pair {
    /// Two running servers that know each other. `prepare` makes the volume of each, that of the source first.
    pub(crate) async fn start(
        scratch: &Scratch,
        binary: &Path,
        prepare: impl Fn(usize, &Path) -> Result<()>,
    ) -> Result<Self> {
        let config = scratch.path().join("replication.toml");
        std::fs::write(&config, CONFIG).map_err(Failure::io("write", &config))?;
        let mut hosts = Vec::new();
        for (at, name) in ["alpha", "beta"].into_iter().enumerate() {
            let root = scratch.make(&format!("{name}/root"))?;
            let state = scratch.make(&format!("{name}/state"))?;
            private(&state)?;
            let volume = root.join("volume");
            prepare(at, &volume)?;
            let setup = Setup {
                binary: binary.to_owned(),
                state,
                log: scratch.path().join(name).join("server.log"),
                http: ANY_PORT.to_owned(),
                arguments: ["--computer-name", name, "--config", &config.to_string_lossy()]
                    .map(str::to_owned)
                    .to_vec(),
                root: Some(root.clone()),
                guarded: true,
            };
            setup.add_user().await?;
            let server = setup.start().await?;
            // Partners find it again at the same place after every start.
            let setup = Setup { http: server.addresses().http.to_string(), ..setup };
            hosts.push(Host { name, setup, server: Some(server), volume, log: root.join("log") });
        }
        let [first, second] = <[Host; 2]>::try_from(hosts)
            .map_err(|_| Failure::Late { what: "making two computers", seconds: 0 })?;
        for (one, other) in [(&first, &second), (&second, &first)] {
            one.setup.add_computer(other.name, &format!("http://{}", other.setup.http)).await?;
        }
        Ok(Self { hosts: [first, second], source: 0 })
    }

    /// The computer that is the source.
    pub(crate) fn source(&self) -> &Host {
        &self.hosts[self.source]
    }

    /// The other one.
    pub(crate) fn destination(&self) -> &Host {
        &self.hosts[1 - self.source]
    }

    /// The same, to be changed.
    pub(crate) fn source_mut(&mut self) -> &mut Host {
        &mut self.hosts[self.source]
    }

    /// The same, to be changed.
    pub(crate) fn destination_mut(&mut self) -> &mut Host {
        &mut self.hosts[1 - self.source]
    }

    /// Both.
    pub(crate) fn hosts(&self) -> &[Host; 2] {
        &self.hosts
    }

    /// The direction was turned round.
    pub(crate) fn turned(&mut self) {
        self.source = 1 - self.source;
    }

    /// Makes the topology and waits for the first copy.
    pub(crate) async fn join(&self, mode: Mode, limit: Duration) -> Result<()> {
        let called = self.begin(mode, false).await?;
        self.source().follow("CreateTopology", called, limit).await?;
        self.in_sync(None, limit).await.map(drop)
    }

    /// Makes the topology; nothing is copied before SyncGroup.
    pub(crate) async fn prepare(&self, mode: Mode, limit: Duration) -> Result<()> {
        let called = self.begin(mode, true).await?;
        self.source().follow("CreateTopology", called, limit).await
    }

    /// Waits until a mode is in force and both sides are the same.
    pub(crate) async fn in_mode(&self, mode: Mode, limit: Duration) -> Result<()> {
        let began = Instant::now();
        let wanted = match mode {
            Mode::Sync => Status::CONTINUOUS,
            Mode::Async => Status::IN_RPO,
        };
        while !self.source().group().await.is_some_and(|g| g.in_sync() && g.status == Some(wanted)) {
            if began.elapsed() > limit {
                return Err(Failure::Late { what: "the change of the mode", seconds: limit.as_secs() });
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(())
    }

    /// Asks for the topology, with or without the first copy.
    async fn begin(&self, mode: Mode, prevent: bool) -> Result<Called> {
        let (here, there) = (self.source(), self.destination());
        let paths = |path: &Path| Value::strings([path.to_string_lossy()]);
        let params = vec![
            Param::new("SourceRGName", GROUP),
            Param::new("SourceVolumeName", paths(&here.volume)),
            Param::new("SourceLogVolumeName", &*here.log.to_string_lossy()),
            Param::new("DestinationComputerName", there.name),
            Param::new("DestinationRGName", GROUP),
            Param::new("DestinationVolumeName", paths(&there.volume)),
            Param::new("DestinationLogVolumeName", &*there.log.to_string_lossy()),
            Param::new("ReplicationMode", mode.number()),
            Param::new("PreventReplication", prevent),
        ];
        here.call("CreateTopology", params).await
    }

    /// Ends it; both volumes keep what they have.
    pub(crate) async fn part(&self, limit: Duration) -> Result<()> {
        let called = self.source().call("RemoveTopology", self.names()).await?;
        self.source().follow("RemoveTopology", called, limit).await
    }

    /// Changes the mode.
    pub(crate) async fn set_mode(&self, mode: Mode) -> Result<()> {
        let mut params = self.names();
        params.push(Param::new("ReplicationMode", mode.number()));
        let method = "SetPartnershipModifyPartnership";
        let called = self.source().call(method, params).await?;
        self.source().follow(method, called, Duration::from_secs(30)).await
    }

    /// Turns the direction round. FALSE when this server cannot.
    pub(crate) async fn switch(&mut self, limit: Duration) -> Result<bool> {
        let params = vec![
            Param::new("NewSourceComputerName", self.destination().name),
            Param::new("SourceRGName", GROUP),
            Param::new("DestinationComputerName", self.source().name),
            Param::new("DestinationRGName", GROUP),
        ];
        let method = "SetPartnershipSetSourcePartnership";
        // Asked at the side that becomes the source, which has the job.
        let called = self.destination().call(method, params).await?;
        if called.answer.code() == Some(1) {
            return Ok(false);
        }
        self.destination().follow(method, called, limit).await?;
        self.turned();
        Ok(true)
    }

    /// Waits until the source says that both sides are the same, and that it has found so after `since` (in microseconds since
    /// 1970). Gives the group as it was then.
    pub(crate) async fn in_sync(&self, since: Option<i64>, limit: Duration) -> Result<Group> {
        let began = Instant::now();
        loop {
            if let Some(group) = self.source().group().await
                && group.in_sync()
                && group
                    .last_in_sync
                    .and_then(|t| t.to_unix_micros())
                    .is_some_and(|t| since.is_none_or(|s| t > s))
            {
                return Ok(group);
            }
            if began.elapsed() > limit {
                return Err(Failure::Late {
                    what: "becoming the same on both sides",
                    seconds: limit.as_secs(),
                });
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Where applications reach the volume of the source; `None` while they cannot.
    pub(crate) async fn application(&self) -> Option<nbd::Address> {
        let client = self.source().client().await.ok()?;
        let uris = Replication::new(&client).application_uris().await.ok()?;
        uris.first().and_then(|(_, uri)| nbd::Address::parse(uri))
    }

    /// Stops both servers in order.
    pub(crate) async fn stop(self) -> Result<()> {
        for mut host in self.hosts {
            host.stop().await?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<Param> {
        vec![
            Param::new("SourceRGName", GROUP),
            Param::new("DestinationComputerName", self.destination().name),
            Param::new("DestinationRGName", GROUP),
        ]
    }
}

impl Host {
    /// A connection to its server.
    pub(crate) async fn client(&self) -> Result<Client> {
        let Some(server) = &self.server else {
            return Err(Failure::Server { what: format!("{} is down", self.name), log: String::new() });
        };
        Ok(Client::connect(server::over_unix(server.addresses())).await?)
    }

    /// Its group; `None` while it does not answer.
    pub(crate) async fn group(&self) -> Option<Group> {
        let client = self.client().await.ok()?;
        let groups = Replication::new(&client).groups().await.ok()?;
        groups.into_iter().find(|g| g.name == GROUP)
    }

    /// Calls a method there.
    pub(crate) async fn call(&self, method: &str, params: Vec<Param>) -> Result<Called> {
        let client = self.client().await?;
        Ok(Replication::new(&client).call(method, params).await?)
    }

    /// Waits for the good end of a call.
    pub(crate) async fn follow(&self, asked: &'static str, called: Called, limit: Duration) -> Result<()> {
        let client = self.client().await?;
        let failed = |reason: String| Failure::Answer { asked, answered: reason };
        let code = called.answer.code().unwrap_or(-1);
        let Some(job) = called.job else {
            return if code == 0 { Ok(()) } else { Err(failed(format!("{code}"))) };
        };
        let job = JobHandle::new(&client, job);
        let began = Instant::now();
        loop {
            let snapshot = job.snapshot().await?;
            if snapshot.state == State::COMPLETED && code == JOB_STARTED {
                return Ok(());
            }
            if snapshot.state.is_ended() {
                let reason = snapshot.error_description.unwrap_or_default();
                return Err(failed(format!("{code}: {reason}")));
            }
            if began.elapsed() > limit {
                return Err(Failure::Late { what: asked, seconds: limit.as_secs() });
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// The replication jobs that ran after a moment (in microseconds since 1970): one that follows a copy when it is lost follows the
    /// next one too, and no other is started for that.
    pub(crate) async fn jobs_after(&self, moment: i64) -> Result<Vec<JobSnapshot>> {
        let client = self.client().await?;
        let namespace = cimwright_cim::NamespaceName::new(cimwright_client::replica::NAMESPACE);
        let jobs = client.enumerate_instances(&namespace, "MSFT_SrJob", None).await?;
        let since = |job: &JobSnapshot| {
            let changed = job.time_of_last_state_change.and_then(|t| t.to_unix_micros());
            !job.state.is_ended() || changed.is_some_and(|at| at >= moment)
        };
        Ok(jobs.into_iter().map(JobSnapshot::of).filter(since).collect())
    }

    /// The daemons that work for it.
    pub(crate) fn daemons(&self) -> Vec<Engine> {
        proc::daemons(&self.setup.state)
    }

    /// Its state directory.
    pub(crate) fn state(&self) -> &Path {
        &self.setup.state
    }

    /// Its log.
    pub(crate) fn log(&self) -> &Path {
        &self.setup.log
    }

    /// Keeps its server from doing anything, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        if let Some(server) = &self.server {
            server.freeze(frozen);
        }
    }

    /// Kills its server with SIGKILL. TRUE if it had ended by itself, which it should not.
    pub(crate) async fn kill(&mut self) -> Result<bool> {
        match self.server.take() {
            Some(server) => server.kill().await,
            None => Ok(false),
        }
    }

    /// Stops its server in order.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let Some(server) = self.server.take() else { return Ok(()) };
        let status = server.stop().await?;
        if status.success() {
            return Ok(());
        }
        let what = format!("{} did not stop in order ({status})", self.name);
        Err(Failure::Server { what, log: server::tail(&self.setup.log, 20) })
    }

    /// Starts its server again, where it was.
    pub(crate) async fn revive(&mut self) -> Result<()> {
        if self.server.is_none() {
            self.server = Some(self.setup.start().await?);
        }
        Ok(())
    }

    /// Whether its server runs, as far as is known without asking it.
    pub(crate) fn is_running(&mut self) -> bool {
        self.server.as_mut().is_some_and(Server::is_running)
    }
}

fn private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(path, mode).map_err(Failure::io("protect", path))
}
