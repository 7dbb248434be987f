//! Associators, AssociatorNames, References and ReferenceNames of an instance, and their Open… forms.
//!
//! From a job, its elements are known at once. From an element, its jobs are found by the index that the store has of them, page by
//! page; the answer is a stream, so that this costs no memory.

use crate::broker::{Answer, Scope};
use crate::class_associations;
use crate::filter;
use crate::instances;
use crate::links::Link;
use crate::paths;
use crate::registry::{Dialect, Namespace};
use crate::results::METHOD_RESULT;
use crate::stream::{ObjectStream, Part, View};
use cimwright_cim::operation::{
    AssociationFilter, InstanceOptions, ObjectShape, OpenOptions, OperationResult,
};
use cimwright_cim::{CimError, ClassName, Instance, InstancePath, ObjectPath};
use std::collections::VecDeque;
use std::sync::Arc;

/// Which end is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The associations themselves.
    References,
    /// What they lead to.
    Associators,
}

/// Associators and References, of an instance or of a class.
pub(crate) async fn answer(
    scope: &Scope,
    object: &ObjectPath,
    filter: &AssociationFilter,
    wanted: Wanted,
    options: &InstanceOptions,
) -> Result<Answer, CimError> {
    match object {
        ObjectPath::Instance(path) => {
            stream(scope, path, filter, wanted, Some(options)).await.map(Answer::Stream)
        }
        ObjectPath::Class(path) => {
            check_classes(&scope.namespace, filter)?;
            let found = class_associations::find(&scope.namespace, &path.class, filter, wanted, options)?;
            Ok(Answer::Whole(OperationResult::ClassObjects(found)))
        }
    }
}

/// AssociatorNames and ReferenceNames, of an instance or of a class.
pub(crate) async fn answer_names(
    scope: &Scope,
    object: &ObjectPath,
    filter: &AssociationFilter,
    wanted: Wanted,
) -> Result<Answer, CimError> {
    match object {
        ObjectPath::Instance(path) => stream(scope, path, filter, wanted, None).await.map(Answer::Stream),
        ObjectPath::Class(path) => {
            check_classes(&scope.namespace, filter)?;
            let options = InstanceOptions::default();
            let found = class_associations::find(&scope.namespace, &path.class, filter, wanted, &options)?;
            Ok(Answer::Whole(OperationResult::ClassPaths(found.into_iter().map(|(p, _)| p).collect())))
        }
    }
}

/// What an instance is tied to. Without options only the paths.
async fn stream(
    scope: &Scope,
    source: &InstancePath,
    filter: &AssociationFilter,
    wanted: Wanted,
    options: Option<&InstanceOptions>,
) -> Result<ObjectStream, CimError> {
    open(scope, source, filter, wanted, options, &OpenOptions::default()).await
}

/// As [`stream`], of what passes the filter of an Open… operation.
pub(crate) async fn open(
    scope: &Scope,
    source: &InstancePath,
    filter: &AssociationFilter,
    wanted: Wanted,
    options: Option<&InstanceOptions>,
    open: &OpenOptions,
) -> Result<ObjectStream, CimError> {
    check_classes(&scope.namespace, filter)?;
    let source = paths::exact(&scope.namespace, source)?;
    let filter = normal(filter, wanted);
    let passes = filter::of_any(scope, open, &source.class)?.map(Box::new);
    let view = match options {
        Some(options) => View {
            visible: options.property_list.clone(),
            class_origin: options.include_class_origin,
            filter: passes,
            ..View::default()
        },
        None => View { names_only: true, filter: passes, ..View::default() },
    };
    let shape = if options.is_some() { ObjectShape::ObjectWithPath } else { ObjectShape::ObjectPath };
    let mut parts = VecDeque::new();
    match scope.namespace.dialect(&source.class).cloned() {
        Some(dialect) => {
            let items =
                from_job(scope, &dialect, &source, &filter, wanted, view.needs_no_properties()).await?;
            parts.push_back(Part::Ready(items));
        }
        None => {
            if (scope.namespace.instances(&source.class).is_some() || source.class.is(METHOD_RESULT))
                && instances::find(scope, &source).await?.is_none()
            {
                return Err(instances::absent(&source));
            }
            let is_static = !scope.namespace.brings(&source.class);
            if is_static && instances::kept(scope, &source).is_none() {
                return Err(instances::absent(&source));
            }
            parts.extend(to_jobs(&scope.namespace, &source, &filter, wanted));
        }
    }
    parts.extend(over_provided(&scope.namespace, &source, &filter, wanted));
    if !scope.namespace.extents.is_empty() {
        let source = paths::normal(scope, &source);
        let far = wanted == Wanted::Associators;
        parts.push_back(Part::KeptLinks { source, filter, far, after: None });
    }
    Ok(ObjectStream::new(scope, shape, parts, view))
}

