//! The profiles that the server follows, and the instances that a client of each starts from (DSP1033).

use super::{About, Asked, INTEROP_NAMESPACE, Part, server};
use async_trait::async_trait;
use cimwright_cim::{CimError, CimStatus, Instance, InstancePath, NamespaceName, Param, Value};
use cimwright_jobs::JobFilter;
use cimwright_sdk::{Context, MethodCall, MethodOutcome};

/// How many jobs are shown as central instances of a profile, for each class of jobs; the classes themselves show all.
const JOBS: usize = 1000;

/// A profile that the server follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// CIM_RegisteredProfile.RegisteredOrganization: 2 is DMTF, 11 is SNIA.
    pub organization: u16,
    /// Its name.
    pub name: &'static str,
    /// Its version, as three numbers.
    pub version: &'static str,
    /// Where a client of it starts.
    pub central: Central,
    /// The profile that makes use of this one, by its name.
    pub part_of: Option<&'static str>,
}

/// The central instances of a profile.
#[derive(Clone, Debug, PartialEq)]
pub enum Central {
    /// The registered profiles.
    Profiles,
    /// The server.
    ObjectManager,
    /// The jobs.
    Jobs,
    /// These.
    Instances(Vec<InstancePath>),
}

pub(super) struct Profiles;
pub(super) struct Conforming;
pub(super) struct Referenced;

impl Profile {
    fn id(&self) -> String {
        let organization = if self.organization == 11 { "SNIA" } else { "DMTF" };
        format!("Cimwright:{organization}:{}:{}", self.name, self.version)
    }
}

fn path(about: &About, profile: &Profile) -> InstancePath {
    about.path("CIM_RegisteredProfile").with_key("InstanceID", profile.id().as_str())
}

async fn central(about: &About, profile: &Profile) -> Result<Vec<InstancePath>, CimError> {
    match &profile.central {
        Central::Profiles => Ok(about.discovery.profiles.iter().map(|p| path(about, p)).collect()),
        Central::ObjectManager => Ok(vec![server::manager(about)]),
        Central::Instances(paths) => Ok(paths.clone()),
        Central::Jobs => jobs(about).await,
    }
}

async fn jobs(about: &About) -> Result<Vec<InstancePath>, CimError> {
    let mut found = Vec::new();
    let all = about.registry()?.all();
    let mut namespaces: Vec<_> = all.values().collect();
    namespaces.sort_by(|a, b| a.name.cmp(&b.name));
    for dialect in namespaces.iter().flat_map(|n| &n.dialects) {
        let filter = JobFilter { families: vec![dialect.face.family.to_owned()], unfinished_only: false };
        let records =
            about.jobs.list(&filter, None, JOBS).await.map_err(|e| CimError::failed(e.to_string()))?;
        found.extend(records.iter().map(|record| dialect.template.path(record)));
    }
    Ok(found)
}

#[async_trait]
impl Part for Profiles {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        let of = |profile: &Profile| {
            asked.instance([
                ("InstanceID", profile.id().as_str().into()),
                ("ElementName", profile.name.into()),
                ("SpecificationType", Value::Uint16(2)),
                ("RegisteredOrganization", Value::Uint16(profile.organization)),
                ("RegisteredName", profile.name.into()),
                ("RegisteredVersion", profile.version.into()),
                ("AdvertiseTypes", Value::uint16s([2])),
            ])
        };
        about.discovery.profiles.iter().map(of).collect()
    }
}

#[async_trait]
impl Part for Conforming {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        let mut links = Vec::new();
        for profile in &about.discovery.profiles {
            for element in central(about, profile).await? {
                links.push(asked.instance([
                    ("ConformantStandard", path(about, profile).into()),
                    ("ManagedElement", element.into()),
                ])?);
            }
        }
        Ok(links)
    }
}

#[async_trait]
impl Part for Referenced {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        let profiles = &about.discovery.profiles;
        let pairs = profiles.iter().filter_map(|p| {
            let user = profiles.iter().find(|u| Some(u.name) == p.part_of)?;
            Some((p, user))
        });
        let link = |(used, user): (&Profile, &Profile)| {
            asked
                .instance([("Antecedent", path(about, used).into()), ("Dependent", path(about, user).into())])
        };
        pairs.map(link).collect()
    }
}

/// GetCentralInstances.
pub(super) async fn invoke(
    about: &About,
    _: Context<'_>,
    call: MethodCall,
) -> Result<MethodOutcome, CimError> {
    if !call.method.is("GetCentralInstances") {
        let text = format!("{} is not implemented", call.method);
        return Err(CimError::new(CimStatus::MethodNotAvailable, text));
    }
    let id = call.target.as_instance().and_then(|path| path.key_str("InstanceID")).unwrap_or_default();
    let Some(profile) = about.discovery.profiles.iter().find(|p| p.id() == id) else {
        return Err(CimError::not_found(format!("there is no profile {id} in {INTEROP_NAMESPACE}")));
    };
    let here = NamespaceName::new(INTEROP_NAMESPACE);
    let paths = central(about, profile).await?.into_iter().map(|mut path| {
        path.namespace.get_or_insert_with(|| here.clone());
        Some(Value::from(path))
    });
    let out = vec![Param::new("CentralInstances", Value::Array(paths.collect()))];
    Ok(MethodOutcome::Done { return_value: 0, out })
}
