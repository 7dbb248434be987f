//! The reasons of replication: `CWREPL…`. Ids are grouped: 10xx volumes and logs, 11xx what was wrong with the call, 12xx what is
//! wrong with the machine, 13xx other computers and access. The code is the return code of the DMTF table that GetError has too:
//! 1 Not Supported, 2 Unspecified Error, 3 Timeout, 4 Failed, 5 Invalid Parameter, 6 Access Denied.

const CHECK_VOLUME: &[&str] = &["Check the spelling of the path and on which computer the volume lies."];
const CHECK_GROUP: &[&str] = &[
    "List the groups of the computer: GetGroup without a name, or the instances of MSFT_WvrReplicationGroup.",
];

cimwright_sdk::catalogue! {
    /// The messages of this provider.
    pub static CATALOGUE = "Replication";

    VOLUME_MISSING = "CWREPL1001", 5, NotFound, Environmental, Major, 73 "Element Missing",
        "The volume \"{0}\" does not exist.",
        "There is no file or block device of this name under the storage roots.",
        CHECK_VOLUME;
    VOLUME_KIND = "CWREPL1002", 5, InvalidParameter, Environmental, Minor, 1 "Other",
        "\"{0}\" cannot be a volume: it is a {1}.",
        "A volume must be a regular file or a block device; directories, pipes, sockets and symbolic links are not replicated.",
        &["Give the path of the volume itself."];
    VOLUME_DENIED = "CWREPL1003", 4, Failed, Environmental, Major, 65 "Unauthorized Access",
        "The server may not read and write the volume \"{0}\".",
        "The permissions of the file or device do not let the user of the server open it for reading and writing.",
        &["Give the user of the server permission to read and write it."];
    VOLUME_SIZE = "CWREPL1004", 5, InvalidParameter, Environmental, Minor, 1 "Other",
        "The volume \"{0}\" cannot be replicated: it has {1} bytes, which is not a whole number of sectors of {2} bytes and more than none.",
        "Blocks are copied as whole sectors, so the size of a volume must be a multiple of its sector size.",
        &["Enlarge the volume to a whole number of sectors."];
    VOLUME_IN_GROUP = "CWREPL1005", 5, AlreadyExists, Other, Minor, 1 "Other",
        "The volume \"{0}\" belongs to the group \"{1}\" already.",
        "A volume can be in one replication group only.",
        &["Take it out of that group first (SetGroupRemoveVolumes), or choose another volume."];
    VOLUME_TWICE = "CWREPL1006", 5, InvalidParameter, Other, Minor, 1 "Other",
        "The volume \"{0}\" is named twice.",
        "Two paths of the call lead to the same file or device.",
        &["Name each volume once."];
    VOLUME_NOT_IN_GROUP = "CWREPL1007", 5, NotFound, Other, Minor, 1 "Other",
        "The volume \"{0}\" does not belong to the group \"{1}\".",
        "What is to be taken out of a group, or asked for, must be in it.",
        &["Look at Replicas of the group to see its volumes."];
    LAST_VOLUME = "CWREPL1008", 5, InvalidParameter, Other, Minor, 1 "Other",
        "\"{0}\" cannot leave the group \"{1}\": no volume would be left.",
        "A group has at least one volume.",
        &["Remove the group instead (RemoveSrGroup)."];
    OUTSIDE_ROOTS = "CWREPL1009", 6, AccessDenied, Security, Minor, 65 "Unauthorized Access",
        "\"{0}\" is outside the storage roots.",
        "The server touches only what lies under its storage roots, and follows no symbolic link there.",
        &["Choose a path under a storage root.", "Let an administrator add the directory to storage.roots in the configuration."];
    PATH_SYNTAX = "CWREPL1010", 5, InvalidParameter, Other, Minor, 1 "Other",
        "\"{0}\" is no path that can be used: {1}.",
        "A path must be absolute and name one file, without `..`.",
        &["Correct the path."];
    DIRECTORY_MISSING = "CWREPL1011", 5, NotFound, Environmental, Minor, 73 "Element Missing",
        "The directory for \"{0}\" does not exist.",
        "The server makes no directories.",
        &["Create the directory on that computer, or choose another path."];
    SYSTEM_ERROR = "CWREPL1013", 2, Failed, Environmental, Major, 1 "Other",
        "The system refused to {1} \"{0}\": {2}",
        "An operation of the operating system failed for a reason that has no message of its own.",
        &["Look into the system log of that computer."];
    LOG_EXISTS = "CWREPL1020", 5, AlreadyExists, Environmental, Minor, 1 "Other",
        "The log cannot be \"{0}\": there is a file of that name already.",
        "A new log never takes the place of a file that is there.",
        &["Choose another name, or name a directory: the server then chooses the name.", "If it is an old log that no group uses, remove it with WvrClearOrphanedLogs."];
    LOG_TOO_SMALL = "CWREPL1021", 5, InvalidParameter, Other, Minor, 50 "Storage Capacity Problem",
        "A log of {1} bytes is too small for the volumes of the group \"{0}\": it needs at least {2} bytes.",
        "The log keeps track of what has changed; what that takes grows with the volumes.",
        &["Ask for at least {2} bytes."];
    LOG_NO_SPACE = "CWREPL1022", 4, Failed, UnavailableResource, Critical, 50 "Storage Capacity Problem",
        "There is no room to reserve the log \"{0}\" of {1} bytes.",
        "The whole log is reserved at once, so that replication cannot run out of space for it later.",
        &["Free space on the file system that holds \"{0}\", or choose a place with more.", "Ask for a smaller log."];
    LOG_IS_VOLUME = "CWREPL1023", 5, InvalidParameter, Other, Minor, 1 "Other",
        "\"{0}\" cannot be log and volume at once.",
        "The log must be a file of its own.",
        &["Choose another place for the log."];
    LOG_DENIED = "CWREPL1024", 4, Failed, Environmental, Major, 65 "Unauthorized Access",
        "The server may not make or change the log \"{0}\".",
        "The permissions or attributes of the directory, or a read-only file system, are in the way.",
        &["Give the user of the server permission to write there, or choose another place."];
    LOG_NO_ALLOCATION = "CWREPL1025", 4, Failed, Environmental, Major, 1 "Other",
        "The file system of the log \"{0}\" cannot reserve space.",
        "Without reserved space a full file system would end replication.",
        &["Put the log on a file system that can reserve space, such as ext4, XFS or Btrfs."];
    LOG_FOREIGN = "CWREPL1026", 4, Failed, Environmental, Major, 1 "Other",
        "\"{0}\" is not the log of the group \"{1}\" (any more), so it was left alone.",
        "The file does not begin with the mark of that group's log. The server removes and changes only logs that it made.",
        &["Look at the file; remove it by hand if nobody needs it."];
    LOG_MISSING = "CWREPL1027", 4, NotFound, Environmental, Major, 73 "Element Missing",
        "The log \"{0}\" of the group \"{1}\" is gone.",
        "Somebody removed or renamed the file.",
        &["Put the file back, or remove the group and make it anew; the volumes keep their data."];

    GROUP_EXISTS = "CWREPL1101", 5, AlreadyExists, Other, Minor, 1 "Other",
        "There is a group \"{0}\" on {1} already.",
        "The name of a group is unique on its computer, in any case.",
        &["Choose another name."];
    GROUP_MISSING = "CWREPL1102", 5, NotFound, Other, Minor, 73 "Element Missing",
        "There is no group \"{0}\" on {1}.",
        "The group does not exist, or is on another computer.",
        CHECK_GROUP;
    GROUP_NAME = "CWREPL1103", 5, InvalidParameter, Other, Minor, 1 "Other",
        "\"{0}\" cannot be the name of a group: {1}.",
        "A name has 1 to 255 characters, none of them a control character.",
        &["Choose another name."];
    PARAMETER_MISSING = "CWREPL1104", 5, InvalidParameter, Other, Minor, 1 "Other",
        "{0} needs the parameter {1}.",
        "The parameter was left out or NULL, and there is nothing to take its place.",
        &["Give the parameter {1}."];
    PARAMETER_VALUE = "CWREPL1105", 5, InvalidParameter, Other, Minor, 1 "Other",
        "{0}: the parameter {1} cannot be \"{2}\".",
        "The value is not one of those that the parameter can have.",
        &["Look at the ValueMap of the parameter in the class MSFT_WvrAdminTasks."];
    GROUP_IN_PARTNERSHIP = "CWREPL1106", 4, Failed, Other, Minor, 1 "Other",
        "This cannot be done with the group \"{0}\" while it has the partner \"{1}\" on {2}.",
        "A group that replicates is not removed, and its volumes are not exchanged one-sidedly.",
        &["End the partnership first (RemovePartnership)."];
    NO_PARTNERSHIP = "CWREPL1107", 5, NotFound, Other, Minor, 73 "Element Missing",
        "The group \"{0}\" of {1} has no such partnership.",
        "The group has no partner, or another one.",
        &["List the partnerships of the computer: GetPartnership without names."];
    PARTITION_UNKNOWN = "CWREPL1108", 5, NotFound, Other, Minor, 73 "Element Missing",
        "No volume with the identifier \"{0}\" is known.",
        "An identifier is given to a volume when it joins a group or is noted down by ProvisionPartitionsAdd.",
        &["List the instances of MSFT_WvrPartitionDbRecord.", "Give the full path of the volume instead."];
    PARTITION_OWNED = "CWREPL1109", 4, Failed, Other, Minor, 1 "Other",
        "The record of the volume \"{0}\" cannot be removed: the group \"{1}\" needs it.",
        "Only records that no group owns can be removed.",
        &["Take the volume out of the group first (SetGroupRemoveVolumes)."];
    GROUP_ALIVE = "CWREPL1110", 4, Failed, Other, Minor, 1 "Other",
        "The group \"{0}\" exists, so what belongs to it is not wiped.",
        "Only what groups have left behind is wiped.",
        &["Remove the group with its log (RemoveSrGroup)."];
    INTERFACE_UNKNOWN = "CWREPL1111", 5, NotFound, Environmental, Minor, 73 "Element Missing",
        "{1} has no network interface with the index \"{0}\".",
        "Interfaces are named by their index.",
        &["List the interfaces and their indexes on that computer: ip link."];
    REPLICA_SET_UNKNOWN = "CWREPL1112", 5, NotFound, Other, Minor, 73 "Element Missing",
        "The group \"{1}\" has no replica set \"{0}\".",
        "A replica set ties a volume of the source to one of the destination.",
        &["Ask QueryReplicaSet for the replica set of a volume."];
    COUNTS_DIFFER = "CWREPL1113", 5, InvalidParameter, Other, Minor, 1 "Other",
        "{0}: {1} has {2} entries, but {3} are needed.",
        "Two lists of the call belong together entry by entry, or a list must not be empty.",
        &["Give as many entries as are needed."];
    IDENTIFIER = "CWREPL1114", 5, InvalidParameter, Other, Minor, 1 "Other",
        "{0}: \"{1}\" is no identifier.",
        "Identifiers are GUIDs, with or without braces.",
        &["Give the identifier as the server shows it."];
    CLUSTERS = "CWREPL1120", 1, NotSupported, UnsupportedOperation, Minor, 1 "Other",
        "{0} is about clusters, and {1} belongs to none.",
        "This server replicates between computers. It knows no clusters, so what works within one is not supported.",
        &["Make groups on two computers and a partnership between them (CreateTopology)."];
    NOT_YET = "CWREPL1121", 1, NotSupported, UnsupportedOperation, Minor, 1 "Other",
        "{0} is not supported yet: {1}.",
        "The method is declared, but this version of the server does not do it. Nothing was changed.",
        &["Look into docs/storage-replica.md for what works."];
    WRITE_ORDER = "CWREPL1122", 1, NotSupported, UnsupportedOperation, Minor, 1 "Other",
        "The group \"{0}\" cannot keep the order of writes across its {1} volumes.",
        "Each volume is replicated by itself. Within one volume the order is kept; across volumes it is not.",
        &["Put the data whose order matters on one volume.", "Make the group without EnableConsistencyGroups."];
    ONE_PARTNER = "CWREPL1123", 1, NotSupported, UnsupportedOperation, Minor, 1 "Other",
        "A write of the group \"{0}\" cannot wait for {1} partners.",
        "A group has at most one partner.",
        &["Leave MinimumPartnersInSync out, or give 0 or 1."];
    NO_COUNTERS = "CWREPL1124", 1, NotSupported, UnsupportedOperation, Minor, 1 "Other",
        "There are no performance counters for the volume \"{0}\".",
        "QueryCounterInstance names counters of Windows, which this system does not have.",
        &["Look at the properties of MSFT_WvrReplica, and at the metrics of the server."];

    STATE_UNWRITABLE = "CWREPL1202", 4, Failed, Environmental, Critical, 50 "Storage Capacity Problem",
        "What was changed cannot be stored: {0}",
        "The server keeps its replication groups in replication.json in its state directory, and could not write it.",
        &["Look at free space and permissions of the state directory."];
    STORED_ORDER = "CWREPL1203", 4, Failed, Software, Major, 58 "Version Mismatch",
        "What was stored for the job \"{0}\" cannot be read: {1}",
        "The job was stored by another version of the server, or its record is damaged.",
        &["Start the operation again."];

    COMPUTER_UNKNOWN = "CWREPL1301", 5, NotFound, Other, Minor, 73 "Element Missing",
        "{1} does not know a computer \"{0}\".",
        "A computer is reached by what `cimwright computer add` told the server about it.",
        &["Tell the server: cimwright computer add {0} --url URL --user USER --password-stdin"];
    COMPUTER_UNREACHABLE = "CWREPL1302", 4, Failed, Communications, Major, 5 "Connection Establishment Error",
        "The computer \"{0}\" cannot be reached: {1}",
        "There is no connection to the server of that computer.",
        &["Check that the server runs there and that nothing on the way blocks its port.", "Check the address: cimwright computer ls"];
    CERTIFICATE_REFUSED = "CWREPL1303", 4, Failed, Security, Major, 64 "Security Credential Mismatch",
        "No secure connection to \"{0}\" is possible: {1}",
        "The certificate of the other side is not trusted or does not fit its name, or no encryption can be agreed on.",
        &["Name the right certificate: cimwright computer add {0} --replace --ca FILE …"];
    COMPUTER_DENIES = "CWREPL1304", 6, AccessDenied, Security, Major, 65 "Unauthorized Access",
        "The computer \"{0}\" denies access: {1}",
        "The user that this server was told to be there is unknown, has another password, or may not manage replication.",
        &["Let the user manage replication there (GrantSrUserAccess).", "Correct user and password: cimwright computer add {0} --replace …"];
    COMPUTER_SILENT = "CWREPL1305", 3, Failed, Communications, Major, 111 "Timeout",
        "The computer \"{0}\" did not answer: {1}",
        "The connection was lost, or the answer took too long. Whether the other side did what was asked is not known.",
        &["Look at the jobs and groups of that computer before asking again."];
    COMPUTER_FAILED = "CWREPL1306", 4, Failed, Communications, Major, 1 "Other",
        "The computer \"{0}\" could not carry out the operation: {1}",
        "The other side answered with an error of the operation.",
        &["Look into the log of the server on that computer."];
    COMPUTER_STRANGE = "CWREPL1307", 4, Failed, Communications, Major, 58 "Version Mismatch",
        "The answer of the computer \"{0}\" cannot be understood: {1}",
        "What answers there is no server of this kind, or another version.",
        &["Check the address: cimwright computer ls"];
    COMPUTERS_LIST = "CWREPL1308", 4, Failed, Environmental, Major, 1 "Other",
        "The list of computers cannot be used: {0}",
        "computers.toml in the state directory of the server is damaged or cannot be read.",
        &["Correct the file, or remove it and add the computers again."];
    REMOTE_CODE = "CWREPL1309", 4, Failed, Other, Major, 1 "Other",
        "{1} was refused by the computer \"{0}\": it answered {2}.",
        "The return code is that of the other side, which keeps the whole reason in a job of its own.",
        &["Ask that computer why: cimwright jobs --only exception, then cimwright why JOB, with its address."];
    NOT_GRANTED = "CWREPL1310", 6, AccessDenied, Security, Minor, 65 "Unauthorized Access",
        "\"{0}\" may not manage replication on {1}.",
        "Administrators may; everybody else needs to be granted access.",
        &["Let an administrator grant it: GrantSrUserAccess UserName={0}"];
    ADMINISTRATORS = "CWREPL1311", 6, AccessDenied, Security, Minor, 65 "Unauthorized Access",
        "{1} is for administrators, and \"{0}\" is none.",
        "Who may manage replication is decided by administrators only.",
        &["Ask as an administrator."];
    ACCOUNT_UNKNOWN = "CWREPL1312", 5, NotFound, Security, Minor, 73 "Element Missing",
        "There is no account \"{0}\" on {1}.",
        "Accounts are the users of the server.",
        &["Add the user (cimwright user add), or grant all the same with IgnoreErrors."];
    ITSELF = "CWREPL1313", 5, InvalidParameter, Other, Minor, 1 "Other",
        "\"{0}\" is this computer itself.",
        "{1} is about another computer.",
        &["Name the other computer."];

    PARTNER_UNREACHABLE = "CWREPL1401", 4, Failed, Communications, Major, 5 "Connection Establishment Error",
        "The partner of the volume \"{0}\" cannot be reached at {1}.",
        "Nothing answers where the partner said that it listens. Writes of applications go on and are remembered; what they changed is sent when the partner is back.",
        &["Check that the server of the partner runs and that nothing on the way blocks that address.", "Nothing needs to be done once it is back: the difference is sent by itself."];
    PARTNER_NOT_READY = "CWREPL1402", 4, Failed, Communications, Major, 72 "Element Unavailable",
        "The partner of the volume \"{0}\" does not take the copy: {1}",
        "The other server answers, but does not offer the volume that belongs to this one.",
        &["Look at the state of health (MSFT_WvrHealth) on the computer of the partner."];
    SIZE_MISMATCH = "CWREPL1403", 4, Failed, Environmental, Major, 8 "Configuration/Customization Error",
        "The volumes differ in size: \"{0}\" has {1} bytes, the one of the partner {2}.",
        "A copy fits only into a volume of the same size.",
        &["Give both volumes the same size."];
    VOLUMES_DIFFER = "CWREPL1404", 4, Failed, Environmental, Major, 8 "Configuration/Customization Error",
        "The groups \"{0}\" and \"{1}\" do not have the same number of volumes: {2} and {3}.",
        "The volumes of two partners belong together one by one, in their order.",
        &["Add or remove volumes until both groups have as many."];
    DESTINATION_FULL = "CWREPL1405", 4, Failed, UnavailableResource, Critical, 50 "Storage Capacity Problem",
        "The file system of the destination of \"{0}\" is full.",
        "A volume that is a sparse file takes space when it is written.",
        &["Free space on the file system of the destination; copying then goes on by itself."];
    SOURCE_READ = "CWREPL1406", 4, Failed, Hardware, Critical, 24 "I/O Device Error",
        "The source volume \"{0}\" cannot be read.",
        "The disk below the source reports an error.",
        &["Check the disk of the source.", "Make the destination the source if its copy is good enough."];
    DESTINATION_GONE = "CWREPL1407", 4, Failed, Environmental, Critical, 24 "I/O Device Error",
        "The destination of \"{0}\" answers, but its volume takes no writes.",
        "The volume of the destination was removed or its disk reports an error.",
        &["Check the volume on the computer of the partner."];
    TLS_REFUSED = "CWREPL1408", 4, Failed, Security, Major, 64 "Security Credential Mismatch",
        "The volume \"{0}\" and its partner do not agree on encryption: {1}",
        "One side does not accept the certificate of the other, or only one of them encrypts.",
        &["Check replication.tls_directory in the configuration of both servers."];
    VOLUME_LOCKED = "CWREPL1409", 4, Failed, Environmental, Major, 72 "Element Unavailable",
        "Another program uses the volume \"{0}\".",
        "A volume that replicates belongs to the replication engine alone.",
        &["End the other program, or let it reach the volume through its export."];
    DAEMON_DIED = "CWREPL1410", 4, Failed, Software, Critical, 48 "Software Program Abnormally Terminated",
        "The replication engine of the volume \"{0}\" ended: {1}",
        "The daemon was killed or met a defect. It is started again; at the source everything is then copied anew, because the record of the difference went with it.",
        &["Nothing needs to be done unless it happens again; then look into the log of the server."];
    TRACKING_LOST = "CWREPL1411", 4, Failed, Software, Major, 81 "Sync Loss or Mismatch",
        "The record of what the partner of \"{0}\" lacks is lost: {1}",
        "The copy ended by itself. Everything is copied anew.",
        &["Nothing needs to be done: the full copy begins by itself."];
    ENGINE_UNUSABLE = "CWREPL1412", 4, Failed, Environmental, Critical, 72 "Element Unavailable",
        "The replication engine cannot be started for \"{0}\": {1}",
        "qemu-storage-daemon 8.2 or newer does the work, confined to the files it needs.",
        &["Install it: apt-get install qemu-utils (Debian 12: -t bookworm-backports).", "Set replication.program in the configuration to where it is."];
    PLAINTEXT = "CWREPL1413", 4, Failed, Security, Major, 114 "Protection Mechanism Failure",
        "The volume \"{0}\" is not replicated without encryption: {1}",
        "Traffic between servers is encrypted; only on the loopback interface it may be plain, and only where the configuration says so.",
        &["Set replication.tls_directory in the configuration of both servers.", "For trials on one machine set replication.plain_loopback = true."];
    ENGINE_FAILED = "CWREPL1414", 2, Failed, Software, Major, 47 "Software Error",
        "The replication engine failed with the volume \"{0}\": {1}",
        "The engine gave a reason that has no message of its own.",
        &["Look into the log of the server."];
    NO_SYNC = "CWREPL1415", 3, Failed, Communications, Major, 111 "Timeout",
        "The volume \"{0}\" did not begin to be copied within {1} seconds.",
        "The partnership is made, but the two sides have not found each other yet. They go on trying.",
        &["Look at the state of health (MSFT_WvrHealth) on both computers."];
    NO_ENGINE = "CWREPL1416", 1, NotSupported, UnsupportedOperation, Minor, 8 "Configuration/Customization Error",
        "{0}: {1} does not replicate, because its configuration names no replication engine.",
        "Groups can be managed without an engine; partnerships cannot.",
        &["Set replication.listen in the configuration of the server."];
    ONE_COMPUTER = "CWREPL1417", 1, NotSupported, UnsupportedOperation, Minor, 1 "Other",
        "{0}: both groups would be on {1}.",
        "This version replicates between two computers.",
        &["Make the second group on another computer."];

    INTERFACE_AWAY = "CWREPL1418", 4, Failed, Communications, Major, 5 "Connection Establishment Error",
        "The volume \"{0}\" cannot be replicated over the network interfaces it is bound to ({1}): {2}.",
        "SetNetworkConstraint binds a partnership to interfaces; over others nothing is copied.",
        &["Look at the addresses and routes of that computer: ip address, ip route.", "Bind the partnership to other interfaces (SetNetworkConstraint), or to none (RemoveNetworkConstraint)."];
    NOT_SAME = "CWREPL1430", 4, Failed, Other, Major, 81 "Sync Loss or Mismatch",
        "\"{0}\" cannot hand over, because both sides cannot be made the same now: {1}",
        "The direction is turned round only when the destination has everything, so that nothing is lost. The source goes on as before.",
        &["Wait until the destination has everything (SyncGroup), and switch again.", "If the source will not come back, make the destination the source without it: WvrSetPrimaryReplicationGroup with Force."];
    SOURCE_SILENT = "CWREPL1431", 4, Failed, Communications, Major, 5 "Connection Establishment Error",
        "\"{0}\" does not become the source, because {1} cannot be asked to hand over.",
        "As long as the other side may be the source, a second one would be writable at the same time.",
        &["Bring the other computer back, and switch again.", "If it will not come back, make the group the source without it: WvrSetPrimaryReplicationGroup with Force. What the other side had more is lost then, and everything is copied to it when it comes back."];
    STILL_SOURCE = "CWREPL1432", 4, Failed, Other, Minor, 1 "Other",
        "\"{0}\" does not become the source, because {1} is the source.",
        "There is one source at a time; the other one has to hand over first.",
        &["Turn the direction round with SetPartnershipSetSourcePartnership, which has the other side hand over."];
    ENGINE_SAID = "CWREPL1901", 4, Failed, Software, Information, 47 "Software Error",
        "The replication engine reports: {0}",
        "The engine's own words, as the reason behind another message.",
        &["Look at the message that this one stands behind."];
}
