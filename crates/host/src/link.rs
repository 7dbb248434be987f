//! One life of the process of a provider: what is asked, who waits for which answer, and how it ended.

use crate::child::{self, Group, Started};
use crate::errors;
use cimwright_cim::{ErrorDetail, Instance, NamespaceName};
use cimwright_sdk::Alerts;
use cimwright_sdk::process::frame::{self, FrameError};
use cimwright_sdk::process::wire::{Answer, Call, FromProvider, Hello, Operation, ToProvider, WireContext};
use cimwright_sdk::process::wire::{WireCimError, WireInstance, WireValue, WireWish};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Child;
use tokio::sync::{Notify, mpsc, watch};

/// How many messages wait for the process before whoever asks has to wait.
const QUEUE: usize = 64;

/// How many events of one call may be unread. Portions are paid for one by one; progress and results come a few at a time.
const EVENTS: usize = 1024;

/// How many bytes of results of one call may be unread. All that a step may leave is half of it.
const UNREAD_RESULTS: usize = 2 * frame::MAX_FRAME;

/// How long a process may take to answer a call that was cancelled. It has nothing to do for that but to listen.
const CANCEL_GRACE: Duration = Duration::from_secs(10);

/// How long the end of a process may take after its socket is closed.
const END_GRACE: Duration = Duration::from_secs(2);

/// How often is looked whether a cancelled call has been answered.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a provider says about a call.
pub(crate) enum Event {
    /// Instances, whether they are the last ones, and their length in bytes.
    Portion(Vec<WireInstance>, bool, usize),
    Progress(u64, u64, u16),
    /// A name, a value, and their length in bytes.
    Result(String, WireValue, usize),
    Paused(bool),
    Answer(Answer),
}

/// How a process came to its end.
#[derive(Clone, Debug)]
enum Ending {
    /// By itself, or by somebody else's hand.
    Ended(String),
    /// Ended by us: it said what makes no sense.
    Nonsense(String),
    /// Ended by us: it sent too much.
    TooMuch(String),
}

/// A running process.
pub(crate) struct Link {
    name: String,
    next: AtomicU64,
    out: mpsc::Sender<Vec<u8>>,
    /// How many messages were written to its socket.
    sent: AtomicU64,
    /// The calls without an answer; `None` when there will be no more answers.
    waiting: Mutex<Option<HashMap<u64, Waiting>>>,
    ending: watch::Sender<Option<Ending>>,
    /// Why it is to be ended.
    condemned: Mutex<Option<Ending>>,
    kill: Notify,
    /// Whether it has answered anything.
    proved: AtomicBool,
}

struct Waiting {
    /// `None` once nobody waits any more.
    events: Option<mpsc::Sender<Event>>,
    /// How many portions it may send.
    credit: u32,
    /// Whether it is work of a job, which has progress and results.
    is_step: bool,
    /// How many bytes of results wait to be read.
    unread: Arc<AtomicUsize>,
}

/// A process that has said hello and waits to be welcomed.
pub(crate) struct Greeted {
    pub(crate) hello: Hello,
    started: Started,
}

/// A call and what is still to come of it. Dropping it before its answer cancels it.
pub(crate) struct Conversation {
    link: Arc<Link>,
    id: u64,
    what: String,
    events: mpsc::Receiver<Event>,
    unread: Arc<AtomicUsize>,
    answered: bool,
}

impl Greeted {
    /// Starts the process and waits for its hello.
    pub(crate) async fn start(settings: &crate::ProcessSettings) -> Result<Self, ErrorDetail> {
        let name = settings.name.as_str();
        let mut started = child::start(settings)
            .await
            .map_err(|e| errors::not_started(name, format!("{}: {e}", settings.program.display())))?;
        let hello = tokio::time::timeout(settings.start_timeout, frame::receive(&mut started.stream)).await;
        match hello {
            Ok(Ok(Some(FromProvider::Hello(hello)))) => Ok(Self { hello: *hello, started }),
            Ok(Ok(Some(_))) => Err(errors::nonsense(name, "its first message is no hello")),
            Ok(Err(error @ FrameError::Nonsense(_))) => Err(errors::nonsense(name, error.to_string())),
            Ok(Err(error @ FrameError::TooLong { .. })) => Err(errors::too_much(name, error.to_string())),
            Ok(Ok(None) | Err(FrameError::Broken(_))) => {
                let status = tokio::time::timeout(END_GRACE, started.child.wait()).await;
                // Its output may still be on the way.
                tokio::task::yield_now().await;
                let how = match status {
                    Ok(Ok(status)) => child::in_words(status, &started.last_words),
                    _ => "it closed its socket".to_owned(),
                };
                Err(errors::not_started(name, how))
            }
            Err(_) => {
                let seconds = settings.start_timeout.as_secs_f64();
                Err(errors::not_started(name, format!("it said nothing within {seconds} seconds")))
            }
        }
    }

