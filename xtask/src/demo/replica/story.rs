//! The chapters of the demonstration.

use super::diary::Diary;
use super::listener::Listener;
use super::volume::{self, Volume};
use super::{Computer, PASSWORD, USER};
use crate::failure::{Failure, Result};
use crate::scratch::Scratch;
use crate::server::Signal;
use crate::wire::{self, Client, Path};
use crate::{process, term};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NAMESPACE: &str = "root/microsoft/windows/storagereplica";

/// How long the story waits for something.
const PATIENCE: Duration = Duration::from_secs(180);
const GLANCE: Duration = Duration::from_millis(50);

/// Everything the chapters share.
pub(super) struct Story<'a> {
    alpha: &'a mut Computer,
    beta: &'a mut Computer,
    volume: &'a Volume,
    scratch: &'a mut Scratch,
}

impl<'a> Story<'a> {
    /// A story of these two.
    pub(super) fn new(
        alpha: &'a mut Computer,
        beta: &'a mut Computer,
        volume: &'a Volume,
        scratch: &'a mut Scratch,
    ) -> Self {
        Self { alpha, beta, volume, scratch }
    }

    /// Tells it all.
    pub(super) fn tell(&mut self) -> Result<()> {
        term::command(format_args!("PLACE={}", self.scratch.path().display()));
        self.begin()?;
        let listener = self.listen()?;
        let (diary, copy) = self.write()?;
        let job = self.lose(&diary, copy)?;
        self.why(&job)?;
        self.told(listener)?;
        self.come_back(&diary)?;
        let entries = self.compare(diary)?;
        self.switch(entries)?;
        self.part()
    }

    fn begin(&self) -> Result<()> {
        term::heading("A topology: groups on both computers, and the partnership between them");
        let (a, b) = (self.alpha.volume().display().to_string(), self.beta.volume().display().to_string());
        let logs = [&self.alpha, &self.beta].map(|c| c.root.join("log").display().to_string());
        let words = [
            "new",
            "files",
            "--source-volume",
            &a,
            "--source-log",
            &logs[0],
            "--destination",
            "beta",
            "--destination-volume",
            &b,
            "--destination-log",
            &logs[1],
            "--prevent",
        ];
        self.show(self.alpha, &words)?;
        self.show(self.alpha, &["ls"])
    }

    /// Somebody wants to know when something is wrong with the volume.
    fn listen(&self) -> Result<Listener> {
        term::heading("Somebody listens");
        let file = self.scratch.path().join("listener.url");
        term::command("cimwright listen --port 0 --count 1 &");
        let listener = Listener::start(self.alpha, &file)?;
        let url =
            wait("the listener", || Ok(std::fs::read_to_string(&file).ok().filter(|url| !url.is_empty())))?;
        Listener::subscribe(self.alpha, "alpha", url.trim(), self.scratch.path())?;
        term::done("subscribed to Cimwright:StorageReplica:HealthChange at alpha", None);
        Ok(listener)
    }

    /// The indication of the fault, which has come by itself.
    fn told(&self, mut listener: Listener) -> Result<()> {
        term::heading("What the listener was told: MSFT_WvrHealthChangeEvent");
        let text = wait("an indication of the health", || listener.heard())?;
        match text.contains("MSFT_WvrHealthChangeEvent") {
            true => Ok(()),
            false => Err(Failure::Server(format!("the listener heard something else: {text}"))),
        }
    }

