//! The namespaces that indications come from: their classes, how each shows jobs, and whether clients have instances of their own
//! there. Clients load classes and make namespaces, so that there are other sources after every such change.

use super::lifecycle::Kind;
use crate::job_instance::Template;
use crate::registry::{Namespace, Namespaces};
use cimwright_cim::{CimError, CimStatus, ClassName, NamespaceName, Schema, Value};
use cimwright_sdk::{ErrorForm, JobDialect};
use std::sync::Arc;

/// The root of all lifecycle indications.
const INST_INDICATION: &str = "CIM_InstIndication";

/// A namespace.
pub(crate) struct Source {
    pub(crate) name: NamespaceName,
    pub(crate) schema: Arc<Schema>,
    /// How the jobs of a family look here.
    faces: Arc<[(&'static str, Template, ErrorForm)]>,
    /// Whether instances are kept here that clients make: a client loaded classes, or made the namespace.
    keeps_instances: bool,
}

/// All namespaces.
pub(crate) type Sources = Arc<[Arc<Source>]>;

/// The namespaces that the server brings, in the order they were given in.
pub(crate) fn all(namespaces: &[(NamespaceName, Schema)], dialects: &[JobDialect]) -> Sources {
    namespaces
        .iter()
        .map(|(name, schema)| {
            let faces = dialects
                .iter()
                .filter(|d| d.namespace == *name)
                .filter_map(|d| {
                    let class = schema.class(d.class.as_str())?;
                    Some((d.family, Template::new(class, name, d.type_property), d.error_form))
                })
                .collect();
            let schema = Arc::new(schema.clone());
            Arc::new(Source { name: name.clone(), schema, faces, keeps_instances: false })
        })
        .collect()
}

/// The namespaces as they are now; those that were `known` keep their places and their ways to show jobs.
pub(crate) fn now(known: &Sources, namespaces: &Namespaces) -> Sources {
    let mut sources = Vec::new();
    for source in known.iter() {
        if let Some(namespace) = namespaces.get(&source.name) {
            let same = Arc::ptr_eq(&source.schema, &namespace.schema);
            sources.push(if same { Arc::clone(source) } else { Arc::new(source.like(namespace)) });
        }
    }
    let mut new: Vec<_> =
        namespaces.values().filter(|n| known.iter().all(|source| source.name != n.name)).collect();
    new.sort_by(|a, b| a.name.cmp(&b.name));
    let unknown = |name: &NamespaceName| Source {
        name: name.clone(),
        schema: Arc::default(),
        faces: Arc::default(),
        keeps_instances: false,
    };
    sources.extend(new.into_iter().map(|n| Arc::new(unknown(&n.name).like(n))));
    sources.into()
}

/// The namespaces that came, went, or have other classes.
pub(crate) fn changed(before: &Sources, now: &Sources) -> Vec<NamespaceName> {
    let in_both = |source: &Arc<Source>, others: &Sources| others.iter().any(|o| Arc::ptr_eq(o, source));
    let gone = before.iter().filter(|s| !in_both(s, now));
    let new = now.iter().filter(|s| !in_both(s, before));
    gone.chain(new).map(|s| s.name.clone()).collect()
}

impl Source {
    /// The source of a namespace that has other classes now.
    fn like(&self, namespace: &Namespace) -> Self {
        let loaded =
            |built_in: &Arc<Schema>| namespace.schema.class_names().len() > built_in.class_names().len();
        Self {
            name: namespace.name.clone(),
            schema: Arc::clone(&namespace.schema),
            faces: Arc::clone(&self.faces),
            keeps_instances: namespace.built_in.as_ref().is_none_or(loaded),
        }
    }

    /// How a job of a family looks here; `None` if it is not shown here.
    pub(crate) fn face(&self, family: &str) -> Option<&Template> {
        self.face_and_form(family).map(|(template, _)| template)
    }

    /// How a job of a family looks here, and in which table its codes are.
    pub(crate) fn face_and_form(&self, family: &str) -> Option<(&Template, ErrorForm)> {
        self.faces.iter().find(|(f, ..)| *f == family).map(|(_, template, form)| (template, *form))
    }

    /// Whether any jobs are shown here.
    pub(crate) fn shows_jobs(&self) -> bool {
        !self.faces.is_empty()
    }

    /// Whether the class is one of indications: qualifier Indication, without Exception as classes of errors have it.
    pub(crate) fn is_indication(&self, class: &ClassName) -> bool {
        let Some(class) = self.schema.class(class.as_str()) else { return false };
        let is = |name: &str| {
            class.qualifiers.iter().any(|q| q.name.is(name) && q.value == Some(Value::Boolean(true)))
        };
        is("Indication") && !is("Exception")
    }

    /// Whether something here can raise indications of this class or its subclasses.
    ///
    /// # Errors
    /// CIM_ERR_INVALID_QUERY if it is no class of indications, CIM_ERR_NOT_SUPPORTED if nothing ever raises them.
    pub(crate) fn check_raised(&self, class: &ClassName) -> Result<(), CimError> {
        if !self.schema.contains(class.as_str()) {
            let text = format!("{} has no class {class}", self.name);
            return Err(CimError::new(CimStatus::InvalidQuery, text));
        }
        if !self.is_indication(class) {
            let text = format!("{class} of {} is no class of indications", self.name);
            return Err(CimError::new(CimStatus::InvalidQuery, text));
        }
        if !self.schema.is_a(class.as_str(), INST_INDICATION) {
            return Ok(());
        }
        let raised = Kind::ALL.iter().any(|k| self.schema.is_a(k.class(), class.as_str()));
        let life = Kind::LIFE.iter().any(|k| self.schema.is_a(k.class(), class.as_str()));
        if raised && self.shows_jobs() || life && self.keeps_instances {
            return Ok(());
        }
        Err(CimError::not_supported(format!("nothing in {} raises {class}", self.name)))
    }
}
