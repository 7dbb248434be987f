//! Making partners, following the copy between them, and ending a partnership.

use crate::replication::admin::alone;
use crate::replication::guid::Guid;
use crate::replication::model::{End, Group, Mode, Partnership};
use crate::replication::service::Shared;
use crate::replication::session::VolumeStatus;
use crate::replication::{errors, instances};
use async_trait::async_trait;
use cimwright_sdk::Order;
use cimwright_sdk::cim::{ErrorDetail, Instance, Param, Value};
use cimwright_sdk::jobs::{Clock, OnRestart, Progress, Step, StepContext, StepError, SystemClock};
use cimwright_sdk::remote::{RemoteAnswer, RemoteError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long the two sides may take to find each other.
const BEGIN_LIMIT: Duration = Duration::from_secs(30);
/// How long a failure may last before the job that follows the copy gives up. The copy itself goes on as soon as it can.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing may be in the way for a failure to be over: an engine that ends again and again works in between.
const CALM: Duration = Duration::from_secs(3);
/// How often the clock is looked at while nothing changes.
const LOOK: Duration = Duration::from_millis(200);

/// Two groups to be made partners; this computer has the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePartnership {
    /// Its identifier.
    pub id: Guid,
    /// The group of this computer.
    pub group: Guid,
    /// The source.
    pub source: End,
    /// The destination.
    pub destination: End,
    /// Whether a write waits for the other side.
    pub mode: Mode,
    /// How far the destination may fall behind, in seconds.
    pub async_rpo: Option<u32>,
    /// Whether data must be encrypted on its way.
    pub encryption: Option<bool>,
    /// Whether the copy waits for SyncGroup.
    pub prevent: bool,
}

impl Order<Shared> for CreatePartnership {
    const KIND: &'static str = "replication.create-partnership";
    const NAME: &'static str = "Create replication partnership";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        let order = Arc::new(self);
        let mut steps: Vec<Arc<dyn Step>> = vec![
            Arc::new(Prepare { shared: Arc::clone(shared), order: Arc::clone(&order) }),
            Arc::new(Record { shared: Arc::clone(shared), order: Arc::clone(&order) }),
        ];
        if !order.prevent {
            steps.push(Arc::new(Follow::new(shared, order.group)));
        }
        steps
    }
}

/// Compares the groups and gives the one of the other computer its part.
struct Prepare {
    shared: Arc<Shared>,
    order: Arc<CreatePartnership>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Prepared {
    partner_group: Guid,
}

impl Prepare {
    async fn compare(&self) -> Result<Guid, ErrorDetail> {
        let (shared, order) = (&self.shared, &self.order);
        let model = shared.model();
        let own: Vec<(String, u64)> = model.volumes(order.group).map(|p| (p.path.clone(), p.size)).collect();
        let ask = vec![Param::new("Name", order.destination.group.as_str())];
        let answer = ask_partner(shared, &order.destination.computer, "GetGroup", ask).await?;
        let strange = |reason: &str| {
            let name = order.destination.computer.clone();
            errors::remote_failed(
                &RemoteError::Malformed { name, reason: reason.to_owned() },
                shared.computer(),
            )
        };
        let group = embedded(answer.get("Output")).into_iter().next();
        let group = group.ok_or_else(|| strange("GetGroup gives no group"))?;
        let id = group.get_str("Id").and_then(Guid::parse);
        let id = id.ok_or_else(|| strange("the group has no identifier"))?;
        let replicas = embedded(group.get("Replicas"));
        if replicas.len() != own.len() {
            let counts = (own.len().to_string(), replicas.len().to_string());
            return Err(errors::volumes_differ(
                &order.source.group,
                &order.destination.group,
                &counts.0,
                &counts.1,
            ));
        }
        for ((path, size), replica) in own.iter().zip(&replicas) {
            let there = replica.get_u64("PartitionSize").unwrap_or(0);
            if there != *size {
                return Err(errors::size_mismatch(path, &size.to_string(), &there.to_string()));
            }
        }
        Ok(id)
    }
}

#[async_trait]
impl Step for Prepare {
    fn name(&self) -> &'static str {
        "prepare"
    }

    fn title(&self) -> String {
        format!("Preparing {} on {}", self.order.destination.group, self.order.destination.computer)
    }

    async fn run(&self, _context: &StepContext) -> Result<String, StepError> {
        let order = &self.order;
        let partner_group = self.compare().await?;
        let model = self.shared.model();
        let sets = model.volumes(order.group).filter_map(|p| p.replica_set).map(instances::shown);
        let params = vec![
            Param::new("ReplicationGroupName", order.destination.group.as_str()),
            Param::new("ReplicaSetIds", Value::strings(sets)),
            Param::new("ReplicationRole", Value::Uint32(2)),
            Param::new("PartnerReplicationGroupName", order.source.group.as_str()),
            Param::new("PartnerReplicationGroupEndpoint", order.source.computer.as_str()),
            Param::new("partnerReplicationGroupId", instances::shown(order.group)),
            Param::new("PartnershipId", instances::shown(order.id)),
        ];
        ask_partner(&self.shared, &order.destination.computer, "WvrInitializeReplicationGroup", params)
            .await?;
        Ok(serde_json::to_string(&Prepared { partner_group }).unwrap_or_default())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        let order = &self.order;
        // What was made stays made: only the job that followed the first copy has failed then.
        if self.shared.model().partnerships.iter().any(|p| p.id == order.id) {
            return Ok(());
        }
        let there = &order.destination.computer;
        match dissolve_at(&self.shared, there, &order.source, &order.destination).await {
            // It may not have got there at all.
            Err(reason) if reason.code == 5 => Ok(()),
            other => other,
        }
    }
}

