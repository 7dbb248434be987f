//! Turning a partnership round. The job runs at the computer that is to be the source.
//!
//! The order of the writes is what keeps two sides from being writable: the old source stops, makes both sides the same and notes
//! down that it is the destination (SetSecondaryReplicationGroup); only then this side notes down that it is the source. In
//! between nobody is. A server that dies on the way finds its part in its model when it starts again, and the job, which every
//! step repeats without harm, brings the rest about.

use super::partner::{Follow, ask_partner};
use crate::disk::jobs::toolbox::blocking;
use crate::replication::guid::Guid;
use crate::replication::model::{End, Mode, Model, Partition, Partnership};
use crate::replication::service::Shared;
use crate::replication::session::peer::{self, Peer};
use crate::replication::session::{self, Manner};
use crate::replication::{errors, instances};
use async_trait::async_trait;
use cimwright_sdk::Order;
use cimwright_sdk::cim::{ErrorDetail, Instance, Param, Value};
use cimwright_sdk::jobs::{Clock, OnRestart, Step, StepContext, StepError, SystemClock};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long the old source is asked to go on as such when the switch fails and it does not answer.
const REVERT_LIMIT: Duration = Duration::from_secs(30);
const REVERT_PAUSE: Duration = Duration::from_millis(500);
/// MSFT_WvrReplicationGroup.ReplicationStatus of a source whose destination has everything or follows closely.
const SWITCHABLE: [u64; 3] = [1, 11, 12];

/// A direction to be turned round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchSource {
    /// The partnership.
    pub id: Guid,
    /// The group of this computer.
    pub group: Guid,
    /// This side, which is to be the source.
    pub here: End,
    /// The other side.
    pub there: End,
}

impl Order<Shared> for SwitchSource {
    const KIND: &'static str = "replication.switch-source";
    const NAME: &'static str = "Switch direction of replication";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        let order = Arc::new(self);
        let part = || (Arc::clone(shared), Arc::clone(&order));
        let ((a, one), (b, two), (c, three)) = (part(), part(), part());
        vec![
            Arc::new(Check { shared: a, order: one }),
            Arc::new(Demote { shared: b, order: two }),
            Arc::new(Promote { shared: c, order: three, alone: false }),
            Arc::new(Follow::new(shared, order.group)),
        ]
    }
}

/// This side is to be the source, whatever the other one is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeOver {
    /// The sides.
    pub switch: SwitchSource,
    /// Whether the other one need not be asked.
    pub force: bool,
}

impl Order<Shared> for TakeOver {
    const KIND: &'static str = "replication.take-over";
    const NAME: &'static str = "Make replication group the source";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        let order = Arc::new(self.switch);
        vec![Arc::new(Promote { shared: Arc::clone(shared), order, alone: self.force })]
    }
}

/// Makes sure that the old source can be asked and that the copy is complete.
struct Check {
    shared: Arc<Shared>,
    order: Arc<SwitchSource>,
}

/// What the new source takes over from the old one.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Settings {
    mode: Option<Mode>,
    async_rpo: Option<u32>,
}

/// What the volumes of the old source looked like when it had handed over, by replica set.
#[derive(Debug, Default, Serialize, Deserialize)]
struct HandedOver {
    generation: u64,
    looks: HashMap<Guid, String>,
}

#[async_trait]
impl Step for Check {
    fn name(&self) -> &'static str {
        "check"
    }

    fn title(&self) -> String {
        format!("Looking whether {} can hand over", self.order.there.computer)
    }

    async fn run(&self, _context: &StepContext) -> Result<String, StepError> {
        let (shared, order) = (&self.shared, &self.order);
        let ask = vec![Param::new("Name", order.there.group.as_str())];
        let answer = ask_partner(shared, &order.there.computer, "GetGroup", ask).await;
        let answer =
            answer.map_err(|e| errors::source_silent(&order.here.group, &order.there.computer).because(e))?;
        let groups = answer.get("Output").and_then(Value::as_array).unwrap_or(&[]).iter().flatten();
        let group: Option<Instance> = groups.filter_map(|v| v.as_instance().cloned()).next();
        let group = group.ok_or_else(|| errors::no_partnership(&order.there.group, &order.there.computer))?;
        let number = |name: &str| group.get_u64(name);
        // What is no source any more has handed over already, or never was: then there is nothing to wait for.
        let is_source = group.get("IsPrimary").and_then(|v| v.as_bool()).unwrap_or(false);
        let status = number("ReplicationStatus");
        if is_source && !status.is_some_and(|s| SWITCHABLE.contains(&s)) {
            let shown = status.map_or_else(|| "NULL".to_owned(), |s| s.to_string());
            let why = format!("{} shows ReplicationStatus {shown}", order.there.computer);
            return Err(errors::not_same(&order.there.group, &why).into());
        }
        let settings = Settings {
            mode: number("ReplicationMode").filter(|_| is_source).and_then(Mode::from_number),
            async_rpo: number("AsyncRPO").filter(|_| is_source).and_then(|n| u32::try_from(n).ok()),
        };
        Ok(serde_json::to_string(&settings).unwrap_or_default())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        Ok(())
    }
}

