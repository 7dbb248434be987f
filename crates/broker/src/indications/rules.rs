//! Which filters, destinations and subscriptions may be made, changed and removed, and by whom (DSP1054 8).

use super::book::{DISABLED, Destination, ENABLED, Filter, Subscription, ends};
use super::sources::Source;
use super::target::Target;
use super::{QueryParser, SYSTEM_CLASS, Shared, delivery};
use crate::errors;
use crate::interop::INTEROP_NAMESPACE;
use cimwright_cim::query::{Condition, Query};
use cimwright_cim::{CimError, CimStatus, DateTime, Instance, InstancePath, NamespaceName, Property, Value};
use cimwright_jobs::{Entry, EntryKind};
use cimwright_sdk::Principal;
use std::sync::Arc;
use uuid::Uuid;

/// The keys of filters and destinations.
const KEYS: [&str; 4] = ["SystemCreationClassName", "SystemName", "CreationClassName", "Name"];

/// What a client may change about a subscription.
const CHANGEABLE: [&str; 3] = ["SubscriptionState", "SubscriptionDuration", "SubscriptionInfo"];

/// The class of subscriptions to a collection of filters.
pub(crate) const COLLECTION_SUBSCRIPTION: &str = "CIM_FilterCollectionSubscription";

/// OnFatalErrorPolicy: Ignore.
pub(crate) const IGNORE: u16 = 2;

/// CIM_ListenerDestination.Protocol: CIM-XML.
const CIM_XML: u16 = 2;

/// Where the indications of a filter come from.
pub(crate) fn namespaces_of(filter: &Instance) -> Vec<NamespaceName> {
    let listed = filter.get("SourceNamespaces").and_then(Value::as_array);
    let listed = listed.into_iter().flatten().flatten().filter_map(Value::as_str);
    let mut all: Vec<NamespaceName> = listed.map(|n| NamespaceName::new(n.trim_matches('/'))).collect();
    if all.is_empty() {
        let one = filter.get_str("SourceNamespace").unwrap_or(INTEROP_NAMESPACE);
        all.push(NamespaceName::new(one.trim_matches('/')));
    }
    all.dedup();
    all
}

/// The query of a filter for each of the namespaces, if it makes sense in all of them.
///
/// # Errors
/// What is wrong with the language, the query or a namespace.
pub(crate) fn queries_of(
    filter: &Instance,
    namespaces: &[NamespaceName],
    sources: &[Arc<Source>],
    parser: &QueryParser,
) -> Result<Vec<(NamespaceName, Arc<Query>)>, CimError> {
    let needed = |name: &str| {
        let text = filter.get_str(name).filter(|t| !t.trim().is_empty());
        text.ok_or_else(|| CimError::invalid_parameter(format!("a filter needs the property {name}")))
    };
    let query = parser(needed("QueryLanguage")?, needed("Query")?)?;
    let mut queries = Vec::new();
    for namespace in namespaces {
        let Some(source) = sources.iter().find(|s| s.name == *namespace) else {
            let text = format!("SourceNamespaces: there is no namespace {namespace}");
            return Err(CimError::invalid_parameter(text));
        };
        source.check_raised(&query.from)?;
        // The names of values mean other numbers in other classes.
        let mut query = query.clone();
        query.bind(&source.schema)?;
        if let Some(condition) = &query.condition {
            check_classes(condition, source)?;
        }
        queries.push((namespace.clone(), Arc::new(query)));
    }
    Ok(queries)
}

/// A class that is misspelt would match nothing, for ever and without a word.
fn check_classes(condition: &Condition, source: &Source) -> Result<(), CimError> {
    match condition {
        Condition::And(parts) | Condition::Or(parts) => {
            parts.iter().try_for_each(|c| check_classes(c, source))
        }
        Condition::Not(inner) => check_classes(inner, source),
        Condition::IsA { class, .. } if !source.schema.contains(class.as_str()) => {
            let text = format!("the query asks for {class}, which {} does not have", source.name);
            Err(CimError::new(CimStatus::InvalidQuery, text))
        }
        _ => Ok(()),
    }
}

