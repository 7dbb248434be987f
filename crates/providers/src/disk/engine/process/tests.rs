use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::time::Instant;

use super::super::sandbox::{FileAccess, landlock_available};
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn policy(program: &str) -> EnginePolicy {
    let mut policy = EnginePolicy::new(program);
    policy.require_landlock = landlock_available();
    policy
}

fn spec<A: Into<OsString>>(args: impl IntoIterator<Item = A>) -> EngineSpec {
    EngineSpec { args: args.into_iter().map(Into::into).collect(), ..EngineSpec::default() }
}

async fn shell(script: &str) -> EngineExit {
    EngineProcess::spawn(&policy("/bin/sh"), spec(["-c", script])).await.expect("starts").wait().await
}

async fn run(policy: &EnginePolicy, spec: EngineSpec) -> EngineExit {
    EngineProcess::spawn(policy, spec).await.expect("starts").wait().await
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `None` when there is no such process, else its state letter.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Waits until a condition holds; the bound is only there to end a broken test.
async fn until(mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    true
}

fn grant(path: &Path, access: FileAccess) -> Grant {
    let file =
        OpenOptions::new().read(true).write(access == FileAccess::ReadWrite).open(path).expect("opens");
    Grant::new(file, access)
}

/// Content that no accident produces, the same in every run.
fn write_pattern(path: &Path, bytes: usize) {
    let mut file = File::create(path).expect("created");
    let mut value: u64 = 1;
    let words = std::iter::repeat_with(|| {
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        value
    });
    let content: Vec<u8> = words.take(bytes / 8).flat_map(u64::to_le_bytes).collect();
    file.write_all(&content).expect("written");
}

#[tokio::test]
async fn the_end_of_an_engine_is_reported_whole() {
    let exit = shell("echo out; echo err >&2; exit 7").await;
    assert_eq!(exit.status, EngineStatus::Exited(7));
    assert_eq!((text(&exit.stdout).as_str(), exit.stderr.as_str()), ("out\n", "err\n"));
    assert!(!exit.stdout_truncated && !exit.stderr_truncated);
    assert_eq!(shell("kill -9 $$").await.status, EngineStatus::Signaled(9));
    assert_eq!(
        text(&shell("cat; pwd; env | sort").await.stdout),
        "/\nLC_ALL=C\nMALLOC_ARENA_MAX=2\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\n"
    );
}

#[tokio::test]
async fn waiting_may_be_given_up_and_repeated() {
    let mut engine =
        EngineProcess::spawn(&policy("/bin/sh"), spec(["-c", "echo a; read x; exec sleep 1000"]))
            .await
            .expect("starts");
    assert!(tokio::time::timeout(Duration::from_millis(5), engine.wait()).await.is_err());
    engine.kill().expect("alive");
    let first = engine.wait().await;
    assert_eq!(first.status, EngineStatus::Signaled(9));
    assert_eq!(engine.wait().await, first);
    assert!(engine.has_ended());
    assert_eq!(engine.kill(), Err(SignalError::Ended));
    assert_eq!(engine.resume(), Err(SignalError::Ended));
    assert_eq!(engine.pause().await, Err(SignalError::Ended));
}

#[tokio::test]
async fn output_beyond_the_bounds_is_dropped_without_blocking_the_engine() {
    let exit = shell("yes x | head -c 3000000; yes e | head -c 200000 >&2; exit 3").await;
    assert_eq!(exit.status, EngineStatus::Exited(3));
    assert_eq!((exit.stdout.len(), exit.stdout_truncated), (STDOUT_LIMIT, true));
    assert_eq!((exit.stderr.len(), exit.stderr_truncated), (STDERR_LIMIT, true));
}

#[tokio::test]
async fn dropping_kills_and_leaves_no_zombie() {
    let engine =
        EngineProcess::spawn(&policy("/bin/sh"), spec(["-c", "exec sleep 1000"])).await.expect("starts");
    let pid = engine.pid();
    assert!(state(pid).is_some());
    drop(engine);
    assert!(until(|| state(pid).is_none()).await, "process {pid} is still there: {:?}", state(pid));
}

#[tokio::test]
async fn a_paused_engine_can_be_dropped_and_terminated() {
    let sleeper = spec(["-c", "exec sleep 1000"]);
    let engine = EngineProcess::spawn(&policy("/bin/sh"), sleeper.clone()).await.expect("starts");
    engine.pause().await.expect("stops");
    let pid = engine.pid();
    drop(engine);
    assert!(until(|| state(pid).is_none()).await);

    let mut engine = EngineProcess::spawn(&policy("/bin/sh"), sleeper).await.expect("starts");
    engine.pause().await.expect("stops");
    assert_eq!(state(engine.pid()), Some('T'));
    engine.terminate().expect("alive");
    assert_eq!(engine.wait().await.status, EngineStatus::Signaled(15));
}

#[tokio::test]
async fn giving_up_a_start_leaves_nothing_running() {
    let scratch = tempfile::tempdir().expect("scratch directory");
    let program = scratch.path().join("given-up");
    fs::copy("/bin/sleep", &program).expect("copied");
    let unusual = policy(program.to_str().expect("text"));
    for microseconds in (0..20).map(|step| step * 300) {
        let start = EngineProcess::spawn(&unusual, spec(["1000"]));
        let _ = tokio::time::timeout(Duration::from_micros(microseconds), start).await;
    }
    // The name of the program stands in the command line of every stage of a start.
    let running = || {
        fs::read_dir("/proc").expect("processes").filter_map(Result::ok).any(|process| {
            fs::read(process.path().join("cmdline"))
                .is_ok_and(|line| text(&line).contains(program.to_str().expect("text")))
        })
    };
    assert!(until(|| !running()).await);
}

/// Not a test by itself: the process that [`the_death_of_the_server_kills_its_engines`] kills.
#[test]
fn server_that_will_be_killed() {
    if std::env::var_os("CIMWRIGHT_TEST_VICTIM").is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let _engine = runtime.block_on(async {
        let engine =
            EngineProcess::spawn(&policy("/bin/sh"), spec(["-c", "exec sleep 1000"])).await.expect("starts");
        println!("engine={}", engine.pid());
        engine
    });
    std::thread::park_timeout(PATIENCE * 10);
}

#[tokio::test]
async fn the_death_of_the_server_kills_its_engines() {
    let mut server = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "disk::engine::process::tests::server_that_will_be_killed", "--nocapture"])
        .env("CIMWRIGHT_TEST_VICTIM", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(server.stdout.take().expect("piped")).lines();
    let pid: i32 = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("engine=").and_then(|(_, pid)| pid.trim().parse().ok()))
        .expect("the server tells its engine");
    assert!(state(pid).is_some_and(|state| state != 'Z'));
    server.kill().expect("alive");
    server.wait().expect("collected");
    // Whoever inherits it may be slow to collect it; it does nothing any more.
    assert!(until(|| matches!(state(pid), None | Some('Z' | 'X'))).await, "process {pid} lives on");
}

