//! The chapters of the demonstration.

use super::image::{self, Disk};
use crate::failure::{Failure, Result};
use crate::server::{Server, Setup};
use crate::wire::{self, Client, Path};
use crate::{process, term};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const V1: &str = "root/virtualization";
const V2: &str = "root/virtualization/v2";
const SERVICE: &str = "Msvm_ImageManagementService";

const FIXED: &str = "2";
const DYNAMIC: &str = "3";
const VHD: &str = "2";
const VHDX: &str = "3";

const COMPLETED: &str = "7";
const TERMINATED: &str = "8";
const ENDED: [&str; 4] = [COMPLETED, TERMINATED, "9", "10"];

/// How long the story waits for a job.
const PATIENCE: Duration = Duration::from_secs(120);
const GLANCE: Duration = Duration::from_millis(20);

/// The size of an image whose conversion takes longer than a person needs to cancel it.
const LONG: u64 = 3 << 30;

/// How far the job is that will be cancelled.
const FAR_ENOUGH: u32 = 5;

/// Everything the chapters share.
pub(super) struct Story<'a> {
    setup: &'a Setup,
    disk: &'a Disk,
    images: PathBuf,
    client: Client,
    /// What tells the client commands how to reach the server.
    environment: [(&'static str, String); 3],
}

impl<'a> Story<'a> {
    /// A story about this disk, told to this server.
    pub(super) fn new(
        setup: &'a Setup,
        server: &Server,
        disk: &'a Disk,
        user: &str,
        password: &str,
        password_file: &std::path::Path,
    ) -> Self {
        let address = server.addresses().http.clone();
        let environment = [
            ("CIMWRIGHT_URL", format!("http://{address}")),
            ("CIMWRIGHT_USER", user.to_owned()),
            ("CIMWRIGHT_PASSWORD_FILE", password_file.display().to_string()),
        ];
        let client = Client { address, user: user.to_owned(), password: password.to_owned() };
        Self { setup, disk, images: setup.roots[0].clone(), client, environment }
    }

    /// Tells it all.
    pub(super) fn tell(&self) -> Result<()> {
        for (name, value) in &self.environment {
            term::command(format_args!("export {name}={}", process::quoted(value)));
        }
        term::command(format_args!("IMAGES={}", self.images.display()));
        let vhdx = self.to_vhdx()?;
        let vhd = self.to_vhd(&vhdx)?;
        self.compare(&vhdx, &vhd)?;
        self.cancel()?;
        self.fail(&vhdx)
    }

    fn to_vhdx(&self) -> Result<PathBuf> {
        term::heading("Raw image to dynamic VHDX (root/virtualization/v2)");
        let target = self.images.join("boot.vhdx");
        let job = self.convert_v2(&self.disk.path, &target, DYNAMIC)?;
        self.watch(&job)?;
        self.expect_state(&job, COMPLETED)?;
        Self::show_file(&target, "vhdx")?;
        Ok(target)
    }

    fn to_vhd(&self, source: &std::path::Path) -> Result<PathBuf> {
        term::heading("Dynamic VHDX to fixed VHD (root/virtualization)");
        let target = self.images.join("boot.vhd");
        let job = self.convert_v1(source, &target)?;
        self.watch(&job)?;
        self.expect_state(&job, COMPLETED)?;
        Self::show_file(&target, "vpc")?;
        Ok(target)
    }

    /// Proves with tools that are not ours that the content came through.
    fn compare(&self, vhdx: &std::path::Path, vhd: &std::path::Path) -> Result<()> {
        term::heading("Is the content the same?");
        for (format, image) in [("vhdx", vhdx), ("vpc", vhd)] {
            let start = Instant::now();
            let mut command = Command::new("qemu-img");
            command.args(["compare", "-f", "raw", "-F", format]).arg(&self.disk.path).arg(image);
            let said = process::read(&mut command)?;
            let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
            term::done(format_args!("boot.raw and {name}: {}", said.trim()), Some(start.elapsed()));
        }
        // A fixed VHD is the content with a footer behind it, so a checksum can be made without any image tool.
        let start = Instant::now();
        let sum = |path: &std::path::Path| {
            let script = r#"head -c "$1" -- "$2" | sha256sum"#;
            let mut command = Command::new("sh");
            command.args(["-c", script, "sh", &self.disk.bytes.to_string()]).arg(path);
            process::read(&mut command).map(|s| s.split_whitespace().next().unwrap_or_default().to_owned())
        };
        let (before, after) = (sum(&self.disk.path)?, sum(vhd)?);
        if before != after {
            return Err(Failure::Server(format!("the content changed: sha256 {before} became {after}")));
        }
        term::done(format_args!("sha256 of both: {before}"), Some(start.elapsed()));
        Ok(())
    }

    fn cancel(&self) -> Result<()> {
        term::heading("Cancelling a conversion");
        let target = self.images.join("cancelled.vhdx");
        let long = self.images.join("long.raw");
        let copies = LONG.div_ceil(self.disk.bytes);
        term::note(format_args!("long.raw is {copies} × boot.raw, so that there is time to cancel"));
        image::repeat(&self.disk.path, &long, copies)?;
        let before = self.files()?;
        let job = self.convert_v2(&long, &target, DYNAMIC)?;
        let percent = self.wait_for(&job, "PercentComplete", |value| {
            value.parse().is_ok_and(|percent: u32| percent >= FAR_ENOUGH)
        })?;
        term::note(format_args!("it is {percent} % done"));
        self.cli(&["cancel", id_of(&job)], job.namespace)?;
        self.expect_state(&job, TERMINATED)?;
        term::done("the job's state is Terminated (8)", None);
        let after = self.files()?;
        if before != after {
            let text = format!("the cancelled job left something behind: {before:?} became {after:?}");
            return Err(Failure::Server(text));
        }
        term::done(format_args!("no file of it is left; there are: {}", after.join(", ")), None);
        std::fs::remove_file(&long).map_err(Failure::io("remove", &long))?;
        Ok(())
    }

    fn fail(&self, vhdx: &std::path::Path) -> Result<()> {
        term::heading("Converting a truncated VHDX");
        let truncated = self.images.join("truncated.vhdx");
        std::fs::copy(vhdx, &truncated).map_err(Failure::io("copy", vhdx))?;
        let length = std::fs::metadata(&truncated).map_err(Failure::io("read", &truncated))?.len();
        let file = std::fs::File::options().write(true).open(&truncated);
        file.and_then(|f| f.set_len(length * 6 / 10)).map_err(Failure::io("truncate", &truncated))?;
        term::command("cp boot.vhdx truncated.vhdx && truncate to 60 % of its size");
        let v2 = self.convert_v2(&truncated, &self.images.join("never.vhd"), FIXED)?;
        self.ended(&v2)?;
        term::note("What the job says of itself:");
        self.cli(&["get", &format!("{V2}:{}.InstanceID=\"{}\"", v2.class, id_of(&v2))], V2)?;
        term::heading("Why did it fail?");
        self.cli(&["why", id_of(&v2)], V2)?;
        self.raw_error(&v2)?;
        let v1 = self.convert_v1(&truncated, &self.images.join("never.vhd"))?;
        self.ended(&v1)?;
        self.raw_error(&v1)
    }

    /// Shows what really travels: the body of the answer, and the instance that it holds as text.
    fn raw_error(&self, job: &Path) -> Result<()> {
        term::heading(format_args!("The raw answer of {}.GetError in {}", job.class, job.namespace));
        let answer = self.client.invoke(job, "GetError", &[])?;
        term::quote(&wire::pretty(&answer));
        let parameter = wire::between(&answer, "<PARAMVALUE NAME=\"Error\"", "</PARAMVALUE>");
        let text = parameter.and_then(|p| wire::between(p, "<VALUE>", "</VALUE>"));
        let Some(text) = text else {
            return Err(Failure::Server("GetError of the failed job answered no error".to_owned()));
        };
        term::note("and the text in it, decoded:");
        term::quote(&wire::pretty(&wire::unescape(text)));
        Ok(())
    }

    fn convert_v2(&self, source: &std::path::Path, target: &std::path::Path, kind: &str) -> Result<Path> {
        let format = if target.extension().is_some_and(|e| e == "vhdx") { VHDX } else { VHD };
        let settings = format!(
            "VirtualDiskSettingData={{Msvm_VirtualHardDiskSettingData: Path={:?}, Type={kind}, Format={format}, BlockSize=0, LogicalSectorSize=0}}",
            target.display().to_string()
        );
        self.convert(V2, source, &[settings])
    }

    fn convert_v1(&self, source: &std::path::Path, target: &std::path::Path) -> Result<Path> {
        self.convert(V1, source, &[format!("DestinationPath={}", target.display()), format!("Type={FIXED}")])
    }

    /// Starts a conversion as a person would, and finds the job in what the command prints.
    fn convert(&self, namespace: &'static str, source: &std::path::Path, more: &[String]) -> Result<Path> {
        let source = format!("SourcePath={}", source.display());
        let mut words = vec!["invoke", SERVICE, "ConvertVirtualHardDisk", source.as_str()];
        words.extend(more.iter().map(String::as_str));
        let mut command = self.command(&words, namespace);
        let said = process::read(&mut command)?;
        print!("{said}");
        let reference = wire::between(&said, "Job = \"", "\\\"\"").and_then(|path| {
            let (class, id) = path.split_once(':')?.1.split_once(".InstanceID=\\\"")?;
            Some(Path::job(namespace, class, id))
        });
        reference.ok_or_else(|| Failure::Server("the conversion did not start a job".to_owned()))
    }

    fn watch(&self, job: &Path) -> Result<()> {
        self.cli(&["watch", id_of(job)], job.namespace)
    }

    /// Runs a client command as a person would.
    fn cli(&self, words: &[&str], namespace: &str) -> Result<()> {
        process::show(&mut self.command(words, namespace))
    }

    /// A client command, shown as a person would type it.
    fn command(&self, words: &[&str], namespace: &str) -> Command {
        let shown: Vec<String> = words.iter().map(|w| self.shown(w)).collect();
        term::command(format_args!("cimwright {} --namespace {namespace}", shown.join(" ")));
        let mut command = Command::new(&self.setup.binary);
        command.args(words).args(["--namespace", namespace]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A word for a shell, with the directory of the images as a variable.
    fn shown(&self, word: &str) -> String {
        let directory = self.images.display().to_string();
        if !word.contains(&directory) {
            return process::quoted(word);
        }
        let word = word.replace(&directory, "$IMAGES");
        let plain = !word.contains([' ', '"', '{']);
        if plain { word } else { format!("\"{}\"", word.replace('"', "\\\"")) }
    }

    fn ended(&self, job: &Path) -> Result<String> {
        self.wait_for(job, "JobState", |state| ENDED.contains(&state))
    }

    fn expect_state(&self, job: &Path, wanted: &str) -> Result<()> {
        let state = self.ended(job)?;
        if state == wanted {
            return Ok(());
        }
        let instance = self.client.instance(job)?;
        let reason = wire::property(&instance, "ErrorDescription").unwrap_or_default();
        Err(Failure::Server(format!("the job ended in state {state} instead of {wanted}. {reason}")))
    }

    /// Asks for the job until one of its properties is as wanted, and gives its value.
    fn wait_for(&self, job: &Path, property: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let instance = self.client.instance(job)?;
            let value = wire::property(&instance, property).unwrap_or_default();
            if wanted(&value) {
                return Ok(value);
            }
            if Instant::now() > deadline {
                return Err(Failure::Server(format!(
                    "the job is not where it should be: {property} is {value:?} after {} s",
                    PATIENCE.as_secs()
                )));
            }
            std::thread::sleep(GLANCE);
        }
    }

    fn show_file(image: &std::path::Path, format: &str) -> Result<()> {
        let facts = process::read(Command::new("qemu-img").args(["info", "-f", format]).arg(image))?;
        let wanted = ["file format", "virtual size", "disk size"];
        let lines: Vec<&str> = facts.lines().filter(|l| wanted.iter().any(|w| l.starts_with(w))).collect();
        term::note(lines.join("; "));
        Ok(())
    }

    fn files(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.images).map_err(Failure::io("read", &self.images))?;
        let mut names: Vec<String> =
            entries.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned())).collect();
        names.sort();
        Ok(names)
    }
}

fn id_of(job: &Path) -> &str {
    &job.keys[0].1
}