    /// Welcomes it with these messages; from now on it takes calls.
    pub(crate) fn welcome(
        self,
        name: &str,
        messages: &[Vec<u8>],
        alerts: Alerts,
        allowed: Vec<NamespaceName>,
    ) -> Arc<Link> {
        let Started { group, child, stream, last_words } = self.started;
        let (from, to) = stream.into_split();
        let (out, queue) = mpsc::channel(QUEUE);
        let link = Arc::new(Link::new(name, out));
        tokio::spawn(write(Arc::downgrade(&link), to, messages.concat(), queue));
        let reader = Reader { link: Arc::clone(&link), alerts, allowed };
        tokio::spawn(reader.live(from, group, child, last_words));
        link
    }
}

impl Link {
    fn new(name: &str, out: mpsc::Sender<Vec<u8>>) -> Self {
        Self {
            name: name.to_owned(),
            next: AtomicU64::new(1),
            out,
            sent: AtomicU64::new(0),
            waiting: Mutex::new(Some(HashMap::new())),
            ending: watch::Sender::new(None),
            condemned: Mutex::default(),
            kill: Notify::new(),
            proved: AtomicBool::new(false),
        }
    }

    /// Whether it takes no more calls.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().is_none()
    }

    /// Whether it has answered anything.
    pub(crate) fn has_proved_itself(&self) -> bool {
        self.proved.load(Ordering::Acquire)
    }

    /// Why it ended while it worked on something.
    pub(crate) async fn reason(&self, what: &str) -> ErrorDetail {
        let mut ending = self.ending.subscribe();
        let ending = ending.wait_for(Option::is_some).await.ok().and_then(|e| e.clone());
        match ending {
            Some(Ending::Nonsense(text)) => errors::nonsense(&self.name, text),
            Some(Ending::TooMuch(text)) => errors::too_much(&self.name, text),
            Some(Ending::Ended(how)) => errors::ended(&self.name, what, how),
            None => errors::ended(&self.name, what, "unknown end"),
        }
    }

    /// Asks for something.
    pub(crate) async fn call(
        self: &Arc<Self>,
        context: Option<WireContext>,
        operation: Operation,
        what: &str,
    ) -> Result<Conversation, ErrorDetail> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let is_step = matches!(operation, Operation::Run { .. } | Operation::Undo { .. });
        let message = ToProvider::Call(Call { id, context, operation });
        let frame = frame::encode(&message).map_err(|e| errors::too_long(&self.name, e.to_string()))?;
        // The wait for room comes before the call is known: one that is given up meanwhile was never sent, so that there is nothing
        // to cancel and no answer to expect.
        let Ok(room) = self.out.reserve().await else {
            return Err(self.reason(what).await);
        };
        let (sender, events) = mpsc::channel(EVENTS);
        let unread = Arc::new(AtomicUsize::new(0));
        let known = match self.lock().as_mut() {
            Some(waiting) => {
                let unread = Arc::clone(&unread);
                waiting.insert(id, Waiting { events: Some(sender), credit: 1, is_step, unread });
                true
            }
            None => false,
        };
        if !known {
            return Err(self.reason(what).await);
        }
        let conversation = Conversation {
            link: Arc::clone(self),
            id,
            what: what.to_owned(),
            events,
            unread,
            answered: false,
        };
        room.send(frame);
        Ok(conversation)
    }

    /// How many messages the process has been sent. While there is no room, a number that stays the same means that it does not read.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends the process if it goes on to read nothing of what waits for it, for as long as a cancelled call may take.
    pub(crate) fn end_unless_it_listens(self: &Arc<Self>) {
        let (link, before) = (Arc::clone(self), self.sent());
        tokio::spawn(async move {
            tokio::time::sleep(CANCEL_GRACE).await;
            if link.sent() == before {
                link.end_for_not_listening();
            }
        });
    }

    fn end_for_not_listening(&self) {
        self.condemn(Ending::Ended("it was ended, since it did not listen any more".to_owned()));
    }

    /// Ends the process for this reason.
    fn condemn(&self, why: Ending) {
        self.condemned.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.kill.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_waited_for(&self, id: u64) -> bool {
        self.lock().as_ref().is_some_and(|w| w.contains_key(&id))
    }
}