/// Has the old source hand over.
struct Demote {
    shared: Arc<Shared>,
    order: Arc<SwitchSource>,
}

#[async_trait]
impl Step for Demote {
    fn name(&self) -> &'static str {
        "demote"
    }

    fn title(&self) -> String {
        format!(
            "Stopping {} on {} and making both sides the same",
            self.order.there.group, self.order.there.computer
        )
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn run(&self, _context: &StepContext) -> Result<String, StepError> {
        let (shared, order) = (&self.shared, &self.order);
        let model = shared.model();
        let partnership = standing(&model, order, shared)?;
        let params = vec![
            Param::new("ReplicationGroupName", order.there.group.as_str()),
            Param::new("PrimaryComputerName", order.here.computer.as_str()),
            Param::new("PrimaryReplicationGroupId", instances::shown(order.group)),
            Param::new("PrimaryReplicationGroupName", order.here.group.as_str()),
            Param::new("PartnershipId", instances::shown(order.id)),
        ];
        ask_partner(shared, &order.there.computer, "SetSecondaryReplicationGroup", params).await?;
        let mut handed = HandedOver { generation: partnership.generation + 1, ..HandedOver::default() };
        for volume in model.volumes(order.group) {
            // Without that, everything is copied; the direction is turned round all the same.
            let Ok(told) = peer::ask(shared, volume, partnership).await else { continue };
            let Peer { generation, handed_over, fingerprint, .. } = told;
            handed.generation = handed.generation.max(generation);
            if let (true, Some(looks), Some(set)) = (handed_over, fingerprint, volume.replica_set)
                && generation > partnership.generation
            {
                handed.looks.insert(set, looks);
            }
        }
        Ok(serde_json::to_string(&handed).unwrap_or_default())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        let (shared, order) = (&self.shared, &self.order);
        // What was turned round stays so: only the job that followed the copy has failed then.
        if shared.model().partnership(order.id).is_none_or(|p| p.is_source) {
            return Ok(());
        }
        let begun = SystemClock.now();
        loop {
            let params = vec![
                Param::new("ReplicationGroupName", order.there.group.as_str()),
                Param::new("SecondaryReplicationGroupName", Value::strings([order.here.group.clone()])),
                Param::new("SecondaryComputerName", Value::strings([order.here.computer.clone()])),
                Param::new("PartnershipId", Value::strings([instances::shown(order.id)])),
            ];
            // If it has not handed over, it has nothing to do.
            let asked =
                ask_partner(shared, &order.there.computer, "WvrSetPrimaryReplicationGroup", params).await;
            let late = SystemClock.now().duration_since(begun).unwrap_or_default() >= REVERT_LIMIT;
            match asked {
                Ok(_) => return Ok(()),
                Err(reason) if late => return Err(reason),
                Err(_) => tokio::time::sleep(REVERT_PAUSE).await,
            }
        }
    }
}

/// Makes this side the source.
struct Promote {
    shared: Arc<Shared>,
    order: Arc<SwitchSource>,
    /// Without the other side.
    alone: bool,
}

