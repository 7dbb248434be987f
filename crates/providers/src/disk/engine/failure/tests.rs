use super::*;

const SOURCE: &str = "/vms/a.img";
const TARGET: &str = "/vms/.b.img.1.cwpart";
const BASE: &str = "/vms/base.img";

fn exit(status: EngineStatus, stderr: &str) -> EngineExit {
    EngineExit {
        status,
        stdout: Vec::new(),
        stdout_truncated: false,
        stderr: stderr.to_owned(),
        stderr_truncated: false,
    }
}

fn context(format: ImageFormat) -> FailureContext {
    FailureContext::default()
        .with_file(SOURCE, FileRole::Source, format)
        .with_file(TARGET, FileRole::Target, ImageFormat::Raw)
        .with_file(BASE, FileRole::Backing, None)
}

fn cause_of(format: ImageFormat, code: i32, stderr: &str) -> FailureCause {
    let stderr = stderr.replace("SRC", SOURCE).replace("DST", TARGET).replace("BASE", BASE);
    classify(&exit(EngineStatus::Exited(code), &stderr), &context(format)).cause
}

fn vhdx(stderr: &str) -> FailureCause {
    cause_of(ImageFormat::Vhdx, 1, stderr)
}

fn source() -> NamedFile {
    NamedFile { path: SOURCE.into(), role: FileRole::Source }
}

fn target() -> NamedFile {
    NamedFile { path: TARGET.into(), role: FileRole::Target }
}

#[test]
fn lack_of_space_in_all_its_forms() {
    for (stderr, cause) in [
        (
            "qemu-img: error while writing at byte 2097152: No space left on device",
            FailureCause::DiskFull { at_byte: Some(2_097_152) },
        ),
        (
            "qemu-img: DST: error while converting vhdx: Could not create 'DST': No space left on device",
            FailureCause::DiskFull { at_byte: None },
        ),
        (
            // The system's reason is lost; whether space is the matter has to be found out otherwise.
            "qemu-img: DST: error while converting vpc: Unable to create or write VHD header",
            FailureCause::WriteError { at_byte: None, reason: "its header was not taken".into() },
        ),
        (
            "qemu-img: DST: Could not write zeros for preallocation: No space left on device",
            FailureCause::PreallocationDiskFull { file: target() },
        ),
        (
            "qemu-img: DST: error while converting raw: Could not preallocate new data: No space left on device",
            FailureCause::PreallocationDiskFull { file: target() },
        ),
        (
            "qemu-img: DST: Could not resize image: Failed to resize underlying file: Could not preallocate new data: \
             No space left on device",
            FailureCause::PreallocationDiskFull { file: target() },
        ),
        (
            "qemu-img: error while writing at byte 4096: Disk quota exceeded",
            FailureCause::QuotaExceeded { at_byte: Some(4096) },
        ),
        (
            "qemu-img: DST: Could not create 'DST': Disk quota exceeded",
            FailureCause::QuotaExceeded { at_byte: None },
        ),
        (
            "qemu-img: error while writing at byte 1048576: File too large",
            FailureCause::FileTooLarge { at_byte: Some(1_048_576) },
        ),
        (
            "qemu-img: DST: error while converting vhdx: Could not resize file: File too large",
            FailureCause::FileTooLarge { at_byte: None },
        ),
    ] {
        assert_eq!(vhdx(stderr), cause, "{stderr}");
    }
}

#[test]
fn errors_of_the_medium_say_where() {
    let reason = || "Input/output error".to_owned();
    for (stderr, cause) in [
        (
            "qemu-img: error while reading at byte 65536: Input/output error",
            FailureCause::ReadError { at_byte: Some(65536), reason: reason() },
        ),
        (
            "qemu-img: error while reading block status at byte 7: Input/output error",
            FailureCause::ReadError { at_byte: Some(7), reason: reason() },
        ),
        (
            "qemu-img: Error while reading offset 512 of SRC: Input/output error",
            FailureCause::ReadError { at_byte: Some(512), reason: reason() },
        ),
        (
            "qemu-img: Could not open 'SRC': Could not read L1 table: Input/output error",
            FailureCause::ReadError { at_byte: None, reason: reason() },
        ),
        (
            "qemu-img: error while writing at byte 512: Input/output error",
            FailureCause::WriteError { at_byte: Some(512), reason: reason() },
        ),
    ] {
        assert_eq!(vhdx(stderr), cause, "{stderr}");
    }
}

