use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::FlockOperation;

use super::super::failure::{NamedFile, UnsupportedFeature};
use super::super::process::EngineStatus;
use super::super::request::ImageLayout;
use super::super::sandbox::{FileAccess, Grant, landlock_available};
use super::*;
use crate::disk::image::{ImageHeader, ImageInfo, Subformat};
use crate::disk::roots::{Publish, ResolvedPath, RootConfig, StorageRoots};

const MIB: u64 = 1 << 20;

/// A storage root with an engine. `CIMWRIGHT_TEST_QEMU_IMG` names another qemu-img than the installed one.
struct Bench {
    scratch: tempfile::TempDir,
    roots: StorageRoots,
    engine: QemuImg,
}

impl Bench {
    fn new() -> Self {
        let program =
            std::env::var("CIMWRIGHT_TEST_QEMU_IMG").unwrap_or_else(|_| "/usr/bin/qemu-img".to_owned());
        let mut policy = EnginePolicy::new(program);
        policy.require_landlock = landlock_available();
        let scratch = tempfile::tempdir().expect("scratch directory");
        let config =
            RootConfig { path: scratch.path().to_owned(), windows_prefixes: vec!["V:\\".to_owned()] };
        let roots = StorageRoots::open(vec![config]).expect("root");
        Self { scratch, roots, engine: QemuImg::new(policy) }
    }

    fn place(&self, name: &str) -> ResolvedPath {
        self.roots.resolve(&format!("V:\\{name}")).expect("resolves")
    }

    fn source(&self, name: &str) -> EngineFile {
        EngineFile::source(&self.place(name)).expect("opens")
    }

    fn in_place(&self, name: &str) -> EngineFile {
        EngineFile::in_place(&self.place(name)).expect("opens")
    }

    /// An empty file to be written under its own name.
    fn target(&self, name: &str) -> EngineFile {
        File::create(self.scratch.path().join(name)).expect("created");
        self.in_place(name)
    }

    /// A raw disk with a different word in every eighth place, and a hole of zeros in the middle.
    fn disk(&self, name: &str, bytes: u64) {
        let mut content: Vec<u8> = (0..bytes / 8)
            .flat_map(|word| (word.wrapping_mul(0x9E37_79B9_7F4A_7C15)).to_le_bytes())
            .collect();
        let (start, end) = (content.len() / 3, content.len() / 2);
        content[start..end].fill(0);
        fs::write(self.scratch.path().join(name), content).expect("written");
    }

    async fn try_convert(
        &self,
        (source, source_format): (&str, ImageFormat),
        (target, format, subformat): (&str, ImageFormat, Subformat),
    ) -> Result<(), EngineFailure> {
        let request = ConvertRequest {
            source: self.source(source),
            source_format,
            only_first_bytes: None,
            backing: vec![],
            target: self.target(target),
            layout: ImageLayout { format, subformat, block_size_bytes: None },
            into_existing: false,
            max_file_bytes: None,
        };
        self.engine.start_convert(&request).await.expect("starts").finish().await
    }

    async fn create(&self, name: &str, layout: ImageLayout, bytes: u64) -> Result<(), EngineError> {
        let request =
            CreateRequest { target: self.target(name), layout, virtual_size_bytes: bytes, backing: None };
        self.engine.create(&request).await
    }

    async fn compare(&self, left: (&str, ImageFormat), right: (&str, ImageFormat)) -> Comparison {
        let request = CompareRequest {
            left: (self.source(left.0), left.1),
            right: (self.source(right.0), right.1),
            backing: vec![],
        };
        self.engine.start_compare(&request).await.expect("starts").finish().await.expect("compared")
    }

    async fn image(&self, name: &str, format: ImageFormat) -> ImageInfo {
        let info = self.engine.info(&self.source(name), format, false).await.expect("known");
        let header = ImageHeader::read(&self.place(name).open_read().expect("opens"), format).expect("sound");
        ImageInfo::new(format, &info, &header)
    }