/// For References, ResultClass is the association (DSP0200 5.3.2.18); afterwards it is in one place for both.
fn normal(filter: &AssociationFilter, wanted: Wanted) -> AssociationFilter {
    match wanted {
        Wanted::Associators => filter.clone(),
        Wanted::References => AssociationFilter {
            assoc_class: filter.result_class.clone(),
            result_class: None,
            role: filter.role.clone(),
            result_role: None,
        },
    }
}

async fn from_job(
    scope: &Scope,
    dialect: &Arc<Dialect>,
    source: &InstancePath,
    filter: &AssociationFilter,
    wanted: Wanted,
    names_only: bool,
) -> Result<Vec<Instance>, CimError> {
    let record = instances::job_at(scope, dialect, source).await?;
    let (schema, namespace) = (&scope.namespace.schema, &scope.namespace.name);
    let job = dialect.template.path(&record);
    let mut found: Vec<Instance> = Vec::new();
    let links = dialect.links.iter().filter(|l| {
        is_wanted(&scope.namespace, l, filter)
            && filter.role.as_ref().is_none_or(|r| *r == l.job_role)
            && filter.result_role.as_ref().is_none_or(|r| *r == l.element_role)
    });
    for link in links {
        for element in link.elements(schema, &record) {
            if wanted == Wanted::References {
                found.push(link.instance(namespace, &record, &job, &element));
                continue;
            }
            let class = &element.path.class;
            if filter.result_class.as_ref().is_some_and(|w| !schema.is_a(class.as_str(), w.as_str())) {
                continue;
            }
            // One element comes once, however many associations lead to it.
            let path = element.located(namespace);
            if !found.iter().any(|i| i.path.as_ref() == Some(&path)) {
                found.extend(instances::far_end(scope, &path, names_only).await?);
            }
        }
    }
    Ok(found)
}

fn to_jobs(
    namespace: &Namespace,
    source: &InstancePath,
    filter: &AssociationFilter,
    wanted: Wanted,
) -> Vec<Part> {
    let schema = &namespace.schema;
    let mut parts = Vec::new();
    for dialect in &namespace.dialects {
        let shown = filter.result_class.as_ref();
        if shown.is_some_and(|w| !schema.is_a(dialect.face.class.as_str(), w.as_str())) {
            continue;
        }
        let links: Vec<Arc<Link>> = dialect
            .links
            .iter()
            .filter(|l| {
                is_wanted(namespace, l, filter)
                    && l.takes(schema, &source.class)
                    && filter.role.as_ref().is_none_or(|r| *r == l.element_role)
                    && filter.result_role.as_ref().is_none_or(|r| *r == l.job_role)
            })
            .cloned()
            .collect();
        if !links.is_empty() {
            parts.push(Part::LinkedJobs {
                dialect: Arc::clone(dialect),
                links,
                element: source.clone(),
                far: wanted == Wanted::Associators,
                after: None,
            });
        }
    }
    parts
}

/// The association classes that providers serve, as far as they can lead from the source.
fn over_provided(
    namespace: &Namespace,
    source: &InstancePath,
    filter: &AssociationFilter,
    wanted: Wanted,
) -> Vec<Part> {
    let schema = &namespace.schema;
    let leads_from_source = |name: &&ClassName| {
        schema.class(name.as_str()).is_some_and(|class| {
            class.is_association()
                && filter.assoc_class.as_ref().is_none_or(|w| schema.is_a(name.as_str(), w.as_str()))
                && class.properties.iter().any(|p| {
                    let end = p.reference_class.as_ref().filter(|_| p.is_reference());
                    end.is_some_and(|e| schema.is_a(source.class.as_str(), e.as_str()))
                })
        })
    };
    let part = |class: &ClassName| Part::ProvidedLinks {
        class: class.clone(),
        source: source.clone(),
        filter: filter.clone(),
        far: wanted == Wanted::Associators,
    };
    namespace.provided().filter(leads_from_source).map(part).collect()
}

fn is_wanted(namespace: &Namespace, link: &Link, filter: &AssociationFilter) -> bool {
    let wanted = filter.assoc_class.as_ref();
    wanted.is_none_or(|w| namespace.schema.is_a(link.class.name.as_str(), w.as_str()))
}

fn check_classes(namespace: &Namespace, filter: &AssociationFilter) -> Result<(), CimError> {
    for (what, class) in [("AssocClass", &filter.assoc_class), ("ResultClass", &filter.result_class)] {
        if let Some(class) = class
            && !namespace.schema.contains(class.as_str())
        {
            let text = format!("{what}: {} has no class {class}", namespace.name);
            return Err(CimError::invalid_parameter(text));
        }
    }
    Ok(())
}
