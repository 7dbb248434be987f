//! The commands that look at any server, against the server of this very program.

use crate::holds;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long the server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server, reached over its socket.
struct Real {
    directory: tempfile::TempDir,
    child: Child,
}

impl Real {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = program()
            .args(["serve", "--http", "127.0.0.1:0", "--https", "none", "--demo-provider", "--state"])
            .arg(directory.path().join("state"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut real = Self { directory, child };
        let begin = Instant::now();
        while real.run(&["ls"]).status.code() != Some(0) {
            assert!(begin.elapsed() < PATIENCE, "the server does not answer");
            assert_eq!(real.child.try_wait().unwrap(), None, "the server ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        real
    }

    fn run(&self, line: &[&str]) -> Output {
        program().args(line).arg("--state").arg(self.directory.path().join("state")).output().unwrap()
    }

    #[track_caller]
    fn ran(&self, line: &[&str], code: i32) -> String {
        told(&self.run(line), code)
    }
}

impl Drop for Real {
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

#[track_caller]
fn told(output: &Output, code: i32) -> String {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

fn check(arguments: &[&str], files: &[&Path], code: i32) -> String {
    told(&program().args(["mof", "check"]).args(arguments).args(files).output().unwrap(), code)
}

#[test]
fn namespaces_classes_and_instances_in_every_form() {
    let real = Real::start();
    holds(&real.ran(&["ls"], 0), &["root/virtualization/v2\n", "root/microsoft/windows/storagereplica\n"]);
    let names = real.ran(&["ls", "root/virtualization/v2", "--class", "CIM_Job"], 0);
    assert!(names.contains("CIM_ConcreteJob\n") && names.contains("Msvm_StorageJob\n"), "{names}");
    let below = real.ran(&["ls", "root/virtualization/v2", "--class", "CIM_Job", "--shallow"], 0);
    assert_eq!(below.lines().collect::<Vec<_>>(), ["CIM_ConcreteJob"]);
    real.ran(&["ls", "root/nowhere"], 4);

    let service = "Cimwright_DemoService";
    holds(&real.ran(&["enum", service, "--summary"], 0), &["1 instances"]);
    holds(&real.ran(&["enum", service], 0), &["instance of Cimwright_DemoService {", "// Not Applicable"]);
    holds(
        &real.ran(&["enum", service, "-o", "table", "--property-list", "Name,EnabledState"], 0),
        &["Name", "5 (Not Applicable)"],
    );
    holds(&real.ran(&["enum", service, "--output", "mof"], 0), &["    EnabledState = 5;\n"]);
    holds(&real.ran(&["enum", service, "--output", "xml"], 0), &["<VALUE.INSTANCEWITHPATH><INSTANCEPATH>"]);
    let json: serde_json::Value = serde_json::from_str(&real.ran(&["enum", service, "--json"], 0)).unwrap();
    assert_eq!(json[0]["$class"], service);
    let path = json[0]["$path"].as_str().unwrap();
    holds(&real.ran(&["enum", service, "--names-only", "-o", "json"], 0), &["Cimwright_DemoService.Name"]);
    holds(&real.ran(&["get", path, "-o", "json"], 0), &["\"EnabledState\": 5"]);
    holds(&real.ran(&["get", path, "--property-list", "Name", "-o", "table"], 0), &["Name\n"]);
    assert_eq!(real.ran(&["assoc", path, "--names-only"], 0), "");
    holds(&real.ran(&["assoc", path, "--assoc-class", "Nope"], 4), &["CIM_ERR_INVALID_PARAMETER"]);
    holds(&real.ran(&["assoc", service], 2), &["takes the path of an instance"]);
    holds(&real.ran(&["enum", service, "--json", "--output", "xml"], 2), &["cannot be used with"]);
}

#[test]
fn queries_go_to_the_server_as_they_are() {
    let real = Real::start();
    let selected = "SELECT Name, EnabledState FROM CIM_Service WHERE Name LIKE 'DEM%'";
    holds(&real.ran(&["query", selected], 0), &["Name", "demo"]);
    let selected = "SELECT Name FROM CIM_Service s WHERE s.Name LIKE 'dem.*'";
    holds(&real.ran(&["query", selected, "--language", "DMTF:CQL", "-o", "json"], 0), &["\"demo\""]);
    holds(&real.ran(&["query", "SELECT Nope FROM CIM_Service"], 4), &["CIM_Service has no property Nope"]);
    holds(&real.ran(&["query", "SELECT * CIM_Service"], 2), &["at character 10", "correct the text"]);
    holds(
        &real.ran(&["query", "x", "--language", "SPARQL"], 2),
        &["with --namespace the query goes to the server"],
    );
    let there = ["--namespace", "root/virtualization/v2"];
    let asked = [&["query", "SELECT * CIM_Service"][..], &there].concat();
    holds(&real.ran(&asked, 4), &["CIM_ERR_INVALID_QUERY", "at character 10"]);
    let asked = [&["query", "x", "--language", "SPARQL"][..], &there].concat();
    holds(&real.ran(&asked, 4), &["CIM_ERR_QUERY_LANGUAGE_NOT_SUPPORTED"]);
}

#[test]
fn a_class_is_shown_and_what_is_written_back_compiles() {
    let real = Real::start();
    holds(
        &real.ran(&["class", "CIM_ConcreteJob", "--local-only"], 0),
        &["class CIM_ConcreteJob : CIM_Job {"],
    );
    let plain = real.ran(&["class", "CIM_ConcreteJob", "--no-qualifiers"], 0);
    assert!(plain.contains("uint16 JobState") && !plain.contains("Description("), "{plain}");
    holds(
        &real.ran(&["class", "CIM_Job", "-o", "table"], 0),
        &["KillJob()", "KillJob.DeleteOnKill  boolean"],
    );
    holds(&real.ran(&["class", "CIM_Job", "-o", "xml"], 0), &["<CLASS NAME=\"CIM_Job\" SUPERCLASS="]);
    holds(&real.ran(&["class", "CIM_Job", "-o", "json"], 0), &["\"superclass\": \"CIM_LogicalElement\""]);
    holds(&real.ran(&["class", "Nope"], 5), &["no class Nope"]);

    let file = real.directory.path().join("job.mof");
    std::fs::write(&file, real.ran(&["mof", "show", "Msvm_StorageJob", "--complete"], 0)).unwrap();
    holds(&check(&["--strict"], &[&file], 0), &["qualifier declarations, 0 instances"]);
    // What the server has counts as declared, so nothing is new.
    let nothing = real.ran(
        &["mof", "load", file.to_str().unwrap(), "--dry-run", "--namespace", "root/virtualization/v2"],
        0,
    );
    holds(&nothing, &["0 qualifier declarations, 0 classes, 0 instances would be loaded"]);
    std::fs::write(
        &file,
        "class X_Mine : CIM_Job { string Mine; };\ninstance of X_Mine { InstanceID = \"1\"; };\n",
    )
    .unwrap();
    let mine = ["mof", "load", file.to_str().unwrap(), "--dry-run", "--namespace", "root/virtualization/v2"];
    holds(&real.ran(&mine, 0), &["0 qualifier declarations, 1 classes, 1 instances would be loaded"]);
}

#[test]
fn what_is_loaded_is_there_and_loading_twice_is_the_same_as_once() {
    const HOUSE: &str = "\
Qualifier Key : boolean = false, Scope(property, reference), Flavor(DisableOverride, ToSubclass);
Qualifier Association : boolean = false, Scope(association), Flavor(DisableOverride, ToSubclass);
class X_Room { [Key] string Name; uint32 Size = 5; };
[Association] class X_Door { [Key] X_Room REF From; [Key] X_Room REF To; };
instance of X_Room as $hall { Name = \"hall\"; };
instance of X_Room as $attic { Name = \"attic\"; Size = 7; };
instance of X_Door { From = $hall; To = $attic; };
";
    let real = Real::start();
    let file = real.directory.path().join("house.mof");
    std::fs::write(&file, HOUSE).unwrap();
    let load = ["mof", "load", file.to_str().unwrap(), "--namespace", "root/house"];
    holds(&real.ran(&load, 4), &["CIM_ERR_INVALID_NAMESPACE", "--create-namespace makes it"]);
    let made = [&load[..], &["--create-namespace"]].concat();
    holds(&real.ran(&made, 0), &["2 qualifier declarations, 2 classes, 3 instances loaded into root/house"]);
    std::fs::write(&file, HOUSE.replace("Size = 7", "Size = 8")).unwrap();
    holds(&real.ran(&load, 0), &["0 qualifier declarations, 0 classes, 3 instances loaded"]);
    holds(&real.ran(&["ls", "root/house"], 0), &["X_Door\nX_Room\n"]);
    let rooms = real.ran(&["enum", "root/house:X_Room", "-o", "table"], 0);
    let rooms: Vec<Vec<&str>> = rooms.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rooms, [["Name", "Size"], ["attic", "8"], ["hall", "5"]]);
    let hall = "root/house:X_Room.Name=\"hall\"";
    holds(&real.ran(&["assoc", hall, "--assoc-class", "X_Door"], 0), &["Name = \"attic\";"]);
    holds(&real.ran(&["assoc", hall, "--role", "From", "--names-only"], 0), &["X_Room.Name=\"attic\""]);
    assert_eq!(real.ran(&["assoc", hall, "--role", "To", "--names-only"], 0), "");
    holds(&real.ran(&["assoc", hall, "--references", "-o", "xml"], 0), &["<INSTANCE CLASSNAME=\"X_Door\">"]);
    holds(
        &real.ran(&["mof", "show", "root/house:X_Door"], 0),
        &["[Association]\nclass X_Door {", "X_Room REF From;"],
    );
    std::fs::write(&file, "class X_Room { [Key] uint8 Name; };").unwrap();
    holds(&real.ran(&load, 1), &["class X_Room exists already, declared differently"]);
}

#[test]
fn a_namespace_without_declarations_takes_what_every_server_knows() {
    let real = Real::start();
    let file = real.directory.path().join("key.mof");
    std::fs::write(
        &file,
        "class X_Key {\n  [Key, MaxLen(5)] string A;\n  [Write] uint8 B = 3;\n  uint32 M([In, Required] string P);\n};\n",
    )
    .unwrap();
    let load = ["mof", "load", file.to_str().unwrap(), "-n", "root/bare", "--create-namespace"];
    let first = real.ran(&load, 0);
    holds(&first, &["0 qualifier declarations, 1 classes, 0 instances loaded into root/bare"]);
    assert!(!first.contains("warning"), "{first}");
    for _ in 0..2 {
        holds(&real.ran(&load, 0), &["0 qualifier declarations, 0 classes, 0 instances loaded"]);
        // The second time, what the server wrote back.
        let shown = real.ran(&["mof", "show", "root/bare:X_Key"], 0);
        std::fs::write(&file, shown).unwrap();
    }
    std::fs::write(&file, real.ran(&["mof", "show", "root/bare:X_Key", "--complete"], 0)).unwrap();
    holds(&check(&["--strict"], &[&file], 0), &["1 classes", "5 qualifier declarations"]);
    holds(&real.ran(&load, 0), &["5 qualifier declarations, 0 classes, 0 instances loaded"]);
    holds(&real.ran(&load, 0), &["0 qualifier declarations, 0 classes, 0 instances loaded"]);
}

#[test]
fn mistakes_in_mof_are_shown_where_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.mof");
    std::fs::write(&file, "#pragma include (\"y.mof\")\nclass X : Y {\n    uint9 A;\n};\n").unwrap();
    std::fs::write(directory.path().join("y.mof"), "class Y { string Name = 5; };\n").unwrap();
    let text = check(&[], &[&file], 1);
    holds(&text, &["x.mof:3:5", "│     uint9 A;\n", "^^^^^", "y.mof:1:25", "2 errors"]);
    let json: serde_json::Value = serde_json::from_str(&check(&["--json"], &[&file], 1)).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
    std::fs::write(&file, "[Dynamic, Provider(\"P\")] class X { [Key] string Name; };\n").unwrap();
    holds(
        &check(&[], &[&file], 0),
        &["warning", "1 classes with 1 properties and 0 methods, 0 qualifier declarations, 0 instances"],
    );
    check(&["--deny-warnings"], &[&file], 1);
    holds(&check(&["--strict"], &[&file], 1), &["error"]);
    holds(&check(&[], &[&directory.path().join("nope.mof")], 6), &["cannot read"]);
    std::fs::write(&file, "#pragma include (\"../z.mof\")\n").unwrap();
    holds(&check(&[], &[&file], 1), &["cannot include"]);
}