    async fn info_failure(&self, name: &str, format: ImageFormat) -> FailureCause {
        match self.engine.info(&self.source(name), format, false).await {
            Err(EngineError::Failed(failure)) => failure.cause,
            other => panic!("{name} as {format}: {other:?}"),
        }
    }

    fn named(&self, name: &str) -> NamedFile {
        let path = self.place(name).real_path().to_owned();
        NamedFile { path, role: FileRole::Source }
    }

    fn damage(&self, name: &str, at: u64, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(self.scratch.path().join(name)).expect("opens");
        file.write_all_at(bytes, at).expect("written");
    }

    fn cut(&self, name: &str, bytes: u64) {
        let file = OpenOptions::new().write(true).open(self.scratch.path().join(name)).expect("opens");
        file.set_len(bytes).expect("cut");
    }

    fn bytes(&self, name: &str) -> u64 {
        fs::metadata(self.scratch.path().join(name)).expect("exists").len()
    }
}

fn layout(format: ImageFormat, subformat: Subformat) -> ImageLayout {
    ImageLayout { format, subformat, block_size_bytes: None }
}

fn failed<T: std::fmt::Debug>(result: Result<T, EngineError>) -> FailureCause {
    match result {
        Err(EngineError::Failed(failure)) => failure.cause,
        other => panic!("{other:?}"),
    }
}

const SAME: Comparison = Comparison::Identical { sizes_differ: false };

#[tokio::test]
async fn the_installed_engine_tells_its_version() {
    let version = Bench::new().engine.version().await.expect("installed");
    assert!(version.numbers >= (7, 2, 0), "{}", version.text);
}

#[tokio::test]
async fn content_survives_every_format_and_back() {
    let bench = Bench::new();
    bench.disk("disk.raw", 5 * MIB);
    for (format, subformat) in [
        (ImageFormat::Vhd, Subformat::Dynamic),
        (ImageFormat::Vhd, Subformat::Fixed),
        (ImageFormat::Vhdx, Subformat::Dynamic),
        (ImageFormat::Vhdx, Subformat::Fixed),
        (ImageFormat::Qcow2, Subformat::Dynamic),
        (ImageFormat::Qcow2, Subformat::Fixed),
    ] {
        let said = format!("{format} {subformat:?}");
        bench
            .try_convert(("disk.raw", ImageFormat::Raw), ("image", format, subformat))
            .await
            .unwrap_or_else(|failure| panic!("{said}: {failure:?}"));
        assert_eq!(bench.compare(("disk.raw", ImageFormat::Raw), ("image", format)).await, SAME, "{said}");
        let image = bench.image("image", format).await;
        assert_eq!(image.virtual_size_bytes, 5 * MIB, "{said}");
        if format != ImageFormat::Qcow2 {
            assert_eq!(image.subformat, subformat, "{said}");
            assert!(image.disk_id.is_some(), "{said}");
        }
        assert!(!image.has_parent && !image.dirty, "{said}");
        bench
            .try_convert(("image", format), ("back.raw", ImageFormat::Raw, Subformat::Dynamic))
            .await
            .expect("converted back");
        let read = |name: &str| fs::read(bench.scratch.path().join(name)).expect("readable");
        assert!(read("disk.raw") == read("back.raw"), "{said}");
    }
}

