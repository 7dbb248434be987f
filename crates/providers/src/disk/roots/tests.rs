use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use rustix::fs::{CWD, RenameFlags};

use super::*;

const SECRET: &str = "nobody may read this";

struct Tree {
    scratch: tempfile::TempDir,
    roots: StorageRoots,
}

/// A root full of ways out: links to directories and files outside, upwards, to the system, and dangling ones.
fn tree() -> Tree {
    let scratch = tempfile::tempdir().expect("scratch directory");
    let base = scratch.path();
    for directory in ["outside/deep", "root/a/b", "root/d"] {
        fs::create_dir_all(base.join(directory)).expect("directory");
    }
    for file in ["outside/secret", "outside/deep/secret", "outside/file"] {
        fs::write(base.join(file), SECRET).expect("file");
    }
    for file in ["root/file", "root/a/file", "root/a/b/file", "root/d/secret", "root/d/file"] {
        fs::write(base.join(file), "public").expect("file");
    }
    for (target, link) in [
        ("../outside", "root/out"),
        ("../../outside", "root/a/out"),
        ("..", "root/a/up"),
        ("/", "root/top"),
        ("/proc/self/root", "root/magic"),
        ("../outside/secret", "root/link"),
        ("nowhere", "root/dangling"),
        ("a", "root/inside"),
        ("root", "rootlink"),
    ] {
        symlink(target, base.join(link)).expect("link");
    }
    let configs = vec![RootConfig {
        path: base.join("rootlink"),
        windows_prefixes: vec!["C:\\VMs".to_owned(), "X:\\".to_owned()],
    }];
    let roots = StorageRoots::open(configs).expect("roots");
    Tree { scratch, roots }
}

impl Tree {
    fn path(&self, relative: &str) -> String {
        self.scratch.path().join(relative).to_str().expect("text").to_owned()
    }

    fn canonical_root(&self) -> PathBuf {
        self.scratch.path().canonicalize().expect("canonical").join("root")
    }
}

fn content(mut file: fs::File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).expect("readable");
    text
}

#[test]
fn every_spelling_of_a_file_leads_to_it() {
    let tree = tree();
    let canonical = tree.canonical_root();
    for spelling in [
        tree.path("root/a/file"),
        tree.path("rootlink/a//./file"),
        "C:\\VMs\\a\\file".to_owned(),
        "c:/vms/a/file".to_owned(),
        "C:\\vmS/a\\file".to_owned(),
        "x:\\a\\file".to_owned(),
    ] {
        let place = tree.roots.resolve(&spelling).unwrap_or_else(|error| panic!("{spelling}: {error}"));
        assert_eq!(place.relative(), "a/file");
        assert_eq!(place.file_name(), "file");
        assert_eq!(place.display(), spelling);
        assert_eq!(Path::new(place.real_path()), canonical.join("a/file"));
        assert_eq!(content(place.open_read().expect("opens")), "public");
    }
}

#[test]
fn paths_that_lead_nowhere_good_are_refused_with_their_reason() {
    let tree = tree();
    let refused = |path: &str| tree.roots.resolve(path).expect_err(path);
    let path = |relative: &str| tree.path(relative);
    assert_eq!(refused("/etc/passwd"), PathError::OutsideRoots { path: "/etc/passwd".into() });
    assert_eq!(refused("C:\\x"), PathError::OutsideRoots { path: "C:\\x".into() });
    assert_eq!(refused("C:\\VMsecret\\x"), PathError::OutsideRoots { path: "C:\\VMsecret\\x".into() });
    let sibling = path("rootlink2/file");
    assert_eq!(refused(&sibling), PathError::OutsideRoots { path: sibling.clone() });
    for text in [path("root"), path("root/"), path("root/a/"), path("root/a/."), "X:\\".to_owned()] {
        assert_eq!(refused(&text), PathError::NoFileName { path: text.clone() });
    }
    let missing = path("root/no/file");
    assert_eq!(refused(&missing), PathError::ParentMissing { path: missing.clone() });
    let through_file = path("root/file/x");
    assert_eq!(refused(&through_file), PathError::ParentNotADirectory { path: through_file.clone() });
    for link in ["out", "a/up", "top", "magic", "inside", "dangling"] {
        let through_link = path(&format!("root/{link}/file"));
        assert_eq!(refused(&through_link), PathError::SymbolicLink { path: through_link.clone() });
    }
}

