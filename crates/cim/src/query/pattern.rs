//! Patterns of LIKE.

/// A LIKE pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern(pub Vec<PatternPart>);

/// A piece of a LIKE pattern.
#[derive(Clone, Debug, PartialEq)]
pub enum PatternPart {
    /// This character.
    Literal(char),
    /// Any one character: `_` (`.` in DMTF:CQL).
    One,
    /// Any run of characters, also none: `%` (`.*` in DMTF:CQL).
    Any,
    /// This, none or any number of times: `*` of DMTF:CQL. Never one of [`PatternPart::Any`] or another repetition.
    Repeat(Box<PatternPart>),
    /// One character in (or, negated, not in) these ranges.
    Set {
        /// Whether the character must be outside the ranges.
        negated: bool,
        /// Inclusive ranges.
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// Whether the whole text matches.
    pub fn matches(&self, text: &str, fold: bool) -> bool {
        let text: Vec<char> = text.chars().map(|c| folded(c, fold)).collect();
        if self.0.iter().any(|part| matches!(part, PatternPart::Repeat(_))) {
            return self.walk(&text, fold);
        }
        // Iterative with one point of return, so that a hostile pattern costs at most |text| × |pattern|.
        let parts = &self.0;
        let (mut t, mut p) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while t < text.len() {
            let step = match parts.get(p) {
                Some(PatternPart::Any) => {
                    retry = Some((p, t));
                    p += 1;
                    continue;
                }
                Some(part) => part.takes(text[t], fold),
                None => false,
            };
            if step {
                t += 1;
                p += 1;
            } else if let Some((any, from)) = retry {
                retry = Some((any, from + 1));
                p = any + 1;
                t = from + 1;
            } else {
                return false;
            }
        }
        parts[p..].iter().all(|part| *part == PatternPart::Any)
    }

    /// All places of the pattern that the text can be at, character by character: also at most |text| × |pattern|.
    fn walk(&self, text: &[char], fold: bool) -> bool {
        let parts = &self.0;
        // Whoever is at a part that may take nothing is at the next one too.
        let spread = |at: &mut Vec<bool>| {
            for (p, part) in parts.iter().enumerate() {
                at[p + 1] |= at[p] && matches!(part, PatternPart::Any | PatternPart::Repeat(_));
            }
        };
        let mut at = vec![false; parts.len() + 1];
        at[0] = true;
        spread(&mut at);
        for c in text {
            let mut next = vec![false; parts.len() + 1];
            for (p, part) in parts.iter().enumerate().filter(|(p, _)| at[*p]) {
                match part {
                    PatternPart::Any => next[p] = true,
                    PatternPart::Repeat(inner) => next[p] |= inner.takes(*c, fold),
                    one => next[p + 1] |= one.takes(*c, fold),
                }
            }
            spread(&mut next);
            at = next;
        }
        at[parts.len()]
    }
}

impl PatternPart {
    /// Whether this takes just this one character, which is folded already.
    fn takes(&self, c: char, fold: bool) -> bool {
        match self {
            Self::One | Self::Any => true,
            Self::Literal(l) => folded(*l, fold) == c,
            Self::Repeat(inner) => inner.takes(c, fold),
            Self::Set { negated, ranges } => {
                let inside = ranges.iter().any(|(a, b)| (folded(*a, fold)..=folded(*b, fold)).contains(&c));
                inside != *negated
            }
        }
    }
}

fn folded(c: char, fold: bool) -> char {
    if fold { c.to_lowercase().next().unwrap_or(c) } else { c }
}

#[cfg(test)]
mod tests {
    use super::PatternPart::{Any, Literal, One, Repeat, Set};
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        let p = Pattern(vec![Any, Literal('n'), One, Any, Set { negated: false, ranges: vec![('q', 'u')] }]);
        assert!(p.matches("Convert", true));
        assert!(!p.matches("Converted", true));
        assert!(Pattern(vec![Any]).matches("", true));
        assert!(!Pattern(vec![]).matches("x", true));
    }

    #[test]
    fn repetitions_take_as_much_as_the_rest_needs_them_to() {
        let a = || Repeat(Box::new(Literal('a')));
        let p = Pattern(vec![a(), Literal('a'), a(), Literal('b'), Repeat(Box::new(One))]);
        for (text, matches) in [("ab", true), ("aaaab", true), ("b", false), ("abccc", true), ("acb", false)]
        {
            assert_eq!(p.matches(text, false), matches, "{text}");
        }
        assert!(Pattern(vec![a(), Any]).matches("", false));
        assert!(!Pattern(vec![a()]).matches("A", false) && Pattern(vec![a()]).matches("A", true));
    }

    #[test]
    fn a_hostile_pattern_is_not_slow() {
        let p = Pattern((0..2000).map(|_| Repeat(Box::new(Literal('a')))).chain([Literal('b')]).collect());
        assert!(!p.matches(&"a".repeat(2000), false));
    }
}
