//! Volumes, sides and applications for the tests.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::super::*;
use crate::disk::engine::{EnginePolicy, landlock_available};

pub(super) const MIB: u64 = 1 << 20;
pub(super) const EXPORT: &str = "the-volume";
/// Only there to end a broken test.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
const PORT: u16 = 10809;
const PROGRAM: &str = "/usr/bin/qemu-storage-daemon";

const INSTALL: &str = "install qemu-storage-daemon 8.2 or newer and qemu-io (Debian 13: `apt-get install qemu-utils`; \
                       Debian 12: `apt-get install -t bookworm-backports qemu-utils`)";

/// Two sides in one scratch directory, at an address that no other test uses.
pub(super) struct Stage {
    pub(super) directory: tempfile::TempDir,
    pub(super) address: SocketAddr,
    /// The directories with certificates that both sides may read.
    pub(super) tls: Vec<TlsDirectory>,
}

pub(super) fn policy() -> EnginePolicy {
    let mut policy = EnginePolicy::new(PROGRAM);
    policy.require_landlock = landlock_available();
    policy
}

impl Stage {
    /// Checks first that the programs are there.
    pub(super) async fn set() -> Self {
        if let Err(error) = Daemon::probe(&policy()).await {
            panic!("{error}: {INSTALL}");
        }
        // All of 127.0.0.0/8 is the loopback interface, so every test of every process has addresses of its own.
        static NEXT: AtomicU8 = AtomicU8::new(2);
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let own = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = IpAddr::V4(Ipv4Addr::new(127, high | 128, low, own));
        let directory = tempfile::Builder::new().prefix("cwr").tempdir().expect("a directory");
        Self { directory, address: SocketAddr::new(address, PORT), tls: Vec::new() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a volume whose first half is filled; the same seed gives the same content.
    pub(super) fn volume(&self, name: &str, bytes: u64, seed: u64) -> PathBuf {
        let path = self.path(name);
        let mut file = File::create(&path).expect("created");
        let mut value = seed;
        let block: Vec<u8> = std::iter::repeat_with(|| {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            value
        })
        .take(1 << 17)
        .flat_map(u64::to_le_bytes)
        .collect();
        for number in 0..bytes / 2 / MIB {
            file.write_all(&number.to_le_bytes()).expect("written");
            file.write_all(&block[8..]).expect("written");
        }
        file.set_len(bytes).expect("sized");
        path
    }

    /// Makes two volumes, of which the first has content.
    pub(super) fn volumes(&self, bytes: u64) {
        self.volume("a", bytes, 1);
        File::create(self.path("b")).expect("created").set_len(bytes).expect("sized");
    }

    pub(super) async fn try_open(&self, name: &str) -> Result<Replica, ReplicationError> {
        let spec = ReplicaSpec {
            volume: Volume::open(self.path(name))?,
            runtime_directory: self.directory.path().to_path_buf(),
            name: format!("{name}.run"),
            tls: self.tls.clone(),
        };
        Replica::open(&policy(), spec).await
    }

    pub(super) async fn open(&self, name: &str) -> Replica {
        self.try_open(name).await.expect("opens")
    }

    /// Opens a side that listens.
    pub(super) async fn destination(&self, name: &str) -> Replica {
        let replica = self.open(name).await;
        replica.receive(&self.listen()).await.expect("listens");
        replica
    }

    pub(super) fn listen(&self) -> Listen {
        Listen { address: self.address, export: EXPORT.to_owned(), tls: None }
    }

    pub(super) fn partner(&self) -> Partner {
        Partner {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            export: EXPORT.to_owned(),
            tls: None,
        }
    }

    /// Both sides, the first mirrored to the second and offered to applications, with everything copied.
    pub(super) async fn in_sync(&self, bytes: u64, mode: CopyMode) -> (Replica, Replica, ApplicationExport) {
        self.volumes(bytes);
        let (a, b) = (self.open("a").await, self.destination("b").await);
        a.start(self.partner(), Basis::Full(FullReason::NeverSynchronised), mode).await.expect("starts");
        let export = a.export().await.expect("offered");
        until_in_sync(&a).await;
        (a, b, export)
    }

    pub(super) fn assert_identical(&self) {
        assert!(self.identical(), "the volumes differ");
    }

    pub(super) fn identical(&self) -> bool {
        let mut files = ["a", "b"].map(|name| File::open(self.path(name)).expect("opens"));
        let [mut first, mut second] = [vec![0; 1 << 20], vec![0; 1 << 20]];
        loop {
            let read = files[0].read(&mut first).expect("read");
            if read == 0 {
                return files[1].read(&mut second).expect("read") == 0;
            }
            files[1].read_exact(&mut second[..read]).expect("as long");
            if first[..read] != second[..read] {
                return false;
            }
        }
    }
}

/// Waits for a condition of a mirror.
pub(super) async fn until(
    replica: &Replica,
    what: &str,
    holds: impl Fn(&MirrorStatus) -> bool,
) -> MirrorStatus {
    let start = Instant::now();
    loop {
        let status = replica.status().await.expect("a living daemon").expect("a mirror");
        if holds(&status) {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}; {status:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) async fn until_in_sync(replica: &Replica) -> MirrorStatus {
    until(replica, "both sides are the same", |status| status.in_sync && status.mode == status.mode_in_force)
        .await
}

pub(super) async fn until_broken(replica: &Replica) -> Failure {
    let status = until(replica, "a failure", |status| status.phase == MirrorPhase::Broken).await;
    status.failure.expect("a reason")
}

/// Writes a pattern as an application does, and returns when it was acknowledged and flushed.
pub(super) async fn write(export: &ApplicationExport, offset: u64, bytes: u64, pattern: u8) {
    try_write(export, offset, bytes, pattern).await.expect("an application's write never fails");
}

pub(super) async fn try_write(
    export: &ApplicationExport,
    offset: u64,
    bytes: u64,
    pattern: u8,
) -> Result<(), String> {
    let uri = export.uri();
    let run = move || {
        let write = format!("write -P {pattern} {offset} {bytes}");
        let output =
            connected(Command::new("qemu-io").args(["-f", "raw", "-c", &write, "-c", "flush", &uri]));
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if output.status.success() && !text.contains("rror") { Ok(()) } else { Err(text) }
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

/// Runs an application, again when it finds the door shut.
fn connected(command: &mut Command) -> std::process::Output {
    let start = Instant::now();
    loop {
        let output = command.output().unwrap_or_else(|error| panic!("qemu-io: {error}: {INSTALL}"));
        let said = String::from_utf8_lossy(&output.stderr);
        if !said.contains("Failed to connect to") || start.elapsed() > PATIENCE {
            return output;
        }
    }
}

/// Writes many small blocks all over the volume, as fast as they are acknowledged. The same seed gives the same blocks.
pub(super) async fn stream(
    export: &ApplicationExport,
    bytes: u64,
    count: u64,
    seed: u64,
) -> Result<(), String> {
    let uri = export.uri();
    let run = move || {
        let mut command = Command::new("qemu-io");
        command.args(["-f", "raw"]);
        let mut value = seed;
        for number in 0..count {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let offset = (value >> 20) % (bytes / 4096) * 4096;
            command.arg("-c").arg(format!("write -q -P {} {offset} 4096", (number + seed) % 255 + 1));
        }
        command.arg(&uri);
        let output = connected(&mut command);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if output.status.success() && text.is_empty() { Ok(()) } else { Err(text) }
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

/// Whether a file has a pattern at a place.
pub(super) fn has(path: &Path, offset: u64, bytes: u64, pattern: u8) -> bool {
    use std::os::unix::fs::FileExt;
    let mut content = vec![!pattern; usize::try_from(bytes).expect("small")];
    File::open(path).expect("opens").read_exact_at(&mut content, offset).expect("read");
    content.iter().all(|&byte| byte == pattern)
}

/// Writes a program that does what a script says.
pub(super) fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("allowed");
}
