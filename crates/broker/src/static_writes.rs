//! CreateInstance, ModifyInstance and DeleteInstance of static instances. What comes at the same time shares one transaction: a
//! durable write takes as long for many changes as for one.
//!
//! Each write waits for its turn with its wish in a queue. Whoever gets the turn decides on all wishes there are, keeps what they
//! come to in one transaction, makes it known and answers them; most find themselves answered before their turn comes. Nothing is
//! seen or answered before it is durable, and each operation is all or nothing.

use crate::broker::Scope;
use crate::indications::InstanceChange;
use crate::loaded::{enough, keep, now};
use crate::methods::detached;
use crate::paths;
use crate::registry::{Namespace, Registry};
use cimwright_cim::operation::OperationResult;
use cimwright_cim::{CimError, Instance, InstancePath};
use cimwright_repository::Change;
use cimwright_repository::keys::path_text;
use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The most wishes that share a transaction.
const MOST: usize = 256;

/// The writes that wait for their turn.
#[derive(Default)]
pub(crate) struct Wishes(Mutex<VecDeque<Wish>>);

/// A write that nobody has decided on.
struct Wish {
    /// What it comes to as things are now. Asked again when another write of the same transaction touches the same instance.
    decide: Box<dyn Fn() -> Result<Decision, CimError> + Send>,
    answer: oneshot::Sender<Result<OperationResult, CimError>>,
}

/// What a write comes to.
struct Decision {
    namespace: Arc<Namespace>,
    path: InstancePath,
    /// `None` when everything is already as it is wanted.
    change: Option<Change>,
    answer: OperationResult,
}

/// CreateInstance of a static instance. `complete` makes it from what the client gave and the class as it is now.
pub(crate) async fn create(
    scope: Scope,
    complete: impl Fn(&Scope) -> Result<Instance, CimError> + Send + 'static,
) -> Result<OperationResult, CimError> {
    write(scope, move |scope| {
        let mut instance = complete(scope)?;
        let Some(class) = scope.namespace.schema.class(instance.class.as_str()) else {
            return Err(CimError::invalid_class(format!("the class {} is gone", instance.class)));
        };
        for key in class.keys() {
            if instance.get(key.name.as_str()).is_none() {
                let text = format!("the key {} of {} must not be NULL", key.name, class.name);
                return Err(CimError::invalid_parameter(text));
            }
        }
        let path = instance.path_by_keys(class, Some(scope.namespace.name.clone()));
        if scope.namespace.extents.get(&path).is_some() {
            return Err(CimError::already_exists(format!("{} exists already", paths::text(&path))));
        }
        instance.path = Some(path.clone());
        let change = Change::SetInstance(scope.namespace.name.clone(), Arc::new(instance));
        Ok((path.clone(), Some(change), OperationResult::Created(path)))
    })
    .await
}

/// ModifyInstance of a static instance: `change` makes the new one from the present one.
pub(crate) async fn modify(
    scope: Scope,
    path: InstancePath,
    change: impl Fn(&Scope, &Instance) -> Result<Instance, CimError> + Send + 'static,
) -> Result<OperationResult, CimError> {
    write(scope, move |scope| {
        let present = scope.namespace.extents.get(&path).ok_or_else(|| crate::instances::absent(&path))?;
        let instance = change(scope, &present.instance)?;
        let change = (instance != present.instance)
            .then(|| Change::SetInstance(scope.namespace.name.clone(), Arc::new(instance)));
        Ok((path.clone(), change, OperationResult::Void))
    })
    .await
}

/// DeleteInstance of a static instance.
pub(crate) async fn delete(scope: Scope, path: InstancePath) -> Result<OperationResult, CimError> {
    write(scope, move |scope| {
        if scope.namespace.extents.get(&path).is_none() {
            return Err(crate::instances::absent(&path));
        }
        let change = Change::RemoveInstance(scope.namespace.name.clone(), path.clone());
        Ok((path.clone(), Some(change), OperationResult::Void))
    })
    .await
}

type Decided = (InstancePath, Option<Change>, OperationResult);

