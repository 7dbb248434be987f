//! Somebody who wants to be told when the health of the volume changes.

use super::Computer;
use crate::failure::{Failure, Result};
use crate::{process, term};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// `cimwright listen`, until it has heard one indication.
pub(super) struct Listener(Child);

impl Listener {
    /// Starts listening; `url_file` will tell where.
    pub(super) fn start(computer: &Computer, url_file: &Path) -> Result<Self> {
        let mut command = Command::new(&computer.setup.binary);
        command.args(["listen", "--port", "0", "--count", "1", "--url-file"]).arg(url_file);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().map(Self).map_err(Failure::io("start", &computer.setup.binary))
    }

    /// Subscribes it to the health of volumes, at a computer of this name.
    pub(super) fn subscribe(computer: &Computer, name: &str, url: &str, place: &Path) -> Result<()> {
        let file = place.join("subscription.mof");
        let text = format!(
            r#"instance of CIM_ListenerDestinationCIMXML as $Listener
{{
  SystemCreationClassName = "CIM_ComputerSystem"; SystemName = "{name}";
  CreationClassName = "CIM_ListenerDestinationCIMXML"; Name = "demo"; Destination = "{url}";
}};
instance of CIM_IndicationSubscription
{{
  Filter = "root/interop:CIM_IndicationFilter.SystemCreationClassName=\"CIM_ComputerSystem\",SystemName=\"{name}\",CreationClassName=\"CIM_IndicationFilter\",Name=\"Cimwright:StorageReplica:HealthChange\"";
  Handler = $Listener;
}};
"#
        );
        std::fs::write(&file, text).map_err(Failure::io("write", &file))?;
        let mut command = Command::new(&computer.setup.binary);
        command.args(["mof", "load"]).arg(&file).args(["--namespace", "root/interop", "--state"]);
        process::read(command.arg(&computer.setup.state)).map(drop)
    }

    /// What was heard, once it was.
    pub(super) fn heard(&mut self) -> Result<Option<String>> {
        let ended = self.0.try_wait().map_err(Failure::io("wait for", Path::new("cimwright listen")))?;
        if ended.is_none() {
            return Ok(None);
        }
        let mut text = String::new();
        if let Some(said) = &mut self.0.stdout {
            std::io::Read::read_to_string(said, &mut text)
                .map_err(Failure::io("read", Path::new("cimwright listen")))?;
        }
        term::quote(&text);
        Ok(Some(text))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