#[test]
fn only_regular_files_are_opened() {
    let tree = tree();
    let pipe = tree.scratch.path().join("root/pipe");
    rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("pipe");
    for (name, kind) in [
        ("a", FileKind::Directory),
        ("link", FileKind::SymbolicLink),
        ("dangling", FileKind::SymbolicLink),
        ("pipe", FileKind::Special),
    ] {
        let place = tree.roots.resolve(&tree.path(&format!("root/{name}"))).expect("resolves");
        assert!(place.exists().expect("known"));
        let expected = FileError::NotARegularFile { path: place.display().to_owned(), kind };
        assert_eq!(place.open_read().expect_err("not a file"), expected);
        assert_eq!(place.open_read_write().expect_err("not a file"), expected);
    }
    let place = tree.roots.resolve(&tree.path("root/none")).expect("resolves");
    assert!(!place.exists().expect("known"));
    assert_eq!(
        place.open_read().expect_err("missing"),
        FileError::NotFound { path: place.display().to_owned() }
    );
}

#[test]
fn a_file_appears_only_when_published() {
    let tree = tree();
    let place = tree.roots.resolve("C:\\VMs\\d\\new.vhdx").expect("resolves");
    let temp = place.temp_sibling("0197-ab_C").expect("temporary name");
    assert_eq!(temp.as_str(), ".new.vhdx.0197-ab_C.cwpart");
    assert_eq!(Path::new(&place.temp_path(&temp)), tree.canonical_root().join("d").join(temp.as_str()));

    place.create_temp(&temp, None).expect("created").set_len(300_000).expect("length");
    assert!(matches!(place.create_temp(&temp, None), Err(FileError::AlreadyExists { .. })));
    assert!(!place.exists().expect("known"));
    assert_eq!(place.allocate_temp(&temp).expect("allocated"), 300_000);
    place.publish(&temp, Publish::NoReplace).expect("published");
    let stat = place.metadata().expect("exists");
    assert_eq!(stat.st_size, 300_000);
    assert!(stat.st_blocks * 512 >= 300_000, "every byte has its block");

    place.create_temp(&temp, None).expect("created again");
    assert!(matches!(place.publish(&temp, Publish::NoReplace), Err(FileError::AlreadyExists { .. })));
    assert_eq!(place.metadata().expect("exists").st_size, 300_000, "the old file is untouched");
    place.publish(&temp, Publish::Replace).expect("replaced");
    assert_eq!(place.metadata().expect("exists").st_size, 0);
    assert!(!place.remove_temp(&temp).expect("nothing left"));
    assert!(place.remove().expect("removed"));
    assert!(!place.remove().expect("gone"));
    assert!(place.available_bytes().expect("space") > 0);
}

#[test]
fn publishing_over_a_link_replaces_the_link_and_not_its_target() {
    let tree = tree();
    let place = tree.roots.resolve("C:\\VMs\\link").expect("resolves");
    let temp = place.temp_sibling("1").expect("temporary name");
    place.create_temp(&temp, None).expect("created");
    assert!(matches!(place.publish(&temp, Publish::NoReplace), Err(FileError::AlreadyExists { .. })));
    place.publish(&temp, Publish::Replace).expect("published");
    assert_eq!(fs::read_to_string(tree.path("outside/secret")).expect("readable"), SECRET);
    assert_eq!(content(place.open_read().expect("a file now")), "");
}