impl Shared {
    /// CreateInstance of a filter.
    pub(crate) async fn create_filter(
        &self,
        principal: &Principal,
        instance: Instance,
    ) -> Result<InstancePath, CimError> {
        if !self.filter_creation() {
            let text = "CIM_IndicationService.FilterCreationEnabled is FALSE: only the filters that are there can be used";
            return Err(CimError::not_supported(text));
        }
        let (mut instance, path) = self.keyed(instance)?;
        if instance.get_str("Name").is_some_and(|name| name.starts_with(super::eventing::NAME)) {
            // They come and go with their subscriptions; a filter among them would be taken for what is left of one.
            let text = format!("names that begin with {} are the server's own", super::eventing::NAME);
            return Err(CimError::invalid_parameter(text));
        }
        if matches!(instance.get("SourceNamespaces").and_then(Value::as_array), None | Some([])) {
            let all = namespaces_of(&instance);
            instance.set("SourceNamespaces", Some(Value::strings(all.iter().map(NamespaceName::as_str))));
        }
        let namespaces = namespaces_of(&instance);
        let queries = queries_of(&instance, &namespaces, &self.sources(), &self.parser)?;
        let _turn = self.turn.lock().await;
        self.check_new(&path)?;
        let made = self.book().filters().filter(|f| !f.standing).count();
        check_limit(made, self.config.max_filters, "filters")?;
        let entry = self.entry(EntryKind::Filter, principal, instance);
        self.outbox.register(&entry).await.map_err(errors::from_store)?;
        self.book().add_filter(Filter::new(entry, queries, false));
        Ok(path)
    }

    /// CreateInstance of a destination.
    pub(crate) async fn create_destination(
        self: &Arc<Self>,
        principal: &Principal,
        instance: Instance,
    ) -> Result<InstancePath, CimError> {
        if instance.class.is(super::eventing::CLASS) {
            let text = format!("instances of {} are made by Subscribe over WS-Management", instance.class);
            return Err(CimError::not_supported(text));
        }
        let (mut instance, path) = self.keyed(instance)?;
        let url = instance.get_str("Destination").map(str::trim).filter(|u| !u.is_empty());
        let url =
            url.ok_or_else(|| CimError::invalid_parameter("a destination needs the property Destination"))?;
        let target = Target::parse(url)?;
        if !target.is_allowed(&self.config.allowed) {
            return Err(CimError::access_denied(format!(
                "Destination \"{url}\": indications may not be sent to {}; indications.allowed_destinations in the \
                 configuration of the server says where they may",
                target.host
            )));
        }
        match instance.get_u64("PersistenceType") {
            None => instance.set("PersistenceType", Some(Value::Uint16(2))),
            Some(1) => explained(&instance, "OtherPersistenceType")?,
            Some(2 | 3) => {}
            Some(other) => return Err(out_of_range("PersistenceType", other)),
        }
        match instance.get_u64("Protocol") {
            None => instance.set("Protocol", Some(Value::Uint16(CIM_XML))),
            Some(2) => {}
            Some(other) => {
                let text = format!("Protocol {other}: a {} speaks CIM-XML (2)", instance.class);
                return Err(CimError::not_supported(text));
            }
        }
        let _turn = self.turn.lock().await;
        self.check_new(&path)?;
        check_limit(self.book().destinations().count(), self.config.max_destinations, "destinations")?;
        let entry = self.entry(EntryKind::Destination, principal, instance);
        let id = entry.id;
        self.outbox.register(&entry).await.map_err(errors::from_store)?;
        self.book().add_destination(Destination { entry, target: Some(target), sink: None, journal: None });
        delivery::open_line(self, id);
        Ok(path)
    }

