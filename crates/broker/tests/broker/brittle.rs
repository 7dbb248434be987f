//! What is answered when the store cannot be read.

use crate::house::*;
use async_trait::async_trait;
use cimwright_cim::operation::{OpenOptions, Operation, OperationResult, PullKind};
use cimwright_cim::{CimStatus, InstancePath};
use cimwright_jobs::{
    Candidate, ElementKey, Holder, JobCounts, JobFilter, JobId, JobRecord, JobRun, JobSettings, JobStore,
    Lease, StateRequest, StoreError,
};
use cimwright_store::MemoryStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// A store that can no longer be read once it is broken.
struct Brittle {
    inner: Arc<MemoryStore>,
    broken: AtomicBool,
}

impl Brittle {
    fn check(&self) -> Result<(), StoreError> {
        if !self.broken.load(Ordering::SeqCst) {
            return Ok(());
        }
        let source = std::io::Error::other("/secret/jobs.db: I/O error").into();
        Err(StoreError::Backend { context: "reading /secret/jobs.db".to_owned(), source })
    }
}

#[async_trait]
impl JobStore for Brittle {
    async fn create(&self, job: &JobRecord, lease: Option<&Lease>) -> Result<(), StoreError> {
        self.check()?;
        self.inner.create(job, lease).await
    }
    async fn load(&self, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError> {
        self.check()?;
        self.inner.load(id).await
    }
    async fn list(
        &self,
        filter: &JobFilter,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        self.check()?;
        self.inner.list(filter, after, limit).await
    }
    async fn count(&self) -> Result<JobCounts, StoreError> {
        self.inner.count().await
    }
    async fn candidates(
        &self,
        now: SystemTime,
        per_owner: usize,
        limit: usize,
    ) -> Result<Vec<Candidate>, StoreError> {
        self.inner.candidates(now, per_owner, limit).await
    }
    async fn due(&self, now: SystemTime, limit: usize) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        self.inner.due(now, limit).await
    }
    async fn next_due(&self, now: SystemTime) -> Result<Option<SystemTime>, StoreError> {
        self.inner.next_due(now).await
    }
    async fn of_element(
        &self,
        element: ElementKey,
        family: &str,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        self.check()?;
        self.inner.of_element(element, family, after, limit).await
    }
    async fn recur(
        &self,
        lease: &Lease,
        past: &JobRecord,
        run: &JobRun,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        self.inner.recur(lease, past, run, now).await
    }
    async fn reschedule(
        &self,
        lease: &Lease,
        run: &JobRun,
        settings: &JobSettings,
    ) -> Result<(), StoreError> {
        self.inner.reschedule(lease, run, settings).await
    }
    async fn claim(
        &self,
        id: JobId,
        holder: Holder,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Option<(Lease, Arc<JobRecord>)>, StoreError> {
        self.inner.claim(id, holder, now, until).await
    }
    async fn record(&self, lease: &Lease, run: &JobRun) -> Result<(), StoreError> {
        self.inner.record(lease, run).await
    }
    async fn renew(&self, lease: &Lease, until: SystemTime) -> Result<Option<StateRequest>, StoreError> {
        self.inner.renew(lease, until).await
    }
    async fn release(&self, lease: &Lease, run: &JobRun) -> Result<(), StoreError> {
        self.inner.release(lease, run).await
    }
    async fn request(
        &self,
        id: JobId,
        request: Option<&StateRequest>,
    ) -> Result<Option<Arc<JobRecord>>, StoreError> {
        self.inner.request(id, request).await
    }
    async fn configure(
        &self,
        id: JobId,
        settings: &JobSettings,
    ) -> Result<Option<Arc<JobRecord>>, StoreError> {
        self.inner.configure(id, settings).await
    }
    async fn remove(&self, id: JobId, now: SystemTime) -> Result<bool, StoreError> {
        self.inner.remove(id, now).await
    }
    async fn expire(&self, now: SystemTime, limit: usize) -> Result<Vec<JobId>, StoreError> {
        self.inner.expire(now, limit).await
    }
    async fn history(&self, id: JobId) -> Result<Option<Arc<JobRecord>>, StoreError> {
        self.inner.history(id).await
    }
    async fn recent_history(&self, limit: usize) -> Result<Vec<Arc<JobRecord>>, StoreError> {
        self.inner.recent_history(limit).await
    }
    async fn trim_history(&self, keep: u64) -> Result<u64, StoreError> {
        self.inner.trim_history(keep).await
    }
    async fn abandon_leases(&self) -> Result<(), StoreError> {
        self.inner.abandon_leases().await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

#[tokio::test]
async fn a_store_that_fails_is_said_in_each_place_in_its_own_way() {
    let inner = Arc::new(MemoryStore::new());
    let brittle = Arc::new(Brittle { inner: Arc::clone(&inner), broken: AtomicBool::new(false) });
    let house = House::over(brittle.clone(), inner, Default::default(), Default::default()).await;
    let v2 = house.start(&operator(), V2, "ok", "w").await;
    house.until(&v2, 7).await;
    brittle.broken.store(true, Ordering::SeqCst);
    assert_eq!(house.call(&reader(), &v2, "GetError", vec![]).await.unwrap(), (32768, vec![]));
    let dmtf = seen_in(DMTF, "Test_Job", &v2);
    assert_eq!(house.call(&reader(), &dmtf, "GetErrors", vec![]).await.unwrap(), (4, vec![]));
    let start = vec![cimwright_cim::Param::new("Script", "ok"), cimwright_cim::Param::new("Label", "x")];
    let refusals = [
        house.get(&v2).await.unwrap_err(),
        house.call(&admin(), &v2, "RequestStateChange", vec![]).await.unwrap_err(),
        house.call(&admin(), &at(V2, service()), "StartWork", start).await.unwrap_err(),
        house.refused(V2, Operation::EnumerateInstanceNames { class: "CIM_Job".into() }).await,
    ];
    for error in refusals {
        assert_eq!(error.status, CimStatus::Failed);
        assert!(!error.description.contains("secret"), "{error}");
    }
    // A refusal that cannot be stored as a job still tells the reason.
    let error = house.call(&admin(), &at(V2, service()), "Forbid", vec![]).await.unwrap_err();
    assert_eq!(error.details[0].message_id, "TEST1001");
    let elsewhere = at(V2, InstancePath::new(None, "Test_Disk").with_key("Name", "a"));
    assert!(house.get(&elsewhere).await.is_ok(), "what needs no jobs goes on");
}

#[tokio::test]
async fn an_enumeration_goes_on_after_an_error_when_it_is_told_to() {
    let inner = Arc::new(MemoryStore::new());
    let brittle = Arc::new(Brittle { inner: Arc::clone(&inner), broken: AtomicBool::new(false) });
    let house = House::over(brittle.clone(), inner, Default::default(), Default::default()).await;
    brittle.broken.store(true, Ordering::SeqCst);
    let open = |continue_on_error, max_object_count| Operation::OpenEnumerateInstances {
        class: "CIM_LogicalElement".into(),
        deep: true,
        options: Default::default(),
        open: OpenOptions { continue_on_error, max_object_count, ..OpenOptions::default() },
    };
    assert_eq!(house.refused(V2, open(false, 1000)).await.status, CimStatus::Failed);

    let (mut seen, mut errors) = (0, 0);
    let mut operation = open(true, 1000);
    let mut context = None;
    loop {
        match house.ask(&admin(), V2, operation).await {
            Ok(OperationResult::Pulled { items, context: next, .. }) => {
                seen += items.len();
                context = next;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!(error.status, CimStatus::Failed);
                errors += 1;
            }
        }
        let Some(context) = context.clone() else { break };
        operation = Operation::Pull { kind: PullKind::InstancesWithPath, context, max_object_count: 1000 };
    }
    assert!(errors > 0, "the jobs cannot be read");
    assert!(seen >= 2, "the disks can");
}
