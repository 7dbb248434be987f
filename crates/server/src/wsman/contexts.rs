//! Enumerations between Enumerate and the last Pull. How many there may be is limited, each belongs to the user who began it, and
//! one that nobody renews or pulls is forgotten.

use crate::execute::Objects;
use cimwright_cim::{Class, ClassName, Instance, NamespaceName, Schema};
use cimwright_codec::wsman::{ClassUris, EnumerationMode, Fault, Forms, ItemWriter, Subcode};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How many contexts there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContextLimits {
    /// In all.
    pub(crate) contexts: usize,
    /// Of one user.
    pub(crate) per_user: usize,
}

/// How the items of an enumeration look.
#[derive(Clone)]
pub(super) struct Look {
    /// The namespace of the instances.
    pub(super) namespace: NamespaceName,
    /// How classes are named, as Enumerate did: Pull may come to another resource URI.
    pub(super) uris: ClassUris,
    /// What the items are.
    pub(super) mode: EnumerationMode,
    /// Whether they are some properties of instances.
    pub(super) projected: bool,
    /// The class that instances of subclasses are shown as.
    pub(super) shown_as: Option<Arc<Class>>,
}

impl Look {
    /// Writes items, instances in the forms that a request asks for.
    pub(super) fn items(&self, forms: Forms) -> ItemWriter<'_> {
        let shown_as = self.shown_as.as_ref().map(|c| &c.name);
        ItemWriter::new(&self.uris, Some(&self.namespace), self.mode, self.projected, shown_as)
            .with_forms(forms)
    }
}

/// What an enumeration has still to give, and how.
pub(super) struct Session {
    /// How it is written.
    pub(super) look: Look,
    /// The classes of the namespace.
    pub(super) schema: Arc<Schema>,
    /// The only class of which instances are shown.
    pub(super) only: Option<ClassName>,
    /// What comes, if anything does.
    pub(super) stream: Option<Box<dyn Objects>>,
    /// What has come and was not sent yet.
    pub(super) ready: VecDeque<Instance>,
    /// How many items were given so far.
    pub(super) given: u64,
}

impl Session {
    /// Whether instances of this class are shown.
    pub(super) fn shows(&self, class: &ClassName) -> bool {
        self.only.as_ref().is_none_or(|only| class == only)
    }

    /// How many items there are in all, once all of them have come.
    pub(super) fn total(&self) -> Option<u64> {
        let waiting = || self.ready.iter().filter(|i| self.shows(&i.class)).count() as u64;
        self.stream.is_none().then(|| self.given + waiting())
    }
}

/// How long an enumeration is kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Term {
    /// As long as somebody uses it within this time.
    Unused(Duration),
    /// Until then, used or not.
    Until(Instant),
}

impl From<Duration> for Term {
    fn from(duration: Duration) -> Self {
        Self::Unused(duration)
    }
}

impl Term {
    fn end(self, now: Instant) -> Instant {
        match self {
            Self::Unused(duration) => now + duration,
            Self::Until(end) => end,
        }
    }
}

struct Slot {
    user: String,
    term: Term,
    expires: Instant,
    /// `None` while a Pull is at work with it.
    session: Option<Box<Session>>,
}

/// All enumerations that are open.
pub(crate) struct Contexts {
    limits: ContextLimits,
    slots: Mutex<HashMap<String, Slot>>,
}

/// A session that a Pull is at work with. Dropped half-way, it ends the enumeration: one with a hole must not go on.
pub(super) struct Borrowed<'a> {
    contexts: &'a Contexts,
    context: String,
    finished: bool,
}

impl Contexts {
    pub(crate) fn new(limits: ContextLimits) -> Self {
        Self { limits, slots: Mutex::default() }
    }

    /// Keeps an enumeration for later; its context.
    pub(super) fn add(
        &self,
        user: &str,
        session: Box<Session>,
        term: impl Into<Term>,
        now: Instant,
    ) -> Result<String, Fault> {
        let term = term.into();
        let mut slots = self.slots();
        slots.retain(|_, s| s.session.is_none() || s.expires > now);
        let own = slots.values().filter(|s| s.user == user).count();
        if slots.len() >= self.limits.contexts || own >= self.limits.per_user {
            let text = format!(
                "too many enumerations are open ({own} of them by {user}); pull them to their ends or release them"
            );
            return Err(Fault::new(Subcode::QuotaLimit, text));
        }
        // 122 random bits: knowing a context is not enough to use it, but guessing one is hopeless as well.
        let context = format!("uuid:{}", Uuid::new_v4());
        let slot = Slot { user: user.to_owned(), term, expires: term.end(now), session: Some(session) };
        slots.insert(context.clone(), slot);
        Ok(context)
    }

    /// Takes an enumeration to pull from it.
    pub(super) fn borrow(
        &self,
        user: &str,
        context: &str,
        now: Instant,
    ) -> Result<(Box<Session>, Borrowed<'_>), Fault> {
        let mut slots = self.slots();
        let slot = usable(&mut slots, user, context, now)?;
        let Some(session) = slot.session.take() else {
            return Err(Fault::new(
                Subcode::Concurrency,
                "another Pull is at work with this enumeration; one at a time",
            ));
        };
        Ok((session, Borrowed { contexts: self, context: context.to_owned(), finished: false }))
    }

