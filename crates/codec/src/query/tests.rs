//! Tests of WQL (those of DMTF:CQL are in `cql`): what is read, what is refused and where, and that printing and reading are inverse.

mod cql;

use super::{LANGUAGES, MAX_LENGTH, MAX_PATTERN, MAX_SELECTED, MAX_TESTS, parse};
use cimwright_cim::query::{Comparison, Condition, Pattern, PatternPart, PropertyPath, Query, Step};
use cimwright_cim::{CimStatus, Name, Value};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn query(text: &str) -> Query {
    parse("WQL", text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The condition of a query for X with this WHERE clause.
fn condition(text: &str) -> Condition {
    query(&format!("SELECT * FROM X WHERE {text}")).condition.unwrap()
}

fn compare(name: &str, operator: Comparison, constant: impl Into<Value>) -> Condition {
    Condition::Compare { property: path(name), operator, constant: constant.into() }
}

fn equal(name: &str, constant: impl Into<Value>) -> Condition {
    compare(name, Comparison::Equal, constant)
}

fn path(text: &str) -> PropertyPath {
    PropertyPath(text.split('.').map(Step::of).collect())
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

#[track_caller]
fn refused(text: &str, status: CimStatus, wanted: &str) {
    let error = parse("wql", text).expect_err("it must be refused");
    assert_eq!(error.status, status, "{error}");
    assert!(error.description.contains(wanted), "{error}");
}

#[test]
fn the_language_is_compared_without_case() {
    for language in ["WQL", "wql", "Wql", "http://schemas.microsoft.com/wbem/wsman/1/WQL"] {
        assert!(parse(language, "SELECT * FROM X").is_ok(), "{language}");
    }
    for language in ["DMTF:CQL", "cim:cql", "http://schemas.dmtf.org/wbem/cql/1/dsp0202.pdf"] {
        assert_eq!(parse(language, "SELECT * FROM X").map(|q| q.fold_case), Ok(false), "{language}");
    }
    for language in ["DMTF:FQL", "", "WQL2"] {
        let error = parse(language, "SELECT * FROM X").unwrap_err();
        assert_eq!(error.status, CimStatus::QueryLanguageNotSupported);
        assert!(error.description.contains("supported: WQL, DMTF:CQL"), "{error}");
    }
}

#[test]
fn selection_and_class() {
    let all = query("select * from CIM_Job");
    assert_eq!((all.select, all.from.as_str(), all.condition, all.fold_case), (None, "CIM_Job", None, true));
    let some = query("SELECT InstanceID,__PATH , TargetInstance.JobState\r\n FROM\tMsvm_StorageJob");
    assert_eq!(some.select, Some(vec![path("InstanceID"), path("__PATH"), path("TargetInstance.JobState")]));
}

#[test]
fn constants() {
    assert_eq!(condition("A = 7"), equal("A", Value::Sint64(7)));
    assert_eq!(condition("A=-7"), equal("A", Value::Sint64(-7)));
    assert_eq!(condition("A = 18446744073709551615"), equal("A", Value::Uint64(u64::MAX)));
    assert_eq!(condition("A = 1.5e-3"), equal("A", Value::Real64(0.0015)));
    assert_eq!(condition("A = .5"), equal("A", Value::Real64(0.5)));
    assert_eq!(condition("A = true"), equal("A", Value::Boolean(true)));
    assert_eq!(condition("A != FALSE"), compare("A", Comparison::NotEqual, Value::Boolean(false)));
    assert_eq!(condition("A = \"it's\""), equal("A", "it's"));
    assert_eq!(condition("A = 'say \"x\"'"), equal("A", "say \"x\""));
    assert_eq!(condition(r#"A = "C:\\a\"b\'é\\""#), equal("A", "C:\\a\"b'é\\"));
    assert_eq!(condition("A = ''"), equal("A", ""));
    assert_eq!(condition(r"A = '\\'"), equal("A", "\\"));
}

#[test]
fn operators_and_either_order() {
    for (sign, operator) in [
        ("=", Comparison::Equal),
        ("<>", Comparison::NotEqual),
        ("!=", Comparison::NotEqual),
        ("<", Comparison::Less),
        ("<=", Comparison::LessOrEqual),
        (">", Comparison::Greater),
        (">=", Comparison::GreaterOrEqual),
    ] {
        assert_eq!(condition(&format!("A {sign} 5")), compare("A", operator, Value::Sint64(5)));
        assert_eq!(condition(&format!("5{sign}A")), compare("A", operator.flipped(), Value::Sint64(5)));
    }
}

#[test]
fn null() {
    let is_null = Condition::IsNull(path("A"));
    for text in ["A IS NULL", "A = NULL", "NULL = A"] {
        assert_eq!(condition(text), is_null, "{text}");
    }
    for text in ["A is not null", "A <> NULL", "A != NULL", "NOT A IS NULL"] {
        assert_eq!(condition(text), not(is_null.clone()), "{text}");
    }
}

#[test]
fn and_binds_tighter_than_or_and_not_tightest() {
    let (a, b, c) =
        (equal("A", Value::Sint64(1)), equal("B", Value::Sint64(2)), equal("C", Value::Sint64(3)));
    let and = |x: &Condition, y: &Condition| Condition::And(vec![x.clone(), y.clone()]);
    let or = |x: &Condition, y: &Condition| Condition::Or(vec![x.clone(), y.clone()]);
    assert_eq!(condition("A=1 OR B=2 AND C=3"), or(&a, &and(&b, &c)));
    assert_eq!(condition("A=1 and B=2 or C=3"), or(&and(&a, &b), &c));
    assert_eq!(condition("(A=1 OR B=2) AND C=3"), and(&or(&a, &b), &c));
    assert_eq!(condition("NOT A=1 AND B=2"), and(&not(a.clone()), &b));
    assert_eq!(condition("NOT (A=1 AND B=2)"), not(and(&a, &b)));
    assert_eq!(condition("A=1 AND B=2 AND C=3"), Condition::And(vec![a, b, c]));
}

#[test]
fn like() {
    use PatternPart::{Any, Literal, One, Set};
    let like = |pattern: &str| match condition(&format!("A LIKE '{pattern}'")) {
        Condition::Like { pattern: Pattern(parts), .. } => parts,
        other => panic!("{other:?}"),
    };
    assert_eq!(like("a%_"), [Literal('a'), Any, One]);
    assert_eq!(like("[_][%][[]"), [Literal('_'), Literal('%'), Literal('[')]);
    assert_eq!(like("[a-fx]"), [Set { negated: false, ranges: vec![('a', 'f'), ('x', 'x')] }]);
    assert_eq!(like("[^0-9]"), [Set { negated: true, ranges: vec![('0', '9')] }]);
    assert_eq!(like("[]a]"), [Set { negated: false, ranges: vec![(']', ']'), ('a', 'a')] }]);
    assert_eq!(like("[a-]"), [Set { negated: false, ranges: vec![('a', 'a'), ('-', '-')] }]);
    assert_eq!(like("x]"), [Literal('x'), Literal(']')]);
    let test = Condition::Like { property: path("A"), pattern: Pattern(vec![Any]) };
    for text in ["NOT A LIKE '%'", "A NOT LIKE '%'"] {
        assert_eq!(condition(text), not(test.clone()));
    }
}

#[test]
fn classes_of_embedded_objects_and_of_the_object_itself() {
    let is_a = |property, class: &str| Condition::IsA { property, class: class.into() };
    assert_eq!(condition("TargetInstance ISA \"CIM_Job\""), is_a(path("TargetInstance"), "CIM_Job"));
    assert_eq!(condition("TargetInstance isa CIM_Job"), is_a(path("TargetInstance"), "CIM_Job"));
    assert_eq!(condition("__this ISA 'X'"), is_a(PropertyPath(vec![]), "X"));
    assert_eq!(condition("__CLASS = 'X'"), equal("__CLASS", "X"));
    assert_eq!(condition("TargetInstance.JobState = 7"), equal("TargetInstance.JobState", Value::Sint64(7)));
}

#[test]
fn mistakes_say_where_what_and_what_instead() {
    use CimStatus::InvalidQuery;
    refused("", InvalidQuery, "at the end of the query: expected SELECT");
    refused("SELCT * FROM X", InvalidQuery, "at character 1, 'SELCT': expected SELECT");
    refused("SELECT * X", InvalidQuery, "at character 10, 'X': expected FROM");
    refused("SELECT , FROM X", InvalidQuery, "at character 8, ',': expected a property or *");
    refused("SELECT A. FROM X", InvalidQuery, "at character 16, 'X': expected FROM");
    refused("SELECT * FROM 'X'", InvalidQuery, "expected the name of a class");
    refused("SELECT * FROM X Y", InvalidQuery, "at character 17, 'Y': expected WHERE or the end");
    refused("SELECT * FROM X;", InvalidQuery, "';'");
    refused(
        "SELECT * FROM X WHERE",
        InvalidQuery,
        "at the end of the query: expected a property or a constant",
    );
    refused("SELECT * FROM X WHERE A", InvalidQuery, "expected =, <>, !=, <, >, <=, >=, LIKE, IS or ISA");
    refused("SELECT * FROM X WHERE É ~ 5", InvalidQuery, "at character 25, '~'");
    refused(
        "SELECT * FROM X WHERE A = B",
        InvalidQuery,
        "at character 27, 'B': one side of a comparison must be a constant",
    );
    refused(
        "SELECT * FROM X WHERE 1 = 2",
        InvalidQuery,
        "at character 27, '2': one side of a comparison must be a property",
    );
    refused(
        "SELECT * FROM X WHERE A = 5 B = 6",
        InvalidQuery,
        "at character 29, 'B': expected AND, OR or the end",
    );
    refused("SELECT * FROM X WHERE (A = 5", InvalidQuery, "expected AND, OR or ')'");
    refused("SELECT * FROM X WHERE A = 5)", InvalidQuery, "at character 28, ')'");
    refused("SELECT * FROM X WHERE A IS 5", InvalidQuery, "'5': expected NULL");
    refused("SELECT * FROM X WHERE A < NULL", InvalidQuery, "'NULL': NULL compares with");
    refused("SELECT * FROM X WHERE A < TRUE", InvalidQuery, "'TRUE': booleans compare with");
    refused("SELECT * FROM X WHERE A LIKE 5", InvalidQuery, "'5': expected a pattern in quotes");
    refused("SELECT * FROM X WHERE A LIKE '[a'", InvalidQuery, "closing bracket");
    refused("SELECT * FROM X WHERE A LIKE '[z-a]'", InvalidQuery, "backwards");
    refused("SELECT * FROM X WHERE A NOT = 5", InvalidQuery, "'=': expected LIKE");
    refused("SELECT * FROM X WHERE A ISA 5", InvalidQuery, "expected the name of a class");
    refused(
        "SELECT * FROM X WHERE A = 'open",
        InvalidQuery,
        "at character 27, ''open': the string is not closed",
    );
    refused(r"SELECT * FROM X WHERE A = 'C:\x'", InvalidQuery, r"at character 30, '\x'");
    refused("SELECT * FROM X WHERE A = 12ab", InvalidQuery, "'12ab': this is not a number");
    refused("SELECT * FROM X WHERE A = 99999999999999999999", InvalidQuery, "64 bits");
    refused("SELECT * FROM X WHERE A = 1e999", InvalidQuery, "too large");
}

#[test]
fn what_is_known_but_not_served_has_its_own_status() {
    use CimStatus::QueryFeatureNotSupported;
    refused("ASSOCIATORS OF {X.A=\"1\"}", QueryFeatureNotSupported, "ASSOCIATORS OF");
    refused("references of {X=@} WHERE ClassDefsOnly", QueryFeatureNotSupported, "REFERENCES OF");
    refused("SELECT * FROM X WITHIN 5 WHERE A = 1", QueryFeatureNotSupported, "at character 17, 'WITHIN'");
    refused("SELECT * FROM X WHERE A = 1 GROUP WITHIN 5", QueryFeatureNotSupported, "GROUP");
    refused("SELECT * FROM X GROUP WITHIN 5 HAVING N > 5", QueryFeatureNotSupported, "GROUP");
    refused("SELECT * FROM X WHERE A = 1 HAVING N > 5", QueryFeatureNotSupported, "HAVING");
    refused("SELECT * FROM X WHERE A = 1 ORDER BY A", QueryFeatureNotSupported, "ORDER");
    refused("SELECT COUNT(*) FROM X", QueryFeatureNotSupported, "functions");
    refused("SELECT * FROM X WHERE UPPER(A) = 'B'", QueryFeatureNotSupported, "functions");
    refused("SELECT * FROM X, Y", QueryFeatureNotSupported, "one class");
    refused("SELECT * FROM meta_class WHERE __this ISA 'X'", QueryFeatureNotSupported, "classes");
}

#[test]
fn length_and_depth_are_bounded() {
    let nested = |n: usize| format!("SELECT * FROM X WHERE {}A = 1{}", "(".repeat(n), ")".repeat(n));
    assert!(parse("WQL", &nested(64)).is_ok());
    refused(&nested(65), CimStatus::InvalidQuery, "too deep");
    refused(&nested(20_000), CimStatus::InvalidQuery, "too deep");
    refused(
        &format!("SELECT * FROM X WHERE {}A = 1", "NOT ".repeat(10_000)),
        CimStatus::InvalidQuery,
        "too deep",
    );
    refused(&" ".repeat(MAX_LENGTH + 1), CimStatus::InvalidQuery, "at most 65536");
}

#[test]
fn only_names_of_classes_are_names_of_classes() {
    assert!(parse("WQL", "SELECT * FROM X WHERE A ISA \"Größe_1\"").is_ok());
    for language in LANGUAGES {
        for bad in ["'] '", "']'", "''", "'1X'", "'a.b'", "1", "]"] {
            let error = parse(language, &format!("SELECT * FROM X WHERE A ISA {bad}")).unwrap_err();
            assert!(error.description.contains("the name of a class"), "{error}");
        }
    }
    assert!(parse("DMTF:CQL", "SELECT * FROM X WHERE A ISA 'AND'").is_err());
}

/// What is gone through for every instance.
#[test]
fn tests_selected_properties_and_patterns_are_bounded() {
    let wide = |n: usize| format!("SELECT * FROM X WHERE {}", vec!["(A = 1)"; n].join(" OR "));
    let selected = |n: usize| format!("SELECT {} FROM X", vec!["A"; n].join(", "));
    let like = |n: usize| format!("SELECT * FROM X WHERE A LIKE '{}'", "a".repeat(n));
    for language in LANGUAGES {
        for (query, most) in
            [(&wide as &dyn Fn(usize) -> String, MAX_TESTS), (&selected, MAX_SELECTED), (&like, MAX_PATTERN)]
        {
            assert!(parse(language, &query(most)).is_ok(), "{language} {most}");
            let error = parse(language, &query(most + 1)).unwrap_err();
            assert_eq!(error.status, CimStatus::InvalidQuery);
            assert!(error.description.contains(&most.to_string()), "{error}");
        }
    }
}

// ---- Printing, for the property that reading is its inverse

fn print(query: &Query) -> String {
    let select = match &query.select {
        None => "*".to_owned(),
        Some(list) => list.iter().map(print_path).collect::<Vec<_>>().join(", "),
    };
    let condition = query.condition.as_ref().map(|c| format!(" WHERE {}", print_condition(c)));
    format!("SELECT {select} FROM {}{}", query.from, condition.unwrap_or_default())
}

fn print_path(path: &PropertyPath) -> String {
    if path.0.is_empty() {
        return "__this".to_owned();
    }
    path.0.iter().map(|step| step.name.to_string()).collect::<Vec<_>>().join(".")
}

fn print_condition(condition: &Condition) -> String {
    let inside = |all: &[Condition], word: &str| {
        all.iter().map(|c| format!("({})", print_condition(c))).collect::<Vec<_>>().join(word)
    };
    match condition {
        Condition::And(all) => inside(all, " AND "),
        Condition::Or(all) => inside(all, " OR "),
        Condition::Not(inner) => format!("NOT ({})", print_condition(inner)),
        Condition::IsNull(property) => format!("{} IS NULL", print_path(property)),
        Condition::Like { property, pattern } => {
            format!("{} LIKE {}", print_path(property), quoted(&print_pattern(pattern)))
        }
        Condition::IsA { property, class } => format!("{} ISA '{class}'", print_path(property)),
        Condition::Compare { property, operator, constant } => {
            let sign = match operator {
                Comparison::Equal => "=",
                Comparison::NotEqual => "<>",
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
            };
            let constant = match constant {
                Value::String(text) => quoted(text),
                Value::Boolean(b) => b.to_string(),
                Value::Real64(x) => format!("{x:?}"),
                other => other.as_i128().unwrap().to_string(),
            };
            format!("{} {sign} {constant}", print_path(property))
        }
        Condition::CompareProperties { .. } | Condition::CompareSymbol { .. } => {
            panic!("WQL has no such test")
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn print_pattern(pattern: &Pattern) -> String {
    let part = |part: &PatternPart| match part {
        PatternPart::Any => "%".to_owned(),
        PatternPart::One => "_".to_owned(),
        PatternPart::Repeat(_) => panic!("WQL has no repetitions"),
        PatternPart::Literal(c @ ('%' | '_' | '[')) => format!("[{c}]"),
        PatternPart::Literal(c) => c.to_string(),
        PatternPart::Set { negated, ranges } => {
            let ranges: String =
                ranges.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") }).collect();
            format!("[{}{ranges}]", if *negated { "^" } else { "" })
        }
    };
    pattern.0.iter().map(part).collect()
}

fn any_path() -> impl Strategy<Value = PropertyPath> {
    // A prefix keeps names apart from keywords.
    vec("p_[A-Za-z0-9_é]{0,6}".prop_map(Step::of), 1..4).prop_map(PropertyPath)
}

fn any_constant() -> impl Strategy<Value = (Comparison, Value)> {
    let operator = prop::sample::select(vec![
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ]);
    let constant = prop_oneof![
        vec(any::<char>(), 0..12).prop_map(|c| Value::String(c.into_iter().collect())),
        "[a'\"\\\\ ]{0,8}".prop_map(Value::String),
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::Sint64),
        (1 << 63..=u64::MAX).prop_map(Value::Uint64),
        any::<f64>().prop_filter("WQL has no word for it", |x| x.is_finite()).prop_map(Value::Real64),
    ];
    (operator, constant).prop_map(|(operator, constant)| match constant {
        Value::Boolean(_) => (Comparison::NotEqual, constant),
        constant => (operator, constant),
    })
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let range = (prop::char::range('a', 'z'), 0u32..5)
        .prop_map(|(a, more)| (a, char::from_u32(u32::from(a) + more).unwrap()));
    let part = prop_oneof![
        any::<char>().prop_map(PatternPart::Literal),
        "[%_\\[\\]^-]".prop_map(|s| PatternPart::Literal(s.chars().next().unwrap())),
        Just(PatternPart::One),
        Just(PatternPart::Any),
        (any::<bool>(), vec(range, 2..4)).prop_map(|(negated, ranges)| PatternPart::Set { negated, ranges }),
    ];
    vec(part, 0..6).prop_map(Pattern)
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        (any_path(), any_constant()).prop_map(|(property, (operator, constant))| Condition::Compare {
            property,
            operator,
            constant
        }),
        any_path().prop_map(Condition::IsNull),
        (any_path(), any_pattern()).prop_map(|(property, pattern)| Condition::Like { property, pattern }),
        (prop_oneof![any_path(), Just(PropertyPath(vec![]))], "C[a-z]{0,4}")
            .prop_map(|(property, class)| Condition::IsA { property, class: class.into() }),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(Condition::And),
            vec(inner.clone(), 2..4).prop_map(Condition::Or),
            inner.prop_map(not),
        ]
    })
}

proptest! {
    #[test]
    fn queries_survive_printing(
        select in option::of(vec(any_path(), 1..4)),
        from in "C[A-Za-z_]{0,6}".prop_map(Name::from),
        condition in option::of(any_condition()),
    ) {
        let query = Query { select, from, condition, fold_case: true };
        let text = print(&query);
        prop_assert_eq!(parse("WQL", &text), Ok(query), "{}", text);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = parse("WQL", &text);
        let _ = parse("WQL", &format!("SELECT * FROM X WHERE {text}"));
        let _ = parse("WQL", &format!("SELECT * FROM X WHERE A LIKE '{text}'"));
    }

    #[test]
    fn no_scraps_panic(scraps in vec(prop::sample::select(vec![
        "SELECT", "*", "FROM", "X", "WHERE", "A", ".", "=", "<", "5", "-", "'s'", "\"", "\\", "NOT", "AND", "OR", "(", ")",
        "IS", "NULL", "LIKE", "'[a'", "ISA", "TRUE", ",", "é", "1.e", "!",
    ]), 0..30)) {
        let _ = parse("WQL", &format!("SELECT * FROM X WHERE {}", scraps.join(" ")));
        let _ = parse("WQL", &scraps.concat());
    }
}

#[test]
fn a_filter_is_a_condition_without_a_query() {
    let read = |text: &str| super::parse_filter("dmtf:fql", text);
    let whole = |text: &str| parse("DMTF:CQL", &format!("SELECT * FROM X WHERE {text}")).unwrap().condition;
    for text in ["JobState = 7 AND Name LIKE 'copy.*'", "NOT (a = 'b' OR ANY c[*] <> 3)", "a.b IS NOT NULL"] {
        assert_eq!(Some(read(text).unwrap()), whole(text), "{text}");
    }
    for wrong in ["", "a", "a = 1 b", "SELECT * FROM X", "a = 1 ORDER BY a", "WHERE a = 1"] {
        let error = read(wrong).unwrap_err();
        assert_eq!(error.status, CimStatus::InvalidQuery, "{wrong}: {error}");
    }
    let long = format!("a = '{}'", "x".repeat(super::MAX_LENGTH));
    assert_eq!(read(&long).unwrap_err().status, CimStatus::InvalidQuery);
    for other in ["WQL", "DMTF:CQL", ""] {
        let error = super::parse_filter(other, "a = 1").unwrap_err();
        assert_eq!(error.status, CimStatus::QueryLanguageNotSupported, "{other}");
    }
}
