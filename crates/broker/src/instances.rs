//! GetInstance, EnumerateInstances, EnumerateInstanceNames, ModifyInstance and DeleteInstance.

use crate::authorize::Permission;
use crate::broker::Scope;
use crate::changes;
use crate::errors;
use crate::job_settings;
use crate::links::Link;
use crate::methods::detached;
use crate::paths;
use crate::registry::{Dialect, JOB_KEY, blank};
use crate::results::{self, METHOD_RESULT};
use crate::statistics::asking;
use crate::stream::{ObjectStream, Part, View};
use cimwright_cim::coerce::{Declared, coerce};
use cimwright_cim::operation::{InstanceOptions, ObjectShape, OperationResult};
use cimwright_cim::{CimError, Class, ClassName, Instance, InstancePath, Name, NamespaceName, Value};
use cimwright_jobs::{JobId, JobRecord};
use cimwright_repository::Kept;
use cimwright_sdk::InstancePortions;
use std::collections::VecDeque;
use std::sync::Arc;

/// GetInstance.
pub(crate) async fn get(
    scope: &Scope,
    path: &InstancePath,
    options: &InstanceOptions,
) -> Result<Instance, CimError> {
    let path = paths::exact(&scope.namespace, path)?;
    if let Some(dialect) = scope.namespace.dialect(&path.class) {
        let record = job_at(scope, dialect, &path).await?;
        let now = scope.inner.jobs.clock().now();
        if options.property_list.is_none() && !options.include_class_origin {
            return Ok(dialect.template.instance(&record, now));
        }
        let template =
            dialect.template.restricted(options.property_list.as_deref(), options.include_class_origin);
        return Ok(template.instance(&record, now));
    }
    let found = present(scope, &path).await?;
    let view = View {
        visible: options.property_list.clone(),
        class_origin: options.include_class_origin,
        ..View::default()
    };
    view.apply_all(scope, vec![found]).pop().ok_or_else(|| absent(&path))
}

/// EnumerateInstances. `deep` only decides whether properties that subclasses add are shown (DSP0200 5.3.2.11).
pub(crate) fn enumerate(
    scope: &Scope,
    class: &ClassName,
    deep: bool,
    options: &InstanceOptions,
) -> Result<ObjectStream, CimError> {
    let declared = scope.namespace.class(class)?;
    let mut visible = options.property_list.clone();
    // Without subclasses there is nothing that they could add.
    if !deep && !scope.namespace.schema.children(Some(declared.name.as_str())).is_empty() {
        let own = declared.properties.iter().map(|p| p.name.clone());
        visible = Some(match visible {
            Some(list) => own.filter(|p| list.contains(p)).collect(),
            None => own.collect(),
        });
    }
    let view = View { visible, class_origin: options.include_class_origin, ..View::default() };
    Ok(ObjectStream::new(scope, ObjectShape::NamedInstance, parts_of(scope, declared), view))
}

/// EnumerateInstanceNames.
pub(crate) fn enumerate_names(scope: &Scope, class: &ClassName) -> Result<ObjectStream, CimError> {
    let declared = scope.namespace.class(class)?;
    let view = View { names_only: true, ..View::default() };
    Ok(ObjectStream::new(scope, ObjectShape::InstanceName, parts_of(scope, declared), view))
}

/// ModifyInstance.
pub(crate) async fn modify(
    scope: Scope,
    permission: Permission,
    instance: Instance,
    property_list: Option<Vec<Name>>,
) -> Result<OperationResult, CimError> {
    let Some(path) = &instance.path else {
        return Err(CimError::invalid_parameter("ModifyInstance needs the path of the instance"));
    };
    let path = paths::exact(&scope.namespace, path)?;
    if instance.class != path.class {
        return Err(CimError::invalid_parameter(format!(
            "the instance is a {} but its path names a {}",
            instance.class, path.class
        )));
    }
    let Some(dialect) = scope.namespace.dialect(&path.class).cloned() else {
        return changes::modify(scope, permission, path, instance, property_list).await;
    };
    detached(async move {
        // Two clients that change two properties at the same time must both have their way.
        let _turn = scope.inner.settings.lock().await;
        let record = job_at(&scope, &dialect, &path).await?;
        controllable(&scope, permission, &record)?;
        let now = scope.inner.jobs.clock().now();
        let shown = dialect.template.instance(&record, now);
        let settings = job_settings::changed(&dialect, &record, &shown, &instance, property_list.as_deref())?;
        if settings != record.settings {
            scope.inner.jobs.configure(record.id(), &settings).await.map_err(errors::from_jobs)?;
        }
        Ok(OperationResult::Void)
    })
    .await
}