    /// An application on the source, and the first copy behind its back. Gives the command that has started that.
    fn write(&self) -> Result<(Diary, Child)> {
        term::heading("An application writes while the first copy runs");
        let uri = self.application(self.alpha)?;
        term::note(format_args!("/diary.txt of the file system is written through {}", self.shown(&uri)));
        let diary = Diary::begin(self.volume, &uri, 0, self.scratch.path());
        diary.chapter("written before the first copy");
        wait("the first entries of the diary", || Ok((diary.written() >= 2).then_some(())))?;
        diary.chapter("written during the first copy");
        let before = diary.written();
        // The answer comes when the copy is done, or after two seconds: meanwhile there is something to see.
        let mut resume = self.command(self.alpha, &["replica", "resume", "files", "&"]);
        let copy =
            resume.stdout(Stdio::piped()).spawn().map_err(Failure::io("start", &self.alpha.setup.binary))?;
        self.show_for(self.alpha, &["watch", "files", "--interval", "0.25"], Duration::from_millis(900))?;
        wait("an entry in the diary", || Ok((diary.written() > before).then_some(())))?;
        term::done(format_args!("{} entries are written and answered", diary.written()), None);
        Ok((diary, copy))
    }

    /// The destination dies. Gives the job that fails for it.
    fn lose(&mut self, diary: &Diary, copy: Child) -> Result<String> {
        term::heading("The destination is lost");
        let server = self.beta.server.take();
        let Some(server) = server else { return Err(Failure::Server("beta does not run".to_owned())) };
        term::command(format_args!(
            "kill -KILL {}      # the server of beta, and its daemon with it",
            server.pid()
        ));
        server.end(Signal::Kill, self.scratch)?;
        diary.chapter("written while beta was lost");
        let before = diary.written();
        let said = copy.wait_with_output().map_err(Failure::io("end", &self.alpha.setup.binary))?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        print!("{said}");
        let job = match job_in(&said) {
            Some(job) => job,
            None => {
                term::note("the first copy was faster; another job asks for the same:");
                // Once the diary has tried to write, the source knows that it is alone.
                wait("an entry in the diary", || Ok((diary.written() > before + 5).then_some(())))?;
                let said = self.read(self.alpha, &["resume", "files"])?;
                job_in(&said).ok_or_else(|| Failure::Server("no job follows the copy".to_owned()))?
            }
        };
        term::note("the job waits ten seconds for beta, and then gives up:");
        self.cimwright(self.alpha, &["watch", &job], Some(1))?;
        wait("an entry in the diary", || Ok((diary.written() > before).then_some(())))?;
        term::done(
            format_args!(
                "the diary goes on meanwhile: {} entries. What beta lacks is remembered",
                diary.written()
            ),
            None,
        );
        self.show(self.alpha, &["ls"])?;
        Ok(job)
    }

    /// What the failed job, and the health of the volume, have to say.
    fn why(&self, job: &str) -> Result<()> {
        term::heading("Why did it fail?");
        self.cimwright(self.alpha, &["why", job], None)?;
        term::heading("The raw answer of MSFT_SrJob.GetError: an embedded CIM_Error");
        let client = self.client();
        let answer = client.invoke(&Path::job(NAMESPACE, "MSFT_SrJob", job), "GetError", &[])?;
        let text = wire::between(&answer, "EmbeddedObject=\"instance\"", "</PARAMVALUE>")
            .and_then(|p| wire::between(p, "<VALUE>", "</VALUE>"));
        term::quote(&wire::pretty(&answer.replace(text.unwrap_or("…"), "(see below)")));
        term::note("and the text in it, decoded:");
        term::quote(&wire::pretty(&wire::unescape(text.unwrap_or_default())));
        if !answer.contains("EmbeddedObject=\"instance\"") || !answer.contains("CIM_Error") {
            return Err(Failure::Server("GetError of the failed job gives no embedded CIM_Error".to_owned()));
        }
        term::heading("The health of the volume (MSFT_WvrHealth)");
        let health = client.instances(NAMESPACE, "MSFT_WvrHealth")?;
        let unhealthy = health.split("</INSTANCE>").find(|i| {
            wire::property(i, "HealthStatus").as_deref() == Some("2")
                && wire::property(i, "ObjectType").as_deref() == Some("1")
        });
        let Some(unhealthy) = unhealthy else {
            return Err(Failure::Server("the volume is said to be healthy".to_owned()));
        };
        for name in ["HealthStatus", "FaultTypeId", "FaultReason", "ActionString"] {
            let value = wire::property(unhealthy, name).unwrap_or_else(|| "NULL".to_owned());
            term::note(format_args!("{name:12} = {value}"));
        }
        Ok(())
    }

