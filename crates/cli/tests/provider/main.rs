//! A provider in a process of its own, in the server as it is installed: the example of docs/add-a-provider.md, killed at work.
#![allow(clippy::unwrap_used, reason = "a test stops where its ground gives way")]

use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

struct Server {
    directory: Arc<tempfile::TempDir>,
    child: Child,
}

impl Server {
    /// The server with the example, and with a second provider whose program is not there.
    fn start() -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()))
    }

    /// The same with the state that another one has left.
    fn start_in(directory: Arc<tempfile::TempDir>) -> Self {
        let config = directory.path().join("config.toml");
        let text = format!(
            "[server]\nhttp = [\"127.0.0.1:0\"]\nhttps = []\n\
             [[providers.process]]\nname = \"disk-usage\"\ncommand = [{:?}]\nnamespaces = [\"root/diskuse\"]\n\
             [[providers.process]]\nname = \"missing\"\ncommand = [\"/no/such/program\"]\nnamespaces = [\"root/x\"]\n",
            example().to_str().unwrap()
        );
        std::fs::write(&config, text).unwrap();
        let child = program()
            .args(["serve", "--config"])
            .arg(&config)
            .arg("--state")
            .arg(directory.path().join("state"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { directory, child };
        server.wait_for("the server to answer", |s| s.run(&["ls"]).status.code() == Some(0));
        assert_eq!(server.child.try_wait().unwrap(), None, "the server ended");
        server
    }

    fn run(&self, line: &[&str]) -> Output {
        program().args(line).arg("--state").arg(self.directory.path().join("state")).output().unwrap()
    }

    #[track_caller]
    fn ran(&self, line: &[&str], code: i32) -> String {
        let output = self.run(line);
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{line:?}: {text}");
        text
    }

    #[track_caller]
    fn wait_for(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !done(self) {
            assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the process of the provider; FALSE if there is none at the moment.
    fn kill_provider(&self) -> bool {
        let provider = self.provider().and_then(|pid| Pid::from_raw(i32::try_from(pid).unwrap()));
        provider.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
    }

    /// The process of the provider: the child of the server that runs the example.
    fn provider(&self) -> Option<u32> {
        let program = example();
        std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent: u32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            let its_own = std::fs::read_link(entry.path().join("exe")).ok()? == program;
            (parent == self.child.id() && its_own).then_some(pid)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cimwright"));
    command.env_clear();
    command
}

/// The program of the example, beside the one under test. Cargo builds only the programs of this package for its tests, so this one
/// is asked for by name.
fn example() -> PathBuf {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let build = || {
        let beside = Path::new(env!("CARGO_BIN_EXE_cimwright")).parent().unwrap();
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut build = Command::new(cargo);
        build.args([
            "build",
            "--quiet",
            "--offline",
            "--package",
            "cimwright-example-disk-usage",
            "--bin",
            "disk-usage",
        ]);
        build.arg("--target-dir").arg(beside.parent().unwrap());
        if beside.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the example cannot be built");
        beside.join("disk-usage").canonicalize().unwrap()
    };
    BUILT.get_or_init(build).clone()
}

#[test]
fn a_provider_that_is_killed_costs_what_it_was_doing_and_nothing_else() {
    let server = Server::start();
    let listed = server.ran(&["ls", "root/diskuse"], 0);
    assert!(listed.contains("DiskUse_FileSystem\n"), "{listed}");

    // The file system of a directory with so many files that measuring it takes long enough.
    let many = tempfile::tempdir().unwrap();
    for number in 0..1000 {
        std::fs::write(many.path().join(number.to_string()), "x").unwrap();
    }
    let all = server.ran(&["enum", "root/diskuse:DiskUse_FileSystem", "-o", "json"], 0);
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    let holds = |i: &&serde_json::Value| many.path().starts_with(i["Name"].as_str().unwrap());
    let name = |i: &&serde_json::Value| i["Name"].as_str().unwrap().len();
    let home = all.as_array().unwrap().iter().filter(holds).max_by_key(name).unwrap();
    let home = home["$path"].as_str().unwrap().to_owned();

    // An operation that takes most of a minute if it is let. It is not known when it has arrived, so the provider is killed until it has been.
    let mut sampling = program()
        .args(["invoke", &home, "Sample", "Seconds=50", "--state"])
        .arg(server.directory.path().join("state"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while sampling.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < PATIENCE, "the operation goes on without a provider");
        server.kill_provider();
        std::thread::sleep(Duration::from_millis(100));
    }
    let sampled = sampling.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&sampled.stdout), String::from_utf8_lossy(&sampled.stderr));
    assert!(!sampled.status.success() && said.contains("ended while it worked on"), "{said}");
    assert!(said.contains("signal 9"), "{said}");

    // The next one works, at once or after the second that a provider rests which was killed twice.
    server.wait_for("the next operation to work", |s| s.run(&["get", &home]).status.success());
    let measure = |pace: &str| {
        let path = format!("Path={}", many.path().display());
        let pace = format!("EntriesPerSecond={pace}");
        job_of(&server.ran(&["invoke", &home, "Measure", &path, &pace], 0))
    };
    let job = measure("1");
    server.wait_for("the job to run", |s| s.ran(&["get", &job], 0).contains("Measuring"));
    assert!(server.kill_provider());
    server.wait_for("the job to end", |s| s.ran(&["get", &job], 0).contains("JobState = 10"));
    let why = server.ran(&["invoke", &job, "GetError"], 0);
    assert!(why.contains("CWPRV1002") && why.contains("signal 9"), "{why}");
    let why = server.ran(&["why", &job], 0);
    assert!(why.contains("CWPRV1002"), "{why}");

    // And so does the next job.
    let job = measure("0");
    server.wait_for("the next job", |s| s.ran(&["get", &job], 0).contains("JobState = 7"));
    assert!(server.ran(&["get", &job], 0).contains("Files = 1000;"));

    // The server dies: so does the provider, and the job goes on with the next server.
    let job = measure("100");
    server.wait_for("the job to run", |s| s.ran(&["get", &job], 0).contains("Measuring"));
    let provider = server.provider().unwrap();
    let directory = Arc::clone(&server.directory);
    drop(server);
    let server = Server::start_in(directory);
    server.wait_for("the old provider to end", |_| {
        let program = std::fs::read_link(format!("/proc/{provider}/exe"));
        program.map_or(true, |p| p != example()) || server.provider() == Some(provider)
    });
    server.wait_for("the job to end well", |s| s.ran(&["get", &job], 0).contains("JobState = 7"));
    assert!(server.ran(&["get", &job], 0).contains("Files = 1000;"));
}

/// The path of the job in what `invoke` prints.
#[track_caller]
fn job_of(text: &str) -> String {
    let key = "DiskUse_MeasureJob.InstanceID=";
    let at = text.find(key).unwrap_or_else(|| panic!("no job: {text}"));
    let behind = text[at + key.len()..].chars().skip_while(|c| !c.is_ascii_hexdigit());
    format!("root/diskuse:{key}\"{}\"", behind.take(36).collect::<String>())
}
