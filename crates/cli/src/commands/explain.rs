//! `cimwright explain`

use crate::exit::{CliError, Exit, say};
use crate::render::json::pretty;
use crate::render::text::{table, wrap};
use cimwright_cim::{Catalogue, CatalogueEntry};
use serde_json::{Value, json};

/// The width that text is wrapped to.
const WIDTH: usize = 100;

/// Tell what a message id means, such as CWDISK1004
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The id, as `cimwright why` and GetError show it. Without it, all ids are listed
    id: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print the whole catalogue as the page docs/errors.md
    #[arg(long, conflicts_with_all = ["id", "json"])]
    page: bool,
}

/// Runs the command. Needs no server: the catalogue is in the program.
pub(crate) fn run(args: Args, catalogues: &[&Catalogue]) -> Result<Exit, CliError> {
    if args.page {
        say(&page(catalogues))?;
        return Ok(Exit::Ok);
    }
    let Some(id) = &args.id else {
        let all = catalogues.iter().flat_map(|c| c.entries);
        say(&if args.json {
            pretty(&all.map(entry_json).collect())
        } else {
            let rows: Vec<Vec<String>> = all.map(|e| vec![e.id.to_owned(), e.message.to_owned()]).collect();
            table(&["ID", "MESSAGE"], &rows)
        })?;
        return Ok(Exit::Ok);
    };
    let Some(entry) = catalogues.iter().find_map(|c| c.find(id.trim())) else {
        return Err(CliError::new(Exit::NotFound, format!("there is no message \"{id}\" in the catalogue"))
            .advise("`cimwright explain` without an id lists all; ids of other servers are in their own documents"));
    };
    say(&if args.json { pretty(&entry_json(entry)) } else { entry_text(entry) })?;
    Ok(Exit::Ok)
}

/// The page docs/errors.md.
fn page(catalogues: &[&Catalogue]) -> String {
    let mut parts = vec![
        "# Reasons\n\nEvery reason that Cimwright can give: the MessageID of a CIM_Error, what it means and what to do. \
         Made from the catalogues in the code by `cimwright explain --page`; `{0}`, `{1}`, … stand for what the message is about."
            .to_owned(),
    ];
    for catalogue in catalogues {
        parts.push(format!("## {}", catalogue.title));
        for entry in catalogue.entries {
            let actions: String = entry.actions.iter().map(|a| format!("\n- {a}")).collect();
            parts.push(format!(
                "### {}\n\n> {}\n\n{}{actions}\n\nErrorCode {}, {}, severity {:?}, {}",
                entry.id,
                entry.message,
                entry.meaning,
                entry.code,
                entry.status,
                entry.severity,
                entry.probable_cause_description,
            ));
        }
    }
    parts.join("\n\n")
}

fn entry_text(entry: &CatalogueEntry) -> String {
    let mut parts = vec![
        wrap(entry.message, WIDTH, &format!("{}: ", entry.id), "  "),
        wrap(entry.meaning, WIDTH, "", ""),
    ];
    let actions: Vec<String> = entry
        .actions
        .iter()
        .enumerate()
        .map(|(at, action)| wrap(action, WIDTH, &format!("  {}. ", at + 1), "     "))
        .collect();
    if !actions.is_empty() {
        parts.push(format!("What to do:\n{}", actions.join("\n")));
    }
    parts.push(format!(
        "Details:\n  error type      {:?} ({})\n  severity        {:?} ({}; in Hyper-V's namespaces {})\n  probable cause  {} ({})\n  CIM status      {} ({})\n  error code      {}",
        entry.error_type,
        entry.error_type as u16,
        entry.severity,
        entry.severity as u16,
        entry.severity.hyper_v(),
        entry.probable_cause_description,
        entry.probable_cause,
        entry.status,
        entry.status.code(),
        entry.code,
    ));
    parts.join("\n\n")
}

fn entry_json(entry: &CatalogueEntry) -> Value {
    json!({
        "messageId": entry.id,
        "message": entry.message,
        "meaning": entry.meaning,
        "errorType": entry.error_type as u16,
        "perceivedSeverity": entry.severity as u16,
        "hyperVSeverity": entry.severity.hyper_v(),
        "probableCause": entry.probable_cause,
        "probableCauseDescription": entry.probable_cause_description,
        "recommendedActions": entry.actions,
        "cimStatusCode": entry.status.code(),
        "code": entry.code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_documentation_is_the_catalogue() {
        let written = include_str!("../../../../docs/errors.md");
        let now = page(crate::CATALOGUES);
        assert!(
            written.trim_end() == now.trim_end(),
            "docs/errors.md is out of date; write it anew with: cargo run -p cimwright-cli -- explain --page > docs/errors.md"
        );
    }

    #[test]
    fn an_entry_is_found_in_any_case_and_told_whole() {
        let catalogues: &[&Catalogue] = &[&cimwright_jobs::errors::CATALOGUE];
        let found = |id: &str| {
            run(Args { id: Some(id.to_owned()), json: false, page: false }, catalogues).map_err(|e| e.exit)
        };
        assert_eq!(found("cwjob1001"), Ok(Exit::Ok));
        assert_eq!(found("CWJOB9999"), Err(Exit::NotFound));
        let entry = catalogues[0].find("CWJOB1003").unwrap();
        let text = entry_text(entry);
        assert!(text.starts_with("CWJOB1003: "), "{text}");
        for part in ["What to do:\n  1. ", "CIM_ERR_FAILED (1)", "error code      32777"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(entry_json(entry)["messageId"], "CWJOB1003");
    }
}