/// Notes the partnership down. From here on it exists, whatever becomes of the first copy.
struct Record {
    shared: Arc<Shared>,
    order: Arc<CreatePartnership>,
}

#[async_trait]
impl Step for Record {
    fn name(&self) -> &'static str {
        "join"
    }

    fn title(&self) -> String {
        format!("Noting down the partner of {}", self.order.source.group)
    }

    fn cancellable(&self) -> bool {
        false
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let prepared: Prepared = context
            .output_of("prepare")
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| errors::stored_order(&context.spec().name, "the partner is missing"))?;
        let (order, computer) = (Arc::clone(&self.order), self.shared.computer().to_owned());
        let made = self
            .shared
            .state
            .change(move |model| {
                if let Some(made) = model.partnerships.iter().find(|p| p.id == order.id) {
                    return Ok(made.clone());
                }
                // Another job may have been faster.
                alone(model, order.group, &order.source.group)?;
                let Some(group) = model.groups.iter_mut().find(|g| g.id == order.group) else {
                    return Err(errors::group_missing(&order.source.group, &computer));
                };
                group.mode = order.mode;
                group.async_rpo = order.async_rpo.or(group.async_rpo);
                group.encryption = order.encryption.unwrap_or(group.encryption);
                group.suspended = order.prevent;
                let made = Partnership {
                    id: order.id,
                    source: order.source.clone(),
                    destination: order.destination.clone(),
                    local_group: order.group,
                    partner_group: prepared.partner_group,
                    is_source: true,
                    generation: 0,
                    handed_over: false,
                    failed_over: false,
                };
                model.partnerships.push(made.clone());
                Ok(made)
            })
            .await?;
        let instance = Value::Instance(Box::new(instances::partnership(&made)));
        context.set_result("Output", Value::Array(vec![Some(instance)]));
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        Ok(())
    }
}

/// A copy to be followed: the group goes on, and the job ends when both sides are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncGroup {
    /// The group.
    pub group: Guid,
}

impl Order<Shared> for SyncGroup {
    const KIND: &'static str = "replication.sync-group";
    const NAME: &'static str = "Synchronise replication group";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        vec![Arc::new(Follow::new(shared, self.group))]
    }
}

/// Tells how the copy goes until both sides are the same. Ends without success after a failure that lasts; the copy itself is
/// not the job's, and goes on as soon as it can.
pub(super) struct Follow {
    shared: Arc<Shared>,
    group: Guid,
}

impl Follow {
    /// Of all volumes of a group of this computer.
    pub(super) fn new(shared: &Arc<Shared>, group: Guid) -> Self {
        Self { shared: Arc::clone(shared), group }
    }
}

#[async_trait]
impl Step for Follow {
    fn name(&self) -> &'static str {
        "follow"
    }

    fn title(&self) -> String {
        let model = self.shared.model();
        let sides = model.volumes(self.group).filter_map(|p| self.shared.sessions.status(p.id));
        let reasons: Vec<String> = sides.filter_map(|s| s.full_reason).collect();
        match reasons.first() {
            Some(reason) => format!("Copying everything: {reason}"),
            None => "Synchronising".to_owned(),
        }
    }

    fn only_watches(&self) -> bool {
        true
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        let sessions = &self.shared.sessions;
        let _followed = sessions.followed(self.group);
        let mut changes = sessions.changes();
        let begun = SystemClock.now();
        // When something first and last was in the way.
        let mut failing: Option<(SystemTime, SystemTime)> = None;
        sessions.nudge();
        loop {
            let model = self.shared.model();
            let volumes: Vec<_> = model.volumes(self.group).filter(|p| !p.deactivated).collect();
            let known: Vec<_> = volumes.iter().map(|p| sessions.status(p.id).unwrap_or_default()).collect();
            let (done, total) = known.iter().fold((0, 0), |(d, t), s| (d + s.done_bytes, t + s.total_bytes));
            let share = (u128::from(done) * 10_000).checked_div(u128::from(total)).unwrap_or(0);
            context.set_progress(Progress {
                done,
                total,
                share: u16::try_from(share).unwrap_or(9_999).min(9_999),
            });
            let nothing = known.is_empty() && model.volumes(self.group).next().is_none();
            // What was seen before the job began says nothing about a partner that was lost a moment ago.
            let same = |s: &VolumeStatus| s.in_sync && s.last_in_sync.is_some_and(|at| at >= begun);
            if !nothing && known.iter().all(same) {
                return Ok(String::new());
            }
            let now = SystemClock.now();
            let since = |at: SystemTime| now.duration_since(at).unwrap_or_default();
            match known.iter().find_map(|s| s.failure.clone()) {
                None => failing = failing.filter(|(_, last)| since(*last) < CALM),
                Some(reason) => {
                    let first = failing.map_or(now, |(first, _)| first);
                    failing = Some((first, now));
                    if since(first) >= PATIENCE {
                        return Err(reason.into());
                    }
                }
            }
            let idle = volumes.iter().zip(&known).find(|(_, s)| s.phase.is_none());
            if let Some((volume, _)) = idle
                && since(begun) >= BEGIN_LIMIT
            {
                return Err(errors::no_sync(&volume.path, &BEGIN_LIMIT.as_secs().to_string()).into());
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = context.stopped() => return Err(StepError::Stopped),
            }
        }
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        Ok(())
    }
}

