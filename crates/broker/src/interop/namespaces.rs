//! The namespaces of the server, as DMTF (CIM_Namespace) and WMI (`__Namespace`) show them. Both make and remove them.

use super::{About, Asked, Part, SYSTEM_CLASS, server};
use crate::loaded;
use async_trait::async_trait;
use cimwright_cim::{CimError, Instance, InstancePath, NamespaceName, Value};

pub(super) struct Namespaces;
pub(super) struct InManager;
/// The namespaces below the one that is asked.
pub(super) struct Below;

fn path(about: &About, name: &NamespaceName) -> InstancePath {
    keys(about, name)
        .into_iter()
        .fold(about.path("CIM_Namespace"), |path, (key, value)| path.with_key(key, value))
}

fn keys(about: &About, name: &NamespaceName) -> [(&'static str, Value); 6] {
    let manager = server::manager(about);
    let of_manager = |key: &str| manager.key_str(key).unwrap_or_default().into();
    [
        ("SystemCreationClassName", SYSTEM_CLASS.into()),
        ("SystemName", about.discovery.computer.as_str().into()),
        ("ObjectManagerCreationClassName", of_manager("CreationClassName")),
        ("ObjectManagerName", of_manager("Name")),
        ("CreationClassName", "CIM_Namespace".into()),
        ("Name", name.as_str().into()),
    ]
}

fn names(about: &About) -> Result<Vec<NamespaceName>, CimError> {
    let mut names: Vec<_> = about.registry()?.all().keys().cloned().collect();
    names.sort();
    Ok(names)
}

async fn create(about: &About, name: NamespaceName) -> Result<(), CimError> {
    loaded::create_namespace(&*about.registry()?, &about.limits, name).await
}

async fn delete(about: &About, name: &NamespaceName) -> Result<(), CimError> {
    loaded::delete_namespace(&*about.registry()?, name).await
}

#[async_trait]
impl Part for Namespaces {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        let of = |name: &NamespaceName| {
            let more = [
                ("ElementName", name.as_str().into()),
                ("ClassInfo", Value::Uint16(0)),
                ("ClassType", Value::Uint16(2)),
            ];
            asked.instance(keys(about, name).into_iter().chain(more))
        };
        names(about)?.iter().map(of).collect()
    }

    async fn create(
        &self,
        about: &About,
        _: &Asked<'_>,
        instance: Instance,
    ) -> Result<InstancePath, CimError> {
        let name = instance
            .get_str("Name")
            .ok_or_else(|| CimError::invalid_parameter("CIM_Namespace.Name says which namespace to make"))?;
        let name = NamespaceName::new(name);
        create(about, name.clone()).await?;
        Ok(path(about, &name))
    }

    async fn delete(&self, about: &About, _: &Asked<'_>, path: &InstancePath) -> Result<(), CimError> {
        delete(about, &NamespaceName::new(path.key_str("Name").unwrap_or_default())).await
    }
}

#[async_trait]
impl Part for InManager {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        let link = |name: &NamespaceName| {
            asked.instance([
                ("Antecedent", server::manager(about).into()),
                ("Dependent", path(about, name).into()),
            ])
        };
        names(about)?.iter().map(link).collect()
    }
}

#[async_trait]
impl Part for Below {
    async fn all(&self, about: &About, asked: &Asked<'_>) -> Result<Vec<Instance>, CimError> {
        let above = format!("{}/", asked.context.namespace.as_str().to_ascii_lowercase());
        let child = |name: &NamespaceName| {
            let whole = name.as_str().to_ascii_lowercase();
            let rest = name.as_str().get(above.len()..)?;
            (whole.starts_with(&above) && !rest.contains('/')).then(|| rest.to_owned())
        };
        let children = names(about)?.into_iter().filter_map(|name| child(&name));
        children.map(|name| asked.instance([("Name", name.as_str().into())])).collect()
    }

    async fn create(
        &self,
        about: &About,
        asked: &Asked<'_>,
        instance: Instance,
    ) -> Result<InstancePath, CimError> {
        let name = instance.get_str("Name").unwrap_or_default();
        if name.contains(['/', '\\']) {
            let text = "__Namespace.Name is one part of a name; the rest says the namespace it is created in";
            return Err(CimError::invalid_parameter(text));
        }
        create(about, NamespaceName::new(format!("{}/{name}", asked.context.namespace))).await?;
        Ok(InstancePath::new(asked.context.namespace.clone(), "__Namespace").with_key("Name", name))
    }

    async fn delete(&self, about: &About, asked: &Asked<'_>, path: &InstancePath) -> Result<(), CimError> {
        let name = path.key_str("Name").unwrap_or_default();
        delete(about, &NamespaceName::new(format!("{}/{name}", asked.context.namespace))).await
    }
}