    /// Ends an enumeration.
    pub(super) fn release(&self, user: &str, context: &str, now: Instant) -> Result<(), Fault> {
        let mut slots = self.slots();
        usable(&mut slots, user, context, now)?;
        slots.remove(context);
        Ok(())
    }

    /// Gives an enumeration another term, if there is one; how long it stays.
    pub(super) fn renew(
        &self,
        user: &str,
        context: &str,
        term: Option<Term>,
        now: Instant,
    ) -> Result<Duration, Fault> {
        let mut slots = self.slots();
        let slot = usable(&mut slots, user, context, now)?;
        if let Some(term) = term {
            slot.term = term;
            slot.expires = term.end(now);
        }
        Ok(slot.expires.saturating_duration_since(now))
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Borrowed<'_> {
    /// Ends the Pull. Without a session the enumeration is over.
    pub(super) fn give_back(mut self, session: Option<Box<Session>>) {
        self.finished = true;
        let mut slots = self.contexts.slots();
        match (session, slots.get_mut(&self.context)) {
            (Some(session), Some(slot)) => {
                // A time without use runs from the last use.
                slot.expires = slot.term.end(Instant::now());
                slot.session = Some(session);
            }
            // Released in the meantime, or at its end.
            _ => {
                slots.remove(&self.context);
            }
        }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.contexts.slots().remove(&self.context);
        }
    }
}

/// The enumeration of a user. One answer for all reasons: a user must not learn which contexts others have.
fn usable<'s>(
    slots: &'s mut HashMap<String, Slot>,
    user: &str,
    context: &str,
    now: Instant,
) -> Result<&'s mut Slot, Fault> {
    slots.get_mut(context).filter(|s| s.user == user && (s.session.is_none() || s.expires > now)).ok_or_else(
        || Fault::new(Subcode::InvalidEnumerationContext, "The supplied enumeration context is invalid."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Box<Session> {
        Box::new(Session {
            look: Look {
                namespace: NamespaceName::new("root/a"),
                uris: ClassUris::default(),
                mode: EnumerationMode::Object,
                projected: false,
                shown_as: None,
            },
            schema: Arc::default(),
            only: None,
            stream: None,
            ready: VecDeque::new(),
            given: 0,
        })
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn subcode<T>(result: Result<T, Fault>) -> Option<Subcode> {
        result.err().and_then(|f| f.subcode)
    }

    #[test]
    fn contexts_are_counted_and_forgotten() {
        let mut now = Instant::now();
        let contexts = Contexts::new(ContextLimits { contexts: 3, per_user: 2 });
        let first = contexts.add("ann", session(), MINUTE, now).unwrap();
        contexts.add("ann", session(), MINUTE, now).unwrap();
        assert_eq!(subcode(contexts.add("ann", session(), MINUTE, now)), Some(Subcode::QuotaLimit));
        contexts.add("bob", session(), 2 * MINUTE, now).unwrap();
        assert_eq!(subcode(contexts.add("cy", session(), MINUTE, now)), Some(Subcode::QuotaLimit));
        assert_eq!(contexts.renew("ann", &first, Some(Term::Unused(3 * MINUTE)), now).unwrap(), 3 * MINUTE);
        now += MINUTE;
        assert_eq!(contexts.renew("ann", &first, None, now).unwrap(), 2 * MINUTE);
        contexts.add("ann", session(), MINUTE, now).unwrap();
        now += 2 * MINUTE;
        assert_eq!(
            subcode(contexts.renew("ann", &first, None, now)),
            Some(Subcode::InvalidEnumerationContext)
        );
    }

    #[test]
    fn a_point_in_time_is_not_put_off_by_use() {
        let now = Instant::now();
        let contexts = Contexts::new(ContextLimits { contexts: 3, per_user: 2 });
        let context = contexts.add("ann", session(), Term::Until(now + MINUTE), now).unwrap();
        let (taken, borrowed) = contexts.borrow("ann", &context, now).unwrap();
        borrowed.give_back(Some(taken));
        assert_eq!(contexts.renew("ann", &context, None, now).unwrap(), MINUTE);
        let late = now + MINUTE;
        assert_eq!(
            subcode(contexts.renew("ann", &context, None, late)),
            Some(Subcode::InvalidEnumerationContext)
        );
    }

    #[test]
    fn a_context_is_for_its_user_and_for_one_pull() {
        let now = Instant::now();
        let contexts = Contexts::new(ContextLimits { contexts: 3, per_user: 2 });
        let context = contexts.add("ann", session(), MINUTE, now).unwrap();
        assert_eq!(subcode(contexts.release("bob", &context, now)), Some(Subcode::InvalidEnumerationContext));
        let (taken, borrowed) = contexts.borrow("ann", &context, now).unwrap();
        assert_eq!(subcode(contexts.borrow("ann", &context, now)), Some(Subcode::Concurrency));
        borrowed.give_back(Some(taken));
        let (_, borrowed) = contexts.borrow("ann", &context, now).unwrap();
        drop(borrowed);
        assert_eq!(subcode(contexts.borrow("ann", &context, now)), Some(Subcode::InvalidEnumerationContext));
    }
}