#[test]
fn files_that_cannot_be_opened_or_created() {
    for (stderr, cause) in [
        (
            "qemu-img: Could not open 'SRC': Could not open 'SRC': No such file or directory",
            FailureCause::SourceMissing { file: source() },
        ),
        (
            "qemu-img: DST: error while converting vhdx: Could not create 'DST': No such file or directory",
            FailureCause::TargetDirectoryMissing { file: target() },
        ),
        (
            "qemu-img: DST: Could not create 'DST': Not a directory",
            FailureCause::TargetDirectoryMissing { file: target() },
        ),
        (
            "qemu-img: Could not open 'SRC': 'file' driver requires 'SRC' to be a regular file",
            FailureCause::NotARegularFile { file: source() },
        ),
        (
            "qemu-img: DST: error while converting vhdx: Could not create 'DST': Is a directory",
            FailureCause::NotARegularFile { file: target() },
        ),
        (
            "qemu-img: Could not open 'SRC': Could not open 'SRC': Permission denied",
            FailureCause::PermissionDenied { file: source() },
        ),
        (
            "qemu-img: DST: error while converting raw: Could not create 'DST': Permission denied",
            FailureCause::PermissionDenied { file: target() },
        ),
        (
            "qemu-img: DST: error while converting raw: Could not create 'DST': Operation not permitted",
            FailureCause::OperationNotPermitted { file: target() },
        ),
        (
            "qemu-img: DST: error while converting raw: Could not create 'DST': Read-only file system",
            FailureCause::ReadOnlyFileSystem { file: target() },
        ),
        (
            "qemu-img: DST: Could not create 'DST': Read-only file system",
            FailureCause::ReadOnlyFileSystem { file: target() },
        ),
        (
            "qemu-img: DST: error while converting vhdx: Failed to get \"write\" lock\nIs another process using the \
             image [DST]?",
            FailureCause::WriteLockRefused { file: target() },
        ),
        (
            "qemu-img: Could not open 'SRC': Failed to get shared \"write\" lock\nIs another process using the image \
             [SRC]?",
            FailureCause::SharedLockRefused { file: source() },
        ),
        (
            "qemu-img: DST: error while converting qcow2: Failed to lock byte 101",
            FailureCause::WriteLockRefused { file: target() },
        ),
        (
            "qemu-img: Could not open 'SRC': Failed to lock byte 201",
            FailureCause::SharedLockRefused { file: source() },
        ),
        (
            "qemu-img: Could not open '/elsewhere/x': Could not open '/elsewhere/x': Permission denied",
            FailureCause::PermissionDenied {
                file: NamedFile { path: "/elsewhere/x".into(), role: FileRole::Other },
            },
        ),
    ] {
        assert_eq!(vhdx(stderr), cause, "{stderr}");
    }
}

