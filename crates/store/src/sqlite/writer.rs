//! The one task that writes: group commit.
//!
//! Everything that changes the database is a command in a queue. The writer takes what has gathered there, does it all in one
//! transaction, commits once, and then answers: many callers share the cost of making things durable. While it commits, the
//! next group gathers.
//!
//! A command whose own condition does not hold (a lost lease, a duplicate id) is answered so without harm to the others. When
//! the backend itself fails in a statement, the whole group is undone and every command is tried in a transaction of its own,
//! so that only the one at fault fails. When a commit fails, all that were in it fail.

use super::cache::{Cache, Change};
use super::error::{backend, closed};
use super::lock::StateLock;
use super::outbox;
use super::work::{Create, Op, insert};
use async_trait::async_trait;
use cimwright_jobs::{ChangeObserver, JobCounts, JobId, JobRecord, Outgoing, StoreError};
use sqlx::{Connection, SqliteConnection};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// Where a caller waits.
type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// The sending end of the queue.
#[derive(Clone)]
pub(super) struct Queue {
    sender: mpsc::Sender<Command>,
}

/// What can stand in the queue.
enum Command {
    /// Apart from the rest because many become one statement.
    Create(Box<Task<Create>>),
    Other(Box<dyn Work>),
    Close(oneshot::Sender<()>),
}

/// An operation and who waits for it.
pub(super) struct Task<O: Op> {
    op: O,
    outcome: Option<Result<O::Output, StoreError>>,
    reply: Reply<O::Output>,
}

/// A [`Task`] whose type nobody needs to know.
#[async_trait]
trait Work: Send {
    /// Runs the statements; `Err` when the backend failed.
    async fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), sqlx::Error>;

    /// Tells the caller; `Err` when the transaction failed.
    fn answer(self: Box<Self>, committed: Result<(), Failure>);
}

/// A transaction under way.
pub(super) struct Batch<'a> {
    /// The connection, in the transaction.
    pub(super) conn: &'a mut SqliteConnection,
    /// How many jobs there will be.
    pub(super) tally: JobCounts,
    cache: &'a Cache,
    changes: HashMap<JobId, Change>,
    /// Who says what changes have to be told; `None` while nobody wants to know.
    pub(super) observer: Option<Arc<dyn ChangeObserver>>,
    /// What has to be told.
    pub(super) outgoing: Vec<Outgoing>,
    /// The destinations whose queues have grown.
    pub(super) grown: Vec<Uuid>,
}

/// Where the observer is once there is one.
pub(super) type ObserverSlot = Arc<OnceLock<Arc<dyn ChangeObserver>>>;

/// Why a transaction came to nothing.
#[derive(Clone)]
struct Failure {
    context: &'static str,
    error: Arc<sqlx::Error>,
}

/// What went wrong, and whether trying the commands one by one may help.
enum Attempt {
    Statement(Failure),
    Whole(Failure),
}

/// The state of the writing task.
pub(super) struct Writer {
    conn: SqliteConnection,
    receiver: mpsc::Receiver<Command>,
    cache: Arc<Cache>,
    counts: Arc<Mutex<JobCounts>>,
    group: usize,
    lock: StateLock,
    observer: ObserverSlot,
}

impl Queue {
    /// Queues a new job and waits until it is durable.
    pub(super) async fn create(&self, create: Create) -> Result<(), StoreError> {
        let (task, answer) = Task::new(create);
        self.send(Command::Create(Box::new(task))).await?;
        answer.await.map_err(|_| closed())?
    }

    /// Queues an operation and waits until it is durable. It is carried out even if the caller stops waiting.
    pub(super) async fn run<O: Op>(&self, op: O) -> Result<O::Output, StoreError> {
        let (task, answer) = Task::new(op);
        self.send(Command::Other(Box::new(task))).await?;
        answer.await.map_err(|_| closed())?
    }