    fn come_back(&mut self, diary: &Diary) -> Result<()> {
        term::heading("The destination comes back");
        diary.chapter("written while beta caught up");
        self.beta.start(self.scratch)?;
        term::note("nobody has to do anything; only what beta lacks is sent:");
        self.show(self.alpha, &["watch", "files", "--until-in-sync", "--interval", "0.3"])
    }

    /// Proves with tools that are not ours that both sides are the same. Gives the number of entries.
    fn compare(&self, diary: Diary) -> Result<usize> {
        term::heading("Are both sides the same?");
        let entries = diary.end()?;
        self.read_quietly(self.alpha, &["watch", "files", "--until-in-sync", "--interval", "0.1"])?;
        self.same(entries)?;
        Ok(entries)
    }

    fn switch(&self, entries: usize) -> Result<()> {
        term::heading("The direction is turned round");
        self.show(self.alpha, &["switch", "files"])?;
        self.show(self.alpha, &["ls"])?;
        self.show(self.beta, &["ls"])?;
        let uri = self.application(self.beta)?;
        term::note(format_args!("the diary goes on at beta: {}", self.shown(&uri)));
        let diary = Diary::begin(self.volume, &uri, entries, self.scratch.path());
        diary.chapter("written at beta, after the switch");
        wait("entries in the diary", || Ok((diary.written() >= entries + 3).then_some(())))?;
        let entries = diary.end()?;
        self.read_quietly(self.beta, &["watch", "files", "--until-in-sync", "--interval", "0.1"])?;
        self.same(entries)?;
        self.sums()
    }

    fn part(&self) -> Result<()> {
        term::heading("Tearing down");
        self.show(self.beta, &["rm", "files"])?;
        self.show(self.beta, &["ls"])
    }

    /// That both volumes hold the same, and what the file systems on them have.
    fn same(&self, entries: usize) -> Result<()> {
        let start = Instant::now();
        let volumes = [self.alpha.volume(), self.beta.volume()];
        let shown = volumes.each_ref().map(|v| self.shown(&v.display().to_string())).join(" ");
        term::command(format_args!("cmp {shown}"));
        process::read(Command::new("cmp").args(&volumes))?;
        term::done("the volumes are identical", Some(start.elapsed()));
        for volume in &volumes {
            volume::check(volume)?;
        }
        let written = volume::read_diary(&volumes[1])?;
        if written.len() != entries
            || !written.iter().enumerate().all(|(n, e)| e.starts_with(&format!("entry {n}:")))
        {
            let text =
                format!("{entries} entries were answered, and the diary of beta has {}", written.len());
            return Err(Failure::Server(text));
        }
        term::done(
            format_args!(
                "the file system of both is whole (e2fsck), and the diary has all {entries} entries"
            ),
            None,
        );
        for line in written.iter().rev().take(2).rev() {
            term::quote(line);
        }
        Ok(())
    }

    /// The checksums of both volumes.
    fn sums(&self) -> Result<()> {
        let start = Instant::now();
        let volumes = [self.alpha.volume(), self.beta.volume()];
        let shown = volumes.each_ref().map(|v| self.shown(&v.display().to_string())).join(" ");
        term::command(format_args!("sha256sum {shown}"));
        let sums = process::read(Command::new("sha256sum").args(&volumes))?;
        let sums: Vec<&str> = sums.lines().filter_map(|line| line.split_whitespace().next()).collect();
        for (computer, sum) in [&self.alpha, &self.beta].iter().zip(&sums) {
            term::note(format_args!("{:5} {sum}", computer.name));
        }
        match sums[..] {
            [one, other] if one == other => {
                term::done("the checksums are the same", Some(start.elapsed()));
                Ok(())
            }
            _ => Err(Failure::Server("both sides are said to be in sync, and differ".to_owned())),
        }
    }

