//! Pulled enumerations: Open…, Pull…, CloseEnumeration and EnumerationCount (DSP0200 5.4.2).
//!
//! A session belongs to the user who opened it, not to a connection. It holds a cursor and at most one page of instances; how
//! many there may be is limited, and one that nobody uses for its time is dropped at the next look.

use crate::broker::{Limits, Scope};
use crate::stream::ObjectStream;
use cimwright_cim::operation::{ObjectShape, OpenOptions, OperationResult, PullKind};
use cimwright_cim::{CimError, CimStatus, Instance, NamespaceName};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// How many portions one answer looks through: a filter that finds little must not keep a client waiting for ever. The answer
/// is then empty and the enumeration goes on.
const PORTIONS: usize = 64;

/// All open sessions.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Session>>);

struct Session {
    user: String,
    namespace: NamespaceName,
    kind: PullKind,
    timeout: Duration,
    expires: SystemTime,
    /// `None` while a Pull is at work with it.
    cursor: Option<Cursor>,
}

struct Cursor {
    stream: ObjectStream,
    ready: VecDeque<Instance>,
    /// ContinueOnError: an error does not end the session.
    goes_on: bool,
    /// An error that is told by the next answer, because this one has instances or the context.
    waiting: Option<CimError>,
}

/// A session whose Pull is at work. Dropped half-way, as happens when a client disconnects, it ends the session: what was
/// fetched is lost, and an enumeration with a hole must not go on.
struct Borrowed<'a> {
    sessions: &'a Sessions,
    context: &'a str,
    finished: bool,
}

/// The first answer of an Open… operation.
pub(crate) async fn open(
    scope: &Scope,
    mut stream: ObjectStream,
    kind: PullKind,
    options: &OpenOptions,
) -> Result<OperationResult, CimError> {
    let limits = &scope.inner.limits;
    let timeout = check(options, limits)?;
    if options.continue_on_error {
        stream.go_on_after_errors();
    }
    let mut cursor =
        Cursor { stream, ready: VecDeque::new(), goes_on: options.continue_on_error, waiting: None };
    let items = match cursor.take(options.max_object_count.min(limits.max_object_count)).await {
        // An Open that fails gives no context to go on with.
        Err(error) if cursor.goes_on => {
            cursor.waiting = Some(error);
            Vec::new()
        }
        taken => taken?,
    };
    let context = if cursor.is_at_end() {
        None
    } else {
        let now = scope.inner.jobs.clock().now();
        let session = Session {
            user: scope.principal.name().to_owned(),
            namespace: scope.namespace.name.clone(),
            kind,
            timeout,
            expires: now + timeout,
            cursor: Some(cursor),
        };
        Some(scope.inner.sessions.add(session, limits, now)?)
    };
    Ok(OperationResult::Pulled { shape: shape(kind), items, context, query_result_class: None })
}

/// Pull…
pub(crate) async fn pull(
    scope: &Scope,
    kind: PullKind,
    context: &str,
    max_object_count: u32,
) -> Result<OperationResult, CimError> {
    let inner = &scope.inner;
    let now = inner.jobs.clock().now();
    let (mut cursor, borrowed) = inner.sessions.borrow(scope, context, kind, now)?;
    let items = match cursor.take(max_object_count.min(inner.limits.max_object_count)).await {
        Err(error) if cursor.goes_on => {
            borrowed.give_back(Some(cursor), inner.jobs.clock().now())?;
            return Err(error);
        }
        taken => taken?,
    };
    let at_end = cursor.is_at_end();
    borrowed.give_back((!at_end).then_some(cursor), inner.jobs.clock().now())?;
    Ok(OperationResult::Pulled {
        shape: shape(kind),
        items,
        context: (!at_end).then(|| context.to_owned()),
        query_result_class: None,
    })
}

/// CloseEnumeration. A Pull that is at work with the session ends with CIM_ERR_PULL_HAS_BEEN_ABANDONED.
pub(crate) fn close(scope: &Scope, context: &str) -> Result<OperationResult, CimError> {
    let now = scope.inner.jobs.clock().now();
    let mut sessions = scope.inner.sessions.in_time(now);
    if !sessions.get(context).is_some_and(|s| s.is_usable(scope)) {
        return Err(unknown_context());
    }
    sessions.remove(context);
    Ok(OperationResult::Void)
}

