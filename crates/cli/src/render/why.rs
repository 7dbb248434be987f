//! Why a job failed, told for a person: the headline, the reasons behind it, what to do, and then the technical facts.

use super::job::{ending_line, progress_line};
use super::json;
use super::text::{clean, clean_line, datetime, wrap};
use crate::session::path_text;
use cimwright_cim::Catalogue;
use cimwright_client::job::{ErrorView, JobSnapshot, State};
use cimwright_jobs::errors::WHILE_UNDOING;
use serde_json::{Value, json};

/// The width that text is wrapped to.
const WIDTH: usize = 100;

/// What is known about a job and its failure.
pub(crate) struct Why<'a> {
    /// The job.
    pub(crate) job: &'a JobSnapshot,
    /// What GetError and its relatives answered, outermost first.
    pub(crate) errors: &'a [ErrorView],
    /// Whether the job has left its namespace and the history answered.
    pub(crate) from_history: bool,
    /// The catalogues that `cimwright explain` knows.
    pub(crate) catalogues: &'a [&'a Catalogue],
}

impl Why<'_> {
    /// The text for a person.
    pub(crate) fn text(&self) -> String {
        let mut parts = vec![self.headline()];
        parts.extend(self.reasons());
        parts.extend(self.left_undone());
        parts.extend(self.actions());
        parts.push(self.details());
        parts.join("\n\n")
    }

    /// The same for a program.
    pub(crate) fn json(&self) -> Value {
        json!({
            "job": json::job(self.job),
            "fromHistory": self.from_history,
            "errors": self.errors.iter().map(json::error).collect::<Vec<_>>(),
        })
    }

    fn headline(&self) -> String {
        let job = self.job;
        if !job.state.is_ended() {
            let so_far = match job.state {
                State::SUSPENDED => "It is suspended, not failed; `cimwright resume` lets it go on.",
                _ => "Nothing has gone wrong so far.",
            };
            return format!("{}: {}\n{so_far}", progress_line(job), clean_line(job.title()));
        }
        if job.state.is_success() && self.errors.is_empty() {
            return format!("{}\nIt ended without error.", ending_line(job));
        }
        ending_line(job)
    }

    /// The errors that say why the job ended, and those that came up while what it had done was undone. The first one is why in any
    /// case: a job that cannot be taken up again, because what was left of it cannot be undone, has no other reason.
    fn parts(&self) -> (&[ErrorView], &[ErrorView]) {
        let trouble = self.errors.iter().skip(1).position(is_while_undoing);
        self.errors.split_at(trouble.map_or(self.errors.len(), |at| at + 1))
    }

    /// What went wrong while undoing, which is no reason for the end of the job.
    fn left_undone(&self) -> Option<String> {
        let (_, mut rest) = self.parts();
        let mut lines = vec!["While undoing what it had done:".to_owned()];
        while let Some((_, behind)) = rest.split_first() {
            let next = behind.iter().position(is_while_undoing).unwrap_or(behind.len());
            let (chain, others) = rest.split_at(next + 1);
            lines.extend(chain_lines(chain));
            rest = others;
        }
        (lines.len() > 1).then(|| lines.join("\n"))
    }

    /// The messages, each reason further to the right than what it is the reason of.
    fn reasons(&self) -> Option<String> {
        let mut lines = chain_lines(self.parts().0);
        if lines.is_empty() && self.job.state.is_ended() && !self.job.state.is_success() {
            // Servers without a usable GetError tell it in the job.
            let told = [&self.job.error_description, &self.job.error_summary, &self.job.job_status];
            let mut seen: Vec<&str> = Vec::new();
            for text in told.into_iter().flatten() {
                if !seen.contains(&text.as_str()) {
                    seen.push(text);
                    lines.push(wrap(&clean(text), WIDTH, "  ", "  "));
                }
            }
            if lines.is_empty() {
                lines.push("  The server tells no reason.".to_owned());
            }
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// What to do, of all reasons, each once.
    fn actions(&self) -> Option<String> {
        let mut actions: Vec<&str> = Vec::new();
        for action in self.errors.iter().flat_map(|e| &e.recommended_actions) {
            if !actions.contains(&action.as_str()) {
                actions.push(action);
            }
        }
        let lines = actions.iter().enumerate().map(|(at, action)| {
            let first = format!("  {}. ", at + 1);
            wrap(&clean(action), WIDTH, &first, &" ".repeat(first.len()))
        });
        let lines: Vec<String> = lines.collect();
        (!lines.is_empty()).then(|| format!("What to do:\n{}", lines.join("\n")))
    }

    fn details(&self) -> String {
        let job = self.job;
        let mut facts: Vec<(&str, String)> = Vec::new();
        let mut fact = |name: &'static str, text: Option<String>| {
            if let Some(text) = text.filter(|t| !t.is_empty()) {
                facts.push((name, clean_line(&text)));
            }
        };
        fact("job", Some(job.path.as_ref().map_or_else(|| job.instance_id.clone(), path_text)));
        fact("owner", job.owner.clone());
        fact("submitted", job.time_submitted.as_ref().and_then(datetime));
        if job.state.is_ended() {
            fact("ended", job.time_of_last_state_change.as_ref().and_then(datetime));
        }
        if self.from_history {
            let removed = job.removed.as_ref().and_then(datetime);
            fact(
                "left",
                Some(removed.unwrap_or_else(|| "the namespace; this is from the history".to_owned())),
            );
        }
        fact("error code", job.error_code.filter(|c| *c != 0).map(|c| c.to_string()));
        if let Some(error) = self.errors.first() {
            fact("message id", error.message_id.as_ref().map(|id| self.shown_id(id, error)));
            fact("error type", error.error_type_name().map(str::to_owned));
            fact("severity", error.severity_name().map(str::to_owned));
            fact(
                "probable cause",
                match (error.probable_cause, &error.probable_cause_description) {
                    (Some(number), Some(text)) => Some(format!("{text} ({number})")),
                    (Some(number), None) => Some(number.to_string()),
                    (None, text) => text.clone(),
                },
            );
            fact(
                "CIM status",
                error.cim_status_code.map(|code| match error.status_name() {
                    Some(name) => format!("{name} ({code})"),
                    None => code.to_string(),
                }),
            );
            fact("about", error.error_source.clone());
        }
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines: Vec<String> =
            facts.iter().map(|(name, text)| format!("  {name:<width$}  {text}")).collect();
        format!("Details:\n{}", lines.join("\n"))
    }

    fn shown_id(&self, id: &str, error: &ErrorView) -> String {
        if self.catalogues.iter().any(|c| c.find(id).is_some()) {
            return format!("{id} (`cimwright explain {id}` tells more)");
        }
        match &error.owning_entity {
            Some(owner) => format!("{id} of {owner}"),
            None => id.to_owned(),
        }
    }
}