#[test]
fn damaged_vhdx_files() {
    let truncated = FailureCause::VhdxTruncated { bat_entry: 3, offset: 8_388_608, file_bytes: 6_000_128 };
    for place in ["start", "end"] {
        let line = format!(
            "qemu-img: VHDX BAT entry 3 {place} offset 8388608 points after end of file (6000128). Image has probably \
             been truncated."
        );
        assert_eq!(cause_of(ImageFormat::Vhdx, 2, &line), truncated);
        let convert =
            format!("{line}\nqemu-img: Could not open 'SRC': Could not open 'SRC': Invalid argument");
        assert_eq!(vhdx(&convert), truncated);
    }
    for (stderr, cause) in [
        (
            "qemu-img: Could not open 'SRC': Could not open 'SRC': Invalid argument",
            FailureCause::VhdxUnreadable { file: source() },
        ),
        (
            "qemu-img: Could not open 'SRC': No valid VHDX header found",
            FailureCause::VhdxNoValidHeader { file: source() },
        ),
        (
            "qemu-img: Could not open 'SRC': VHDX image file 'SRC' opened read-only, but contains a log that needs to \
             be replayed\nTo replay the log, run:\nqemu-img check -r all 'SRC'",
            FailureCause::VhdxLogNotReplayed { file: source() },
        ),
        (
            "qemu-img: Could not open 'SRC': Could not open 'SRC': Operation not supported",
            FailureCause::VhdxHasParent { file: source() },
        ),
    ] {
        assert_eq!(vhdx(stderr), cause, "{stderr}");
    }
    // The same words about another format mean nothing known.
    let invalid = "qemu-img: Could not open 'SRC': Could not open 'SRC': Invalid argument";
    assert_eq!(cause_of(ImageFormat::Raw, 1, invalid), FailureCause::Unrecognised);
}

#[test]
fn damaged_vhd_files() {
    let file = source;
    for (words, cause) in [
        ("invalid VPC image", FailureCause::VhdInvalid { file: file() }),
        ("Invalid header magic", FailureCause::VhdDynamicHeader { file: file() }),
        ("Incorrect header checksum", FailureCause::VhdChecksum { file: file() }),
        ("File too small for a VHD header", FailureCause::VhdTooSmall { file: file() }),
        (
            "block-vpc: free_data_block_offset points after the end of file. The image has been truncated.",
            FailureCause::VhdTruncated { file: file() },
        ),
    ] {
        let stderr = format!("qemu-img: Could not open 'SRC': {words}");
        assert_eq!(cause_of(ImageFormat::Vhd, 1, &stderr), cause, "{stderr}");
    }
}