#[tokio::test]
async fn a_pause_stops_the_work_and_nothing_is_lost() {
    let scratch = tempfile::tempdir().expect("scratch directory");
    let (source, target) = (scratch.path().join("source"), scratch.path().join("target"));
    write_pattern(&source, 32 << 20);
    File::create(&target).expect("created");
    let mut convert = spec(["convert", "-p", "-r", "12M", "-f", "raw", "-O", "raw"]);
    convert.args.extend([source.clone().into_os_string(), target.clone().into_os_string()]);
    convert.grants = vec![grant(&source, FileAccess::Read), grant(&target, FileAccess::ReadWrite)];
    convert.reports_progress = true;
    let mut engine = EngineProcess::spawn(&policy("/usr/bin/qemu-img"), convert).await.expect("starts");
    let mut progress = engine.progress();
    let before = *progress.wait_for(|percent| *percent > 10.0).await.expect("progress is reported");
    engine.pause().await.expect("stops");
    // What was printed before the stop may still be on its way.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let stopped_at = *progress.borrow_and_update();
    assert!(before <= stopped_at && stopped_at < 100.0);
    assert!(
        tokio::time::timeout(Duration::from_millis(400), progress.changed()).await.is_err(),
        "no progress while paused"
    );
    engine.resume().expect("alive");
    let exit = engine.wait().await;
    assert_eq!((exit.status, exit.stderr.as_str()), (EngineStatus::Exited(0), ""));
    assert_eq!(text(&exit.stdout).trim(), "", "progress is not output");
    assert_eq!(*progress.borrow(), 100.0);
    assert!(fs::read(&source).expect("readable") == fs::read(&target).expect("readable"));
}

#[tokio::test]
async fn an_engine_reaches_only_what_it_was_granted() {
    let scratch = tempfile::tempdir().expect("scratch directory");
    let path = |name: &str| scratch.path().join(name);
    for name in ["granted", "secret"] {
        write_pattern(&path(name), 1 << 16);
    }
    File::create(path("target")).expect("created");
    let convert = |source: &str, target: &str| {
        let mut spec = spec(["convert", "-f", "raw", "-O", "raw"]);
        spec.args.extend([path(source).into_os_string(), path(target).into_os_string()]);
        spec.grants =
            vec![grant(&path("granted"), FileAccess::Read), grant(&path("target"), FileAccess::ReadWrite)];
        spec
    };
    let policy = policy("/usr/bin/qemu-img");
    assert_eq!(run(&policy, convert("granted", "target")).await.stderr, "");
    if !landlock_available() {
        let strict = EnginePolicy { require_landlock: true, ..policy };
        let refused = EngineProcess::spawn(&strict, convert("granted", "target")).await;
        assert!(matches!(refused, Err(SpawnError::LandlockUnavailable)));
        return;
    }
    let refused = run(&policy, convert("secret", "target")).await;
    assert_eq!(refused.status, EngineStatus::Exited(1));
    assert!(refused.stderr.contains("secret': Permission denied"), "{}", refused.stderr);
    let refused = run(&policy, convert("granted", "new")).await;
    assert!(refused.stderr.contains("Permission denied"), "{}", refused.stderr);
    assert!(!path("new").exists());
    let refused = run(&policy, convert("target", "granted")).await;
    assert!(
        refused.stderr.contains("granted': Permission denied"),
        "reading is not writing: {}",
        refused.stderr
    );

    // The name that was granted is made to mean another file between the check and the start.
    let exchanged = convert("granted", "target");
    fs::rename(path("granted"), path("moved")).expect("renamed");
    std::os::unix::fs::symlink("secret", path("granted")).expect("link");
    let refused = run(&policy, exchanged).await;
    assert!(refused.stderr.contains("granted': Permission denied"), "{}", refused.stderr);
}