impl Link {
    /// Returns when a call is answered, or its process has really ended. A call that was cancelled is one or the other within a bound.
    pub(crate) async fn over(&self, id: u64) {
        let mut ending = self.ending.subscribe();
        while self.is_waited_for(id) {
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                _ = ending.wait_for(Option::is_some) => return,
            }
        }
        if self.has_ended() {
            let _ = ending.wait_for(Option::is_some).await;
        }
    }
}

impl Conversation {
    /// What tells when the call is over, also after nobody listens any more.
    pub(crate) fn ticket(&self) -> (Arc<Link>, u64) {
        (Arc::clone(&self.link), self.id)
    }

    /// The next event. Dropping the returned future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Event, ErrorDetail> {
        match self.events.recv().await {
            Some(event) => {
                self.answered |= matches!(event, Event::Answer(_));
                if let Event::Result(_, _, length) = &event {
                    self.unread.fetch_sub(*length, Ordering::Relaxed);
                }
                Ok(event)
            }
            None => Err(self.link.reason(&self.what).await),
        }
    }

    /// The next event, if it comes in time.
    pub(crate) async fn next_within(&mut self, limit: Duration) -> Result<Event, ErrorDetail> {
        match tokio::time::timeout(limit, self.next()).await {
            Ok(event) => event,
            Err(_) => Err(errors::timed_out(&self.link.name, &self.what, limit)),
        }
    }

    /// The answer of a call that has nothing else to say, if it comes in time.
    pub(crate) async fn answer_within(&mut self, limit: Duration) -> Result<Answer, ErrorDetail> {
        match self.next_within(limit).await? {
            Event::Answer(answer) => Ok(answer),
            _ => Err(self.misplaced()),
        }
    }

    /// Allows one more portion, after the last one that was allowed has come. Asked twice, it is still one.
    pub(crate) async fn more(&self) -> Result<(), ErrorDetail> {
        let id = self.id;
        // Before it is said, since the portion may be here sooner than this goes on.
        if let Some(waiting) = self.link.lock().as_mut().and_then(|w| w.get_mut(&id)) {
            waiting.credit = 1;
        }
        self.say(&ToProvider::More { id }).await
    }

    /// Tells the step what it should be doing.
    pub(crate) async fn wish(&self, wish: WireWish) -> Result<(), ErrorDetail> {
        self.say(&ToProvider::Wish { id: self.id, wish }).await
    }

    /// Ends the process for an answer that does not fit the question, and gives the reason.
    pub(crate) fn misplaced(&self) -> ErrorDetail {
        let text = format!("its answer to {} is one to something else", self.what);
        self.link.condemn(Ending::Nonsense(text.clone()));
        errors::nonsense(&self.link.name, text)
    }

    /// Ends the process for having sent too much, and gives the reason.
    pub(crate) fn too_much(&self, what: &str) -> ErrorDetail {
        self.link.condemn(Ending::TooMuch(what.to_owned()));
        errors::too_much(&self.link.name, what)
    }

    async fn say(&self, message: &ToProvider) -> Result<(), ErrorDetail> {
        let frame = frame::encode(message).map_err(|e| errors::too_long(&self.link.name, e.to_string()))?;
        match self.link.out.send(frame).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.link.reason(&self.what).await),
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let (link, id) = (Arc::clone(&self.link), self.id);
        match link.lock().as_mut().and_then(|w| w.get_mut(&id)) {
            Some(waiting) => waiting.events = None,
            None => return,
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let listened = tokio::time::timeout(CANCEL_GRACE, async {
                if let Ok(frame) = frame::encode(&ToProvider::Cancel { id }) {
                    let _ = link.out.send(frame).await;
                }
                link.over(id).await;
            });
            if listened.await.is_err() {
                link.end_for_not_listening();
            }
        });
    }
}

/// Reads what the process says, to its end.
struct Reader {
    link: Arc<Link>,
    alerts: Alerts,
    allowed: Vec<NamespaceName>,
}