#[tokio::test]
async fn a_published_fixed_image_has_all_its_space() {
    let bench = Bench::new();
    for (name, format) in
        [("a.vhd", ImageFormat::Vhd), ("a.vhdx", ImageFormat::Vhdx), ("a.raw", ImageFormat::Raw)]
    {
        let place = bench.place(name);
        let temp = place.temp_sibling("job-1").expect("temporary name");
        let request = CreateRequest {
            target: EngineFile::target(&place, &temp, bench.engine.policy().user).expect("created"),
            layout: layout(format, Subformat::Fixed),
            virtual_size_bytes: 3 * MIB,
            backing: None,
        };
        bench.engine.create(&request).await.expect("made");
        assert_eq!(
            place.allocate_temp(&temp).expect("allocated"),
            fs::metadata(place.temp_path(&temp)).expect("exists").len()
        );
        place.publish(&temp, Publish::NoReplace).expect("published");
        let stat = fs::metadata(place.real_path()).expect("exists");
        assert!(stat.blocks() * 512 >= stat.len() && stat.len() >= 3 * MIB, "{name}");
        assert_eq!(bench.image(name, format).await.virtual_size_bytes, 3 * MIB);
    }
}

#[tokio::test]
async fn growing_and_shrinking_keep_the_content() {
    let bench = Bench::new();
    bench.disk("disk.raw", 4 * MIB);
    for format in [ImageFormat::Vhd, ImageFormat::Vhdx] {
        bench
            .try_convert(("disk.raw", ImageFormat::Raw), ("small", format, Subformat::Dynamic))
            .await
            .expect("converted");
        bench.create("large", layout(format, Subformat::Dynamic), 9 * MIB).await.expect("made");
        let mut request = ConvertRequest {
            source: bench.source("small"),
            source_format: format,
            only_first_bytes: None,
            backing: vec![],
            target: bench.in_place("large"),
            layout: layout(format, Subformat::Dynamic),
            into_existing: true,
            max_file_bytes: None,
        };
        bench.engine.start_convert(&request).await.expect("starts").finish().await.expect("filled");
        assert_eq!(bench.image("large", format).await.virtual_size_bytes, 9 * MIB);
        let longer = Comparison::Identical { sizes_differ: true };
        assert_eq!(bench.compare(("disk.raw", ImageFormat::Raw), ("large", format)).await, longer);

        request = ConvertRequest {
            source: bench.source("large"),
            only_first_bytes: Some(4 * MIB),
            target: bench.target("again"),
            into_existing: false,
            ..request
        };
        bench.engine.start_convert(&request).await.expect("starts").finish().await.expect("cut");
        assert_eq!(bench.image("again", format).await.virtual_size_bytes, 4 * MIB);
        assert_eq!(bench.compare(("disk.raw", ImageFormat::Raw), ("again", format)).await, SAME);
    }
    for (name, format) in [("disk.raw", ImageFormat::Raw), ("disk.qcow2", ImageFormat::Qcow2)] {
        if format == ImageFormat::Qcow2 {
            let target = ("disk.qcow2", format, Subformat::Dynamic);
            bench.try_convert(("disk.raw", ImageFormat::Raw), target).await.expect("converted");
        }
        let file = bench.in_place(name);
        bench.engine.resize(&file, format, 6 * MIB, false).await.expect("grown");
        assert_eq!(bench.image(name, format).await.virtual_size_bytes, 6 * MIB);
        let refused = failed(bench.engine.resize(&file, format, 2 * MIB, false).await);
        assert_eq!(refused, FailureCause::ShrinkNotAllowed);
        bench.engine.resize(&file, format, 4 * MIB, true).await.expect("shrunk");
    }
    bench.create("fixed.vhd", layout(ImageFormat::Vhd, Subformat::Fixed), MIB).await.expect("made");
    let refused = bench.engine.resize(&bench.in_place("fixed.vhd"), ImageFormat::Vhd, 2 * MIB, false).await;
    assert_eq!(failed(refused), FailureCause::NotSupportedByFormat { feature: UnsupportedFeature::Resize });
}

#[tokio::test]
async fn a_difference_is_found_where_it_is() {
    let bench = Bench::new();
    bench.disk("a", MIB);
    bench.disk("b", MIB);
    bench.damage("b", 700_000, b"different");
    let Comparison::Different { at_byte: Some(at) } =
        bench.compare(("a", ImageFormat::Raw), ("b", ImageFormat::Raw)).await
    else {
        panic!("the difference was not seen");
    };
    assert!((700_000 - 65_536..=700_000).contains(&at), "{at}");
}

