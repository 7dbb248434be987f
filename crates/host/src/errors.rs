//! The reasons why a provider in a process of its own did not do what it was asked: `CWPRV…`.

use cimwright_cim::{Catalogue, CatalogueEntry, CimError, CimStatus, ErrorDetail, ErrorType, Severity};
use std::time::Duration;

/// The messages of this crate.
pub static CATALOGUE: Catalogue = Catalogue {
    title: "Providers in processes of their own",
    entries: &[NOT_STARTED, ENDED, TIMED_OUT, NONSENSE, TOO_MUCH, RESTING, REFUSED, TOO_LONG],
};

const NOT_STARTED: CatalogueEntry = CatalogueEntry {
    id: "CWPRV1001",
    message: "The provider {0} could not be started: {1}",
    meaning: "The program of the provider is not there, may not be run, or ended or fell silent before it had said what it serves.",
    error_type: ErrorType::Environmental,
    severity: Severity::Major,
    probable_cause: 48,
    probable_cause_description: "Software Program Abnormally Terminated",
    actions: &[
        "Check command and user of the provider {0} under [[providers.process]] in the configuration.",
        "Look into the log of the server, which has what the program printed.",
    ],
    status: CimStatus::Failed,
    code: 32777,
};

const ENDED: CatalogueEntry = CatalogueEntry {
    id: "CWPRV1002",
    message: "The provider {0} ended while it worked on {1} ({2}).",
    meaning: "The process of the provider crashed or was killed. Every operation it worked on fails with this reason; a job it ran is undone and fails with it. The next operation starts the process again.",
    error_type: ErrorType::Software,
    severity: Severity::Major,
    probable_cause: 48,
    probable_cause_description: "Software Program Abnormally Terminated",
    actions: &[
        "Try the operation again: the server starts the provider anew.",
        "Look into the log of the server, which has what the program printed, and report a crash to its author.",
    ],
    status: CimStatus::Failed,
    code: 32777,
};

const TIMED_OUT: CatalogueEntry = CatalogueEntry {
    id: "CWPRV1003",
    message: "The provider {0} did not answer {1} within {2} seconds.",
    meaning: "The provider was asked and said nothing in time. It is told that its answer is not wanted any more; whether it has done something is not known. A process that does not listen even to that is ended.",
    error_type: ErrorType::QualityOfService,
    severity: Severity::Major,
    probable_cause: 111,
    probable_cause_description: "Timeout",
    actions: &[
        "Look whether the operation has been done before trying it again.",
        "Allow more time: call_timeout_ms of the provider {0} in the configuration.",
    ],
    status: CimStatus::Failed,
    code: 32772,
};

const NONSENSE: CatalogueEntry = CatalogueEntry {
    id: "CWPRV1004",
    message: "The provider {0} said something that the server does not understand: {1}",
    meaning: "What came from the process is no message of the protocol, or none that may come at this point. The process is ended; the next operation starts it again.",
    error_type: ErrorType::Software,
    severity: Severity::Major,
    probable_cause: 49,
    probable_cause_description: "Software Program Error",
    actions: &[
        "Report the message to the author of the provider.",
        "Check that provider and server are of versions that fit each other.",
    ],
    status: CimStatus::Failed,
    code: 32768,
};

const TOO_MUCH: CatalogueEntry = CatalogueEntry {
    id: "CWPRV1005",
    message: "The provider {0} sent more than the server takes: {1}",
    meaning: "A message, or a set of instances that has to be held in memory as a whole, is larger than the server allows any provider.",
    error_type: ErrorType::Oversubscription,
    severity: Severity::Major,
    probable_cause: 50,
    probable_cause_description: "Out of Memory",
    actions: &[
        "Ask for less, such as a single instance.",
        "Report the message to the author of the provider.",
    ],
    status: CimStatus::ServerLimitsExceeded,
    code: 32778,
};

const RESTING: CatalogueEntry = CatalogueEntry {
    id: "CWPRV1006",
    message: "The provider {0} failed {1} times in a row and is not started again for another {2} seconds.",
    meaning: "The process ended every time before it had answered anything. So that it cannot keep the machine busy, the server waits longer after every time, up to a minute. The reason behind this one says how it ended last.",
    error_type: ErrorType::UnavailableResource,
    severity: Severity::Major,
    probable_cause: 48,
    probable_cause_description: "Software Program Abnormally Terminated",
    actions: &["Remove the reason behind this one.", "Try again after {2} seconds."],
    status: CimStatus::Failed,
    code: 32777,
};

const REFUSED: CatalogueEntry = CatalogueEntry {
    id: "CWPRV1007",
    message: "The provider {0} is not taken in: {1}",
    meaning: "What the provider says it serves does not fit the server: a namespace that the configuration does not allow it, MOF with mistakes, a class that is not its own, or something else than it said when the server started.",
    error_type: ErrorType::Security,
    severity: Severity::Major,
    probable_cause: 8,
    probable_cause_description: "Configuration or Customization Error",
    actions: &[
        "Check the namespaces of the provider {0} under [[providers.process]] in the configuration.",
        "After replacing the program of a provider, restart the server.",
    ],
    status: CimStatus::NotSupported,
    code: 32770,
};

const TOO_LONG: CatalogueEntry = CatalogueEntry {
    id: "CWPRV1008",
    message: "The request is too long for the provider {0}: {1}",
    meaning: "What is to be passed to the provider does not fit into one message of the protocol. It was not asked.",
    error_type: ErrorType::Oversubscription,
    severity: Severity::Minor,
    probable_cause: 0,
    probable_cause_description: "Unknown",
    actions: &["Send shorter values."],
    status: CimStatus::ServerLimitsExceeded,
    code: 32773,
};

pub(crate) fn not_started(name: &str, why: impl Into<String>) -> ErrorDetail {
    NOT_STARTED.detail([name.to_owned(), why.into()])
}

pub(crate) fn ended(name: &str, what: &str, how: impl Into<String>) -> ErrorDetail {
    ENDED.detail([name.to_owned(), what.to_owned(), how.into()])
}

pub(crate) fn timed_out(name: &str, what: &str, limit: Duration) -> ErrorDetail {
    TIMED_OUT.detail([name.to_owned(), what.to_owned(), limit.as_secs_f64().to_string()])
}

pub(crate) fn nonsense(name: &str, what: impl Into<String>) -> ErrorDetail {
    NONSENSE.detail([name.to_owned(), what.into()])
}

pub(crate) fn too_much(name: &str, what: impl Into<String>) -> ErrorDetail {
    TOO_MUCH.detail([name.to_owned(), what.into()])
}

pub(crate) fn resting(name: &str, times: u32, rest: Duration, last: Option<ErrorDetail>) -> ErrorDetail {
    let seconds = rest.as_millis().div_ceil(1000).max(1).to_string();
    let reason = RESTING.detail([name.to_owned(), times.to_string(), seconds]);
    match last {
        Some(last) => reason.because(last),
        None => reason,
    }
}

pub(crate) fn refused(name: &str, why: impl Into<String>) -> ErrorDetail {
    REFUSED.detail([name.to_owned(), why.into()])
}

pub(crate) fn too_long(name: &str, how: impl Into<String>) -> ErrorDetail {
    TOO_LONG.detail([name.to_owned(), how.into()])
}

/// The error of an operation that failed for this reason.
pub(crate) fn operation(reason: ErrorDetail) -> CimError {
    CimError::new(reason.status, reason.message.clone()).with_detail(reason)
}
