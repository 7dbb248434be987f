//! The order in which owners take turns.

use cimwright_jobs::Candidate;

/// Puts candidates in the order in which they should be taken and cuts the list: every owner's first job comes before any owner's
/// second, so that a limit hits those who ask for much before those who ask for little. Within a turn lower priority numbers and
/// older jobs go first.
pub(crate) fn take_turns(mut candidates: Vec<Candidate>, limit: usize) -> Vec<Candidate> {
    candidates.sort_by(|a, b| (&a.owner, a.priority, a.id).cmp(&(&b.owner, b.priority, b.id)));
    let mut turn = 0usize;
    let mut previous: Option<String> = None;
    let mut ranked: Vec<(usize, Candidate)> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        if previous.as_deref() == Some(candidate.owner.as_str()) {
            turn += 1;
        } else {
            turn = 0;
            previous = Some(candidate.owner.clone());
        }
        ranked.push((turn, candidate));
    }
    ranked.sort_by_key(|(turn, candidate)| (*turn, candidate.priority, candidate.id));
    ranked.truncate(limit);
    ranked.into_iter().map(|(_, candidate)| candidate).collect()
}