    /// CreateInstance of a subscription.
    pub(crate) async fn create_subscription(
        &self,
        principal: &Principal,
        mut instance: Instance,
    ) -> Result<InstancePath, CimError> {
        let now: Value = DateTime::from_system_time(self.clock.now()).into();
        check_policy(&mut instance)?;
        match instance.get_u64("SubscriptionState") {
            None => instance.set("SubscriptionState", Some(Value::Uint16(ENABLED))),
            Some(state) => check_state(state)?,
        }
        instance.set("SubscriptionStartTime", Some(now.clone()));
        instance.set("TimeOfLastStateChange", Some(now));
        instance.set("SubscriptionTimeRemaining", None);
        let _turn = self.turn.lock().await;
        let (filter, destination, path) = {
            let book = self.book();
            let end = |role: &str| {
                let path = instance.get(role).and_then(Value::as_reference).and_then(|r| r.as_instance());
                path.ok_or_else(|| {
                    CimError::invalid_parameter(format!("a subscription needs the reference {role}"))
                })
            };
            let (filter_path, handler_path) = (end("Filter")?, end("Handler")?);
            let absent = |role: &str| CimError::not_found(format!("{role}: there is no such instance"));
            let (filter, filter_entry) = if instance.class.is(COLLECTION_SUBSCRIPTION) {
                (book.collection_at(filter_path).map(|c| (c.id, Some(c.path.clone()))), None)
            } else {
                let filter = book.filter_at(filter_path);
                (
                    filter.map(|f| (f.entry.id, f.entry.instance.path.clone())),
                    filter.filter(|f| !f.standing).map(|f| &f.entry),
                )
            };
            let (filter, filter_path) = filter.ok_or_else(|| absent("Filter"))?;
            let handler = book.destination_at(handler_path).ok_or_else(|| absent("Handler"))?;
            if let Some(entry) = filter_entry {
                check_owner(principal, entry)?;
            }
            check_owner(principal, &handler.entry)?;
            if handler.journal.is_some() {
                let text = "Handler: this destination has its events from a subscription with bookmarks, and from nowhere else";
                return Err(CimError::not_supported(text));
            }
            let mut path = InstancePath::new(interop(), instance.class.clone());
            for (role, end) in [("Filter", filter_path), ("Handler", handler.entry.instance.path.clone())] {
                let Some(value) = end.map(Value::from) else { return Err(absent(role)) };
                path = path.with_key(role, value.clone());
                instance.set(role, Some(value));
            }
            (filter, handler.entry.id, path)
        };
        instance.path = Some(path.clone());
        self.check_new(&path)?;
        check_limit(self.book().subscriptions().count(), self.config.max_subscriptions, "subscriptions")?;
        let entry = self.entry(EntryKind::Subscription, principal, instance);
        self.outbox.register(&entry).await.map_err(errors::from_store)?;
        self.book().add_subscription(Subscription { entry, filter, destination });
        self.reroute();
        Ok(path)
    }

    /// ModifyInstance. Of subscriptions the writable properties can be changed; nothing else of anything.
    pub(crate) async fn modify(
        &self,
        principal: &Principal,
        path: &InstancePath,
        changes: Vec<Property>,
    ) -> Result<(), CimError> {
        let _turn = self.turn.lock().await;
        let mut entry = self.book().entry_at(path).cloned().ok_or_else(|| crate::instances::absent(path))?;
        let changes: Vec<Property> = changes
            .into_iter()
            .filter(|c| c.value.as_ref() != entry.instance.get(c.name.as_str()))
            .filter(|c| !c.name.is("SubscriptionTimeRemaining"))
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        check_owner(principal, &entry)?;
        if let Some(fixed) = changes
            .iter()
            .find(|c| entry.kind != EntryKind::Subscription || !CHANGEABLE.iter().any(|name| c.name.is(name)))
        {
            let text = format!("{}.{} cannot be changed; make a new one instead", path.class, fixed.name);
            return Err(CimError::not_supported(text));
        }
        if let Some(change) = changes.iter().find(|c| !c.name.is("SubscriptionInfo"))
            && self.book().has_journal(entry.id)
        {
            let text = format!(
                "{} of a subscription with bookmarks cannot be changed: it is renewed and ended over WS-Management, and what is \
                 missed meanwhile is told to a new one that begins with the last bookmark",
                change.name
            );
            return Err(CimError::not_supported(text));
        }
        let now = self.clock.now();
        if ends(&entry).is_some_and(|end| end <= now) {
            return Err(CimError::failed("the subscription has expired; it can only be deleted"));
        }
        for change in changes {
            if change.name.is("SubscriptionState") {
                let state = change.value.as_ref().and_then(Value::as_u64);
                check_state(
                    state.ok_or_else(|| CimError::invalid_parameter("SubscriptionState cannot be NULL"))?,
                )?;
                entry.instance.set("TimeOfLastStateChange", Some(DateTime::from_system_time(now).into()));
            }
            entry.instance.set(change.name, change.value);
        }
        self.outbox.register(&entry).await.map_err(errors::from_store)?;
        self.book().replace_subscription(entry);
        self.reroute();
        Ok(())
    }