#[tokio::test]
async fn only_zeros_may_be_cut_off() {
    let bench = Bench::new();
    // Data up to byte 5,000,192 and nothing behind it.
    bench.disk("disk.raw", 5_000_192);
    bench.cut("disk.raw", 8 * MIB);
    for (format, subformat) in [
        (ImageFormat::Raw, Subformat::Dynamic),
        (ImageFormat::Vhd, Subformat::Fixed),
        (ImageFormat::Vhd, Subformat::Dynamic),
        (ImageFormat::Vhdx, Subformat::Fixed),
        (ImageFormat::Vhdx, Subformat::Dynamic),
        (ImageFormat::Qcow2, Subformat::Dynamic),
    ] {
        let source = ("disk.raw", ImageFormat::Raw);
        bench.try_convert(source, ("image", format, subformat)).await.expect("converted");
        let mut request = TailRequest {
            image: bench.source("image"),
            format,
            backing: vec![],
            from_byte: 5_000_192,
            virtual_size_bytes: 8 * MIB,
        };
        let mut running = bench.engine.start_tail_check(&request).await.expect("starts");
        assert_eq!(running.finish().await, Ok(SAME), "{format} {subformat:?}");
        request.from_byte -= 512;
        let mut running = bench.engine.start_tail_check(&request).await.expect("starts");
        let different = Comparison::Different { at_byte: Some(0) };
        assert_eq!(running.finish().await, Ok(different), "{format} {subformat:?}");
    }
}

#[tokio::test]
async fn overlays_need_their_base_granted() {
    let bench = Bench::new();
    bench.disk("base.raw", MIB);
    let request = CreateRequest {
        target: bench.target("over.qcow2"),
        layout: layout(ImageFormat::Qcow2, Subformat::Dynamic),
        virtual_size_bytes: MIB,
        backing: Some((bench.source("base.raw"), ImageFormat::Raw)),
    };
    bench.engine.create(&request).await.expect("made");
    let image = bench.image("over.qcow2", ImageFormat::Qcow2).await;
    let base = bench.place("base.raw").real_path().to_owned();
    assert!(image.has_parent);
    assert_eq!(image.parent.as_deref(), Some(base.as_str()));
    let mut convert = ConvertRequest {
        source: bench.source("over.qcow2"),
        source_format: ImageFormat::Qcow2,
        only_first_bytes: None,
        backing: vec![],
        target: bench.target("flat.raw"),
        layout: layout(ImageFormat::Raw, Subformat::Dynamic),
        into_existing: false,
        max_file_bytes: None,
    };
    if landlock_available() {
        let refused = bench.engine.start_convert(&convert).await.expect("starts").finish().await;
        let file = NamedFile { path: base.clone(), role: FileRole::Backing };
        assert_eq!(refused.expect_err("not granted").cause, FailureCause::PermissionDenied { file });
    }
    convert.backing = vec![bench.source("base.raw")];
    bench.engine.start_convert(&convert).await.expect("starts").finish().await.expect("flattened");
    assert_eq!(bench.compare(("base.raw", ImageFormat::Raw), ("flat.raw", ImageFormat::Raw)).await, SAME);

    fs::remove_file(bench.scratch.path().join("base.raw")).expect("removed");
    let refused = bench.engine.start_convert(&convert).await.expect("starts").finish().await;
    let backing = NamedFile { path: base, role: FileRole::Backing };
    assert_eq!(refused.expect_err("missing").cause, FailureCause::BackingFileMissing { backing });
}

