//! A set of instances that is fetched portion by portion, so that its size costs no memory.

use crate::broker::Scope;
use crate::errors;
use crate::instances;
use crate::job_instance::Template;
use crate::links::Link;
use crate::paths;
use crate::query::Plan;
use crate::registry::Dialect;
use crate::results;
use crate::statistics::asking;
use cimwright_cim::operation::{AssociationFilter, ObjectShape};
use cimwright_cim::query::Query;
use cimwright_cim::{CimError, ClassName, Instance, InstancePath, Name, Property};
use cimwright_jobs::{ElementKey, JobFilter, JobId, JobRecord};
use cimwright_repository::Kept;
use cimwright_repository::extent::Place;
use cimwright_sdk::InstancePortions;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many jobs are fetched from the store at a time.
const PAGE: usize = 500;

/// A set of instances. Nothing is fetched before it is asked for.
pub struct ObjectStream {
    /// How each instance is wrapped.
    pub shape: ObjectShape,
    scope: Scope,
    parts: VecDeque<Part>,
    view: View,
    /// Whether an error ends only the part it happened in.
    goes_on: bool,
}

/// A portion of a set.
pub enum Portion {
    /// Instances made for this answer.
    Instances(Vec<Instance>),
    /// Static instances, to be shown as they are.
    Kept(Vec<Arc<Kept>>),
}

/// One source of instances.
pub(crate) enum Part {
    /// They are here already.
    Ready(Vec<Instance>),
    /// All jobs of a dialect.
    Jobs { dialect: Arc<Dialect>, after: Option<JobId> },
    /// The method results of all jobs of a dialect.
    MethodResults { dialect: Arc<Dialect>, after: Option<JobId> },
    /// One job, if there is one of this id.
    OneJob { dialect: Arc<Dialect>, id: JobId },
    /// The instances of a class that a provider gives.
    Provided { class: ClassName, open: Option<Box<dyn InstancePortions>> },
    /// All associations of one kind between the jobs of a dialect and their elements.
    Links { dialect: Arc<Dialect>, link: Arc<Link>, after: Option<JobId> },
    /// The jobs of a dialect that an element is tied to, or (`far` is FALSE) the associations that tie them.
    LinkedJobs {
        dialect: Arc<Dialect>,
        links: Vec<Arc<Link>>,
        element: InstancePath,
        far: bool,
        after: Option<JobId>,
    },
    /// The static instances of a class.
    Kept { class: ClassName, after: Option<Arc<str>> },
    /// The static associations that refer to `source`, or (`far`) what they lead to.
    KeptLinks { source: InstancePath, filter: AssociationFilter, far: bool, after: Option<Place> },
    /// The associations of a class that a provider gives, or (`far`) what they lead to from `source`.
    ProvidedLinks { class: ClassName, source: InstancePath, filter: AssociationFilter, far: bool },
}

/// What is shown of each instance.
#[derive(Default)]
pub(crate) struct View {
    /// Only these properties; `None` for all.
    pub(crate) visible: Option<Vec<Name>>,
    /// Only the paths.
    pub(crate) names_only: bool,
    /// The declaring class of each property.
    pub(crate) class_origin: bool,
    /// Which instances: a condition on all that they have.
    pub(crate) filter: Option<Box<Query>>,
    /// Which instances, and what of them.
    pub(crate) plan: Option<Plan>,
}

impl ObjectStream {
    pub(crate) fn new(scope: &Scope, shape: ObjectShape, parts: VecDeque<Part>, view: View) -> Self {
        Self { shape, scope: scope.clone(), parts, view, goes_on: false }
    }

    /// Only the instances that pass a filter.
    pub(crate) fn filtered(mut self, filter: Option<Query>) -> Self {
        self.view.filter = filter.map(Box::new);
        self
    }

    /// Goes on after an error with what does not depend on it (ContinueOnError of DSP0200).
    pub(crate) fn go_on_after_errors(&mut self) {
        self.goes_on = true;
    }

