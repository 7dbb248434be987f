//! A job that ends as it is told: for documentation, drills, benchmarks and the tests of clients.
//!
//! It does real waiting and nothing else, so that every state of a job can be shown without an image file at hand.

mod errors;
mod indications;
mod job;
mod slow;

pub use errors::CATALOGUE;
pub use indications::{TEST_INDICATION, test_indications};
pub use job::{DemoKind, Ending, Order};
pub use slow::{SLOW_CLASS, slow_answers, test_namespace};

use crate::services::{ServiceIdentity, service_instance, service_path};
use async_trait::async_trait;
use cimwright_sdk::cim::{CimError, ClassName, Instance, NamespaceName, ObjectPath, Value};
use cimwright_sdk::jobs::{JobId, JobKind, Schedule};
use cimwright_sdk::{
    Context, InstanceProvider, MethodCall, MethodOutcome, MethodProvider, NewJob, Plugin, ServedClass,
};
use std::sync::Arc;

/// The class with the methods of this provider.
pub const CLASS: &str = "Cimwright_DemoService";

const INVALID_PARAMETER: u32 = 32773;
const INVALID_STATE: u32 = 32775;
const MAX_STEPS: u64 = 1000;

/// The provider.
#[derive(Debug)]
pub struct DemoProvider {
    identity: ServiceIdentity,
    kind: Arc<DemoKind>,
}

impl DemoProvider {
    /// What the provider brings to the server, in each of `namespaces`.
    pub fn plugin(computer: &str, namespaces: &[NamespaceName]) -> Plugin {
        let kind = Arc::new(DemoKind::default());
        let identity = ServiceIdentity::new(CLASS, "demo", computer);
        let provider = Arc::new(Self { identity, kind: Arc::clone(&kind) });
        let classes = namespaces
            .iter()
            .map(|namespace| ServedClass {
                namespace: namespace.clone(),
                class: CLASS.into(),
                instances: Some(Arc::clone(&provider) as Arc<dyn InstanceProvider>),
                methods: Some(Arc::clone(&provider) as Arc<dyn MethodProvider>),
            })
            .collect();
        Plugin {
            name: "demo",
            classes,
            dialects: Vec::new(),
            kinds: vec![kind as Arc<dyn JobKind>],
            catalogues: vec![&CATALOGUE],
            ..Plugin::default()
        }
    }

    fn start(&self, call: &MethodCall) -> Result<MethodOutcome, CimError> {
        let ending = match call.str("Ending") {
            None => Ending::Complete,
            Some(text) => match Ending::parse(text) {
                Some(ending) => ending,
                None => return Ok(MethodOutcome::code(INVALID_PARAMETER)),
            },
        };
        let steps = call.u64("Steps").unwrap_or(1);
        if !(1..=MAX_STEPS).contains(&steps) {
            return Ok(MethodOutcome::code(INVALID_PARAMETER));
        }
        let order = Order {
            steps: steps as u32,
            duration_ms: call.u64("DurationMilliseconds").unwrap_or(0),
            bytes: call.u64("Bytes").unwrap_or(0),
            ending,
        };
        let start = match call.get("ScheduledStartTime") {
            Some(Value::DateTime(time)) => Some(*time),
            _ => None,
        };
        let name = call.str("Name").unwrap_or("Demonstration").to_owned();
        Ok(MethodOutcome::Job(Box::new(NewJob {
            family: crate::hyper_v::CONCRETE,
            kind: job::KIND,
            payload: order.to_payload(),
            caption: "Demonstration".to_owned(),
            description: format!("Waits {steps} times {} ms", order.duration_ms),
            name,
            owning_element: Some(service_path(&self.identity)),
            schedule: Schedule { scheduled_start_time: start, ..Schedule::default() },
            ..NewJob::default()
        })))
    }

    fn finish(&self, call: &MethodCall) -> MethodOutcome {
        let id = match call.get("Job").and_then(|v| v.as_reference()) {
            Some(ObjectPath::Instance(path)) => {
                path.key_str("InstanceID").and_then(|k| k.parse::<JobId>().ok())
            }
            _ => None,
        };
        let ending = call.str("Ending").and_then(Ending::parse).filter(|e| *e != Ending::Wait);
        let (Some(id), Some(ending)) = (id, ending) else { return MethodOutcome::code(INVALID_PARAMETER) };
        MethodOutcome::code(if self.kind.finish(id, ending) { 0 } else { INVALID_STATE })
    }
}

#[async_trait]
impl InstanceProvider for DemoProvider {
    async fn enumerate(&self, context: Context<'_>, class: &ClassName) -> Result<Vec<Instance>, CimError> {
        Ok(service_instance(context.schema, class, &self.identity).into_iter().collect())
    }
}

#[async_trait]
impl MethodProvider for DemoProvider {
    async fn invoke(&self, _context: Context<'_>, call: MethodCall) -> Result<MethodOutcome, CimError> {
        call.check_lengths()?;
        if call.method.is("StartJob") {
            self.start(&call)
        } else if call.method.is("FinishJob") {
            Ok(self.finish(&call))
        } else {
            Err(CimError::new(
                cimwright_sdk::cim::CimStatus::MethodNotAvailable,
                format!("{CLASS} does not implement {}", call.method),
            ))
        }
    }
}
