//! What can be killed, and what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

/// Something that is killed, or stopped, or stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    SourceDaemon,
    DestinationDaemon,
    BothDaemons,
    SourceServer,
    DestinationServer,
    BothServers,
    /// In order, as an administrator does: then not everything has to be copied again, and that is where something can be missed.
    SourceStop,
    DestinationStop,
    /// Not killed: what was on its way to it may arrive long after the source has given it up.
    DestinationStall,
}

/// What came of all faults.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// How often each fault was done in each mode.
    pub(crate) faults: BTreeMap<(Fault, &'static str), u32>,
    /// Of these, how many met a copy that was not whole yet.
    pub(crate) during_recovery: u32,
    /// How often it was looked what the destination lacks, in each mode.
    pub(crate) looks: BTreeMap<&'static str, u32>,
    /// What it lacked most, in blocks, in the asynchronous mode.
    pub(crate) most_lost: usize,
    /// And how old the oldest of that was, in microseconds.
    pub(crate) oldest_lost: i64,
    /// The greatest age of the LastInSyncTime that was reported before such a look, in microseconds.
    pub(crate) greatest_lag: i64,
    /// How long both sides took to become identical again.
    pub(crate) recoveries: Vec<Duration>,
    /// The longest of these, and what had been killed.
    pub(crate) slowest: (Duration, String),
    /// How often both volumes were compared and were identical.
    pub(crate) identical: u32,
    /// How often the source lost its record of the difference, and a job said why everything is copied.
    pub(crate) reasons: u32,
    /// How often a job that followed a difference already went on instead.
    pub(crate) followed: u32,
    /// How often the mode was changed, and the direction.
    pub(crate) modes: u32,
    pub(crate) switches: u32,
    /// The server cannot turn the direction round.
    pub(crate) no_switch: bool,
    /// What was told about a recovery that did not come.
    pub(crate) told: Vec<String>,
    /// What must not be.
    pub(crate) violations: Vec<String>,
}

impl Fault {
    /// All, with how likely each is.
    pub(super) const ALL: [(u64, Self); 9] = [
        (25, Self::SourceDaemon),
        (25, Self::DestinationDaemon),
        (5, Self::BothDaemons),
        (15, Self::SourceServer),
        (15, Self::DestinationServer),
        (5, Self::BothServers),
        (7, Self::SourceStop),
        (3, Self::DestinationStop),
        (5, Self::DestinationStall),
    ];

    /// What it hits, for a person.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SourceDaemon => "daemon of the source",
            Self::DestinationDaemon => "daemon of the destination",
            Self::BothDaemons => "daemons of both sides",
            Self::SourceServer => "server of the source",
            Self::DestinationServer => "server of the destination",
            Self::BothServers => "servers of both sides",
            Self::SourceStop => "source stopped in order",
            Self::DestinationStop => "destination stopped in order",
            Self::DestinationStall => "destination stood still",
        }
    }

    /// Whether it reaches the source.
    pub(super) fn hits_source(self) -> bool {
        !matches!(
            self,
            Self::DestinationDaemon
                | Self::DestinationServer
                | Self::DestinationStop
                | Self::DestinationStall
        )
    }

    /// Whether it ends something of the destination.
    pub(super) fn hits_destination(self) -> bool {
        !matches!(self, Self::SourceDaemon | Self::SourceServer | Self::SourceStop)
    }

    /// Whether it ends servers, and not only their daemons.
    pub(super) fn hits_servers(self) -> bool {
        !matches!(self, Self::SourceDaemon | Self::DestinationDaemon | Self::BothDaemons)
    }

    /// Whether nothing is killed.
    pub(super) fn in_order(self) -> bool {
        matches!(self, Self::SourceStop | Self::DestinationStop)
    }
}