#[test]
fn temporary_names_fit_and_tell_their_job() {
    let tree = tree();
    for name in ["x".repeat(255), "ü".repeat(127), "a.b.c".to_owned()] {
        let place = tree.roots.resolve(&format!("X:\\{name}")).expect("resolves");
        let temp = place.temp_sibling("job-1").expect("temporary name");
        assert!(temp.as_str().len() <= 255);
        assert_eq!(resolved::job_of_temporary(temp.as_str()), Some("job-1"));
        place.create_temp(&temp, None).expect("the file system accepts the name");
        assert!(place.remove_temp(&temp).expect("removed"));
        for bad in ["", "a/b", "a.b", "..", &"x".repeat(101)] {
            assert!(matches!(place.temp_sibling(bad), Err(FileError::BadJobId { .. })), "{bad}");
        }
    }
}

#[test]
fn unfinished_files_are_found_and_removed_without_following_links() {
    let tree = tree();
    fs::write(tree.path("outside/.x.job-9.cwpart"), "").expect("file");
    for file in ["root/.x.job-1.cwpart", "root/a/b/.y.vhd.job-2.cwpart", "root/a/.not-ours.cwpart.bak"] {
        fs::write(tree.path(file), "").expect("file");
    }
    let scan = tree.roots.find_temporaries();
    assert!(!scan.truncated && scan.unreadable.is_empty(), "{scan:?}");
    let jobs: Vec<_> = scan.found.iter().map(|found| found.job_id.as_str()).collect();
    assert_eq!(jobs, ["job-1", "job-2"]);
    assert!(tree.roots.remove_temporary(&scan.found[1]).expect("removed"));
    assert!(!tree.roots.remove_temporary(&scan.found[1]).expect("gone"));
    assert!(!Path::new(&tree.path("root/a/b/.y.vhd.job-2.cwpart")).exists());

    let deep = format!("root/{}", "d/".repeat(17));
    fs::create_dir_all(tree.path(&deep)).expect("directories");
    assert!(tree.roots.find_temporaries().truncated);
}

#[test]
fn roots_that_make_no_sense_are_refused() {
    let scratch = tempfile::tempdir().expect("scratch directory");
    let open = |paths: &[(&Path, &[&str])]| {
        let configs = paths
            .iter()
            .map(|(path, prefixes)| RootConfig {
                path: path.to_path_buf(),
                windows_prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
            })
            .collect();
        StorageRoots::open(configs).map(|_| ())
    };
    let (here, below) = (scratch.path(), scratch.path().join("below"));
    fs::create_dir(&below).expect("directory");
    fs::write(here.join("file"), "").expect("file");
    assert!(matches!(open(&[]), Err(RootError::None)));
    assert!(matches!(open(&[(Path::new("relative"), &[])]), Err(RootError::NotAbsolute { .. })));
    assert!(matches!(open(&[(Path::new("/"), &[])]), Err(RootError::WholeFileSystem { .. })));
    assert!(matches!(open(&[(&here.join("none"), &[])]), Err(RootError::Open { .. })));
    assert!(matches!(open(&[(&here.join("file"), &[])]), Err(RootError::Open { .. })));
    assert!(matches!(open(&[(here, &[]), (&below.join(".."), &[])]), Err(RootError::Duplicate { .. })));
    assert!(matches!(open(&[(here, &["VMs"])]), Err(RootError::BadWindowsPrefix { .. })));
    assert!(matches!(
        open(&[(here, &["C:\\VMs"]), (&below, &["c:/vms/"])]),
        Err(RootError::DuplicateWindowsPrefix { .. })
    ));
    open(&[(here, &["C:\\"]), (&below, &["C:\\below"])]).expect("nested roots are fine");
}

#[test]
fn the_nearest_of_nested_roots_is_chosen() {
    let tree = tree();
    let roots = StorageRoots::open(vec![
        RootConfig { path: tree.path("root").into(), windows_prefixes: vec!["C:\\".into()] },
        RootConfig { path: tree.path("root/a").into(), windows_prefixes: vec!["C:\\A".into()] },
    ])
    .expect("roots");
    for (text, root) in [
        (tree.path("root/a/file"), 1),
        (tree.path("root/file"), 0),
        ("C:\\a\\file".into(), 1),
        ("C:\\file".into(), 0),
    ] {
        assert_eq!(roots.resolve(&text).expect("resolves").root(), root, "{text}");
    }
}

