//! Many stored jobs, put into the store directly: to run a million would take too long.

use crate::failure::Result;
use cimwright_cim::{CimStatus, ErrorDetail, ErrorType, InstancePath, NamespaceName, Severity};
use cimwright_jobs::{
    Affected, Clock as _, JobId, JobRecord, JobSettings, JobSpec, JobState, JobStore as _, Progress,
    StepRecord, SystemClock,
};
use cimwright_store::{SqliteOptions, SqliteStore};
use futures_util::StreamExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How many are stored in one transaction.
const AT_ONCE: usize = 512;

/// Long enough that none leaves during a measurement.
const KEPT: Duration = Duration::from_secs(3650 * 86400);

/// Stores so many ended conversions in the state directory and gives their ids. No server may use it meanwhile.
///
/// # Errors
/// When the store fails.
pub(crate) async fn fill(state: &Path, count: usize) -> Result<Vec<JobId>> {
    let store = SqliteStore::open(&state.join("jobs.sqlite"), SqliteOptions::default()).await?;
    let now = SystemClock.now();
    let ids: Vec<JobId> = (0..count).map(|_| JobId::generate()).collect();
    let mut stored = futures_util::stream::iter(ids.iter().enumerate())
        .map(|(index, id)| {
            let (store, record) = (&store, record(*id, index, now));
            async move { store.create(&record, None).await }
        })
        .buffer_unordered(AT_ONCE);
    while let Some(done) = stored.next().await {
        done?;
    }
    drop(stored);
    store.close().await;
    Ok(ids)
}

/// A conversion that ended; every fourth one failed.
fn record(id: JobId, index: usize, now: SystemTime) -> JobRecord {
    let source = format!("/srv/images/machine-{index:07}.vhdx");
    let target = format!("/srv/images/machine-{index:07}.vhd");
    let file = |path: &str| {
        InstancePath::new(None, "CIM_DataFile")
            .with_key("CSCreationClassName", "Msvm_ComputerSystem")
            .with_key("CSName", "bench")
            .with_key("CreationClassName", "CIM_DataFile")
            .with_key("FSCreationClassName", "CIM_FileSystem")
            .with_key("FSName", "storage roots")
            .with_key("Name", path)
    };
    let spec = JobSpec {
        id,
        family: "hyperv.storage".to_owned(),
        kind: "disk.convert".to_owned(),
        payload: format!(r#"{{"source":"{source}","target":"{target}"}}"#),
        origin: NamespaceName::new("root/virtualization/v2"),
        owner: "bench".to_owned(),
        name: "Convert disk".to_owned(),
        caption: "Storage Job".to_owned(),
        description: format!("Convert {source} to the dynamic disk {target}"),
        job_type: 6,
        owning_element: None,
        affected: vec![
            Affected { element: file(&source), effects: vec![3] },
            Affected { element: file(&target), effects: vec![5] },
        ],
        submitted: now,
        call: None,
        run_of: None,
    };
    let settings = JobSettings { time_before_removal: KEPT, ..JobSettings::default() };
    let mut job = JobRecord::new(spec, settings);
    let failed = index % 4 == 3;
    job.run.state = if failed { JobState::Exception } else { JobState::Completed };
    job.run.status = if failed { "Failed" } else { "Completed" }.to_owned();
    job.run.started = Some(now);
    job.run.changed = Some(now);
    job.run.finished = Some(now);
    job.run.ran = Duration::from_millis(1234);
    job.run.progress = Progress { done: 1 << 30, total: 1 << 30, share: 10_000 };
    job.run.cancellable = false;
    job.run.attempts = 1;
    if failed {
        job.run.errors = vec![reason(&target)];
    } else {
        job.run.steps = ["verify", "write", "publish"]
            .map(|name| StepRecord { name: name.to_owned(), output: String::new() })
            .to_vec();
    }
    JobRecord { spec: Arc::clone(&job.spec), ..job }
}

fn reason(target: &str) -> ErrorDetail {
    ErrorDetail {
        message_id: "CWDISK1004".to_owned(),
        message: format!("There is no space left for {target}."),
        arguments: vec![target.to_owned()],
        error_type: ErrorType::UnavailableResource,
        severity: Severity::Critical,
        probable_cause: 51,
        probable_cause_description: "The storage root is full".to_owned(),
        recommended_actions: vec!["Free space on the storage root and start the operation again.".to_owned()],
        source: None,
        source_is_path: false,
        status: CimStatus::Failed,
        code: 32768,
        cause: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_stored_is_there() {
        let directory = tempfile::tempdir().expect("scratch");
        let ids = fill(directory.path(), 700).await.expect("fill");
        let store = SqliteStore::open(&directory.path().join("jobs.sqlite"), SqliteOptions::default())
            .await
            .expect("open");
        let counts = store.count().await.expect("count");
        assert_eq!((counts.finished, counts.unfinished), (700, 0));
        let job = store.load(ids[3]).await.expect("load").expect("there");
        assert_eq!(job.run.state, JobState::Exception);
        store.close().await;
    }
}
