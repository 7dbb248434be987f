//! What the sequence numbers of indications tell a listener (CIM_Indication.SequenceContext, SequenceNumber).

use cimwright_cim::{Instance, Value};
use std::collections::HashMap;

/// How many sequences are remembered; of more the ones that were quiet longest are forgotten.
const REMEMBERED: usize = 1024;

/// How an indication stands in its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The first of its sequence that was seen, or one without sequence.
    First,
    /// The one that follows the last one.
    Next,
    /// It was taken before.
    Repeated,
    /// So many before it were lost.
    After(u64),
}

/// The sequences that were seen.
#[derive(Debug, Default)]
pub struct Sequences {
    last: HashMap<String, (i128, u64)>,
    looks: u64,
}

impl Sequences {
    /// How an indication stands. It counts as taken only after [`Sequences::taken`].
    pub fn look(&self, indication: &Instance) -> Arrival {
        let context = indication.get_str("SequenceContext");
        let number = indication.get("SequenceNumber").and_then(Value::as_i128);
        let (Some(context), Some(number)) = (context, number) else { return Arrival::First };
        match self.last.get(context) {
            None => Arrival::First,
            Some((last, _)) if number <= *last => Arrival::Repeated,
            Some((last, _)) if number == last + 1 => Arrival::Next,
            Some((last, _)) => Arrival::After(u64::try_from(number - last - 1).unwrap_or(u64::MAX)),
        }
    }

    /// Notes an indication as taken.
    pub fn taken(&mut self, context: Option<String>, number: Option<i128>) {
        let (Some(context), Some(number)) = (context, number) else { return };
        self.looks += 1;
        self.last.insert(context, (number, self.looks));
        if self.last.len() > REMEMBERED
            && let Some(oldest) = self.last.iter().min_by_key(|(_, (_, look))| *look).map(|(c, _)| c.clone())
        {
            self.last.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_and_gaps_are_known() {
        let mut sequences = Sequences::default();
        let mut meets = |context: &str, number: i64| {
            let indication = Instance::new("X")
                .with("SequenceContext", context)
                .with("SequenceNumber", Value::Sint64(number));
            let arrival = sequences.look(&indication);
            sequences.taken(Some(context.to_owned()), Some(i128::from(number)));
            arrival
        };
        assert_eq!(meets("a", 5), Arrival::First);
        assert_eq!(meets("a", 6), Arrival::Next);
        assert_eq!(meets("b", 0), Arrival::First);
        assert_eq!(meets("a", 6), Arrival::Repeated);
        assert_eq!(meets("a", 9), Arrival::After(2));
        assert_eq!(Sequences::default().look(&Instance::new("X")), Arrival::First);
    }

    #[test]
    fn memory_is_bounded() {
        let mut sequences = Sequences::default();
        for n in 0..3000 {
            sequences.taken(Some(n.to_string()), Some(0));
        }
        assert_eq!(sequences.last.len(), REMEMBERED);
        assert!(sequences.last.contains_key("2999"));
    }
}