/// Waits for the turn, or for somebody who has it to take this write along.
async fn write(
    scope: Scope,
    decide: impl Fn(&Scope) -> Result<Decided, CimError> + Send + 'static,
) -> Result<OperationResult, CimError> {
    detached(async move {
        let registry = Arc::clone(&scope.inner.registry);
        let most = scope.inner.limits.static_instances;
        let decide = Box::new(move || {
            let scope = now(scope.clone())?;
            let (path, change, answer) = decide(&scope)?;
            Ok(Decision { namespace: Arc::clone(&scope.namespace), path, change, answer })
        });
        let (answer, mut answered) = oneshot::channel();
        registry.wishes.all().push_back(Wish { decide, answer });
        // Held to the end.
        let _turn = tokio::select! {
            biased;
            answer = &mut answered => return answer.unwrap_or_else(|_| Err(defect())),
            turn = registry.turn.lock() => turn,
        };
        loop {
            match answered.try_recv() {
                Ok(answer) => return answer,
                Err(oneshot::error::TryRecvError::Closed) => return Err(defect()),
                Err(oneshot::error::TryRecvError::Empty) => serve(&registry, most).await,
            }
        }
    })
    .await
}

/// Decides on the wishes there are, up to the first that touches an instance which another one has changed; keeps what they come
/// to, makes it known and answers. The caller has the turn.
async fn serve(registry: &Registry, most: usize) {
    let mut touched = HashSet::new();
    let (mut changes, mut waiting) = (Vec::new(), Vec::new());
    let mut room = most.saturating_sub(registry.all().values().map(|n| n.extents.len()).sum());
    while changes.len() < MOST {
        let Some(wish) = registry.wishes.all().pop_front() else { break };
        // A panic is an error of this one operation.
        let decision = catch_unwind(AssertUnwindSafe(&wish.decide)).unwrap_or_else(|_| Err(defect()));
        let Decision { namespace, path, change, answer } = match decision {
            Ok(decision) => decision,
            Err(error) => {
                // Whoever does not wait any more needs no answer.
                let _ = wish.answer.send(Err(error));
                continue;
            }
        };
        let place = path_text(&path, &namespace.name);
        if touched.contains(&place) {
            registry.wishes.all().push_front(wish);
            break;
        }
        let Some(change) = change else {
            let _ = wish.answer.send(Ok(answer));
            continue;
        };
        if matches!(answer, OperationResult::Created(_)) {
            if let Err(error) = enough(room > 0, "static instances", most) {
                let _ = wish.answer.send(Err(error));
                continue;
            }
            room -= 1;
        }
        touched.insert(place);
        changes.push(change);
        waiting.push((namespace, answer, wish.answer));
    }
    if changes.is_empty() {
        return;
    }
    let alone = changes.len() == 1;
    let together = keep(registry, &changes).await;
    let (mut answers, mut news) = (Vec::new(), Vec::new());
    for (change, (namespace, answer, waiting)) in changes.into_iter().zip(waiting) {
        let kept = match &together {
            // One that cannot be kept does not take the others with it.
            Err(_) if !alone => keep(registry, std::slice::from_ref(&change)).await,
            kept => kept.clone(),
        };
        if kept.is_ok() {
            news.extend(make_known(&namespace, change));
        }
        answers.push((waiting, kept.map(|()| answer)));
    }
    // The repository is a store of its own, so that this is no part of the change; it still has the turn, so that changes are told in
    // their order.
    if let Some(indications) = &registry.indications {
        indications.instances_changed(&news).await;
    }
    for (waiting, answer) in answers {
        let _ = waiting.send(answer);
    }
}

/// Lets a change be seen, and says what it was.
fn make_known(namespace: &Namespace, change: Change) -> Option<InstanceChange> {
    let (path, after) = match change {
        Change::SetInstance(_, instance) => (instance.path.clone()?, Some(instance)),
        Change::RemoveInstance(_, path) => (path, None),
        _ => return None,
    };
    let before = namespace.extents.get(&path);
    match &after {
        Some(instance) => namespace.extents.set(Instance::clone(instance)),
        None => {
            namespace.extents.remove(&path);
        }
    }
    Some(InstanceChange { namespace: namespace.name.clone(), before, after })
}

fn defect() -> CimError {
    tracing::error!("a write of a static instance panicked");
    CimError::failed("the operation met a defect of the server; its log says more")
}

impl Wishes {
    fn all(&self) -> MutexGuard<'_, VecDeque<Wish>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