    /// As [`next`](Self::next), but static instances that are shown whole come without a copy.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_portion(&mut self) -> Result<Option<Portion>, CimError> {
        if self.view.shows_all()
            && let Some(Part::Kept { class, after }) = self.parts.front_mut()
        {
            let (kept, more) = kept_page(&self.scope, class, after);
            if !more {
                self.parts.pop_front();
            }
            return Ok(Some(Portion::Kept(kept)));
        }
        Ok(self.next().await?.map(Portion::Instances))
    }

    /// The next portion; `None` at the end. A portion may be empty and not the last one. After an error nothing more comes, unless
    /// the stream was told to go on.
    ///
    /// Dropping the returned future loses nothing: the portion comes at the next call.
    ///
    /// # Errors
    /// When a provider or the job store fails.
    pub async fn next(&mut self) -> Result<Option<Vec<Instance>>, CimError> {
        let Some(part) = self.parts.front_mut() else { return Ok(None) };
        let fetched = fetch(&self.scope, &self.view, part).await;
        match fetched {
            Ok((items, more)) => {
                if !more {
                    self.parts.pop_front();
                }
                Ok(Some(items))
            }
            Err(error) => {
                if self.goes_on {
                    self.parts.pop_front();
                } else {
                    self.parts.clear();
                }
                Err(error)
            }
        }
    }

    /// Whether it is known that nothing more comes.
    pub(crate) fn is_finished(&self) -> bool {
        self.parts.is_empty()
    }
}

/// The next portion of a part, and whether the part has more.
async fn fetch(scope: &Scope, view: &View, part: &mut Part) -> Result<(Vec<Instance>, bool), CimError> {
    let schema = &scope.namespace.schema;
    let namespace = &scope.namespace.name;
    match part {
        Part::Ready(items) => Ok((view.apply_all(scope, std::mem::take(items)), false)),
        Part::Jobs { dialect, after } => {
            let (records, more) = page(scope, dialect, after).await?;
            Ok((view.jobs(scope, dialect, records.iter().map(Arc::as_ref)), more))
        }
        Part::MethodResults { dialect, after } => {
            let (records, more) = page(scope, dialect, after).await?;
            let items = records.iter().filter_map(|r| results::instance(scope, dialect, r)).collect();
            Ok((view.apply_all(scope, items), more))
        }
        Part::OneJob { dialect, id } => {
            let record = instances::job(scope, dialect, *id).await?;
            Ok((view.jobs(scope, dialect, record.iter().map(Arc::as_ref)), false))
        }
        Part::Provided { class, open } => {
            let portions = match open {
                Some(portions) => portions,
                None => match instances::open(scope, class).await? {
                    Some(portions) => open.insert(portions),
                    None => return Ok((Vec::new(), false)),
                },
            };
            let Some(items) = asking(portions.next()).await? else { return Ok((Vec::new(), false)) };
            let more = !portions.is_finished();
            Ok((view.apply_all(scope, instances::completed(scope, class, items)), more))
        }
        Part::Links { dialect, link, after } => {
            let (records, more) = page(scope, dialect, after).await?;
            let mut items = Vec::new();
            for record in &records {
                let job = dialect.template.path(record);
                items.extend(
                    link.elements(schema, record).map(|e| link.instance(namespace, record, &job, &e)),
                );
            }
            Ok((view.apply_all(scope, items), more))
        }
        Part::LinkedJobs { dialect, links, element, far, after } => {
            let (records, more) = match results::job_of(element) {
                Some(id) => (instances::job(scope, dialect, id).await?.into_iter().collect(), false),
                None => page_of_element(scope, dialect, element, after).await?,
            };
            let tied =
                |record: &JobRecord| links.iter().any(|l| l.element(schema, record, element).is_some());
            if *far {
                // One job comes once, however many associations lead to it.
                return Ok((
                    view.jobs(scope, dialect, records.iter().map(Arc::as_ref).filter(|r| tied(r))),
                    more,
                ));
            }
            let mut items = Vec::new();
            for record in &records {
                let job = dialect.template.path(record);
                for link in links.iter() {
                    if let Some(found) = link.element(schema, record, element) {
                        items.push(link.instance(namespace, record, &job, &found));
                    }
                }
            }
            Ok((view.apply_all(scope, items), more))
        }
        Part::Kept { class, after } => {
            let (kept, more) = kept_page(scope, class, after);
            Ok((kept.iter().filter_map(|k| view.kept(scope, &k.instance)).collect(), more))
        }
        Part::KeptLinks { source, filter, far, after } => {
            let page = scope.namespace.extents.referring(source, after.as_ref(), PAGE);
            let more = page.len() == PAGE;
            let mut found = Vec::new();
            for (_, link) in &page {
                let bare = view.needs_no_properties();
                kept_link(scope, &link.instance, source, filter, *far, bare, &mut found).await?;
            }
            if let Some((last, _)) = page.into_iter().next_back() {
                *after = Some(last);
            }
            Ok((view.apply_all(scope, found), more))
        }
        Part::ProvidedLinks { class, source, filter, far } => {
            let items =
                provided_links(scope, class, source, filter, *far, view.needs_no_properties()).await?;
            Ok((view.apply_all(scope, items), false))
        }
    }
}

