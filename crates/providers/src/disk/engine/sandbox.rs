//! What a running engine may do, and how that is enforced before its first instruction.
//!
//! An engine parses files that strangers wrote, so it is treated as hostile: it can open the files it was granted, the
//! system's programs and libraries, and nothing else; it has no network, no capabilities, no way to gain any, and
//! limits on memory, file size and time. (TCP is left to an engine that replicates, and to no other.) Landlock rules hang
//! on open files, not on names, so a name that is exchanged for a link after the check is refused by the kernel.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::thread::CapabilitySet;

use super::process::{EngineSpec, SpawnError};

/// The newest set of Landlock rules this code was tested with. Older kernels enforce as much of it as they know.
const LANDLOCK_ABI: ABI = ABI::V7;

/// Where programs and libraries live. Missing ones are skipped.
const SYSTEM_DIRECTORIES: [&str; 6] = ["/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin"];
const SYSTEM_FILES: [&str; 3] = ["/etc/ld.so.cache", "/etc/ld.so.preload", "/dev/urandom"];

/// The script that holds the engine back until the server has seen that the confinement stands. Without the answer
/// (the server died before the death signal was armed) it ends instead of starting the engine.
const GATE_SCRIPT: &str = r#"echo ready; IFS= read -r answer || exit 125; exec "$@" </dev/null"#;

/// The line with which [`GATE_SCRIPT`] reports that everything before the engine is done.
pub(super) const GATE_READY: &[u8] = b"ready\n";
/// The line that lets the engine start.
pub(super) const GATE_GO: &[u8] = b"go\n";

/// How every engine of one kind is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnginePolicy {
    /// The absolute path of the engine program.
    pub program: PathBuf,
    /// The user and group the engine runs as. `None` keeps the server's own. Needs the right to change users.
    pub user: Option<(u32, u32)>,
    /// The largest address space in bytes.
    pub memory_limit_bytes: u64,
    /// Refuse to run an engine when the kernel offers no Landlock. When false it then runs with everything else.
    pub require_landlock: bool,
    /// Added to the niceness of the engine; positive is kinder to others.
    pub nice: Option<i8>,
    /// Directories beside the system's own that the engine may read and execute from, for programs installed elsewhere.
    pub library_directories: Vec<PathBuf>,
}

impl EnginePolicy {
    /// Enough for qemu-img with its threads and caches, far from enough to hurt a server.
    pub const DEFAULT_MEMORY_LIMIT_BYTES: u64 = 2 << 30;

    /// The strict policy: the server's own user, Landlock required.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            user: None,
            memory_limit_bytes: Self::DEFAULT_MEMORY_LIMIT_BYTES,
            require_landlock: true,
            nice: None,
            library_directories: Vec::new(),
        }
    }
}

impl EnginePolicy {
    /// The user and group that an engine has to be changed to, and that its files must be given to; nothing when it keeps the
    /// server's own.
    ///
    /// # Errors
    /// [`SpawnError::CannotChangeUser`] when the policy names another user and the server has no right to change users.
    pub fn other_user(&self) -> Result<Option<(u32, u32)>, SpawnError> {
        let Some((uid, gid)) = self.user else { return Ok(None) };
        // KILL because it has to be stopped too.
        let needed = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::KILL;
        if effective_capabilities().contains(needed) {
            return Ok(Some((uid, gid)));
        }
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if own == (uid, gid) { Ok(None) } else { Err(SpawnError::CannotChangeUser { uid, gid }) }
    }
}

/// What an engine may do with a granted file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAccess {
    /// Read it.
    Read,
    /// Read, write, truncate and extend it.
    ReadWrite,
    /// Of a directory: make, use and remove sockets in it, and read what is there.
    Sockets,
}

/// A file or directory an engine may open, held open so that its name cannot be made to mean another.
#[derive(Debug, Clone)]
pub struct Grant {
    file: Arc<OwnedFd>,
    access: FileAccess,
}

impl Grant {
    /// Grants one file. When `file` is a directory, everything below it is granted, and with
    /// [`FileAccess::ReadWrite`] also creating and removing files there.
    pub fn new(file: impl Into<OwnedFd>, access: FileAccess) -> Self {
        Self { file: Arc::new(file.into()), access }
    }

    /// What is granted.
    pub fn access(&self) -> FileAccess {
        self.access
    }

    /// The open file.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn rights(&self) -> BitFlags<AccessFs> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        match self.access {
            FileAccess::Read => read,
            FileAccess::ReadWrite => {
                read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile
            }
            FileAccess::Sockets => read | AccessFs::MakeSock | AccessFs::RemoveFile,
        }
    }
}

/// Whether the running kernel enforces Landlock rules.
pub fn landlock_available() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok()
}