    /// DeleteInstance.
    pub(crate) async fn delete(&self, principal: &Principal, path: &InstancePath) -> Result<(), CimError> {
        let _turn = self.turn.lock().await;
        let entry = {
            let book = self.book();
            let entry = book.entry_at(path).cloned().ok_or_else(|| crate::instances::absent(path))?;
            if book.filter(entry.id).is_some_and(|f| f.standing) {
                return Err(CimError::access_denied("this filter is part of the server and stays"));
            }
            check_owner(principal, &entry)?;
            if book.subscriptions().any(|s| s.filter == entry.id || s.destination == entry.id) {
                return Err(CimError::failed("there are subscriptions to it; delete them first"));
            }
            entry
        };
        self.forget(entry.id).await
    }

    /// Removes an entry; the caller holds the turn.
    pub(crate) async fn forget(&self, id: Uuid) -> Result<(), CimError> {
        self.lines.end(id);
        if let Some(deliver) = self.deliver.get() {
            deliver.forget(id);
        }
        self.outbox.unregister(id).await.map_err(errors::from_store)?;
        self.book().remove(id);
        self.reroute();
        Ok(())
    }

    /// Disables or removes every subscription of a destination that `which` wants to; what waits for the destination goes with
    /// its last enabled subscription.
    pub(crate) async fn give_up(
        &self,
        destination: Uuid,
        which: impl Fn(&Subscription) -> Option<Verdict>,
    ) -> Result<bool, CimError> {
        let _turn = self.turn.lock().await;
        let verdicts: Vec<(Entry, Verdict)> = {
            let book = self.book();
            let all = book.subscriptions().filter(|s| s.destination == destination && s.is_enabled());
            all.filter_map(|s| Some((s.entry.clone(), which(s)?))).collect()
        };
        for (mut entry, verdict) in verdicts {
            tracing::warn!(id = %entry.id, ?verdict, "a listener cannot be reached: giving up a subscription");
            match verdict {
                Verdict::Remove => self.forget(entry.id).await?,
                Verdict::Disable => {
                    let now = DateTime::from_system_time(self.clock.now());
                    entry.instance.set("SubscriptionState", Some(Value::Uint16(DISABLED)));
                    entry.instance.set("TimeOfLastStateChange", Some(now.into()));
                    self.outbox.register(&entry).await.map_err(errors::from_store)?;
                    self.book().replace_subscription(entry);
                    self.reroute();
                }
            }
        }
        Ok(!self.book().subscriptions().any(|s| s.destination == destination && s.is_enabled()))
    }