/// A partnership to be ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovePartnership {
    /// Its identifier.
    pub id: Guid,
    /// The source.
    pub source: End,
    /// The destination.
    pub destination: End,
    /// Whether it is ended here although the other side does not answer or refuses.
    pub ignore_failure: bool,
}

impl Order<Shared> for RemovePartnership {
    const KIND: &'static str = "replication.remove-partnership";
    const NAME: &'static str = "Remove replication partnership";

    fn steps(self, shared: &Arc<Shared>) -> Vec<Arc<dyn Step>> {
        vec![Arc::new(Dissolve { shared: Arc::clone(shared), order: self })]
    }
}

struct Dissolve {
    shared: Arc<Shared>,
    order: RemovePartnership,
}

#[async_trait]
impl Step for Dissolve {
    fn name(&self) -> &'static str {
        "dissolve"
    }

    fn title(&self) -> String {
        format!("Ending the partnership of {} and {}", self.order.source.group, self.order.destination.group)
    }

    fn on_restart(&self) -> OnRestart {
        OnRestart::Repeat
    }

    async fn run(&self, _context: &StepContext) -> Result<String, StepError> {
        let order = &self.order;
        // Either side can be asked; when the step is repeated, this one may have ended it.
        let model = self.shared.model();
        let there = model.partnership(order.id).map_or(&order.destination, |p| p.there());
        match dissolve_at(&self.shared, &there.computer, &order.source, &order.destination).await {
            Ok(()) => {}
            // There it is ended already.
            Err(reason) if errors::is_gone_there(&reason) => {}
            Err(_) if order.ignore_failure => {}
            Err(reason) => return Err(reason.into()),
        }
        end(&self.shared, order.id).await?;
        Ok(String::new())
    }

    async fn undo(&self, _context: &StepContext, _output: Option<&str>) -> Result<(), ErrorDetail> {
        Ok(())
    }
}

/// Ends a partnership on this computer; the sides are closed by whoever keeps them.
///
/// # Errors
/// When it cannot be stored.
pub async fn end(shared: &Arc<Shared>, id: Guid) -> Result<(), ErrorDetail> {
    shared
        .state
        .change(move |model| {
            let ended: Vec<Guid> =
                model.partnerships.iter().filter(|p| p.id == id).map(|p| p.local_group).collect();
            model.partnerships.retain(|p| p.id != id);
            model.constraints.retain(|c| c.partnership != id);
            for group in model.groups.iter_mut().filter(|g: &&mut Group| ended.contains(&g.id)) {
                group.suspended = false;
            }
            ended.iter().for_each(|group| model.activate(*group));
            Ok(())
        })
        .await
}

async fn dissolve_at(
    shared: &Shared,
    computer: &str,
    source: &End,
    destination: &End,
) -> Result<(), ErrorDetail> {
    let params = vec![
        Param::new("SourceReplicationGroupName", source.group.as_str()),
        Param::new("TargetReplicationGroupName", destination.group.as_str()),
        Param::new("TargetComputerName", destination.computer.as_str()),
    ];
    ask_partner(shared, computer, "WvrRemoveReplicationPartnership", params).await.map(|_| ())
}

pub(super) async fn ask_partner(
    shared: &Shared,
    computer: &str,
    method: &str,
    params: Vec<Param>,
) -> Result<RemoteAnswer, ErrorDetail> {
    let answered = shared.computers.invoke(computer, &instances::admin_tasks_class(), method, params).await;
    let answer = answered.map_err(|e| errors::remote_failed(&e, shared.computer()))?;
    match answer.return_value {
        0 => Ok(answer),
        code => Err(errors::remote_code(computer, method, code)),
    }
}

pub(super) fn embedded(value: Option<&Value>) -> Vec<Instance> {
    let items = value.and_then(Value::as_array).unwrap_or(&[]);
    items.iter().flatten().filter_map(|v| v.as_instance().cloned()).collect()
}