#[async_trait]
impl Step for Promote {
    fn name(&self) -> &'static str {
        "promote"
    }

    fn title(&self) -> String {
        let (here, there) = (&self.order.here, &self.order.there.computer);
        match self.alone {
            false => format!("Making {} on {} the source", here.group, here.computer),
            true => format!(
                "Making {} on {} the source without asking {there}, to which everything is copied once it is back",
                here.group, here.computer
            ),
        }
    }

    fn cancellable(&self) -> bool {
        false
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        fn earlier<T: serde::de::DeserializeOwned + Default>(context: &StepContext, step: &str) -> T {
            context.output_of(step).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
        }
        let (handed, settings): (HandedOver, Settings) =
            (earlier(context, "demote"), earlier(context, "check"));
        become_source(&self.shared, &self.order, handed, settings, self.alone).await?;
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        // One write; until then nothing is different.
        Ok(())
    }
}

async fn become_source(
    shared: &Arc<Shared>,
    order: &Arc<SwitchSource>,
    handed: HandedOver,
    settings: Settings,
    alone: bool,
) -> Result<(), ErrorDetail> {
    let _turning = shared.sessions.turning().await;
    let model = shared.model();
    let partnership = standing(&model, order, shared)?.clone();
    if partnership.is_source {
        return Ok(());
    }
    let volumes: Vec<Partition> = model.volumes(order.group).cloned().collect();
    let _rest = shared.sessions.rest(volumes.iter().map(|v| v.id).collect(), Manner::Anyhow).await?;
    let (id, generation) = (partnership.id, handed.generation.max(partnership.generation + 1));
    let sides = Arc::clone(shared);
    blocking(move || volumes.iter().try_for_each(|volume| hand_on(&sides, volume, &handed, alone))).await?;
    let order = Arc::clone(order);
    shared
        .state
        .change(move |model| {
            let Some(partnership) = model.partnerships.iter_mut().find(|p| p.id == id) else {
                return Err(errors::no_partnership(&order.here.group, &order.here.computer));
            };
            if !partnership.is_source {
                partnership.turn(generation);
                partnership.failed_over = alone;
                model.turn_constraint(id);
            }
            for group in model.groups.iter_mut().filter(|g| g.id == order.group) {
                group.mode = settings.mode.unwrap_or(group.mode);
                group.async_rpo = settings.async_rpo.or(group.async_rpo);
                group.suspended = false;
            }
            model.activate(order.group);
            Ok(())
        })
        .await
}

/// Notes down how a volume was left that this side takes over. Blocks for the disk.
fn hand_on(shared: &Shared, volume: &Partition, handed: &HandedOver, alone: bool) -> Result<(), ErrorDetail> {
    match volume.replica_set.and_then(|set| handed.looks.get(&set)) {
        Some(looks) => session::seal(shared, volume, looks),
        // A device, or nobody could tell: the seal will not be believed, and says why.
        None if handed.generation > 0 => session::seal(shared, volume, session::UNKNOWN),
        None if alone => session::marker(shared, volume.id)
            .break_seal()
            .map_err(|e| errors::state_unwritable(&e.to_string())),
        // A side that handed over and gets its part back has sealed itself.
        None => Ok(()),
    }
}

/// Makes this side the destination: what the other one asks that becomes the source. A side that is it already has nothing to do.
///
/// # Errors
/// When both sides cannot be made the same; this one then stays the source.
pub async fn hand_over(shared: &Arc<Shared>, id: Guid) -> Result<(), ErrorDetail> {
    let _turning = shared.sessions.turning().await;
    let model = shared.model();
    let Some(partnership) = model.partnership(id).filter(|p| p.is_source) else { return Ok(()) };
    let volumes = model.volumes(partnership.local_group).map(|v| v.id).collect();
    let _rest = shared.sessions.rest(volumes, Manner::Same).await?;
    let generation = partnership.generation + 1;
    let change = move |model: &mut Model| {
        if let Some(partnership) = model.partnerships.iter_mut().find(|p| p.id == id && p.is_source) {
            partnership.turn(generation);
            partnership.handed_over = true;
            model.turn_constraint(id);
        }
        Ok(())
    };
    shared.state.change(change).await
}

/// The partnership, if it still is one of these two sides.
fn standing<'m>(
    model: &'m Model,
    order: &SwitchSource,
    shared: &Shared,
) -> Result<&'m Partnership, ErrorDetail> {
    model.partnership(order.id).ok_or_else(|| errors::no_partnership(&order.here.group, shared.computer()))
}