/// The next jobs of a dialect, and whether there may be more. `after` moves only when they are here.
async fn page(
    scope: &Scope,
    dialect: &Dialect,
    after: &mut Option<JobId>,
) -> Result<(Vec<Arc<JobRecord>>, bool), CimError> {
    let filter = JobFilter { families: vec![dialect.face.family.to_owned()], unfinished_only: false };
    let records = scope.inner.jobs.list(&filter, *after, PAGE).await.map_err(errors::from_store)?;
    if let Some(last) = records.last() {
        *after = Some(last.id());
    }
    let more = records.len() == PAGE;
    Ok((records, more))
}

/// The next static instances of a class, and whether there may be more.
fn kept_page(scope: &Scope, class: &ClassName, after: &mut Option<Arc<str>>) -> (Vec<Arc<Kept>>, bool) {
    let (kept, last) = scope.namespace.extents.page(class, after.as_ref(), PAGE);
    let more = kept.len() == PAGE;
    *after = last;
    (kept, more)
}

/// As [`page`], of the jobs that may be tied to an element.
async fn page_of_element(
    scope: &Scope,
    dialect: &Dialect,
    element: &InstancePath,
    after: &mut Option<JobId>,
) -> Result<(Vec<Arc<JobRecord>>, bool), CimError> {
    let key = ElementKey::of(element);
    let found = scope.inner.jobs.of_element(key, dialect.face.family, *after, PAGE).await;
    let records = found.map_err(errors::from_store)?;
    if let Some(last) = records.last() {
        *after = Some(last.id());
    }
    let more = records.len() == PAGE;
    Ok((records, more))
}

async fn provided_links(
    scope: &Scope,
    class: &ClassName,
    source: &InstancePath,
    filter: &AssociationFilter,
    far: bool,
    names_only: bool,
) -> Result<Vec<Instance>, CimError> {
    let schema = &scope.namespace.schema;
    let mut found: Vec<Instance> = Vec::new();
    for link in instances::provided(scope, class).await? {
        let ends = || link.properties.iter().filter(|p| paths::is_reference(p.cim_type));
        let near = ends().find(|p| {
            filter.role.as_ref().is_none_or(|r| p.name == *r) && paths::refers_to(p.value.as_ref(), source)
        });
        let Some(near) = near else { continue };
        if !far {
            found.push(link);
            continue;
        }
        for end in ends().filter(|p| p.name != near.name) {
            if filter.result_role.as_ref().is_some_and(|r| end.name != *r) {
                continue;
            }
            let path = end.value.as_ref().and_then(|v| v.as_reference()).and_then(|r| r.as_instance());
            let Some(path) = path else { continue };
            let wanted = filter.result_class.as_ref();
            if wanted.is_none_or(|w| schema.is_a(path.class.as_str(), w.as_str())) {
                found.extend(instances::far_end(scope, path, names_only).await?);
            }
        }
    }
    Ok(found)
}

