//! Installing what a chore needs: Debian packages, a Python environment, files out of packages.

use crate::failure::{Failure, Result};
use crate::{process, term};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Something that has to be there, and the Debian package it comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    package: &'static str,
    present: fn() -> bool,
}

/// The engine of the disk jobs. Debian 12's own version (7.2) is enough.
pub(crate) const QEMU_IMG: Need =
    Need { package: "qemu-utils", present: || Path::new("/usr/bin/qemu-img").is_file() };

/// Python with its module for virtual environments, for the outside clients. The module alone is not enough: Debian splits off
/// the part that puts pip into an environment.
pub(crate) const PYTHON_VENV: Need = Need {
    package: "python3-venv",
    present: || process::succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])),
};

/// Makes file systems out of directories.
pub(crate) const MKE2FS: Need = Need { package: "e2fsprogs", present: || process::find("mke2fs").is_some() };

/// Looks into file systems that are not mounted; comes with the same package.
pub(crate) const DEBUGFS: Need =
    Need { package: "e2fsprogs", present: || process::find("debugfs").is_some() };

/// Copies over NBD as fast as it goes: what the first copy of a replica is compared with.
pub(crate) const NBDCOPY: Need =
    Need { package: "libnbd-bin", present: || process::find("nbdcopy").is_some() };

/// A key distribution centre of MIT Kerberos and what belongs to it, for tickets that are real.
pub(crate) const KERBEROS: [Need; 4] = [
    Need { package: "krb5-kdc", present: || Path::new("/usr/sbin/krb5kdc").is_file() },
    Need { package: "krb5-admin-server", present: || Path::new("/usr/sbin/kadmin.local").is_file() },
    Need { package: "krb5-user", present: || process::find("kinit").is_some() },
    Need {
        package: "python3-gssapi",
        present: || process::succeeds(Command::new("/usr/bin/python3").args(["-c", "import gssapi"])),
    },
];

/// Runs the package from npm that builds messages of WS-Management. npm itself is not needed: the package has no dependencies.
pub(crate) const NODE: Need = Need { package: "nodejs", present: || process::find("node").is_some() };

/// Unpacks packages and downloads them.
pub(crate) const APT: Need = Need {
    package: "apt",
    present: || process::find("apt-get").is_some() && process::find("dpkg-deb").is_some(),
};

/// Installs the packages of those needs that are not met.
pub(crate) fn packages(needs: &[Need], may_install: bool) -> Result<()> {
    let missing: Vec<&str> = needs.iter().filter(|n| !(n.present)()).map(|n| n.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !may_install || !is_root() || process::find("apt-get").is_none() {
        let become_root = if is_root() { "" } else { "sudo " };
        return Err(Failure::Missing {
            what: names.clone(),
            run: format!(
                "{become_root}apt-get update && {become_root}apt-get install -y --no-install-recommends {names}"
            ),
        });
    }
    let start = Instant::now();
    refresh_lists()?;
    let mut install = apt_get();
    install.args(["install", "-y", "--no-install-recommends"]).args(&missing);
    process::read(&mut install)?;
    if let Some(need) = needs.iter().find(|n| !(n.present)()) {
        return Err(Failure::Server(format!("{} is installed but still does not work", need.package)));
    }
    term::done(format_args!("installed {names}"), Some(start.elapsed()));
    Ok(())
}

/// The engine of Storage Replica, in the least version that can do all it needs. Debian 12's own is older; its backports have a
/// newer one, which also brings a newer qemu-img.
pub(crate) fn storage_daemon(may_install: bool) -> Result<()> {
    const LEAST: (u32, u32) = (8, 2);
    let new_enough = || storage_daemon_version().is_some_and(|version| version >= LEAST);
    if new_enough() {
        return Ok(());
    }
    let release = codename().unwrap_or_else(|| "bookworm".to_owned());
    let backports = format!("{release}-backports");
    let missing = Failure::Missing {
        what: format!("qemu-storage-daemon {}.{} or newer", LEAST.0, LEAST.1),
        run: format!(
            "add the suite {backports} to the apt sources, then: apt-get update && apt-get install -y --no-install-recommends -t {backports} qemu-utils"
        ),
    };
    if !may_install || !is_root() || process::find("apt-get").is_none() {
        return Err(missing);
    }
    let start = Instant::now();
    refresh_lists()?;
    // Where this machine gets the release from, it gets the backports from too.
    let targets = process::read(apt_get().args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(CODENAME) $(COMPONENT)",
        "Created-By: Packages",
    ]))?;
    let mut known = targets.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?, words.next()?))
    });
    if !known.clone().any(|(_, codename, _)| codename == backports) {
        let Some((archive, ..)) =
            known.find(|(_, codename, component)| *codename == release && *component == "main")
        else {
            return Err(missing);
        };
        let list = Path::new("/etc/apt/sources.list.d/cimwright-backports.list");
        let line = format!(
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {archive} {backports} main\n"
        );
        std::fs::write(list, line).map_err(Failure::io("write", list))?;
        refresh_lists()?;
    }
    process::read(apt_get().args([
        "install",
        "-y",
        "--no-install-recommends",
        "-t",
        &backports,
        "qemu-utils",
    ]))?;
    if !new_enough() {
        return Err(missing);
    }
    term::done(format_args!("installed qemu-utils from {backports}"), Some(start.elapsed()));
    Ok(())
}