#[tokio::test]
async fn checks_tell_sound_from_corrupt_from_unsupported() {
    let bench = Bench::new();
    bench.disk("disk.raw", 4 * MIB);
    for format in [ImageFormat::Vhd, ImageFormat::Vhdx, ImageFormat::Qcow2] {
        let target = (format.engine_name(), format, Subformat::Dynamic);
        bench.try_convert(("disk.raw", ImageFormat::Raw), target).await.expect("converted");
    }
    let check = async |name: &str, format| bench.engine.check(&bench.source(name), format).await;
    assert_eq!(check("qcow2", ImageFormat::Qcow2).await.expect("sound").leaks, 0);
    check("vhdx", ImageFormat::Vhdx).await.expect("sound");
    let unsupported = FailureCause::NotSupportedByFormat { feature: UnsupportedFeature::Check };
    assert_eq!(failed(check("vpc", ImageFormat::Vhd).await), unsupported);
    assert_eq!(failed(check("disk.raw", ImageFormat::Raw).await), unsupported);

    // The first reference counts of a qcow2 of this engine lie in its third cluster.
    bench.damage("qcow2", 131_072, &[0; 6]);
    let corrupt = FailureCause::ImageCorrupt { corruptions: Some(3) };
    assert_eq!(failed(check("qcow2", ImageFormat::Qcow2).await), corrupt);
    let file = bench.in_place("qcow2");
    let mut repair =
        bench.engine.start_check(&file, ImageFormat::Qcow2, Repair::All, &[]).await.expect("starts");
    assert_eq!(repair.finish().await.expect("repaired").corruptions_fixed, 3);
    check("qcow2", ImageFormat::Qcow2).await.expect("sound again");

    bench.cut("vhdx", 6_000_000);
    let truncated = FailureCause::VhdxTruncated { bat_entry: 0, offset: 8 * MIB, file_bytes: 6_000_128 };
    assert_eq!(failed(check("vhdx", ImageFormat::Vhdx).await), truncated);
    let target = ("out", ImageFormat::Raw, Subformat::Dynamic);
    let failure = bench.try_convert(("vhdx", ImageFormat::Vhdx), target).await.expect_err("truncated");
    assert_eq!(failure.cause, truncated);
}

#[tokio::test]
async fn damaged_headers_are_told_apart() {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB);
    for format in [ImageFormat::Vhd, ImageFormat::Vhdx, ImageFormat::Qcow2] {
        let target = (format.engine_name(), format, Subformat::Dynamic);
        bench.try_convert(("disk.raw", ImageFormat::Raw), target).await.expect("converted");
    }
    let vhd = ("disk.raw", ImageFormat::Raw);
    bench.try_convert(vhd, ("fixed", ImageFormat::Vhd, Subformat::Fixed)).await.expect("converted");
    bench.target("empty");
    let copy = |from: &str| {
        fs::copy(bench.scratch.path().join(from), bench.scratch.path().join("bad")).expect("copied");
    };
    let file = || bench.named("bad");

    copy("vhdx");
    bench.damage("bad", 0, b"XXXX");
    assert_eq!(
        bench.info_failure("bad", ImageFormat::Vhdx).await,
        FailureCause::VhdxUnreadable { file: file() }
    );
    copy("empty");
    assert_eq!(
        bench.info_failure("bad", ImageFormat::Vhdx).await,
        FailureCause::VhdxUnreadable { file: file() }
    );
    assert_eq!(bench.info_failure("bad", ImageFormat::Vhd).await, FailureCause::VhdTooSmall { file: file() });
    assert_eq!(
        bench.info_failure("bad", ImageFormat::Qcow2).await,
        FailureCause::Qcow2Signature { file: file() }
    );
    copy("vhdx");
    bench.damage("bad", 64 << 10, b"XXXX");
    bench.damage("bad", 128 << 10, b"XXXX");
    assert_eq!(
        bench.info_failure("bad", ImageFormat::Vhdx).await,
        FailureCause::VhdxNoValidHeader { file: file() }
    );

    copy("fixed");
    bench.cut("bad", bench.bytes("fixed") - 512);
    assert_eq!(bench.info_failure("bad", ImageFormat::Vhd).await, FailureCause::VhdInvalid { file: file() });
    copy("vpc");
    bench.damage("bad", 512, b"XXXX");
    assert_eq!(
        bench.info_failure("bad", ImageFormat::Vhd).await,
        FailureCause::VhdDynamicHeader { file: file() }
    );
    copy("vpc");
    bench.damage("bad", 40, b"XX");
    assert_eq!(bench.info_failure("bad", ImageFormat::Vhd).await, FailureCause::VhdChecksum { file: file() });
    copy("vpc");
    bench.cut("bad", MIB);
    assert_eq!(
        bench.info_failure("bad", ImageFormat::Vhd).await,
        FailureCause::VhdTruncated { file: file() }
    );

    copy("qcow2");
    bench.damage("bad", 48, &[1; 8]);
    assert_eq!(
        bench.info_failure("bad", ImageFormat::Qcow2).await,
        FailureCause::Qcow2RefcountTable { file: file() }
    );
    copy("qcow2");
    bench.damage("bad", 40, &[1; 8]);
    let detail = "Active L1 table offset invalid".to_owned();
    assert_eq!(
        bench.info_failure("bad", ImageFormat::Qcow2).await,
        FailureCause::Qcow2Header { file: file(), detail }
    );
}