/// EnumerationCount: nobody counts ahead, so the answer is NULL, for unknown.
pub(crate) fn count(scope: &Scope, context: &str) -> Result<OperationResult, CimError> {
    let now = scope.inner.jobs.clock().now();
    let sessions = scope.inner.sessions.in_time(now);
    match sessions.get(context) {
        Some(session) if session.is_usable(scope) => Ok(OperationResult::Count(None)),
        _ => Err(unknown_context()),
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sessions whose time is not over. Whoever looks drops the others, with what their cursors hold.
    fn in_time(&self, now: SystemTime) -> MutexGuard<'_, HashMap<String, Session>> {
        let mut sessions = self.lock();
        sessions.retain(|_, s| s.cursor.is_none() || s.expires > now);
        sessions
    }

    fn add(&self, session: Session, limits: &Limits, now: SystemTime) -> Result<String, CimError> {
        let mut sessions = self.in_time(now);
        let own = sessions.values().filter(|s| s.user == session.user).count();
        if sessions.len() >= limits.sessions || own >= limits.sessions_per_user {
            return Err(CimError::new(
                CimStatus::ServerLimitsExceeded,
                format!(
                    "too many enumerations are open ({own} of them by {}); pull them to their ends or close them",
                    session.user
                ),
            ));
        }
        // 122 random bits: knowing a context is not enough to use it, but guessing one is hopeless as well.
        let context = Uuid::new_v4().to_string();
        sessions.insert(context.clone(), session);
        Ok(context)
    }

    fn borrow<'a>(
        &'a self,
        scope: &Scope,
        context: &'a str,
        kind: PullKind,
        now: SystemTime,
    ) -> Result<(Cursor, Borrowed<'a>), CimError> {
        let mut sessions = self.in_time(now);
        let session = sessions
            .get_mut(context)
            .filter(|s| s.is_usable(scope) && s.kind == kind)
            .ok_or_else(unknown_context)?;
        let Some(cursor) = session.cursor.take() else {
            return Err(CimError::failed("another Pull is at work with this enumeration; one at a time"));
        };
        Ok((cursor, Borrowed { sessions: self, context, finished: false }))
    }
}

impl Session {
    /// Whether the session is there for this user, in this namespace.
    fn is_usable(&self, scope: &Scope) -> bool {
        self.user == scope.principal.name() && self.namespace == scope.namespace.name
    }
}

impl Borrowed<'_> {
    /// Ends the Pull; without a cursor the session is over.
    fn give_back(mut self, cursor: Option<Cursor>, now: SystemTime) -> Result<(), CimError> {
        self.finished = true;
        let mut sessions = self.sessions.lock();
        let Some(session) = sessions.get_mut(self.context) else {
            let text = "the enumeration was closed while this Pull was at work";
            return Err(CimError::new(CimStatus::PullHasBeenAbandoned, text));
        };
        match cursor {
            Some(cursor) => {
                // The time runs from the answer to the next request, also after a Pull of nothing.
                session.expires = now + session.timeout;
                session.cursor = Some(cursor);
            }
            None => {
                sessions.remove(self.context);
            }
        }
        Ok(())
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.sessions.lock().remove(self.context);
        }
    }
}

impl Cursor {
    /// Up to `wanted` instances.
    async fn take(&mut self, wanted: u32) -> Result<Vec<Instance>, CimError> {
        let wanted = wanted as usize;
        if let Some(error) = self.waiting.take() {
            return Err(error);
        }
        for _ in 0..PORTIONS {
            if self.ready.len() >= wanted {
                break;
            }
            match self.stream.next().await {
                Ok(Some(portion)) => self.ready.extend(portion),
                Ok(None) => break,
                Err(error) if self.goes_on && !self.ready.is_empty() => {
                    self.waiting = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let count = wanted.min(self.ready.len());
        Ok(self.ready.drain(..count).collect())
    }

    fn is_at_end(&self) -> bool {
        self.ready.is_empty() && self.stream.is_finished() && self.waiting.is_none()
    }
}

/// The idle time of the session that the options ask for.
fn check(options: &OpenOptions, limits: &Limits) -> Result<Duration, CimError> {
    match options.operation_timeout {
        None => Ok(limits.default_timeout),
        Some(seconds) => {
            let timeout = Duration::from_secs(u64::from(seconds));
            if seconds == 0 || timeout > limits.max_timeout {
                let most = limits.max_timeout.as_secs();
                let text = format!("OperationTimeout must be between 1 and {most} seconds");
                return Err(CimError::new(CimStatus::InvalidOperationTimeout, text));
            }
            Ok(timeout)
        }
    }
}

fn shape(kind: PullKind) -> ObjectShape {
    match kind {
        PullKind::InstancesWithPath => ObjectShape::InstanceWithPath,
        PullKind::InstancePaths => ObjectShape::InstancePath,
        PullKind::Instances => ObjectShape::Instance,
    }
}

/// One answer for all reasons: a user must not learn which contexts others have.
fn unknown_context() -> CimError {
    CimError::new(
        CimStatus::InvalidEnumerationContext,
        "there is no such open enumeration: it is at its end, closed, expired, of another kind, or not yours",
    )
}