/// DeleteInstance.
pub(crate) async fn delete(
    scope: Scope,
    permission: Permission,
    path: InstancePath,
) -> Result<OperationResult, CimError> {
    let path = paths::exact(&scope.namespace, &path)?;
    let Some(dialect) = scope.namespace.dialect(&path.class).cloned() else {
        return changes::delete(scope, permission, path).await;
    };
    detached(async move {
        let record = job_at(&scope, &dialect, &path).await?;
        controllable(&scope, permission, &record)?;
        scope.inner.jobs.delete(record.id()).await.map_err(errors::from_jobs)?;
        Ok(OperationResult::Void)
    })
    .await
}

/// The job with this id, if the dialect shows it.
pub(crate) async fn job(
    scope: &Scope,
    dialect: &Dialect,
    id: JobId,
) -> Result<Option<Arc<JobRecord>>, CimError> {
    let record = scope.inner.jobs.load(id).await.map_err(errors::from_store)?;
    Ok(record.filter(|r| r.spec.family == dialect.face.family))
}

/// The job at an exact path of a job class.
///
/// # Errors
/// CIM_ERR_NOT_FOUND, also for an InstanceID that no job can have.
pub(crate) async fn job_at(
    scope: &Scope,
    dialect: &Dialect,
    path: &InstancePath,
) -> Result<Arc<JobRecord>, CimError> {
    let id = path.key(JOB_KEY).and_then(paths::job_id).ok_or_else(|| absent(path))?;
    job(scope, dialect, id).await?.ok_or_else(|| absent(path))
}

/// The instance at an exact path that is a job or comes from a provider.
pub(crate) async fn find(scope: &Scope, path: &InstancePath) -> Result<Option<Instance>, CimError> {
    if let Some(dialect) = scope.namespace.dialect(&path.class) {
        let Some(id) = path.key(JOB_KEY).and_then(paths::job_id) else { return Ok(None) };
        let record = job(scope, dialect, id).await?;
        return Ok(record.map(|r| dialect.template.instance(&r, scope.inner.jobs.clock().now())));
    }
    if path.class.is(METHOD_RESULT) && !scope.namespace.dialects.is_empty() {
        let Some(id) = results::job_of(path) else { return Ok(None) };
        let Some(record) = scope.inner.jobs.load(id).await.map_err(errors::from_store)? else {
            return Ok(None);
        };
        let dialect = scope.namespace.dialect_of(&record.spec.family);
        return Ok(dialect.and_then(|dialect| results::instance(scope, dialect, &record)));
    }
    let Some(provider) = scope.namespace.instances(&path.class) else {
        return Ok(kept(scope, path).map(|kept| kept.instance.clone()));
    };
    let found = asking(provider.get(scope.context(), path)).await?;
    Ok(found.map(|i| complete(scope, i, &path.class)))
}

/// The instance at an exact path, whoever it comes from.
///
/// # Errors
/// CIM_ERR_NOT_FOUND.
pub(crate) async fn present(scope: &Scope, path: &InstancePath) -> Result<Instance, CimError> {
    match find(scope, path).await? {
        Some(instance) => Ok(instance),
        None => link_instance(scope, path).await?.ok_or_else(|| absent(path)),
    }
}

