//! ExecQuery and OpenQueryInstances. The text was parsed by the front end; here the query meets the classes.

use crate::broker::Scope;
use crate::instances;
use crate::paths;
use crate::registry::JOB_KEY;
use crate::stream::{ObjectStream, Part, View};
use cimwright_cim::operation::ObjectShape;
use cimwright_cim::query::{Query, SYSTEM_PROPERTIES};
use cimwright_cim::{CimError, Class, Instance, Name, Schema, Value};
use std::collections::VecDeque;

/// A query that fits its class.
pub(crate) struct Plan {
    query: Query,
    /// The properties to show, system ones included; `None` for all.
    select: Option<Vec<Name>>,
}

/// The instances that a query finds.
pub(crate) fn execute(scope: &Scope, mut query: Query) -> Result<ObjectStream, CimError> {
    let class = scope.namespace.class(&query.from)?;
    query.bind(&scope.namespace.schema)?;
    let mut parts = instances::parts_of(scope, class);
    if let Some(id) = query.required_value(JOB_KEY) {
        parts = only(parts, id);
    }
    let select =
        query.select.as_ref().map(|s| s.iter().filter_map(|p| Some(p.0.first()?.name.clone())).collect());
    let view = View { plan: Some(Plan { query, select }), ..View::default() };
    Ok(ObjectStream::new(scope, ObjectShape::Object, parts, view))
}

/// The class that the results of a query look like.
pub(crate) fn result_class(scope: &Scope, query: &Query) -> Result<Class, CimError> {
    let mut class = Class::clone(scope.namespace.class(&query.from)?);
    if let Some(select) = &query.select {
        class
            .properties
            .retain(|p| select.iter().any(|s| s.0.first().is_some_and(|first| first.name == p.name)));
    }
    Ok(class)
}

impl Plan {
    /// What the query shows of an instance; `None` if it does not want it.
    pub(crate) fn apply(&self, mut instance: Instance, schema: &Schema) -> Option<Instance> {
        if !self.query.matches(&instance, schema) {
            return None;
        }
        let Some(select) = &self.select else { return Some(instance) };
        for name in select.iter().filter(|n| is_system(n)) {
            let value = system_value(name, &instance);
            instance.set(name.clone(), value);
        }
        instance.restrict(Some(select));
        Some(instance)
    }
}

/// The same parts, where a job class has only the job of this InstanceID: a query by key must not look at every job.
fn only(parts: VecDeque<Part>, instance_id: &Value) -> VecDeque<Part> {
    let id = paths::job_id(instance_id);
    parts
        .into_iter()
        .filter_map(|part| match part {
            Part::Jobs { dialect, .. } => id.map(|id| Part::OneJob { dialect, id }),
            other => Some(other),
        })
        .collect()
}

fn is_system(name: &Name) -> bool {
    SYSTEM_PROPERTIES.iter().any(|s| name.is(s))
}

fn system_value(name: &Name, instance: &Instance) -> Option<Value> {
    let path = instance.path.as_ref();
    let text = if name.is("__CLASS") {
        instance.class.to_string()
    } else if name.is("__PATH") {
        paths::text(path?)
    } else if name.is("__RELPATH") {
        let mut text = String::new();
        paths::relative_text(path?, &mut text);
        text
    } else {
        path?.namespace.as_ref()?.to_string()
    };
    Some(Value::String(text))
}
