//! What a number means, by the qualifiers ValueMap and Values (DSP0004 5.6.3).

use cimwright_cim::class::find;
use cimwright_cim::{Qualifier, Value};

/// The name that the qualifiers of a property, parameter or method give to a number.
///
/// Ranges are understood, also open ones (`7..`, `..`); without ValueMap, Values counts from 0.
pub fn meaning(qualifiers: &[Qualifier], number: i128) -> Option<&str> {
    let names = find(qualifiers, "Values")?.value.as_ref()?.as_array()?;
    let at = match find(qualifiers, "ValueMap").and_then(|q| q.value.as_ref()?.as_array()) {
        None => usize::try_from(number).ok()?,
        Some(map) => {
            let entries: Vec<&str> =
                map.iter().map(|v| v.as_ref().and_then(Value::as_str).unwrap_or_default()).collect();
            // Single numbers win over ranges, ranges over the open rest.
            let exact = entries.iter().position(|e| e.trim().parse() == Ok(number));
            exact
                .or_else(|| entries.iter().position(|e| in_range(e, number)))
                .or_else(|| entries.iter().position(|e| e.trim() == ".."))?
        }
    };
    names.get(at)?.as_ref()?.as_str()
}

fn in_range(entry: &str, number: i128) -> bool {
    let Some((low, high)) = entry.split_once("..") else { return false };
    let (low, high) = (low.trim(), high.trim());
    if low.is_empty() && high.is_empty() {
        return false;
    }
    let above = low.is_empty() || low.parse::<i128>().is_ok_and(|l| number >= l);
    let below = high.is_empty() || high.parse::<i128>().is_ok_and(|h| number <= h);
    above && below
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::{CimType, Flavor};

    fn list(name: &str, items: &[&str]) -> Qualifier {
        Qualifier {
            name: name.into(),
            cim_type: CimType::String,
            is_array: true,
            value: Some(Value::strings(items.iter().copied())),
            flavor: Flavor::default(),
            propagated: false,
        }
    }

    #[test]
    fn numbers_ranges_and_the_rest() {
        let qualifiers = [
            list("valuemap", &["0", "..", "7..4095", "4096", "32768.."]),
            list("VALUES", &["Done", "Reserved", "DMTF", "Started", "Vendor"]),
        ];
        assert_eq!(meaning(&qualifiers, 0), Some("Done"));
        assert_eq!(meaning(&qualifiers, 100), Some("DMTF"));
        assert_eq!(meaning(&qualifiers, 4096), Some("Started"));
        assert_eq!(meaning(&qualifiers, 40000), Some("Vendor"));
        assert_eq!(meaning(&qualifiers, 5000), Some("Reserved"));
        assert_eq!(meaning(&[], 1), None);
    }

    #[test]
    fn without_a_map_the_names_are_counted() {
        let qualifiers = [list("Values", &["a", "b"])];
        assert_eq!(meaning(&qualifiers, 1), Some("b"));
        assert_eq!(meaning(&qualifiers, 2), None);
        assert_eq!(meaning(&qualifiers, -1), None);
    }
}