#[test]
fn damaged_qcow2_files() {
    let qcow2 = |stderr: &str| cause_of(ImageFormat::Qcow2, 1, stderr);
    let header = |detail: &str| FailureCause::Qcow2Header { file: source(), detail: detail.into() };
    for (words, cause) in [
        ("Image is not in qcow2 format", FailureCause::Qcow2Signature { file: source() }),
        ("Reference count table offset invalid", FailureCause::Qcow2RefcountTable { file: source() }),
        ("Active L1 table offset invalid", header("Active L1 table offset invalid")),
        ("Unsupported qcow2 version 9", header("Unsupported qcow2 version 9")),
        ("qcow2 header too short", header("qcow2 header too short")),
    ] {
        assert_eq!(qcow2(&format!("qemu-img: Could not open 'SRC': {words}")), cause, "{words}");
    }
    let marked = "qcow2: Marking image as corrupt: Data cluster offset 0x1 unaligned\nqemu-img: error while reading at \
                  byte 0: Input/output error";
    assert_eq!(qcow2(marked), FailureCause::ImageCorrupt { corruptions: None });

    let checked = EngineExit {
        stdout: br#"{"corruptions": 3, "check-errors": 0}"#.to_vec(),
        ..exit(
            EngineStatus::Exited(2),
            "ERROR cluster 0 refcount=0 reference=1\nERROR cluster 1 refcount=0 reference=1",
        )
    };
    let failure = classify(&checked, &context(ImageFormat::Qcow2));
    assert_eq!(failure.cause, FailureCause::ImageCorrupt { corruptions: Some(3) });
    assert_eq!(failure.line, "ERROR cluster 0 refcount=0 reference=1");
    let unfinished =
        EngineExit { stdout: br#"{"check-errors": 2}"#.to_vec(), ..exit(EngineStatus::Exited(1), "") };
    let failure = classify(&unfinished, &context(ImageFormat::Qcow2));
    assert_eq!(failure.cause, FailureCause::CheckIncomplete { check_errors: 2 });
}

#[test]
fn requests_the_engine_refuses() {
    for (stderr, cause) in [
        ("qemu-img: DST: Invalid parameter 'foo'", FailureCause::UnknownOption { name: "foo".into() }),
        ("qemu-img: Invalid parameter 'foo'", FailureCause::UnknownOption { name: "foo".into() }),
        (
            "qemu-img: DST: error while converting vpc: Parameter 'subformat' does not accept value 'x'",
            FailureCause::OptionValueRefused { name: "subformat".into(), value: "x".into() },
        ),
        ("qemu-img: Unknown file format 'xx'", FailureCause::UnknownFormat { name: "xx".into() }),
        (
            "qemu-img: Could not open 'SRC': Unknown driver 'xx'",
            FailureCause::UnknownFormat { name: "xx".into() },
        ),
        (
            "qemu-img: DST: Block size must be a power of two",
            FailureCause::BadBlockSize { rule: "Block size must be a power of two".into() },
        ),
        (
            "qemu-img: DST: Image size too large; max of 64TB",
            FailureCause::ImageTooLarge { format: None, limit: Some("64TB".into()) },
        ),
        (
            "qemu-img: DST: The image size is too large for file format 'vpc'",
            FailureCause::ImageTooLarge { format: Some("vpc".into()), limit: None },
        ),
        (
            "qemu-img: DST: error while converting vpc: Disk size is too large, max size is 2040 GiB",
            FailureCause::ImageTooLarge { format: Some("vpc".into()), limit: Some("2040 GiB".into()) },
        ),
        (
            "qemu-img: Invalid image size specified: '10Q'.",
            FailureCause::BadSize { size: Some("10Q".into()) },
        ),
        (
            "qemu-img: Invalid image size specified. You may use k, M, G, T, P or E suffixes for \nqemu-img: \
             kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.",
            FailureCause::BadSize { size: None },
        ),
        (
            "qemu-img: Invalid image size specified. Must be between 0 and 9223372036854775807.",
            FailureCause::BadSize { size: None },
        ),
        ("qemu-img: New image size must be positive", FailureCause::SizeNotPositive),
        (
            "qemu-img: Use the --shrink option to perform a shrink operation.\nqemu-img: warning: Shrinking an image \
             will delete all data beyond the shrunken image's end.",
            FailureCause::ShrinkNotAllowed,
        ),
        (
            "qemu-img: Image format driver does not support resize",
            FailureCause::NotSupportedByFormat { feature: UnsupportedFeature::Resize },
        ),
        (
            "qemu-img: Block driver 'vhdx' does not support size measurement",
            FailureCause::NotSupportedByFormat { feature: UnsupportedFeature::Measure },
        ),
        (
            "qemu-img: DST: Backing file not supported for file format 'vhdx'",
            FailureCause::NotSupportedByFormat { feature: UnsupportedFeature::BackingFile },
        ),
    ] {
        assert_eq!(vhdx(stderr), cause, "{stderr}");
    }
    assert_eq!(
        cause_of(ImageFormat::Raw, 63, "qemu-img: This image format does not support checks"),
        FailureCause::NotSupportedByFormat { feature: UnsupportedFeature::Check }
    );
}

#[test]
fn backing_files_are_told_from_sources() {
    let backing = |path: &str| NamedFile { path: path.into(), role: FileRole::Backing };
    for (stderr, cause) in [
        (
            "qemu-img: Could not open 'SRC': Could not open backing file: Could not open 'BASE': No such file or \
             directory",
            FailureCause::BackingFileMissing { backing: backing(BASE) },
        ),
        (
            "qemu-img: Could not open 'SRC': Could not open backing file: Could not open '/etc/passwd': Permission \
             denied",
            FailureCause::PermissionDenied { file: backing("/etc/passwd") },
        ),
        (
            "qemu-img: DST: Could not open 'miss': No such file or directory\nCould not open backing image.",
            FailureCause::BackingFileMissing { backing: backing("miss") },
        ),
    ] {
        assert_eq!(cause_of(ImageFormat::Qcow2, 1, stderr), cause, "{stderr}");
    }
}

#[test]
fn the_end_of_the_process_itself_is_a_reason() {
    let cause = |status, stderr: &str| classify(&exit(status, stderr), &context(ImageFormat::Raw)).cause;
    for signal in [1, 2, 9, 15] {
        assert_eq!(cause(EngineStatus::Signaled(signal), ""), FailureCause::KilledBySignal { signal });
    }
    assert_eq!(cause(EngineStatus::Signaled(25), ""), FailureCause::FileTooLarge { at_byte: None });
    assert_eq!(cause(EngineStatus::Signaled(24), ""), FailureCause::CpuTimeExceeded);
    let allocation =
        "(process:1): GLib-ERROR **: 12:00:00.000: ../glib/gmem.c:136: failed to allocate 8 bytes";
    assert_eq!(cause(EngineStatus::Signaled(5), allocation), FailureCause::OutOfMemory);
    let thread = "qemu: qemu_thread_create: Resource temporarily unavailable";
    assert_eq!(cause(EngineStatus::Signaled(6), thread), FailureCause::OutOfMemory);
    let library = "qemu-img: error while loading shared libraries: libgnutls.so.30: failed to map segment from shared \
                   object";
    assert_eq!(cause(EngineStatus::Exited(127), library), FailureCause::OutOfMemory);
    assert_eq!(cause(EngineStatus::Signaled(6), "Aborted"), FailureCause::KilledBySignal { signal: 6 });
    assert_eq!(
        cause(EngineStatus::Exited(1), "qemu-img: Failed to allocate memory: Cannot allocate memory"),
        FailureCause::OutOfMemory
    );
    assert_eq!(
        cause(EngineStatus::Exited(127), "engine: 1: exec: /usr/bin/qemu-img: not found"),
        FailureCause::NotExecutable
    );
    for (status, stderr) in [
        (EngineStatus::Exited(1), ""),
        (EngineStatus::Exited(1), "qemu-img: the moon is full"),
        (EngineStatus::Unknown, ""),
    ] {
        assert_eq!(cause(status, stderr), FailureCause::Unrecognised);
    }
}

#[test]
fn a_failure_keeps_what_was_said() {
    let stderr =
        "qemu-img: warning: something\nqemu-img: error while writing at byte 9: No space left on device\n";
    let failure = classify(&exit(EngineStatus::Exited(1), stderr), &context(ImageFormat::Raw));
    assert_eq!(failure.line, "error while writing at byte 9: No space left on device");
    assert_eq!((failure.stderr.as_str(), failure.status), (stderr, EngineStatus::Exited(1)));
}

#[test]
fn the_name_of_a_file_cannot_pass_for_a_message() {
    for name in [
        "/vms/No valid VHDX header found",
        "/vms/error while writing at byte 1: No space left on device",
        "/vms/it's Failed to get \"write\" lock",
        "/vms/Could not open backing file: Could not open 'x': No such file or directory",
        "/vms/Permission denied",
    ] {
        let context = FailureContext::default().with_file(name, FileRole::Source, ImageFormat::Vhdx);
        let stderr =
            format!("qemu-img: Could not open '{name}': Could not open '{name}': No such file or directory");
        let failure = classify(&exit(EngineStatus::Exited(1), &stderr), &context);
        let file = NamedFile { path: name.into(), role: FileRole::Source };
        assert_eq!(failure.cause, FailureCause::SourceMissing { file }, "{name}");
        assert!(failure.line.contains(name), "the message itself is not changed");
    }
}

#[test]
fn a_name_that_begins_like_another_is_not_mistaken() {
    let context = FailureContext::default()
        .with_file("/vms/a", FileRole::Source, ImageFormat::Raw)
        .with_file("/vms/a.vhdx", FileRole::Target, ImageFormat::Vhdx);
    let stderr = "qemu-img: /vms/a.vhdx: error while converting vhdx: Could not create '/vms/a.vhdx': Permission denied";
    let file = NamedFile { path: "/vms/a.vhdx".into(), role: FileRole::Target };
    let failure = classify(&exit(EngineStatus::Exited(1), stderr), &context);
    assert_eq!(failure.cause, FailureCause::PermissionDenied { file });
}