/// Adds a static association that refers to `source`, or what it leads to from there, if the filter admits it.
async fn kept_link(
    scope: &Scope,
    link: &Instance,
    source: &InstancePath,
    filter: &AssociationFilter,
    far: bool,
    names_only: bool,
    found: &mut Vec<Instance>,
) -> Result<(), CimError> {
    let schema = &scope.namespace.schema;
    let is_a = |class: &ClassName, wanted: &Option<ClassName>| {
        wanted.as_ref().is_none_or(|w| schema.is_a(class.as_str(), w.as_str()))
    };
    let is_association = schema.class(link.class.as_str()).is_some_and(|c| c.is_association());
    if !is_association || !is_a(&link.class, &filter.assoc_class) {
        return Ok(());
    }
    let ends = || link.properties.iter().filter(|p| paths::is_reference(p.cim_type));
    let near = |p: &&Property| {
        filter.role.as_ref().is_none_or(|r| p.name == *r) && paths::refers_to(p.value.as_ref(), source)
    };
    if !far {
        if ends().any(|p| near(&p)) {
            found.push(link.clone());
        }
        return Ok(());
    }
    for near in ends().filter(near) {
        for end in ends().filter(|p| p.name != near.name) {
            if filter.result_role.as_ref().is_some_and(|r| end.name != *r) {
                continue;
            }
            let path = end.value.as_ref().and_then(|v| v.as_reference()).and_then(|r| r.as_instance());
            let Some(path) = path else { continue };
            // One element comes once, however many associations lead to it.
            let known = found.iter().any(|i| i.path.as_ref() == Some(path));
            if !known && is_a(&path.class, &filter.result_class) {
                found.extend(instances::far_end(scope, path, names_only).await?);
            }
        }
    }
    Ok(())
}

impl View {
    /// Whether an instance is shown just as it is.
    fn shows_all(&self) -> bool {
        self.visible.is_none()
            && !self.names_only
            && !self.class_origin
            && self.plan.is_none()
            && self.filter.is_none()
    }

    /// Whether the properties of an instance need not be known.
    pub(crate) fn needs_no_properties(&self) -> bool {
        self.names_only && self.filter.is_none()
    }

    /// What is shown of a static instance, without a copy of what is not.
    fn kept(&self, scope: &Scope, instance: &Instance) -> Option<Instance> {
        let looked_at = self.plan.is_some() || self.filter.is_some();
        if looked_at || (!self.names_only && self.visible.is_none()) {
            return self.apply(scope, instance.clone());
        }
        let visible = |p: &&Property| {
            !self.names_only && self.visible.as_ref().is_none_or(|list| list.contains(&p.name))
        };
        let shown = Instance {
            class: instance.class.clone(),
            path: instance.path.clone(),
            properties: instance.properties.iter().filter(visible).cloned().collect(),
        };
        self.apply(scope, shown)
    }

    /// A view of an instance that shows all; `None` if the query does not want it.
    fn apply(&self, scope: &Scope, mut instance: Instance) -> Option<Instance> {
        if let Some(plan) = &self.plan {
            return plan.apply(instance, &scope.namespace.schema);
        }
        if self.filter.as_ref().is_some_and(|f| !f.matches(&instance, &*scope.namespace.schema)) {
            return None;
        }
        if self.names_only {
            instance.properties.clear();
            return Some(instance);
        }
        instance.restrict(self.visible.as_deref());
        if self.class_origin {
            let class = scope.namespace.schema.class(instance.class.as_str());
            for property in &mut instance.properties {
                property.class_origin = class
                    .and_then(|c| c.property(property.name.as_str()))
                    .and_then(|p| p.class_origin.clone());
            }
        }
        Some(instance)
    }

    pub(crate) fn apply_all(&self, scope: &Scope, items: Vec<Instance>) -> Vec<Instance> {
        items.into_iter().filter_map(|i| self.apply(scope, i)).collect()
    }

    /// The template that makes just what is shown.
    fn template(&self, dialect: &Dialect) -> Arc<Template> {
        if self.visible.is_none() && !self.class_origin {
            Arc::clone(&dialect.template)
        } else {
            Arc::new(dialect.template.restricted(self.visible.as_deref(), self.class_origin))
        }
    }

    fn jobs<'a>(
        &self,
        scope: &Scope,
        dialect: &Dialect,
        records: impl Iterator<Item = &'a JobRecord>,
    ) -> Vec<Instance> {
        let now = scope.inner.jobs.clock().now();
        if let Some(plan) = &self.plan {
            let schema = &scope.namespace.schema;
            return records.filter_map(|r| plan.apply(dialect.template.instance(r, now), schema)).collect();
        }
        if self.filter.is_some() {
            return records.filter_map(|r| self.apply(scope, dialect.template.instance(r, now))).collect();
        }
        if self.names_only {
            return records.map(|r| dialect.template.name_only(r)).collect();
        }
        let template = self.template(dialect);
        records.map(|r| template.instance(r, now)).collect()
    }
}
