//! The reasons of the disk provider: `CWDISK…`. Ids are grouped: 10xx what the engine or the file system met, 11xx what was wrong
//! with the call, 12xx what is wrong with the machine, 19xx the raw word of the engine behind the others.

const FREE_SPACE: &[&str] = &[
    "Free space on the file system that holds \"{0}\", or choose a place with more.",
    "Choose a dynamic disk: it takes only the space that is used.",
];
const REPLACE_IMAGE: &[&str] = &[
    "Copy the image again from where it came from; the file is damaged or was cut short.",
    "Restore it from a backup.",
];
const CHECK_EXTENSION: &[&str] = &[
    "Check that the extension of the file tells its true format (.vhd, .vhdx, .qcow2, .raw).",
    "Copy the image again from where it came from; the file may be damaged.",
];

cimwright_sdk::catalogue! {
    /// The messages of this provider.
    pub static CATALOGUE = "Disk images";

    SOURCE_MISSING = "CWDISK1001", 32779, NotFound, Environmental, Minor, 73 "Element Missing",
        "The image \"{0}\" does not exist.",
        "The file that was to be read is not there.",
        &["Check the spelling of the path and on which host the file lies.", "List the storage roots in the configuration of the server."];
    DIRECTORY_MISSING = "CWDISK1002", 32779, NotFound, Environmental, Minor, 73 "Element Missing",
        "The directory for \"{0}\" does not exist.",
        "The directory that the image is to be in is not there; the server makes no directories.",
        &["Create the directory on the server, or choose another path."];
    NOT_A_FILE = "CWDISK1003", 32773, InvalidParameter, Environmental, Minor, 18 "File Format Error",
        "\"{0}\" is not a regular file but a {1}.",
        "An image must be a regular file; directories, devices, pipes and symbolic links are not opened.",
        &["Give the path of the image file itself."];
    NO_SPACE_WRITING = "CWDISK1004", 32768, Failed, UnavailableResource, Critical, 50 "Storage Capacity Problem",
        "No space is left for \"{0}\": writing stopped at {1}.",
        "The file system became full while the image was being written. What had been written was removed.",
        FREE_SPACE;
    NO_SPACE_ALLOCATING = "CWDISK1005", 32768, Failed, UnavailableResource, Critical, 50 "Storage Capacity Problem",
        "No space is left to reserve all of \"{0}\", as a fixed disk needs.",
        "The file system has not enough room for the full size of a fixed disk. What had been written was removed.",
        FREE_SPACE;
    FILE_TOO_LARGE = "CWDISK1006", 32768, Failed, UnavailableResource, Major, 50 "Storage Capacity Problem",
        "\"{0}\" became larger than a file may be: writing stopped at {1}.",
        "The file system, or the limit set for the engine, does not allow a file of this size.",
        &["Use a file system without that limit.", "Make a dynamic or a smaller disk."];
    READ_ERROR = "CWDISK1007", 32768, Failed, Hardware, Fatal, 24 "I/O Device Error",
        "\"{0}\" cannot be read at {1}: {2}.",
        "The storage under the source image failed while it was being read. The source was not changed.",
        &["Look into the kernel log of the server for errors of the device.", "Restore the image from a backup."];
    SOURCE_DENIED = "CWDISK1008", 32769, AccessDenied, Security, Minor, 65 "Unauthorized Access",
        "The server or its engine may not read \"{0}\".",
        "The user that the server or the engine runs as has no right to read the image.",
        &["Let the engine's user read the file (owner, mode or ACL).", "Set engine.user in the configuration to a user that may."];
    TARGET_DENIED = "CWDISK1009", 32769, AccessDenied, Security, Minor, 65 "Unauthorized Access",
        "The server may not write \"{0}\".",
        "The user that the server or the engine runs as has no right to make files in the directory.",
        &["Give that user the right to write to the directory.", "Choose another directory."];
    TARGET_IMMUTABLE = "CWDISK1010", 32769, AccessDenied, Security, Minor, 114 "Protection Mechanism Failure",
        "\"{0}\" is protected against changes by an attribute of its file system.",
        "The file or its directory carries the immutable or append-only attribute.",
        &["Remove the attribute (chattr -i, chattr -a) if the change is wanted."];
    READ_ONLY = "CWDISK1011", 32768, Failed, Environmental, Major, 57 "Underlying Resource Unavailable",
        "\"{0}\" is on a file system that is mounted read-only.",
        "Nothing can be written there.",
        &["Mount the file system for writing; if it went read-only by itself, look into the kernel log first.", "Choose another directory."];
    IN_USE_WRITING = "CWDISK1012", 32774, Failed, UnavailableResource, Minor, 57 "Underlying Resource Unavailable",
        "\"{0}\" is in use by another process and cannot be changed.",
        "Another process holds a lock on the image, for example a running virtual machine.",
        &["Shut down the virtual machine or the tool that uses the image, then try again."];
    IN_USE_READING = "CWDISK1013", 32774, Failed, UnavailableResource, Minor, 57 "Underlying Resource Unavailable",
        "\"{0}\" is being written by another process and cannot be read consistently.",
        "Another process holds the image open for writing, so what would be read could change meanwhile.",
        &["Shut down the virtual machine or the tool that uses the image, then try again."];
    NOT_VHDX = "CWDISK1014", 32768, Failed, Environmental, Major, 18 "File Format Error",
        "\"{0}\" is not a valid VHDX: its signature or its region table is wrong.",
        "The file does not begin as a VHDX does, or the tables that everything else is found by are damaged.",
        CHECK_EXTENSION;
    VHDX_HEADERS = "CWDISK1015", 32768, Failed, Environmental, Major, 10 "Corrupt Data",
        "Neither of the two headers of the VHDX \"{0}\" is valid.",
        "A VHDX keeps two copies of its header so that one survives a crash; both are damaged here.",
        REPLACE_IMAGE;
    VHDX_TRUNCATED = "CWDISK1016", 32768, Failed, Environmental, Fatal, 10 "Corrupt Data",
        "The VHDX \"{0}\" is truncated: a block at byte {1} lies behind the end of the file at byte {2}.",
        "The verification of the image found that the file is shorter than its own tables say. Part of the content is missing.",
        REPLACE_IMAGE;
    VHDX_TRUNCATED_OPENING = "CWDISK1017", 32768, Failed, Environmental, Fatal, 10 "Corrupt Data",
        "The VHDX \"{0}\" cannot be opened because it is truncated: a block at byte {1} lies behind the end of the file at byte {2}.",
        "Opening the image for work, after it had passed its verification or without one, found that the file is shorter than its own tables say.",
        REPLACE_IMAGE;
    VHDX_LOG = "CWDISK1018", 32775, Failed, Environmental, Minor, 116 "Database Inconsistency",
        "The VHDX \"{0}\" was not closed properly: its log must be replayed first.",
        "The machine or program that used the image ended without closing it. The log inside the image holds the last writes.",
        &["Replay the log: qemu-img check -r all FILE, or start and shut down the virtual machine that owns it."];
    VHDX_PARENT = "CWDISK1019", 32770, NotSupported, UnsupportedOperation, Minor, 58 "Version Mismatch",
        "\"{0}\" is a differencing disk; this server cannot read disks that have a parent.",
        "The image holds only the difference to another image.",
        &["Merge the chain on a Hyper-V host and use the merged disk."];
    NOT_VHD = "CWDISK1020", 32768, Failed, Environmental, Major, 18 "File Format Error",
        "\"{0}\" is not a valid VHD: its footer is missing or damaged.",
        "A VHD ends in a footer that says what it is. It is not there, which is also what a truncated fixed VHD looks like.",
        CHECK_EXTENSION;
    VHD_HEADER = "CWDISK1021", 32768, Failed, Environmental, Major, 10 "Corrupt Data",
        "The header of the dynamic VHD \"{0}\" is damaged: {1}.",
        "The second header of a dynamic VHD has a wrong signature or checksum.",
        REPLACE_IMAGE;
    VHD_TOO_SMALL = "CWDISK1022", 32768, Failed, Environmental, Major, 18 "File Format Error",
        "\"{0}\" is too small to be a VHD.",
        "The file is shorter than the 512 bytes of a footer.",
        CHECK_EXTENSION;
    VHD_TRUNCATED = "CWDISK1023", 32768, Failed, Environmental, Fatal, 10 "Corrupt Data",
        "The dynamic VHD \"{0}\" is truncated: its blocks reach behind the end of the file.",
        "The file is shorter than its own block table says. Part of the content is missing.",
        REPLACE_IMAGE;
    NOT_QCOW2 = "CWDISK1024", 32768, Failed, Environmental, Major, 18 "File Format Error",
        "\"{0}\" is not a qcow2 image.",
        "The file does not begin as a qcow2 image does.",
        CHECK_EXTENSION;
    QCOW2_HEADER = "CWDISK1025", 32768, Failed, Environmental, Major, 10 "Corrupt Data",
        "The header of the qcow2 image \"{0}\" is damaged: {1}.",
        "A table offset in the header cannot be right.",
        REPLACE_IMAGE;
    IMAGE_CORRUPT = "CWDISK1026", 32768, Failed, Environmental, Fatal, 10 "Corrupt Data",
        "The verification of \"{0}\" found {1} errors.",
        "The internal tables of the image contradict each other. Converting it could silently yield wrong content, so it was not tried.",
        &["Repair a copy of it with qemu-img check -r all and compare the content.", "Restore it from a backup."];
    ENGINE_OPTION = "CWDISK1027", 32770, NotSupported, Software, Major, 58 "Version Mismatch",
        "The engine does not know the option \"{1}\" for \"{0}\".",
        "The installed qemu-img is older or newer than what this server was written for.",
        &["Install qemu-utils 7.2 or newer."];
    ENGINE_SUBFORMAT = "CWDISK1028", 32770, NotSupported, Software, Major, 58 "Version Mismatch",
        "The engine does not know the type \"{1}\" for \"{0}\".",
        "The installed qemu-img cannot make this type of disk in this format.",
        &["Install qemu-utils 7.2 or newer.", "Choose another type of disk."];
    ENGINE_FORMAT = "CWDISK1029", 32770, NotSupported, Software, Major, 58 "Version Mismatch",
        "The engine does not know the format \"{1}\" of \"{0}\".",
        "The installed qemu-img was built without this format.",
        &["Install the full package (on Debian: qemu-utils, and qemu-block-extra for rare formats)."];
    BAD_BLOCK_SIZE = "CWDISK1030", 32773, InvalidParameter, Other, Minor, 8 "Configuration/Customization Error",
        "The block size asked for \"{0}\" is not possible: {1}.",
        "A VHDX has blocks of 1 MiB to 256 MiB, a power of two; a dynamic VHD of this server has blocks of 2 MiB.",
        &["Leave BlockSize 0 for the default, or choose a power of two from 1 MiB to 256 MiB for a VHDX."];
    VHDX_TOO_LARGE = "CWDISK1031", 32773, InvalidParameter, Other, Minor, 8 "Configuration/Customization Error",
        "The size asked for \"{0}\" is more than a VHDX can have (64 TB).",
        "The format ends there.",
        &["Choose a smaller size, or the raw format."];
    VHD_TOO_LARGE = "CWDISK1032", 32773, InvalidParameter, Other, Minor, 8 "Configuration/Customization Error",
        "The size asked for \"{0}\" is more than a VHD can have (2040 GiB).",
        "The format ends there.",
        &["Choose a smaller size, or the VHDX format."];
    BAD_SIZE = "CWDISK1033", 32773, InvalidParameter, Other, Minor, 8 "Configuration/Customization Error",
        "The size asked for \"{0}\" is not possible: {1}.",
        "A disk has at least one sector and a whole number of them, 512 bytes each.",
        &["Choose a size greater than zero that is a multiple of 512 bytes."];
    BACKING_MISSING = "CWDISK1034", 32779, NotFound, Environmental, Major, 73 "Element Missing",
        "The image that \"{0}\" is based on cannot be opened: {1}.",
        "The image holds only the difference to another one, which is missing or outside the storage roots.",
        &["Put the base image back where it was.", "Make sure that it lies beside the image under a storage root."];
    ENGINE_KILLED = "CWDISK1035", 32768, Failed, Software, Major, 48 "Software Program Abnormally Terminated",
        "The engine working on \"{0}\" was ended by signal {1} from outside.",
        "Somebody or something (an administrator, the kernel when memory ran out) ended the process. What it had written was removed.",
        &["Look into the kernel log for \"out of memory\".", "Start the operation again."];
    ENGINE_UNKNOWN = "CWDISK1036", 32768, Failed, Software, Major, 47 "Software Error",
        "The engine failed on \"{0}\": {1}",
        "The engine gave a reason that this server does not know by heart. It is quoted as it was.",
        &["Read what the engine said.", "Report the message, so that it gets an entry of its own."];
    WRITE_ERROR = "CWDISK1037", 32768, Failed, Hardware, Fatal, 24 "I/O Device Error",
        "\"{0}\" cannot be written at {1}: {2}.",
        "The storage under the new image failed. What had been written was removed.",
        &["Look into the kernel log of the server for errors of the device.", "Choose a place on another device."];
    NO_ALLOCATION = "CWDISK1038", 32770, NotSupported, Environmental, Minor, 57 "Underlying Resource Unavailable",
        "The file system of \"{0}\" cannot reserve space, which a fixed disk needs.",
        "A fixed disk is promised to have all its space; this file system cannot promise it.",
        &["Put the disk on a file system with fallocate (ext4, xfs, btrfs, tmpfs).", "Make a dynamic disk."];
    SYSTEM_ERROR = "CWDISK1039", 32768, Failed, Environmental, Major, 57 "Underlying Resource Unavailable",
        "The system refused to {1} \"{0}\": {2}.",
        "A system call on the file failed in a way that has no entry of its own.",
        &["Look into the kernel log of the server."];
    CHANGED_MEANWHILE = "CWDISK1040", 32775, Failed, Environmental, Minor, 124 "Information Out of Sequence",
        "\"{0}\" was replaced or removed by somebody else while the job ran.",
        "The unfinished file of the job, or the image it works on, is no longer the one the job began with.",
        &["Find out who else works in the directory, then start the operation again."];

    PATH_SYNTAX = "CWDISK1101", 32773, InvalidParameter, Other, Minor, 8 "Configuration/Customization Error",
        "\"{0}\" is not a path this server can use: {1}.",
        "Paths are absolute, under a storage root, without \"..\", control characters or device prefixes.",
        &["Give an absolute path under a storage root, such as ROOT/disk.vhdx."];
    OUTSIDE_ROOTS = "CWDISK1102", 32769, AccessDenied, Security, Minor, 65 "Unauthorized Access",
        "\"{0}\" is outside the storage roots of this server.",
        "Nothing outside the configured storage roots is read or written. Symbolic links inside a root are not followed.",
        &["Use a path under a storage root.", "Let an administrator add the directory to [storage] roots in the configuration."];
    TARGET_EXISTS = "CWDISK1103", 32768, AlreadyExists, Other, Minor, 79 "Identifier Duplication",
        "\"{0}\" exists already.",
        "The server never overwrites an image that it was not asked to change.",
        &["Remove the file or choose another name."];
    UNKNOWN_EXTENSION = "CWDISK1104", 32773, InvalidParameter, Other, Minor, 18 "File Format Error",
        "The format of \"{0}\" cannot be told from its extension.",
        "The extension decides on the format: .vhd, .vhdx, .qcow2, .raw, .img or .vfd.",
        &["Give the file one of these extensions."];
    FORMAT_MISMATCH = "CWDISK1105", 32773, InvalidParameter, Other, Minor, 8 "Configuration/Customization Error",
        "The format asked for ({1}) and the extension of \"{0}\" contradict each other.",
        "A file whose extension does not tell its format would be misread later.",
        &["Change the extension, or leave Format NULL."];
    TYPE_UNSUPPORTED = "CWDISK1106", 32770, NotSupported, UnsupportedOperation, Minor, 58 "Version Mismatch",
        "A disk of the type {1} cannot be made for \"{0}\".",
        "Fixed (2) and dynamic (3) disks are made; a qcow2 image is always dynamic.",
        &["Choose the type 2 (fixed) or 3 (dynamic)."];
    DIFFERENCING = "CWDISK1107", 32770, NotSupported, UnsupportedOperation, Minor, 58 "Version Mismatch",
        "{1} needs differencing disks, which this server cannot make, merge or reconnect yet (\"{0}\").",
        "The engine of this server reads and writes disks without a parent only.",
        &["Use a full copy (ConvertVirtualHardDisk) instead of a differencing disk."];
    ATTACHING = "CWDISK1108", 32770, NotSupported, UnsupportedOperation, Minor, 58 "Version Mismatch",
        "{1} needs images to be attached to the host, which this server does not do (\"{0}\").",
        "Attaching an image would give its content to the host's kernel as a device.",
        &["Read the content with tools that work on the image, such as guestfish or qemu-nbd."];
    VHD_SETS = "CWDISK1109", 32770, NotSupported, UnsupportedOperation, Minor, 58 "Version Mismatch",
        "{1} needs VHD sets or change tracking, which this server does not have (\"{0}\").",
        "VHD sets, their snapshots and resilient change tracking have no counterpart in the engine.",
        &["Use a plain VHDX."];
    SHRINK_IN_USE = "CWDISK1110", 32775, Failed, Other, Minor, 44 "Resource at or Nearing Capacity",
        "\"{0}\" cannot become {1} bytes small: it has data at byte {2}.",
        "Cutting off data would destroy the content. Only the unused end of a disk can be cut off.",
        &["Shrink the partitions inside the disk first (their backup table must move too), then try again.", "Choose a size of at least the number of bytes in use."];
    SHRINK_FORMAT = "CWDISK1111", 32770, NotSupported, UnsupportedOperation, Minor, 58 "Version Mismatch",
        "\"{0}\" cannot be made smaller: only VHDX, qcow2 and raw images can.",
        "The VHD format is documented to grow only.",
        &["Convert the disk to VHDX, shrink it and convert it back."];
    SAME_FILE = "CWDISK1112", 32773, InvalidParameter, Other, Minor, 8 "Configuration/Customization Error",
        "Source and destination are the same file, \"{0}\".",
        "A conversion writes a new image and leaves the source as it is.",
        &["Choose another name for the destination."];
    SETTING_MISSING = "CWDISK1113", 32773, InvalidParameter, Other, Minor, 122 "Information Missing",
        "The setting data does not say {1} (\"{0}\").",
        "Msvm_VirtualHardDiskSettingData must carry at least Path and Type, and MaxInternalSize for a new disk.",
        &["Set the property and call again."];
    SECTOR_SIZE = "CWDISK1114", 32770, NotSupported, UnsupportedOperation, Minor, 58 "Version Mismatch",
        "A disk with {1} of {2} bytes cannot be made (\"{0}\").",
        "The engine makes disks with logical sectors of 512 bytes; the physical sector size of a VHDX is its own choice.",
        &["Leave the sector sizes 0 for the default."];
    COMPACT_TYPE = "CWDISK1115", 32775, Failed, UnsupportedOperation, Minor, 129 "Procedural Error",
        "\"{0}\" cannot be compacted: only dynamic disks hold unused space that can be given back.",
        "A fixed disk keeps its full size by definition.",
        &["Convert the disk to a dynamic one."];
    SERVICE_STATE = "CWDISK1116", 32770, NotSupported, UnsupportedOperation, Minor, 58 "Version Mismatch",
        "{1} is not supported: the state of the service follows the server (\"{0}\").",
        "The image management service runs as long as the server does.",
        &["Stop or start the server itself."];
    SETTING_CHANGE = "CWDISK1117", 32770, NotSupported, UnsupportedOperation, Minor, 58 "Version Mismatch",
        "Changing the settings of an existing disk (ParentPath, PhysicalSectorSize, VirtualDiskId) is not supported (\"{0}\").",
        "The engine cannot rewrite these fields in place.",
        &["Convert the disk to a new one with the wanted attributes."];

    ENGINE_MISSING = "CWDISK1201", 32777, Failed, Environmental, Critical, 72 "Element Unavailable",
        "The engine \"{1}\" is not installed, so \"{0}\" cannot be worked on.",
        "qemu-img does the work and is not where the configuration says.",
        &["Install it: apt-get install qemu-utils.", "Set engine.program in the configuration to where it is."];
    ENGINE_UNCONFINED = "CWDISK1202", 32777, Failed, Security, Critical, 114 "Protection Mechanism Failure",
        "The engine cannot be confined as the configuration demands, so it was not started for \"{0}\": {1}",
        "The server does not let an image parser run with more rights than it needs.",
        &["Use a kernel with Landlock (5.13 or newer).", "Let an administrator set engine.require_landlock = false if the images are trusted."];
    ENGINE_START = "CWDISK1203", 32777, Failed, Environmental, Major, 72 "Element Unavailable",
        "The engine could not be started for \"{0}\": {1}",
        "The system did not start the process, for example because memory or process ids ran out.",
        &["Look at memory and process limits of the server, then try again."];
    STORED_ORDER = "CWDISK1204", 32768, Failed, Software, Major, 58 "Version Mismatch",
        "What was stored for the job on \"{0}\" cannot be read: {1}",
        "The job was stored by another version of the server, or its record is damaged.",
        &["Start the operation again."];

    ENGINE_MEMORY = "CWDISK1205", 32778, Failed, UnavailableResource, Major, 33 "Out of Memory",
        "The engine needed more memory than it is allowed while it worked on \"{0}\".",
        "The engine runs with a memory limit, so that a hostile image cannot take the memory of the host.",
        &["Raise engine.memory_limit in the configuration if the image is trusted."];

    ENGINE_SAID = "CWDISK1901", 32768, Failed, Software, Information, 47 "Software Error",
        "{0} ended with status {1}: {2}",
        "The engine's own words, as the reason behind another message.",
        &[];
}