/// Takes from the calling thread, for ever, everything an engine does not need. Programs it starts inherit that.
pub(super) fn restrict_this_thread(policy: &EnginePolicy, spec: &EngineSpec) -> Result<(), SpawnError> {
    if let Some(increment) = policy.nice {
        // On Linux this concerns the calling thread only. Failing to be kinder is no reason to fail.
        let _ = rustix::process::nice(i32::from(increment));
    }
    let status = ruleset(policy, spec)
        .and_then(RulesetCreated::restrict_self)
        .map_err(|source| SpawnError::Confinement { source: Box::new(source) })?;
    if status.ruleset == RulesetStatus::NotEnforced && policy.require_landlock {
        return Err(SpawnError::LandlockUnavailable);
    }
    if !status.no_new_privs {
        return Err(SpawnError::NoNewPrivilegesUnavailable);
    }
    Ok(())
}

/// The command line: privileges off, death signal armed, limits set, the gate, and then the engine itself.
pub(super) fn command(policy: &EnginePolicy, spec: &EngineSpec) -> Result<Command, SpawnError> {
    if !policy.program.is_absolute() || !policy.program.is_file() {
        return Err(SpawnError::ProgramMissing { program: policy.program.clone() });
    }
    let mut command = Command::new(helper("setpriv")?);
    command.args(["--pdeathsig", "KILL", "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all"]);
    if effective_capabilities().contains(CapabilitySet::SETPCAP) {
        command.arg("--bounding-set=-all");
    }
    if let Some((uid, gid)) = policy.other_user()? {
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    command.arg("--").arg(helper("prlimit")?).args(["--core=0", "--nofile=256"]);
    command.arg(format!("--as={}", policy.memory_limit_bytes));
    if let Some(bytes) = spec.max_file_bytes {
        command.arg(format!("--fsize={bytes}"));
    }
    if let Some(seconds) = spec.cpu_seconds {
        command.arg(format!("--cpu={seconds}"));
    }
    command.arg(helper("sh")?).args(["-c", GATE_SCRIPT, "engine"]).arg(&policy.program).args(&spec.args);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    // Otherwise every thread of the engine reserves tens of megabytes of address space, which is what is limited.
    command.env("MALLOC_ARENA_MAX", "2");
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

fn ruleset(policy: &EnginePolicy, spec: &EngineSpec) -> Result<RulesetCreated, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK_ABI))?;
    if !spec.network {
        // A right that is not handled is not restricted.
        rules = rules.handle_access(AccessNet::from_all(LANDLOCK_ABI))?;
    }
    let mut rules = rules.scope(Scope::from_all(LANDLOCK_ABI))?.create()?;
    let run = AccessFs::from_read(LANDLOCK_ABI);
    let directories = SYSTEM_DIRECTORIES.iter().map(Path::new);
    let extra = policy.library_directories.iter().map(PathBuf::as_path);
    for path in directories.chain(extra).chain([policy.program.as_path()]) {
        rules = allow(rules, path.as_os_str(), run)?;
    }
    for path in SYSTEM_FILES {
        rules = allow(rules, OsStr::new(path), AccessFs::ReadFile.into())?;
    }
    rules = allow(rules, OsStr::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile)?;
    for grant in &spec.grants {
        // Rights that make sense only for directories would make the whole set "partial" for a file.
        let kind = rustix::fs::fstat(grant.as_fd())
            .map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode))
            .unwrap_or(rustix::fs::FileType::Unknown);
        let rights = match kind {
            rustix::fs::FileType::Directory => grant.rights(),
            // The size of a disk and its sectors are asked for by ioctl.
            rustix::fs::FileType::BlockDevice => {
                (grant.rights() | AccessFs::IoctlDev) & AccessFs::from_file(LANDLOCK_ABI)
            }
            _ => grant.rights() & AccessFs::from_file(LANDLOCK_ABI),
        };
        rules = rules.add_rule(PathBeneath::new(grant.as_fd(), rights))?;
    }
    Ok(rules)
}

/// Adds a rule for a path that may be missing on this system.
fn allow(
    rules: RulesetCreated,
    path: &OsStr,
    rights: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(file) = PathFd::new(path) else { return Ok(rules) };
    let is_directory = Path::new(path).is_dir();
    let rights = if is_directory { rights } else { rights & AccessFs::from_file(LANDLOCK_ABI) };
    rules.add_rule(PathBeneath::new(file, rights))
}

fn effective_capabilities() -> CapabilitySet {
    rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}

/// The small programs of util-linux and the shell, which every Debian system has. The search path of the server's own
/// environment is not trusted for them.
fn helper(name: &'static str) -> Result<OsString, SpawnError> {
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.is_file())
        .map(PathBuf::into_os_string)
        .ok_or(SpawnError::HelperMissing { name })
}

impl From<File> for Grant {
    /// Grants reading.
    fn from(file: File) -> Self {
        Self::new(file, FileAccess::Read)
    }
}