impl Reader {
    async fn live(
        self,
        mut from: OwnedReadHalf,
        group: Group,
        mut child: Child,
        last_words: Arc<Mutex<String>>,
    ) {
        let said = {
            let mut listening = pin!(self.listen(&mut from));
            tokio::select! {
                said = &mut listening => said,
                () = self.link.kill.notified() => Ok(()),
                // What it said last is still read. A program that it started may hold the socket for longer, and does not count.
                _ = child.wait() => tokio::time::timeout(END_GRACE, &mut listening).await.unwrap_or(Ok(())),
            }
        };
        // Nobody is given to it from now on; whoever waits learns why as soon as it is known.
        let waiting = self.link.lock().take();
        let condemned = self.link.condemned.lock().unwrap_or_else(PoisonError::into_inner).take();
        let verdict = condemned.or(said.err());
        let status = match &verdict {
            Some(_) => {
                let _ = child.start_kill();
                // One that cannot be killed, since it is somebody else's, must not keep those waiting who want to know.
                tokio::time::timeout(END_GRACE, child.wait()).await.ok().and_then(Result::ok)
            }
            None => match tokio::time::timeout(END_GRACE, child.wait()).await {
                Ok(status) => status.ok(),
                Err(_) => {
                    let _ = tokio::time::timeout(END_GRACE, child.kill()).await;
                    None
                }
            },
        };
        // What it has started does not work on beside the next process.
        drop(group);
        let ending = verdict.unwrap_or_else(|| {
            Ending::Ended(match status {
                Some(status) => child::in_words(status, &last_words),
                None => "it closed its socket".to_owned(),
            })
        });
        tracing::warn!(provider = self.link.name, ?ending, "the process of a provider has ended");
        self.link.ending.send_replace(Some(ending));
        drop(waiting);
    }

    async fn listen(&self, from: &mut OwnedReadHalf) -> Result<(), Ending> {
        loop {
            match frame::receive_sized(from).await {
                Ok(Some((message, length))) => self.take(message, length).await?,
                Ok(None) | Err(FrameError::Broken(_)) => return Ok(()),
                Err(error @ FrameError::Nonsense(_)) => return Err(Ending::Nonsense(error.to_string())),
                Err(error @ FrameError::TooLong { .. }) => return Err(Ending::TooMuch(error.to_string())),
            }
        }
    }

    async fn take(&self, message: FromProvider, length: usize) -> Result<(), Ending> {
        let (id, event) = match message {
            FromProvider::Portion { id, instances, last } => (id, Event::Portion(instances, last, length)),
            FromProvider::Progress { id, done, total, share } => {
                (id, Event::Progress(done, total, share.min(10_000)))
            }
            FromProvider::Result { id, name, value } => (id, Event::Result(name, value, length)),
            FromProvider::Paused { id, paused } => (id, Event::Paused(paused)),
            FromProvider::Answer { id, answer } => (id, Event::Answer(answer)),
            FromProvider::Raise { id, namespace, indication } => {
                return self.raise(id, namespace, indication).await;
            }
            FromProvider::Hello(_) => return Err(Ending::Nonsense("it said hello twice".to_owned())),
        };
        self.pass_on(id, event)
    }

    fn pass_on(&self, id: u64, event: Event) -> Result<(), Ending> {
        let mut guard = self.link.lock();
        let Some(calls) = guard.as_mut() else { return Ok(()) };
        let Some(waiting) = calls.get_mut(&id) else {
            return Err(Ending::Nonsense(format!("it speaks of call {id}, which is not under way")));
        };
        if matches!(event, Event::Portion(..)) {
            if waiting.credit == 0 {
                return Err(Ending::TooMuch("instances that it was not asked for yet".to_owned()));
            }
            waiting.credit -= 1;
        }
        if !waiting.is_step && matches!(event, Event::Progress(..) | Event::Result(..) | Event::Paused(_)) {
            let text = format!("call {id} is no step of a job, and has neither progress nor results");
            return Err(Ending::Nonsense(text));
        }
        if let (Event::Result(_, _, length), Some(_)) = (&event, &waiting.events) {
            // Counted before it can be read, so that the reader does not take away what is not there yet.
            let before = waiting.unread.fetch_add(*length, Ordering::Relaxed);
            if before + length > UNREAD_RESULTS {
                let text = format!("more than {UNREAD_RESULTS} bytes of results at once about call {id}");
                return Err(Ending::TooMuch(text));
            }
        }
        let is_answer = matches!(event, Event::Answer(_));
        let kept = match &waiting.events {
            Some(events) => events.try_send(event),
            None => Ok(()),
        };
        if is_answer {
            calls.remove(&id);
            self.link.proved.store(true, Ordering::Release);
        }
        match kept {
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(Ending::TooMuch(format!("more than {EVENTS} messages at once about call {id}")))
            }
            _ => Ok(()),
        }
    }

    /// Passes on an indication. While it is being made durable nothing else is read: what it costs is the provider's to wait for.
    async fn raise(&self, id: u64, namespace: String, indication: WireInstance) -> Result<(), Ending> {
        let namespace = NamespaceName::new(namespace);
        let indication = Instance::try_from(indication).map_err(|e| Ending::Nonsense(e.to_string()))?;
        let taken = if self.allowed.contains(&namespace) {
            self.alerts.raise(&namespace, indication).await
        } else {
            Err(cimwright_cim::CimError::access_denied(format!(
                "the provider {} has nothing to say in {namespace}",
                self.link.name
            )))
        };
        let error = taken.err().as_ref().map(WireCimError::from);
        if let Ok(frame) = frame::encode(&ToProvider::Raised { id, error }) {
            // A process that does not read is noticed by whoever waits for its answers, and ended.
            let _ = self.link.out.send(frame).await;
        }
        Ok(())
    }
}