    /// The instance with all its keys and its path. Keys that are missing get the value they can only have.
    fn keyed(&self, mut instance: Instance) -> Result<(Instance, InstancePath), CimError> {
        let class = instance.class.clone();
        let mut path = InstancePath::new(interop(), class.clone());
        for key in KEYS {
            let given = instance.get_str(key).filter(|t| !t.is_empty()).map(str::to_owned);
            let value = match (key, given) {
                ("CreationClassName", Some(name)) if !class.is(&name) => {
                    let text = format!("CreationClassName is {name}, but the instance is a {class}");
                    return Err(CimError::invalid_parameter(text));
                }
                ("CreationClassName", _) => class.to_string(),
                (_, Some(value)) => value,
                ("SystemCreationClassName", None) => SYSTEM_CLASS.to_owned(),
                ("SystemName", None) => self.config.system_name.clone(),
                (_, None) => {
                    return Err(CimError::invalid_parameter(format!("a {class} needs the key {key}")));
                }
            };
            if value.len() > 1024 {
                return Err(CimError::invalid_parameter(format!("the key {key} is too long")));
            }
            path = path.with_key(key, value.as_str());
            instance.set(key, Some(Value::String(value)));
        }
        instance.path = Some(path.clone());
        Ok((instance, path))
    }

    fn check_new(&self, path: &InstancePath) -> Result<(), CimError> {
        if self.book().entry_at(path).is_none() {
            return Ok(());
        }
        let text = format!("there is such a {} already", path.class);
        Err(CimError::new(CimStatus::AlreadyExists, text))
    }

    pub(crate) fn entry(&self, kind: EntryKind, principal: &Principal, instance: Instance) -> Entry {
        Entry {
            id: Uuid::now_v7(),
            kind,
            owner: principal.name().to_owned(),
            created: self.clock.now(),
            instance,
        }
    }
}

/// What becomes of a subscription whose listener cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Disable,
    Remove,
}

fn interop() -> NamespaceName {
    NamespaceName::new(INTEROP_NAMESPACE)
}

fn check_policy(instance: &mut Instance) -> Result<(), CimError> {
    match instance.get_u64("OnFatalErrorPolicy") {
        None => instance.set("OnFatalErrorPolicy", Some(Value::Uint16(IGNORE))),
        Some(1) => {
            explained(instance, "OtherOnFatalErrorPolicy")?;
            return Err(CimError::not_supported(
                "OnFatalErrorPolicy 1 (Other) has no meaning to this server",
            ));
        }
        Some(2..=4) => {}
        Some(other) => return Err(out_of_range("OnFatalErrorPolicy", other)),
    }
    match instance.get_u64("RepeatNotificationPolicy") {
        None | Some(0) => instance.set("RepeatNotificationPolicy", Some(Value::Uint16(2))),
        Some(2) => {}
        Some(policy @ (1 | 3 | 4)) => {
            let text =
                format!("RepeatNotificationPolicy {policy} is not supported; every indication is sent");
            return Err(CimError::not_supported(text));
        }
        Some(other) => return Err(out_of_range("RepeatNotificationPolicy", other)),
    }
    Ok(())
}

fn check_state(state: u64) -> Result<(), CimError> {
    match state {
        2 | 4 => Ok(()),
        0 | 1 | 3 => Err(CimError::not_supported(format!(
            "SubscriptionState {state} cannot be asked for; write 2 (Enabled) or 4 (Disabled)"
        ))),
        other => Err(out_of_range("SubscriptionState", other)),
    }
}

/// The text that a value of Other needs beside it.
fn explained(instance: &Instance, property: &str) -> Result<(), CimError> {
    match instance.get_str(property) {
        Some(_) => Ok(()),
        None => Err(CimError::invalid_parameter(format!("the value 1 (Other) needs a text in {property}"))),
    }
}

fn out_of_range(property: &str, value: u64) -> CimError {
    CimError::invalid_parameter(format!("{property} cannot be {value}"))
}

fn check_owner(principal: &Principal, entry: &Entry) -> Result<(), CimError> {
    if principal.may_control(&entry.owner) {
        return Ok(());
    }
    Err(CimError::access_denied(format!(
        "it belongs to {}; as {} {} may use and change only what is its own",
        entry.owner,
        principal.role(),
        principal.name()
    )))
}

pub(crate) fn check_limit(there: usize, limit: usize, what: &str) -> Result<(), CimError> {
    if there < limit {
        return Ok(());
    }
    let text = format!("there are {limit} {what}, which is the limit of this server");
    Err(CimError::new(CimStatus::ServerLimitsExceeded, text))
}