/// Whether an error begins what is told about undoing.
fn is_while_undoing(error: &ErrorView) -> bool {
    error.message_id.as_deref().is_some_and(|id| WHILE_UNDOING.contains(&id))
}

fn chain_lines(chain: &[ErrorView]) -> Vec<String> {
    let line = |(depth, error): (usize, &ErrorView)| {
        let message = error.message.as_deref().unwrap_or("(no message)");
        let id = error.message_id.as_ref().map_or_else(String::new, |id| format!(" [{id}]"));
        let first = format!("{:1$}{2}", "", 2 + depth * 2, if depth == 0 { "" } else { "because: " });
        let rest = " ".repeat(first.chars().count());
        wrap(&clean(&format!("{message}{id}")), WIDTH, &first, &rest)
    };
    chain.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::{CatalogueEntry, Value as Cim};
    use cimwright_cim::{CimStatus, DateTime, ErrorType, Instance, InstancePath, NamespaceName, Severity};
    use std::time::{Duration, UNIX_EPOCH};

    static CATALOGUE: Catalogue = Catalogue {
        title: "Test",
        entries: &[CatalogueEntry {
            id: "CWTEST1",
            message: "",
            meaning: "",
            error_type: ErrorType::Software,
            severity: Severity::Major,
            probable_cause: 10,
            probable_cause_description: "",
            actions: &[],
            status: CimStatus::Failed,
            code: 32768,
        }],
    };

    fn job(state: u16) -> JobSnapshot {
        let at = |seconds: u64| {
            DateTime::from_system_time(UNIX_EPOCH + Duration::from_secs(1_795_291_200 + seconds))
        };
        let mut instance = Instance::new("Msvm_StorageJob")
            .with("InstanceID", "0199A000-1")
            .with("Description", "Convert \"a.vhdx\" to \"b.vhd\"")
            .with("Owner", "ann")
            .with("JobState", Cim::Uint16(state))
            .with("PercentComplete", Cim::Uint16(40))
            .with("ErrorCode", Cim::Uint16(if state == 10 { 32768 } else { 0 }))
            .with("ElapsedTime", DateTime::from_duration(Duration::from_secs(12)))
            .with("TimeSubmitted", at(0))
            .with("TimeOfLastStateChange", at(12));
        instance.path = Some(
            InstancePath::new(NamespaceName::new("root/virtualization/v2"), "Msvm_StorageJob")
                .with_key("InstanceID", "0199A000-1"),
        );
        JobSnapshot::of(instance)
    }

    fn error(id: &str, message: &str, actions: &[&str]) -> ErrorView {
        ErrorView {
            class: "Msvm_Error".into(),
            message_id: Some(id.into()),
            owning_entity: Some("Cimwright".into()),
            message: Some(message.into()),
            error_type: Some(6),
            perceived_severity: Some(4),
            hyper_v_severity: true,
            probable_cause: Some(10),
            probable_cause_description: Some("Corrupt Data".into()),
            recommended_actions: actions.iter().map(|a| (*a).to_owned()).collect(),
            error_source: Some("/srv/a.vhdx".into()),
            cim_status_code: Some(1),
            ..ErrorView::default()
        }
    }

    fn told(job: &JobSnapshot, errors: &[ErrorView], from_history: bool) -> String {
        Why { job, errors, from_history, catalogues: &[&CATALOGUE] }.text()
    }

    #[test]
    fn a_failure_is_told_from_the_outside_in() {
        let errors = [
            error(
                "CWTEST1",
                "The disk image \"a.vhdx\" cannot be converted.",
                &["Restore the image from a backup.", "Start again."],
            ),
            error(
                "CWTEST2",
                "The image is cut off: its block table points to byte 41943040, but the file ends at byte 20971520. Nothing can be read behind that.",
                &["Start again.", "Compare the size with that of the original."],
            ),
            error("CWTEST3", "qemu-img ended with code 1:\n\u{1b}[31mInvalid argument", &[]),
        ];
        assert_eq!(
            told(&job(10), &errors, false),
            "\
Failed after 12 s at 40 %: Convert \"a.vhdx\" to \"b.vhd\"

  The disk image \"a.vhdx\" cannot be converted. [CWTEST1]
    because: The image is cut off: its block table points to byte 41943040, but the file ends at
             byte 20971520. Nothing can be read behind that. [CWTEST2]
      because: qemu-img ended with code 1:
               \u{fffd}[31mInvalid argument [CWTEST3]

What to do:
  1. Restore the image from a backup.
  2. Start again.
  3. Compare the size with that of the original.

Details:
  job             root/virtualization/v2:Msvm_StorageJob.InstanceID=\"0199A000-1\"
  owner           ann
  submitted       2026-11-21 20:00:00 UTC
  ended           2026-11-21 20:00:12 UTC
  error code      32768
  message id      CWTEST1 (`cimwright explain CWTEST1` tells more)
  error type      Environmental Error
  severity        High
  probable cause  Corrupt Data (10)
  CIM status      CIM_ERR_FAILED (1)
  about           /srv/a.vhdx"
        );
    }

    #[test]
    fn what_cannot_be_undone_is_the_reason_if_there_is_no_other() {
        let errors = [
            error("CWJOB1009", "Undoing step \"copy\" went wrong.", &[]),
            error("CWTEST3", "The file cannot be removed.", &[]),
            error("CWJOB1007", "Undoing step \"lock\" took too long.", &[]),
        ];
        let mut job = job(10);
        job.error_description = Some("Undoing step \"copy\" went wrong.".into());
        let text = told(&job, &errors, false);
        let wanted = "\
  Undoing step \"copy\" went wrong. [CWJOB1009]
    because: The file cannot be removed. [CWTEST3]

While undoing what it had done:
  Undoing step \"lock\" took too long. [CWJOB1007]

";
        assert!(text.contains(wanted), "{text}");
    }

    #[test]
    fn trouble_while_undoing_is_no_reason() {
        let errors = [
            error("CWTEST1", "It broke.", &[]),
            error("CWTEST2", "The disk is full.", &[]),
            error("CWJOB1009", "Undoing step \"copy\" went wrong.", &["Remove it."]),
            error("CWTEST3", "The file cannot be removed.", &[]),
            error("CWJOB1007", "Undoing step \"lock\" took too long.", &[]),
        ];
        let text = told(&job(10), &errors, false);
        let wanted = "\
  It broke. [CWTEST1]
    because: The disk is full. [CWTEST2]

While undoing what it had done:
  Undoing step \"copy\" went wrong. [CWJOB1009]
    because: The file cannot be removed. [CWTEST3]
  Undoing step \"lock\" took too long. [CWJOB1007]

What to do:
  1. Remove it.
";
        assert!(text.contains(wanted), "{text}");
    }

    #[test]
    fn a_job_that_did_not_fail_needs_no_reason() {
        let text = told(&job(4), &[], false);
        assert!(
            text.starts_with(
                "Running  40 %: Convert \"a.vhdx\" to \"b.vhd\"\nNothing has gone wrong so far.\n\nDetails:"
            ),
            "{text}"
        );
        let text = told(&job(7), &[], false);
        assert!(
            text.starts_with("Completed in 12 s: Convert \"a.vhdx\" to \"b.vhd\"\nIt ended without error."),
            "{text}"
        );
        assert!(told(&job(5), &[], false).contains("cimwright resume"));
    }

    #[test]
    fn a_server_without_errors_is_taken_at_its_description() {
        let mut job = job(10);
        job.error_description = Some("no space".into());
        job.error_summary = Some("no space".into());
        let text = told(&job, &[], true);
        assert!(text.contains("\n\n  no space\n\nDetails:"), "{text}");
        assert!(text.contains("left        the namespace"), "{text}");
        job.error_description = None;
        job.error_summary = None;
        assert!(told(&job, &[], false).contains("The server tells no reason."));
    }

    #[test]
    fn a_program_gets_every_field() {
        let job = job(8);
        let errors = [error("X1", "m", &["a"])];
        let json = Why { job: &job, errors: &errors, from_history: true, catalogues: &[] }.json();
        assert_eq!(json["job"]["state"], "Terminated");
        assert_eq!(json["fromHistory"], true);
        assert_eq!(json["errors"][0]["messageId"], "X1");
        assert_eq!(json["errors"][0]["severityName"], "High");
        assert_eq!(json["errors"][0]["recommendedActions"][0], "a");
    }
}
