//! One association between jobs and other elements, as one dialect has it.

use crate::registry::JOB_ROOT;
use crate::results;
use cimwright_cim::{
    Class, ClassName, Instance, InstancePath, KeyBinding, Name, NamespaceName, Schema, Value,
};
use cimwright_jobs::JobRecord;
use std::borrow::Cow;
use std::sync::Arc;

/// CIM_AffectedJobElement.ElementEffects: Other, which needs words beside it.
const OTHER: u16 = 1;

/// An association class between jobs and the elements they work on, or the element or the call that made them.
pub(crate) struct Link {
    pub(crate) class: Arc<Class>,
    /// The reference to the job.
    pub(crate) job_role: Name,
    /// The reference to the element.
    pub(crate) element_role: Name,
    /// The class of the element, or the most general one that is allowed.
    pub(crate) element_class: ClassName,
    /// What it leads to.
    pub(crate) leads_to: LeadsTo,
    blank: Instance,
}

/// What an association ties a job to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeadsTo {
    /// The element that made the job.
    Owner,
    /// The elements it works on.
    Affected,
    /// The method call that made it.
    MethodResult,
}

/// An element at the far end.
pub(crate) struct Element<'a> {
    pub(crate) path: Cow<'a, InstancePath>,
    effects: &'a [u16],
}

impl Link {
    /// `None` if the class does not have exactly one reference to a job and one to something else.
    pub(crate) fn new(schema: &Schema, class: Arc<Class>, leads_to: LeadsTo) -> Option<Self> {
        let (jobs, others): (Vec<_>, Vec<_>) = class
            .properties
            .iter()
            .filter(|p| p.is_reference())
            .partition(|p| p.reference_class.as_ref().is_some_and(|c| schema.is_a(c.as_str(), JOB_ROOT)));
        let ([job], [element]) = (&jobs[..], &others[..]) else { return None };
        Some(Self {
            job_role: job.name.clone(),
            element_role: element.name.clone(),
            element_class: element.reference_class.clone()?,
            leads_to,
            blank: crate::registry::blank(&class),
            class,
        })
    }

    /// Whether instances of a class may be at the far end. Storage Replica's classes are documented without any superclass and
    /// are still what its jobs work on, so such a class passes for a CIM_ManagedElement.
    pub(crate) fn takes(&self, schema: &Schema, class: &ClassName) -> bool {
        schema.is_a(class.as_str(), self.element_class.as_str())
            || (self.element_class.is("CIM_ManagedElement")
                && schema
                    .class(class.as_str())
                    .is_some_and(|c| c.superclass.is_none() && !c.is_association() && !c.is_indication()))
    }

    /// The elements that a job has at the far end, as far as the namespace knows their classes.
    pub(crate) fn elements<'a>(
        &self,
        schema: &'a Schema,
        record: &'a JobRecord,
    ) -> impl Iterator<Item = Element<'a>> + use<'a> {
        let (one, affected) = match self.leads_to {
            LeadsTo::Owner => (record.spec.owning_element.as_ref().map(Cow::Borrowed), &[][..]),
            LeadsTo::Affected => (None, record.spec.affected.as_slice()),
            LeadsTo::MethodResult => (results::path(record).map(Cow::Owned), &[][..]),
        };
        one.map(|path| Element { path, effects: &[] })
            .into_iter()
            .chain(affected.iter().map(|a| Element { path: Cow::Borrowed(&a.element), effects: &a.effects }))
            .filter(|e| schema.contains(e.path.class.as_str()))
    }

    /// The element with this path, if the job has it at the far end.
    pub(crate) fn element<'a>(
        &self,
        schema: &'a Schema,
        record: &'a JobRecord,
        path: &InstancePath,
    ) -> Option<Element<'a>> {
        self.elements(schema, record).find(|e| *e.path == *path)
    }

    /// The path of the association between a job and an element.
    pub(crate) fn path(
        &self,
        namespace: &NamespaceName,
        job: &InstancePath,
        element: &Element<'_>,
    ) -> InstancePath {
        let keys = [(&self.element_role, element.located(namespace)), (&self.job_role, job.clone())];
        InstancePath {
            host: None,
            namespace: Some(namespace.clone()),
            class: self.class.name.clone(),
            keys: keys.into_iter().map(|(n, p)| KeyBinding { name: n.clone(), value: p.into() }).collect(),
        }
    }

    /// The association between a job and an element.
    pub(crate) fn instance(
        &self,
        namespace: &NamespaceName,
        record: &JobRecord,
        job: &InstancePath,
        element: &Element<'_>,
    ) -> Instance {
        let mut instance = self.blank.clone();
        instance.path = Some(self.path(namespace, job, element));
        for property in &mut instance.properties {
            property.value = if property.name == self.job_role {
                Some(job.clone().into())
            } else if property.name == self.element_role {
                Some(element.located(namespace).into())
            } else if property.name.is("ElementEffects") && !element.effects.is_empty() {
                Some(Value::uint16s(element.effects.iter().copied()))
            } else if property.name.is("OtherElementEffectsDescriptions") && element.effects.contains(&OTHER)
            {
                let words = |effect: &u16| if *effect == OTHER { record.spec.caption.as_str() } else { "" };
                Some(Value::strings(element.effects.iter().map(words)))
            } else {
                property.value.take()
            };
        }
        instance
    }
}

impl Element<'_> {
    /// Its path in a namespace.
    pub(crate) fn located(&self, namespace: &NamespaceName) -> InstancePath {
        InstancePath { namespace: Some(namespace.clone()), ..(*self.path).clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::class::Qualifier;
    use cimwright_cim::{CimType, Property};

    #[test]
    fn a_class_without_superclass_passes_for_a_managed_element() {
        let mut schema = Schema::new();
        let reference = |name: &str, class: &str| {
            let mut end = Property::new(name, CimType::Reference, None);
            end.reference_class = Some(class.into());
            end
        };
        let mut association = Class::new("CIM_AffectedJobElement");
        association.qualifiers.push(Qualifier::flag("Association"));
        association.properties =
            vec![reference("AffectedElement", "CIM_ManagedElement"), reference("AffectingElement", JOB_ROOT)];
        let job = Class { superclass: Some("CIM_ManagedElement".into()), ..Class::new(JOB_ROOT) };
        let derived = Class { superclass: Some("Loner".into()), ..Class::new("Derived") };
        for class in [Class::new("CIM_ManagedElement"), job, association, Class::new("Loner"), derived] {
            schema.add_class(class).unwrap();
        }
        let class = Arc::clone(schema.class("CIM_AffectedJobElement").unwrap());
        let link = Link::new(&schema, class, LeadsTo::Affected).unwrap();
        for (name, takes) in [
            ("CIM_ManagedElement", true),
            (JOB_ROOT, true),
            ("Loner", true),
            ("Derived", false),
            ("CIM_AffectedJobElement", false),
            ("Unknown", false),
        ] {
            assert_eq!(link.takes(&schema, &name.into()), takes, "{name}");
        }
    }
}