/// The static instance at an exact path.
pub(crate) fn kept(scope: &Scope, path: &InstancePath) -> Option<Arc<Kept>> {
    let has_references = path.keys.iter().any(|k| matches!(k.value, Value::Reference(_)));
    if has_references {
        return scope.namespace.extents.get(&paths::normal(scope, path));
    }
    scope.namespace.extents.get(path)
}

/// What an association leads to; `None` if it is not there. An element that nobody serves is shown by what its path says. Only a
/// name is not asked for at its provider.
pub(crate) async fn far_end(
    scope: &Scope,
    path: &InstancePath,
    name_only: bool,
) -> Result<Option<Instance>, CimError> {
    let at = path.namespace.clone().unwrap_or_else(|| scope.namespace.name.clone());
    let path = InstancePath { namespace: Some(at.clone()), ..path.clone() };
    let bare = Instance { class: path.class.clone(), path: Some(path.clone()), properties: Vec::new() };
    let namespace = if at == scope.namespace.name {
        Arc::clone(&scope.namespace)
    } else {
        match scope.inner.registry.namespace(&at) {
            Ok(namespace) => namespace,
            // What another server has cannot be looked at from here.
            Err(_) => return Ok(Some(bare)),
        }
    };
    if name_only && namespace.brings(&path.class) {
        return Ok(Some(bare));
    }
    // As whoever made the association may not have known it.
    let path = paths::exact(&namespace, &path).unwrap_or(path);
    // A role is the same in all namespaces, so that whoever may look here may look there.
    let scope = &Scope { namespace, ..scope.clone() };
    if let Some(instance) = find(scope, &path).await? {
        return Ok(Some(if name_only { bare } else { instance }));
    }
    if is_served(scope, &path.class) {
        return Ok(None);
    }
    let Some(class) = scope.namespace.schema.class(path.class.as_str()) else { return Ok(None) };
    let mut instance = blank(class);
    for key in &path.keys {
        instance.set(key.name.clone(), Some(key.value.clone()));
    }
    instance.path = Some(path);
    Ok(Some(instance))
}

/// Whether somebody knows all instances of a class: a provider, the jobs, or the repository.
fn is_served(scope: &Scope, class: &ClassName) -> bool {
    let namespace = &scope.namespace;
    !namespace.brings(class)
        || namespace.instances(class).is_some()
        || namespace.dialect(class).is_some()
        || (class.is(METHOD_RESULT) && !namespace.dialects.is_empty())
}

/// All instances that the provider of a class gives, in the form they are answered in.
pub(crate) async fn provided(scope: &Scope, class: &ClassName) -> Result<Vec<Instance>, CimError> {
    let Some(provider) = scope.namespace.instances(class) else { return Ok(Vec::new()) };
    let items = asking(provider.enumerate(scope.context(), class)).await?;
    Ok(completed(scope, class, items))
}

/// The same portion by portion, in the form the provider gives them; `None` if the class has no provider.
pub(crate) async fn open(
    scope: &Scope,
    class: &ClassName,
) -> Result<Option<Box<dyn InstancePortions>>, CimError> {
    match scope.namespace.instances(class) {
        Some(provider) => asking(provider.open(scope.context(), class)).await.map(Some),
        None => Ok(None),
    }
}

/// Instances of a provider in the form they are answered in.
pub(crate) fn completed(scope: &Scope, class: &ClassName, items: Vec<Instance>) -> Vec<Instance> {
    items.into_iter().map(|i| complete(scope, i, class)).collect()
}

/// Where the instances of a class and its subclasses come from.
pub(crate) fn parts_of(scope: &Scope, class: &Class) -> VecDeque<Part> {
    let namespace = &scope.namespace;
    let mut parts = VecDeque::new();
    for class in namespace.schema.with_descendants(class.name.as_str()) {
        if let Some(dialect) = namespace.dialect(&class) {
            parts.push_back(Part::Jobs { dialect: Arc::clone(dialect), after: None });
        }
        if class.is(METHOD_RESULT) {
            for dialect in &namespace.dialects {
                parts.push_back(Part::MethodResults { dialect: Arc::clone(dialect), after: None });
            }
        }
        if namespace.instances(&class).is_some() {
            parts.push_back(Part::Provided { class: class.clone(), open: None });
        }
        if namespace.extents.count_of(&class) > 0 {
            parts.push_back(Part::Kept { class: class.clone(), after: None });
        }
        for (dialect, link) in links_of(scope, &class) {
            let (dialect, link) = (Arc::clone(dialect), Arc::clone(link));
            parts.push_back(Part::Links { dialect, link, after: None });
        }
    }
    parts
}

