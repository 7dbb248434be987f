//! The listener of the program, told by an exporter of this project.

use cimwright_cim::{Instance, Value};
use cimwright_client::{Endpoint, Exporter};
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A failing test waits this long, no other.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn listen_takes_exactly_as_many_as_it_is_asked_to() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    let mut child = Command::new(env!("CARGO_BIN_EXE_cimwright"))
        .env_clear()
        .args(["listen", "--port", "0", "--count", "7", "--url-file"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let url = loop {
        if let Ok(text) = std::fs::read_to_string(&file) {
            break text.trim().to_owned();
        }
        assert!(begin.elapsed() < PATIENCE && child.try_wait().unwrap().is_none(), "it does not listen");
        std::thread::sleep(Duration::from_millis(5));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let taken = runtime.block_on(async {
        let exporter = Exporter::new(Endpoint::from_url(&url).unwrap()).unwrap();
        let mut taken = 0;
        for number in 0..12 {
            let indication = Instance::new("CIM_AlertIndication")
                .with("SequenceContext", "c")
                .with("SequenceNumber", Value::Sint64(number));
            taken += usize::from(exporter.export(&indication).await.is_ok());
        }
        taken
    });
    assert!(child.wait().unwrap().success());
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert_eq!(printed.lines().count(), 7, "{printed}");
    assert!(taken <= 7, "no other is acknowledged: {taken}");
}