    /// Waits until everything queued so far is done and the connection is closed.
    pub(super) async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.send(Command::Close(reply)).await.is_ok() {
            // An error means that the writer is gone, which is what was wanted.
            let _ = done.await;
        }
    }

    async fn send(&self, command: Command) -> Result<(), StoreError> {
        self.sender.send(command).await.map_err(|_| closed())
    }
}

impl Writer {
    /// A writer on `conn` and the queue that feeds it. At most `queue` commands wait, at most `group` share a transaction.
    pub(super) fn new(
        conn: SqliteConnection,
        cache: Arc<Cache>,
        counts: Arc<Mutex<JobCounts>>,
        queue: usize,
        group: usize,
        lock: StateLock,
        observer: ObserverSlot,
    ) -> (Self, Queue) {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        (Self { conn, receiver, cache, counts, group: group.max(1), lock, observer }, Queue { sender })
    }

    /// Works until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        let mut waiting = Vec::with_capacity(self.group);
        let mut closing = None;
        while self.receiver.recv_many(&mut waiting, self.group).await > 0 {
            let (mut creates, mut others) = (Vec::new(), Vec::new());
            for command in waiting.drain(..) {
                match command {
                    Command::Create(task) => creates.push(*task),
                    Command::Other(work) => others.push(work),
                    Command::Close(reply) => {
                        // What is queued behind it is still done; nothing new comes in.
                        self.receiver.close();
                        closing = Some(reply);
                    }
                }
            }
            self.serve(creates, others).await;
            // Those who were just answered often come back with more; with them the next group is larger.
            tokio::task::yield_now().await;
        }
        if let Err(error) = self.conn.close().await {
            tracing::warn!(%error, "the job store did not close cleanly");
        }
        drop(self.lock);
        if let Some(reply) = closing {
            // Whoever closed the store need not wait for it.
            let _ = reply.send(());
        }
    }

    /// Carries out a group and answers everybody in it.
    async fn serve(&mut self, mut creates: Vec<Task<Create>>, mut others: Vec<Box<dyn Work>>) {
        let alone = creates.len() + others.len() <= 1;
        match self.attempt(&mut creates, &mut others).await {
            Ok(()) => answer(creates, others, &Ok(())),
            Err(Attempt::Statement(failure)) if !alone => {
                tracing::warn!(error = %failure.error, "a group of writes failed; trying them one by one");
                for mut create in creates {
                    let result = self.attempt(std::slice::from_mut(&mut create), &mut []).await;
                    answer(vec![create], Vec::new(), &result.map_err(Attempt::into_failure));
                }
                for mut other in others {
                    let result = self.attempt(&mut [], std::slice::from_mut(&mut other)).await;
                    answer(Vec::new(), vec![other], &result.map_err(Attempt::into_failure));
                }
            }
            Err(attempt) => answer(creates, others, &Err(attempt.into_failure())),
        }
    }

    /// One transaction.
    async fn attempt(
        &mut self,
        creates: &mut [Task<Create>],
        others: &mut [Box<dyn Work>],
    ) -> Result<(), Attempt> {
        if creates.is_empty() && others.is_empty() {
            return Ok(());
        }
        let before = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let observer = self.observer.get().cloned();
        let mut batch = Batch {
            conn: &mut self.conn,
            tally: before,
            cache: &self.cache,
            changes: HashMap::new(),
            observer: observer.clone().filter(|o| o.is_active()),
            outgoing: Vec::new(),
            grown: Vec::new(),
        };
        let done = batch.fill(creates, others).await;
        let Batch { tally, changes, grown, .. } = batch;
        let done = match done {
            Ok(()) => {
                self.cache.begin(&changes);
                match commit(&mut self.conn, tally, before).await {
                    Ok(()) => {
                        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = tally;
                        self.cache.finish(changes);
                        if let Some(observer) = observer.filter(|_| !grown.is_empty()) {
                            observer.queued(&grown);
                        }
                        return Ok(());
                    }
                    Err(e) => Err(Attempt::Whole(Failure::new("making it durable", e))),
                }
            }
            Err(attempt) => Err(attempt),
        };
        // The error of the rollback says nothing new: SQLite may have rolled back by itself.
        let _ = sqlx::query("ROLLBACK").execute(&mut self.conn).await;
        self.cache.abort(&changes);
        done
    }
}