#[tokio::test]
async fn an_engine_has_no_network_where_the_kernel_can_forbid_it() {
    use landlock::{ABI, Access, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let port = listener.local_addr().expect("bound").port();
    // Where it is not forbidden the engine gets a connection that is closed at once.
    std::thread::spawn(move || listener.accept().map(drop));
    let exit =
        run(&policy("/usr/bin/qemu-img"), spec(["info".to_owned(), format!("nbd:127.0.0.1:{port}")])).await;
    assert_eq!(exit.status, EngineStatus::Exited(1));
    let forbids = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessNet::from_all(ABI::V4))
        .and_then(Ruleset::create)
        .is_ok();
    assert_eq!(exit.stderr.contains("Permission denied"), forbids, "{}", exit.stderr);
}

#[tokio::test]
async fn an_engine_has_no_privileges_and_dies_with_its_thread() {
    let exit = run(&policy("/usr/bin/setpriv"), spec(["--dump", "--dump"])).await;
    let told = text(&exit.stdout);
    for line in [
        "Effective capabilities: [none]",
        "Permitted capabilities: [none]",
        "no_new_privs: 1",
        "Parent death signal: KILL",
    ] {
        assert!(told.contains(line), "`{line}` is missing in:\n{told}{}", exit.stderr);
    }
}

#[tokio::test]
async fn another_user_is_taken_only_with_the_right_to() {
    let nobody = EnginePolicy { user: Some((65533, 65533)), ..policy("/bin/sh") };
    let ids = || spec(["-c", "id -u; id -g; id -G"]);
    if rustix::process::geteuid().is_root() {
        assert_eq!(text(&run(&nobody, ids()).await.stdout), "65533\n65533\n65533\n");
    } else {
        let refused = EngineProcess::spawn(&nobody, ids()).await;
        assert!(matches!(refused, Err(SpawnError::CannotChangeUser { uid: 65533, gid: 65533 })));
    }
}

#[tokio::test]
async fn limits_hold() {
    let scratch = tempfile::tempdir().expect("scratch directory");
    let target = scratch.path().join("target");
    File::create(&target).expect("created");
    let mut create = spec(["create", "-q", "-f", "raw", "-o", "preallocation=full"]);
    create.args.extend([target.clone().into_os_string(), "4M".into()]);
    create.grants = vec![grant(&target, FileAccess::ReadWrite)];
    create.max_file_bytes = Some(1 << 20);
    let exit = run(&policy("/usr/bin/qemu-img"), create).await;
    assert_ne!(exit.status, EngineStatus::Exited(0), "{}", exit.stderr);
    assert!(fs::metadata(&target).expect("exists").len() <= 1 << 20);

    let told = text(&shell("ulimit -c; ulimit -n; ulimit -v").await.stdout);
    assert_eq!(told, format!("0\n256\n{}\n", EnginePolicy::DEFAULT_MEMORY_LIMIT_BYTES / 1024));
    let mut busy = spec(["-c", "while :; do :; done"]);
    busy.cpu_seconds = Some(1);
    let exit = run(&policy("/bin/sh"), busy).await;
    assert!(matches!(exit.status, EngineStatus::Signaled(24 | 9)), "{}", exit.status);
}

#[tokio::test]
async fn engines_that_cannot_start_say_why() {
    for program in ["/nonexistent/qemu-img", "qemu-img", "/usr"] {
        let refused = EngineProcess::spawn(&policy(program), spec(["--version"])).await;
        assert!(matches!(refused, Err(SpawnError::ProgramMissing { .. })), "{program}");
    }
    // Too little memory even for the programs before the engine.
    let starved = EnginePolicy { memory_limit_bytes: 4096, ..policy("/bin/sh") };
    let refused = EngineProcess::spawn(&starved, spec(["-c", "exit 0"])).await;
    assert!(matches!(refused, Err(SpawnError::Gate { .. })), "{refused:?}");
}