fn storage_daemon_version() -> Option<(u32, u32)> {
    let text = process::read(Command::new("qemu-storage-daemon").arg("--version")).ok()?;
    let number = text.split_once("version ")?.1;
    let mut parts = number.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The release of the system, such as `bookworm`.
fn codename() -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(value.trim_matches('"').to_owned())
}

/// A Python environment with exactly the packages of `requirements`; gives its interpreter. Made anew when that file changes.
pub(crate) fn python(requirements: &Path, may_install: bool) -> Result<PathBuf> {
    let home = process::target_directory().join("interop-venv");
    let interpreter = home.join("bin/python3");
    let stamp = home.join("requirements.installed");
    let wanted = std::fs::read_to_string(requirements).map_err(Failure::io("read", requirements))?;
    let as_wanted = std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted);
    if as_wanted && process::succeeds(Command::new(&interpreter).args(["-c", "import pywbem"])) {
        return Ok(interpreter);
    }
    let start = Instant::now();
    if !may_install {
        let (home, interpreter) = (home.display(), interpreter.display());
        let (list, stamp) = (requirements.display(), stamp.display());
        return Err(Failure::Missing {
            what: format!("the Python environment {home}"),
            run: format!(
                "python3 -m venv --clear {home} && {interpreter} -m pip install -r {list} && cp {list} {stamp}"
            ),
        });
    }
    process::read(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    process::read(
        Command::new(&interpreter)
            .args(["-m", "pip", "install", "--disable-pip-version-check", "--requirement"])
            .arg(requirements),
    )?;
    std::fs::write(&stamp, wanted).map_err(Failure::io("write", &stamp))?;
    term::done("installed the Python packages of the outside clients", Some(start.elapsed()));
    Ok(interpreter)
}

/// Unpacks a Debian package into a directory without installing it. Downloads are kept under the target directory.
pub(crate) fn unpack(package: &str, into: &Path) -> Result<()> {
    let kept = process::target_directory().join("debian-packages");
    std::fs::create_dir_all(&kept).map_err(Failure::io("create", &kept))?;
    let file = match downloaded(package, &kept)? {
        Some(file) => file,
        None => download(package, &kept)?,
    };
    process::read(Command::new("dpkg-deb").arg("--extract").arg(file).arg(into))?;
    Ok(())
}

/// Whether this program may change the system.
pub(crate) fn is_root() -> bool {
    process::read(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn download(package: &str, directory: &Path) -> Result<PathBuf> {
    let start = Instant::now();
    let fetch = || {
        let mut command = apt_get();
        // Its helper user may have no right to the target directory; the signature is checked all the same.
        command.args(["download", "-o", "APT::Sandbox::User=root", package]).current_dir(directory);
        process::read(&mut command)
    };
    if let Err(first) = fetch() {
        if !is_root() {
            return Err(Failure::Missing {
                what: format!("the list of Debian packages with {package}"),
                run: "sudo apt-get update".to_owned(),
            });
        }
        refresh_lists().map_err(|_| first)?;
        fetch()?;
    }
    term::done(format_args!("downloaded {package}"), Some(start.elapsed()));
    downloaded(package, directory)?
        .ok_or_else(|| Failure::Server(format!("apt-get downloaded {package}, but its file is not there")))
}

fn downloaded(package: &str, directory: &Path) -> Result<Option<PathBuf>> {
    let entries = std::fs::read_dir(directory).map_err(Failure::io("read", directory))?;
    let prefix = format!("{package}_");
    Ok(entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&prefix))))
}

fn refresh_lists() -> Result<()> {
    process::read(apt_get().arg("update")).map(drop)
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("-q");
    command
}