impl Batch<'_> {
    async fn fill(
        &mut self,
        creates: &mut [Task<Create>],
        others: &mut [Box<dyn Work>],
    ) -> Result<(), Attempt> {
        let statement = |e| Attempt::Statement(Failure::new("writing", e));
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut *self.conn)
            .await
            .map_err(|e| Attempt::Whole(Failure::new("beginning a transaction", e)))?;
        let ops: Vec<&Create> = creates.iter().map(|t| &t.op).collect();
        let outcomes = insert(self, &ops).await.map_err(statement)?;
        for (task, outcome) in creates.iter_mut().zip(outcomes) {
            task.outcome = Some(outcome);
        }
        for work in others {
            work.run(self).await.map_err(statement)?;
        }
        outbox::flush(self).await.map_err(statement)
    }

    /// Notes what a change has to tell, if anybody wants to know.
    pub(super) fn tell(&mut self, before: Option<&JobRecord>, after: Option<&JobRecord>) {
        if let Some(observer) = &self.observer {
            self.outgoing.extend(observer.observe(before, after));
        }
    }

    /// The record as this transaction sees it, if that is known without reading.
    pub(super) fn known(&self, id: JobId) -> Option<Arc<JobRecord>> {
        match self.changes.get(&id) {
            Some(Change::Put(record)) => Some(record.clone()),
            Some(Change::Forget) => None,
            None => self.cache.peek(id),
        }
    }

    /// What the job is after this transaction.
    pub(super) fn put(&mut self, record: Arc<JobRecord>) {
        self.changes.insert(record.id(), Change::Put(record));
    }

    /// The job is gone after this transaction, or changed in a way that was not read.
    pub(super) fn forget(&mut self, id: JobId) {
        self.changes.insert(id, Change::Forget);
    }
}

impl<O: Op> Task<O> {
    fn new(op: O) -> (Self, oneshot::Receiver<Result<O::Output, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { op, outcome: None, reply }, answer)
    }

    fn finish(self, committed: Result<(), Failure>) {
        let result = match committed {
            Ok(()) => self.outcome.unwrap_or_else(|| Err(closed())),
            Err(failure) => Err(failure.into_store_error(O::NAME)),
        };
        // A caller that went away has its work done all the same.
        let _ = self.reply.send(result);
    }
}

#[async_trait]
impl<O: Op> Work for Task<O> {
    async fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), sqlx::Error> {
        self.outcome = Some(self.op.apply(batch).await?);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), Failure>) {
        self.finish(committed);
    }
}

impl Failure {
    fn new(context: &'static str, error: sqlx::Error) -> Self {
        Self { context, error: Arc::new(error) }
    }

    fn into_store_error(self, name: &str) -> StoreError {
        backend(format!("{name}: {}", self.context), self.error)
    }
}

impl Attempt {
    fn into_failure(self) -> Failure {
        match self {
            Self::Statement(failure) | Self::Whole(failure) => failure,
        }
    }
}

async fn commit(conn: &mut SqliteConnection, tally: JobCounts, before: JobCounts) -> Result<(), sqlx::Error> {
    if tally == before {
        sqlx::query("COMMIT").execute(conn).await?;
    } else {
        // Both in one text: each statement sent alone is a message to the connection's thread and back.
        sqlx::query("UPDATE tally SET unfinished = ?1, finished = ?2, history = ?3; COMMIT")
            .bind(tally.unfinished as i64)
            .bind(tally.finished as i64)
            .bind(tally.history as i64)
            .execute(conn)
            .await?;
    }
    Ok(())
}

fn answer(creates: Vec<Task<Create>>, others: Vec<Box<dyn Work>>, committed: &Result<(), Failure>) {
    for task in creates {
        task.finish(committed.clone());
    }
    for work in others {
        work.answer(committed.clone());
    }
}