#[test]
fn a_directory_exchanged_after_the_check_leads_nowhere_else() {
    let tree = tree();
    let place = tree.roots.resolve("C:\\VMs\\d\\secret").expect("resolves");
    fs::rename(tree.path("root/d"), tree.path("root/old")).expect("moved away");
    symlink("../outside", tree.path("root/d")).expect("link");
    assert_eq!(content(place.open_read().expect("still the checked directory")), "public");
    let new = tree.roots.resolve("C:\\VMs\\d\\secret");
    assert!(matches!(new, Err(PathError::SymbolicLink { .. })));
    let temp = place.temp_sibling("1").expect("temporary name");
    place.create_temp(&temp, None).expect("created in the checked directory");
    place.publish(&temp, Publish::Replace).expect("published in the checked directory");
    assert_eq!(fs::read_to_string(tree.path("outside/secret")).expect("readable"), SECRET);
}

/// Ends the exchanging thread even when an assertion fails.
struct StopOnDrop<'flag>(&'flag AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_race_opens_a_file_outside() {
    let tree = tree();
    symlink("../outside", tree.path("root/swap")).expect("link");
    let stop = AtomicBool::new(false);
    let opened = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (one, other) = (tree.path("root/d"), tree.path("root/swap"));
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).expect("exchange");
            }
        });
        let _stop = StopOnDrop(&stop);
        let mut opened = 0;
        for round in 0..4000 {
            match tree.roots.resolve("C:\\VMs\\d\\secret") {
                Ok(place) => {
                    let file = place.open_read().expect("the checked directory has the file");
                    assert_eq!(content(file), "public", "round {round}");
                    opened += 1;
                }
                Err(PathError::SymbolicLink { .. } | PathError::System { errno: Errno::AGAIN, .. }) => {}
                Err(error) => panic!("round {round}: {error}"),
            }
        }
        opened
    });
    // With no exchange in between at all the test would still hold, so nothing is asserted about how often it opened.
    assert!(opened <= 4000);
}

fn client_text() -> impl Strategy<Value = String> {
    let names = [
        "a", "b", "d", "file", "secret", "out", "up", "top", "magic", "link", "dangling", "inside",
        "outside", "..", ".", "", "root", "rootlink", "etc", "passwd", "VMs", "C:", "X:", "...", "?", "self",
    ];
    let name =
        prop_oneof![8 => proptest::sample::select(names.to_vec()).prop_map(str::to_owned), 1 => ".{0,6}"];
    let start = proptest::sample::select(vec![
        "BASE/root/",
        "BASE/rootlink/",
        "BASE/",
        "/",
        "C:\\VMs\\",
        "c:/vms/",
        "X:\\",
        "\\\\?\\C:\\VMs\\",
        "\\\\",
        "//",
        "",
        "BASE/root",
        "C:\\VMs",
    ]);
    let separator = proptest::sample::select(vec!["/", "\\", "//"]);
    (start, proptest::collection::vec((name, separator), 0..7)).prop_map(|(start, names)| {
        let mut text = start.to_owned();
        for (index, (name, separator)) in names.iter().enumerate() {
            if index > 0 {
                text.push_str(separator);
            }
            text.push_str(name);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_of_a_client_leads_outside(texts in proptest::collection::vec(client_text(), 40)) {
        let tree = tree();
        let root = tree.canonical_root();
        for text in texts {
            let text = text.replace("BASE", &tree.path(""));
            let Ok(place) = tree.roots.resolve(&text) else { continue };
            let parent = place.parent_for_tests();
            prop_assert!(parent.starts_with(&root), "{text} led to {}", parent.display());
            prop_assert!(Path::new(place.real_path()).starts_with(&root));
            prop_assert!(!place.relative().split('/').any(|name| name == ".." || name.is_empty()));
            if let Ok(file) = place.open_read() {
                prop_assert_eq!(content(file), "public");
            }
        }
    }

    #[test]
    fn any_text_at_all_is_answered(text in ".*") {
        let tree = tree();
        if let Ok(place) = tree.roots.resolve(&text) {
            prop_assert!(place.parent_for_tests().starts_with(tree.canonical_root()));
        }
    }
}
