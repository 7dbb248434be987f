//! The indications of a job's life: it is made, it changes, it leaves the namespace; and of the call that made it (CIM_InstMethodCall),
//! which is told when the job is made, before it does anything, and when it has ended.

use super::sources::Source;
use crate::paths;
use crate::results;
use cimwright_cim::{Embedded, Instance, Property, Value};
use cimwright_jobs::JobRecord;
use std::time::SystemTime;

/// What happened to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Creation,
    Modification,
    Deletion,
    MethodCall,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Creation, Self::Modification, Self::Deletion, Self::MethodCall];

    /// What happens to instances that clients keep.
    pub(crate) const LIFE: [Self; 3] = [Self::Creation, Self::Modification, Self::Deletion];

    /// The class of the indication.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Creation => "CIM_InstCreation",
            Self::Modification => "CIM_InstModification",
            Self::Deletion => "CIM_InstDeletion",
            Self::MethodCall => "CIM_InstMethodCall",
        }
    }
}

/// A change of a job.
#[derive(Clone, Copy)]
pub(crate) enum Change<'a> {
    Created(&'a JobRecord),
    Changed { before: &'a JobRecord, after: &'a JobRecord },
    Removed(&'a JobRecord),
}

impl<'a> Change<'a> {
    /// The change from one record to another.
    pub(crate) fn of(before: Option<&'a JobRecord>, after: Option<&'a JobRecord>) -> Option<Self> {
        match (before, after) {
            (None, Some(job)) => Some(Self::Created(job)),
            (Some(before), Some(after)) => Some(Self::Changed { before, after }),
            (Some(job), None) => Some(Self::Removed(job)),
            (None, None) => None,
        }
    }

    /// All that a namespace tells of the change, in order, of the kinds that anybody wants.
    pub(crate) fn told(
        self,
        source: &Source,
        host: &str,
        now: SystemTime,
        wanted: impl Fn(Kind) -> bool,
    ) -> Vec<(Kind, Instance)> {
        let call = || wanted(Kind::MethodCall).then(|| self.call(source, host)).flatten();
        let life = wanted(self.kind()).then(|| self.indication(source, host, now)).flatten();
        let life = life.map(|i| (self.kind(), i));
        let call = call().map(|i| (Kind::MethodCall, i));
        // A call comes before what it brings about, and its end after it.
        match self {
            Self::Created(_) => call.into_iter().chain(life).collect(),
            _ => life.into_iter().chain(call).collect(),
        }
    }

    /// CIM_InstMethodCall, if the change is the beginning or the end of a call.
    fn call(self, source: &Source, host: &str) -> Option<Instance> {
        let (job, pre_call) = match self {
            Self::Created(job) => (job, true),
            Self::Changed { before, after } if !before.run.state.is_finished() => (after, false),
            Self::Changed { .. } | Self::Removed(_) => return None,
        };
        if !pre_call && !job.run.state.is_finished() {
            return None;
        }
        let (face, form) = source.face_and_form(&job.spec.family)?;
        let told = results::call(&source.schema, face, form, job, pre_call)?;
        Some(told.with("SourceInstanceHost", host))
    }

    fn kind(self) -> Kind {
        match self {
            Self::Created(_) => Kind::Creation,
            Self::Changed { .. } => Kind::Modification,
            Self::Removed(_) => Kind::Deletion,
        }
    }

    /// The indication as a namespace tells it; `None` if the job is not shown there or looks the same after the change.
    fn indication(self, source: &Source, host: &str, now: SystemTime) -> Option<Instance> {
        let job = match self {
            Self::Created(job) | Self::Changed { after: job, .. } | Self::Removed(job) => job,
        };
        let face = source.face(&job.spec.family)?;
        let path = face.path(job);
        let mut indication = Instance::new(self.kind().class())
            .with("SourceInstanceModelPath", paths::text(&path))
            .with("SourceInstanceHost", host);
        let shown = embedded(face.instance(job, now));
        if let Self::Changed { before, .. } = self {
            // As of the same moment: time that passes is no change.
            let previous = embedded(face.instance(before, now));
            let changed: Vec<&str> = shown
                .properties
                .iter()
                .zip(&previous.properties)
                .filter(|(a, b)| a.value != b.value)
                .map(|(a, _)| a.name.as_str())
                .collect();
            if changed.is_empty() {
                return None;
            }
            indication.set("ChangedPropertyNames", Some(Value::strings(changed)));
            set_object(&mut indication, "PreviousInstance", previous);
        }
        set_object(&mut indication, "SourceInstance", shown);
        Some(indication)
    }
}

/// The indication of a change of an instance that a client keeps. `None` if it looks the same.
pub(crate) fn of_instance(
    before: Option<&Instance>,
    after: Option<&Instance>,
    host: &str,
) -> Option<(Kind, Instance)> {
    let (kind, shown) = match (before, after) {
        (None, Some(shown)) => (Kind::Creation, shown),
        (Some(_), Some(shown)) => (Kind::Modification, shown),
        (Some(shown), None) => (Kind::Deletion, shown),
        (None, None) => return None,
    };
    let mut indication = Instance::new(kind.class())
        .with("SourceInstanceModelPath", paths::text(shown.path.as_ref()?))
        .with("SourceInstanceHost", host);
    if let (Some(before), Some(after)) = (before, after) {
        let is_new = |p: &&Property| before.get(p.name.as_str()) != p.value.as_ref();
        let changed: Vec<&str> = after.properties.iter().filter(is_new).map(|p| p.name.as_str()).collect();
        if changed.is_empty() {
            return None;
        }
        indication.set("ChangedPropertyNames", Some(Value::strings(changed)));
        set_object(&mut indication, "PreviousInstance", embedded(before.clone()));
    }
    set_object(&mut indication, "SourceInstance", embedded(shown.clone()));
    Some((kind, indication))
}

/// An instance that travels inside another has no path.
fn embedded(instance: Instance) -> Instance {
    Instance { path: None, ..instance }
}

fn set_object(indication: &mut Instance, name: &str, object: Instance) {
    indication.set(name, Some(Value::Instance(Box::new(object))));
    if let Some(property) = indication.properties.iter_mut().find(|p| p.name.is(name)) {
        property.embedded = Some(Embedded::Object);
    }
}