/// The error for an instance that does not exist.
pub(crate) fn absent(path: &InstancePath) -> CimError {
    CimError::not_found(format!("there is no {}", paths::text(path)))
}

/// Whether the user may change or end this job.
fn controllable(scope: &Scope, permission: Permission, record: &JobRecord) -> Result<(), CimError> {
    if permission == Permission::Granted || scope.principal.may_control(&record.spec.owner) {
        Ok(())
    } else {
        Err(errors::not_owner(&scope.principal, record))
    }
}

fn links_of<'a>(
    scope: &'a Scope,
    class: &'a ClassName,
) -> impl Iterator<Item = (&'a Arc<Dialect>, &'a Arc<Link>)> {
    let dialects = scope.namespace.dialects.iter();
    dialects.flat_map(|d| d.links.iter().map(move |l| (d, l))).filter(move |(_, l)| l.class.name == *class)
}

/// The association between a job and an element at this path.
async fn link_instance(scope: &Scope, path: &InstancePath) -> Result<Option<Instance>, CimError> {
    for (dialect, link) in links_of(scope, &path.class) {
        let end =
            |role: &Name| path.key(role.as_str()).and_then(Value::as_reference).and_then(|r| r.as_instance());
        let (Some(job_end), Some(element)) = (end(&link.job_role), end(&link.element_role)) else { continue };
        if job_end.class != dialect.face.class {
            continue;
        }
        let (Ok(job_end), Ok(element)) =
            (paths::exact(&scope.namespace, job_end), paths::exact(&scope.namespace, element))
        else {
            continue;
        };
        let Some(id) = job_end.key(JOB_KEY).and_then(paths::job_id) else { continue };
        let Some(record) = job(scope, dialect, id).await? else { continue };
        if let Some(found) = link.element(&scope.namespace.schema, &record, &element) {
            let job_path = dialect.template.path(&record);
            return Ok(Some(link.instance(&scope.namespace.name, &record, &job_path, &found)));
        }
    }
    Ok(None)
}

/// An instance as a provider gave it, with every property of its class, in the types the class declares, and with its path.
fn complete(scope: &Scope, mut given: Instance, served: &ClassName) -> Instance {
    let schema = &scope.namespace.schema;
    let Some(class) = schema.class(given.class.as_str()).or_else(|| schema.class(served.as_str())) else {
        return given;
    };
    let mut instance = blank(class);
    for property in &mut instance.properties {
        let Some(from) = given.properties.iter_mut().find(|p| p.name == property.name) else { continue };
        let declared = Declared {
            cim_type: property.cim_type,
            is_array: property.is_array,
            embedded: property.embedded,
        };
        property.value = from
            .value
            .take()
            .and_then(|value| fitted(scope, value, declared, &instance.class, &property.name));
    }
    instance.path = Some(located(&instance, class, &scope.namespace.name));
    instance
}

fn located(instance: &Instance, class: &Class, namespace: &NamespaceName) -> InstancePath {
    instance.path_by_keys(class, Some(namespace.clone()))
}

fn fitted(
    scope: &Scope,
    value: Value,
    declared: Declared,
    class: &ClassName,
    property: &Name,
) -> Option<Value> {
    match coerce(value, declared, &|text| (scope.inner.parser)(text)) {
        Ok(value) => Some(value),
        Err(mismatch) => {
            tracing::warn!(%class, %property, %mismatch, "a provider gave a value that the class does not allow");
            None
        }
    }
}
