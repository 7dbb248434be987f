#![allow(clippy::all, clippy::unwrap_used)]
//! throw-away
use cimwright_cim::NamespaceName;
use cimwright_jobs::*;
use cimwright_store::*;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
fn job(owner: &str, family: &str) -> JobRecord {
    JobRecord::new(JobSpec { id: JobId::generate(), family: family.into(), kind: "disk.convert".into(),
        payload: r#"{"source":"/srv/images/source-image.vhdx","target":"/srv/images/target-image.vhd","format":"vpc","subformat":"fixed"}"#.into(),
        origin: NamespaceName::new("root/virtualization/v2"), owner: owner.into(), name: "Convert Virtual Hard Disk".into(),
        caption: "Converting a virtual hard disk".into(), description: "Converting source-image.vhdx to target-image.vhd".into(), job_type: 2,
        owning_element: Some(cimwright_cim::InstancePath::new(None,"Msvm_ImageManagementService").with_key("CreationClassName","Msvm_ImageManagementService").with_key("Name","x")),
        affected: vec![Affected{element: cimwright_cim::InstancePath::new(None,"Msvm_Disk").with_key("DeviceID","/srv/images/source-image.vhdx"), effects: vec![2]}], submitted: SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000) }, JobSettings::default())
}
async fn creators(store: &Arc<SqliteStore>, n: usize, secs: f64) -> f64 {
    let t = Instant::now();
    let hs: Vec<_> = (0..n).map(|_| { let s = store.clone(); tokio::spawn(async move { let mut c = 0u64; while t.elapsed().as_secs_f64() < secs { s.create(&job("ada","hyperv.storage"), None).await.unwrap(); c += 1; } c }) }).collect();
    let mut total = 0; for h in hs { total += h.await.unwrap(); }
    total as f64 / t.elapsed().as_secs_f64()
}
#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let rows: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let dir = std::path::PathBuf::from(dir);
    let _ = std::fs::remove_dir_all(&dir); std::fs::create_dir_all(&dir).unwrap();
    // bare
    {
        use sqlx::{ConnectOptions, Executor};
        let mut c = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.join("bare.db")).create_if_missing(true).journal_mode(sqlx::sqlite::SqliteJournalMode::Wal).synchronous(sqlx::sqlite::SqliteSynchronous::Full).disable_statement_logging().connect().await.unwrap();
        c.execute("CREATE TABLE t (id BLOB PRIMARY KEY, b BLOB)").await.unwrap();
        let t = Instant::now(); let mut n = 0;
        while t.elapsed().as_secs_f64() < 2.0 { sqlx::query("INSERT INTO t VALUES (?,?)").bind(JobId::generate().0.as_bytes().to_vec()).bind(vec![7u8; 1100]).execute(&mut c).await.unwrap(); n += 1; }
        println!("bare sqlite commits/s {:.0}", n as f64 / t.elapsed().as_secs_f64());
    }
    let t = Instant::now();
    let store = Arc::new(SqliteStore::open(&dir.join("jobs.sqlite"), SqliteOptions::default()).await.unwrap());
    println!("open empty {:?}", t.elapsed());
    for _ in 0..1 {
    for n in [1, 32, 1, 32, 1, 32] { println!("creators {n}: {:.0}/s", creators(&store, n, 1.0).await); }
    }
    // record
    let j = job("ada","hyperv.storage"); let lease = Lease::new(j.id(), Holder::random(), SystemTime::UNIX_EPOCH + Duration::from_secs(9_000_000_000)); store.create(&j, Some(&lease)).await.unwrap();
    let t = Instant::now(); let mut n = 0; while t.elapsed().as_secs_f64() < 1.0 { let mut r = JobRun::new(); r.state = JobState::Running; r.attempts = n; store.record(&lease,&r).await.unwrap(); n += 1; }
    println!("record 1 task: {}/s", n);
    let t = Instant::now(); let mut n = 0u64; while t.elapsed().as_secs_f64() < 1.0 { for _ in 0..100 { store.load(j.id()).await.unwrap().unwrap(); } n += 100; }
    println!("cached load 1 task: {n}/s");
    // fill
    let t = Instant::now();
    let have = store.count().await.unwrap().unfinished as usize;
    let hs: Vec<_> = (0..500).map(|k| { let s = store.clone(); tokio::spawn(async move { for i in 0..rows.saturating_sub(have)/500 { let mut j = job(["ada","bob","eve"][i%3], ["hyperv.storage","hyperv.vm"][k%2]); if i % 100 != 0 { j.run.state = JobState::Completed; j.run.finished = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000 + i as u64)); } s.create(&j, None).await.unwrap(); } }) }).collect();
    for h in hs { h.await.unwrap(); }
    println!("fill to {:?} in {:?}", store.count().await.unwrap(), t.elapsed());
    println!("creators 1: {:.0}/s, 32: {:.0}/s (full)", creators(&store, 1, 2.0).await, creators(&store, 32, 2.0).await);
    for (name, f) in [("all", JobFilter::default()), ("family", JobFilter{families: vec!["hyperv.vm".into()], unfinished_only:false}), ("two families", JobFilter{families: vec!["hyperv.vm".into(),"hyperv.storage".into()], unfinished_only:false}), ("unfinished", JobFilter{families: vec![], unfinished_only:true})] {
        for page in [100usize, 1000] {
            let mut after = None; let mut count = 0; let t = Instant::now(); let mut worst = Duration::ZERO;
            while count < 50_000 { let t1 = Instant::now(); let v = store.list(&f, after, page).await.unwrap(); worst = worst.max(t1.elapsed()); if v.is_empty() { break; } count += v.len(); after = Some(v.last().unwrap().id()); }
            println!("list {name} page {page}: {count} rows, {:.1} us/row, worst page {:?}", t.elapsed().as_secs_f64()*1e6/count as f64, worst);
        }
    }
    let t = Instant::now(); for _ in 0..50 { store.candidates(SystemTime::UNIX_EPOCH, 8, 100).await.unwrap(); } println!("candidates: {:?}", t.elapsed()/50);
    let ids: Vec<_> = store.list(&JobFilter::default(), None, 20_000).await.unwrap().iter().map(|r| r.id()).collect();
    let t = Instant::now(); for id in &ids[..5000] { store.load(*id).await.unwrap().unwrap(); } println!("uncached load: {:?}", t.elapsed()/5000);
    let t = Instant::now(); let gone = store.expire(SystemTime::UNIX_EPOCH + Duration::from_secs(9_000_000_000), 1000).await.unwrap(); println!("expire {} : {:?}", gone.len(), t.elapsed());
    let t = Instant::now(); store.close().await; println!("close {:?}", t.elapsed());
    let t = Instant::now(); let s = SqliteStore::open(&dir.join("jobs.sqlite"), SqliteOptions::default()).await.unwrap(); println!("open full {:?}", t.elapsed()); let t = Instant::now(); s.abandon_leases().await.unwrap(); println!("abandon {:?}", t.elapsed()); s.close().await;
    println!("file {} MB", std::fs::metadata(dir.join("jobs.sqlite")).unwrap().len() >> 20);
}