#[tokio::test]
async fn impossible_images_are_refused() {
    let bench = Bench::new();
    let vhdx = layout(ImageFormat::Vhdx, Subformat::Dynamic);
    let odd = ImageLayout { block_size_bytes: Some(3_000_000), ..vhdx };
    assert!(matches!(failed(bench.create("a", odd, MIB).await), FailureCause::BadBlockSize { .. }));
    let limit = Some("64TB".to_owned());
    assert_eq!(
        failed(bench.create("a", vhdx, 65 << 40).await),
        FailureCause::ImageTooLarge { format: None, limit }
    );
    let vhd = layout(ImageFormat::Vhd, Subformat::Dynamic);
    let format = Some("vpc".to_owned());
    assert_eq!(
        failed(bench.create("a", vhd, 3 << 40).await),
        FailureCause::ImageTooLarge { format, limit: None }
    );
    let qcow2 = layout(ImageFormat::Qcow2, Subformat::Dynamic);
    assert_eq!(failed(bench.create("a", qcow2, u64::MAX).await), FailureCause::BadSize { size: None });
    let based = CreateRequest {
        target: bench.target("b"),
        layout: vhdx,
        virtual_size_bytes: MIB,
        backing: Some((bench.source("a"), ImageFormat::Raw)),
    };
    let feature = UnsupportedFeature::BackingFile;
    assert_eq!(failed(bench.engine.create(&based).await), FailureCause::NotSupportedByFormat { feature });
}

#[tokio::test]
async fn files_that_are_gone_or_are_directories_are_named() {
    let bench = Bench::new();
    bench.disk("gone", MIB);
    let gone = bench.source("gone");
    fs::remove_file(bench.scratch.path().join("gone")).expect("removed");
    let cause = failed(bench.engine.info(&gone, ImageFormat::Vhdx, false).await);
    assert_eq!(cause, FailureCause::SourceMissing { file: bench.named("gone") });
    fs::create_dir(bench.scratch.path().join("directory")).expect("directory");
    let directory = File::open(bench.scratch.path().join("directory")).expect("opens");
    let named = bench.named("directory");
    let directory = EngineFile::new(named.path.clone(), Grant::new(directory, FileAccess::Read));
    let cause = failed(bench.engine.info(&directory, ImageFormat::Vhdx, false).await);
    assert_eq!(cause, FailureCause::NotARegularFile { file: named });
}

