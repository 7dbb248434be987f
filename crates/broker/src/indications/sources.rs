//! The namespaces that indications come from: their classes, and how each shows jobs.

use crate::job_instance::Template;
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
    faces: Vec<(&'static str, Template, ErrorForm)>,
}

/// All namespaces, in the order they were given in.
pub(crate) fn all(namespaces: &[(NamespaceName, Schema)], dialects: &[JobDialect]) -> Vec<Source> {
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
            Source { name: name.clone(), schema: Arc::new(schema.clone()), faces }
        })
        .collect()
}

impl Source {
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
        let raised = super::lifecycle::Kind::ALL.iter().any(|k| self.schema.is_a(k.class(), class.as_str()));
        if raised && self.shows_jobs() {
            return Ok(());
        }
        Err(CimError::not_supported(format!("nothing in {} raises {class}", self.name)))
    }
}