    /// Where applications reach the volume of a source.
    fn application(&self, computer: &Computer) -> Result<String> {
        let client = client_of(computer);
        wait("the export of the source", || {
            let endpoints = client.instances(NAMESPACE, "Cimwright_ReplicaEndpoint")?;
            Ok(wire::property(&endpoints, "ApplicationUri"))
        })
    }

    fn client(&self) -> Client {
        client_of(self.alpha)
    }

    /// Runs `cimwright replica` as a person would.
    fn show(&self, computer: &Computer, words: &[&str]) -> Result<()> {
        process::show(&mut self.command(computer, &[&["replica"], words].concat()))
    }

    /// The same for a while.
    fn show_for(&self, computer: &Computer, words: &[&str], length: Duration) -> Result<()> {
        let mut command = self.command(computer, &[&["replica"], words].concat());
        let mut child = command.spawn().map_err(Failure::io("start", &self.alpha.setup.binary))?;
        std::thread::sleep(length);
        let ended = child.kill().and_then(|()| child.wait());
        ended.map(drop).map_err(Failure::io("end", &self.alpha.setup.binary))
    }

    /// The same, and gives what it said.
    fn read(&self, computer: &Computer, words: &[&str]) -> Result<String> {
        let said = process::read(&mut self.command(computer, &[&["replica"], words].concat()))?;
        print!("{said}");
        Ok(said)
    }

    fn read_quietly(&self, computer: &Computer, words: &[&str]) -> Result<String> {
        process::read(&mut bare(computer, &[&["replica"], words].concat()))
    }

    /// Runs another command; with `code`, that is how it has to end.
    fn cimwright(&self, computer: &Computer, words: &[&str], code: Option<i32>) -> Result<()> {
        let mut command = self.command(computer, words);
        let status = command.status().map_err(Failure::io("start", &computer.setup.binary))?;
        match status.code() == Some(code.unwrap_or(0)) {
            true => Ok(()),
            false => Err(Failure::Server(format!("`{}` ended with {status}", process::line_of(&command)))),
        }
    }

    /// A command, shown as a person would type it.
    fn command(&self, computer: &Computer, words: &[&str]) -> Command {
        let (words, background) = match words.split_last() {
            Some((&"&", rest)) => (rest, " &"),
            _ => (words, ""),
        };
        let shown: Vec<String> = words.iter().map(|w| self.shown(w)).collect();
        let state = self.shown(&computer.setup.state.display().to_string());
        term::command(format_args!("cimwright {} --state {state}{background}", shown.join(" ")));
        bare(computer, words)
    }

    /// A word with the scratch directory as a variable.
    fn shown(&self, word: &str) -> String {
        let word = word.replace(&self.scratch.path().display().to_string(), "$PLACE");
        if word.contains("$PLACE") { word } else { process::quoted(&word) }
    }
}

/// A command that asks a computer over its socket, where the user is known.
fn bare(computer: &Computer, words: &[&str]) -> Command {
    let mut command = Command::new(&computer.setup.binary);
    command.args(words).arg("--state").arg(&computer.setup.state);
    command
}

fn client_of(computer: &Computer) -> Client {
    Client { address: computer.setup.http.clone(), user: USER.to_owned(), password: PASSWORD.to_owned() }
}

/// The job that a command told of.
fn job_in(said: &str) -> Option<String> {
    wire::between(said, "Job ", " goes on").map(str::to_owned)
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(Failure::Server(format!("{what} did not come within {} s", PATIENCE.as_secs())));
        }
        std::thread::sleep(GLANCE);
    }
}