#[tokio::test]
async fn limits_and_ends_are_told_apart() {
    let bench = Bench::new();
    bench.disk("disk.raw", 8 * MIB);
    let mut request = ConvertRequest {
        source: bench.source("disk.raw"),
        source_format: ImageFormat::Raw,
        only_first_bytes: None,
        backing: vec![],
        target: bench.target("out"),
        layout: layout(ImageFormat::Raw, Subformat::Dynamic),
        into_existing: false,
        max_file_bytes: Some(MIB),
    };
    let failure = bench.engine.start_convert(&request).await.expect("starts").finish().await;
    let failure = failure.expect_err("too large");
    assert!(matches!(failure.cause, FailureCause::FileTooLarge { .. }), "{failure:?}");

    request.max_file_bytes = None;
    let mut running = bench.engine.start_convert(&request).await.expect("starts");
    running.process().pause().await.or_else(ended).expect("paused");
    running.process().terminate().or_else(ended).expect("ended");
    match running.finish().await {
        // A machine that is quick enough finishes first.
        Ok(()) => {}
        Err(failure) => {
            assert_eq!(failure.cause, FailureCause::KilledBySignal { signal: 15 });
            assert_eq!(failure.status, EngineStatus::Signaled(15));
        }
    }

    let small = EnginePolicy { memory_limit_bytes: 18 * MIB, ..bench.engine.policy().clone() };
    let mut running = QemuImg::new(small).start_convert(&request).await.expect("starts");
    assert_eq!(running.finish().await.expect_err("too little").cause, FailureCause::OutOfMemory);
}

fn ended(error: super::super::process::SignalError) -> Result<(), super::super::process::SignalError> {
    if error == super::super::process::SignalError::Ended { Ok(()) } else { Err(error) }
}

#[tokio::test]
async fn space_is_measured_where_the_format_can() {
    let bench = Bench::new();
    bench.disk("disk.raw", 4 * MIB);
    let source = MeasureSource::Image(bench.source("disk.raw"), ImageFormat::Raw);
    let measured = bench.engine.measure(&source, ImageFormat::Qcow2).await.expect("measured");
    assert!(
        measured.required_bytes < measured.fully_allocated_bytes + 1 && measured.required_bytes > 2 * MIB
    );
    let empty =
        bench.engine.measure(&MeasureSource::Empty(4 * MIB), ImageFormat::Qcow2).await.expect("measured");
    assert!(empty.required_bytes < MIB && empty.fully_allocated_bytes > 4 * MIB);
    let refused = bench.engine.measure(&source, ImageFormat::Vhdx).await;
    assert_eq!(failed(refused), FailureCause::NotSupportedByFormat { feature: UnsupportedFeature::Measure });
}

#[tokio::test]
async fn an_image_in_use_is_refused_unless_asked_for() {
    let bench = Bench::new();
    bench.create("used.qcow2", layout(ImageFormat::Qcow2, Subformat::Dynamic), MIB).await.expect("made");
    // All opened first: closing any descriptor of the file would give up the locks of this process.
    let (source, writable) = (bench.source("used.qcow2"), bench.in_place("used.qcow2"));
    let path = bench.scratch.path().join("used.qcow2");
    let file = OpenOptions::new().read(true).write(true).open(path).expect("opens");
    let (format, named) = (ImageFormat::Qcow2, bench.named("used.qcow2"));
    // QEMU marks what it does by shared locks on single bytes, so a shared lock on all bytes looks like a writer; an
    // exclusive one is that of some other program.
    for lock in [FlockOperation::NonBlockingLockExclusive, FlockOperation::NonBlockingLockShared] {
        rustix::fs::fcntl_lock(&file, lock).expect("locked");
        let read = failed(bench.engine.info(&source, format, false).await);
        assert_eq!(read, FailureCause::SharedLockRefused { file: named.clone() });
        let resized = failed(bench.engine.resize(&writable, format, 2 * MIB, false).await);
        assert_eq!(resized, FailureCause::WriteLockRefused { file: named.clone() });
    }
    bench.engine.info(&source, format, true).await.expect("in use is fine");
}