/// Writes what is in the queue. It does not keep the link, whose end is what closes the queue.
async fn write(link: Weak<Link>, mut to: OwnedWriteHalf, first: Vec<u8>, mut queue: mpsc::Receiver<Vec<u8>>) {
    let mut frame = first;
    loop {
        // A broken connection is noticed by the reader.
        if to.write_all(&frame).await.is_err() {
            return;
        }
        if let Some(link) = link.upgrade() {
            link.sent.fetch_add(1, Ordering::Relaxed);
        }
        match queue.recv().await {
            Some(next) => frame = next,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::InstancePath;

    fn get() -> Operation {
        Operation::Get { path: (&InstancePath::new(None, "X")).into() }
    }

    #[tokio::test]
    async fn a_call_that_was_given_up_before_it_was_sent_costs_the_process_nothing() {
        let (out, mut queue) = mpsc::channel(QUEUE);
        let link = Arc::new(Link::new("x", out));
        let mut sent = Vec::new();
        for _ in 0..QUEUE {
            sent.push(link.call(None, get(), "a call").await.unwrap());
        }
        for _ in 0..10 {
            let unsent = tokio::time::timeout(Duration::from_millis(5), link.call(None, get(), "a call"));
            assert!(unsent.await.is_err(), "there is no room");
        }
        assert_eq!(link.lock().as_ref().unwrap().len(), QUEUE, "nobody waits for what was not sent");
        for _ in 0..QUEUE {
            let frame = queue.recv().await.unwrap();
            let text = String::from_utf8_lossy(&frame[4..]).into_owned();
            assert!(text.starts_with("{\"call\""), "{text}");
        }
        assert!(queue.try_recv().is_err(), "what was not sent is not cancelled");
        // One that was sent is another matter: its answer is still to come.
        drop(sent.pop());
        let cancel = String::from_utf8(queue.recv().await.unwrap().split_off(4)).unwrap();
        assert!(cancel.starts_with("{\"cancel\""), "{cancel}");
        assert_eq!(link.lock().as_ref().unwrap().len(), QUEUE);
    }

    #[tokio::test]
    async fn results_that_nobody_has_read_are_bounded_by_their_bytes() {
        let (out, _queue) = mpsc::channel(QUEUE);
        let link = Arc::new(Link::new("x", out));
        let mut conversation = link.call(None, get(), "a step").await.unwrap();
        let id = conversation.id;
        link.lock().as_mut().unwrap().get_mut(&id).unwrap().is_step = true;
        let reader = Reader { link: Arc::clone(&link), alerts: Alerts::new(), allowed: Vec::new() };
        let result = || Event::Result("Found".to_owned(), WireValue::Boolean(true), frame::MAX_FRAME);
        // As many as it likes, as long as they are read.
        for _ in 0..10 {
            assert!(reader.pass_on(id, result()).is_ok());
            assert!(matches!(conversation.next().await, Ok(Event::Result(..))));
        }
        assert!(reader.pass_on(id, result()).is_ok());
        assert!(reader.pass_on(id, result()).is_ok());
        let Err(Ending::TooMuch(text)) = reader.pass_on(id, result()) else { panic!("it was taken") };
        assert!(text.contains("bytes of results at once"), "{text}");
    }
}
