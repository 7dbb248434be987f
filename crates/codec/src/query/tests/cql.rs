//! Tests of DMTF:CQL: what is read, what is refused and where, and that printing and reading are inverse.

use crate::cimxml::{Headers, Limits, decode_request, encode_request};
use crate::query::{MAX_LENGTH, parse};
use cimwright_cim::query::{
    Comparison, Condition, Hierarchy, Index, Pattern, PatternPart, PropertyPath, Query, Step,
};

use cimwright_cim::{
    CimError, CimStatus, ClassName, Instance, Name, NamespaceName, Operation, Request, Value,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

struct Flat;

impl Hierarchy for Flat {
    fn is_a(&self, class: &ClassName, ancestor: &ClassName) -> bool {
        class == ancestor
    }
}

fn query(text: &str) -> Query {
    parse("DMTF:CQL", text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn condition(text: &str) -> Condition {
    query(&format!("SELECT * FROM X x WHERE {text}")).condition.unwrap()
}

fn path(text: &str) -> PropertyPath {
    PropertyPath(text.split('.').map(Step::of).collect())
}

fn scoped(scope: &str, name: &str) -> Step {
    Step { scope: Some(scope.into()), ..Step::of(name) }
}

fn equal(property: PropertyPath, constant: impl Into<Value>) -> Condition {
    Condition::Compare { property, operator: Comparison::Equal, constant: constant.into() }
}

#[track_caller]
fn refused(text: &str, status: CimStatus, wanted: &str) {
    let error = parse("DMTF:CQL", text).expect_err("it must be refused");
    assert_eq!(error.status, status, "{error}");
    assert!(error.description.contains(wanted), "{error}");
}

#[test]
fn the_usual_filters_of_jobs() {
    let source = |name| PropertyPath(vec!["SourceInstance".into(), scoped("CIM_ConcreteJob", name)]);
    let previous = PropertyPath(vec!["PreviousInstance".into(), scoped("CIM_ConcreteJob", "JobState")]);
    let is_a = Condition::IsA { property: path("SourceInstance"), class: "CIM_ConcreteJob".into() };
    let changed = query(
        "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA CIM_ConcreteJob AND \
         SourceInstance.CIM_ConcreteJob::JobState <> PreviousInstance.CIM_ConcreteJob::JobState",
    );
    let differs = Condition::CompareProperties {
        left: source("JobState"),
        operator: Comparison::NotEqual,
        right: previous,
    };
    assert_eq!(changed.condition, Some(Condition::And(vec![is_a.clone(), differs])));
    let ended = condition(
        "SourceInstance ISA CIM_ConcreteJob AND ANY SourceInstance.CIM_ConcreteJob::OperationalStatus[*] = 17",
    );
    let mut statuses = source("OperationalStatus");
    statuses.0[1].index = Some(Index::Any);
    assert_eq!(ended, Condition::And(vec![is_a, equal(statuses, Value::Sint64(17))]));
    assert_eq!(
        condition("#'Completed' = SourceInstance.CIM_ConcreteJob::JobState"),
        Condition::CompareSymbol {
            property: source("JobState"),
            operator: Comparison::Equal,
            symbol: "Completed".to_owned()
        }
    );
}

#[test]
fn what_is_selected_and_from_where() {
    let some = query("SELECT Name, J.JobState, SourceInstance.*, A.B FROM CIM_Job AS j");
    assert_eq!(some.select, Some(vec![path("Name"), path("JobState"), path("SourceInstance"), path("A.B")]));
    assert!(!some.fold_case);
    for all in ["SELECT * FROM X", "SELECT X.* FROM X", "SELECT y.* FROM X AS y", "SELECT A, * FROM X y"] {
        assert_eq!(query(all).select, None, "{all}");
    }
}

#[test]
fn constants_and_patterns() {
    assert_eq!(condition("A = 0x1f"), equal(path("A"), Value::Sint64(31)));
    assert_eq!(condition("A = -0X10"), equal(path("A"), Value::Sint64(-16)));
    assert_eq!(condition("A = 0101B"), equal(path("A"), Value::Sint64(5)));
    assert_eq!(condition("A = 0xFFFFFFFFFFFFFFFF"), equal(path("A"), Value::Uint64(u64::MAX)));
    assert_eq!(condition("A = 'it''s'"), equal(path("A"), "it's"));
    assert_eq!(condition("A = \"it's\""), equal(path("A"), "it's"));
    assert_eq!(condition(r"A = 'it\'s \\'"), equal(path("A"), r"it's \"));
    assert_eq!(condition("x.A = TRUE"), equal(path("A"), Value::Boolean(true)));
    assert_eq!(condition("NOT x ISA Y"), {
        let is_a = Condition::IsA { property: PropertyPath(vec![]), class: "Y".into() };
        Condition::Not(Box::new(is_a))
    });
    use PatternPart::{Any, Literal, One, Repeat, Set};
    let like = |pattern: &str| match condition(&format!("A LIKE '{pattern}'")) {
        Condition::Like { pattern: Pattern(parts), .. } => parts,
        other => panic!("{other:?}"),
    };
    assert_eq!(like("a.*b."), [Literal('a'), Any, Literal('b'), One]);
    assert_eq!(like("%_"), [Literal('%'), Literal('_')]);
    assert_eq!(like("a**"), [Repeat(Box::new(Literal('a')))]);
    assert_eq!(like(r"\\.\\*\\\\"), [Literal('.'), Literal('*'), Literal('\\')]);
    let digit = Set { negated: false, ranges: vec![('0', '9')] };
    assert_eq!(like("[0-9]*"), [Repeat(Box::new(digit))]);
}

/// `ANY a[*] IS NOT NULL` asks whether one is not NULL, not whether none is NULL.
#[test]
fn what_is_not_so_of_one_or_of_every_element() {
    let with = |items: &[Option<&str>]| {
        let items = items.iter().map(|i| i.map(Value::from)).collect();
        Instance::new("X").with("A", Value::Array(items))
    };
    let (all, some, none) = (with(&[Some("a"), Some("b")]), with(&[Some("a"), None]), with(&[None, None]));
    let matching = |text: &str| {
        let query = parse("DMTF:CQL", &format!("SELECT * FROM X WHERE {text}")).unwrap();
        [&all, &some, &none].map(|instance| query.matches(instance, &Flat))
    };
    assert_eq!(matching("ANY A[*] IS NOT NULL"), [true, true, false]);
    assert_eq!(matching("EVERY A[*] IS NOT NULL"), [true, false, false]);
    assert_eq!(matching("NOT ANY A[*] IS NULL"), [true, false, false]);
    assert_eq!(matching("NOT EVERY A[*] IS NULL"), [true, true, false]);
    assert_eq!(matching("ANY A[*] NOT LIKE 'a'"), [true, false, false]);
    assert_eq!(matching("NOT ANY A[*] LIKE 'a'"), [false, false, false]);
}

#[test]
fn mistakes_say_where_what_and_what_instead() {
    use CimStatus::InvalidQuery;
    refused("SELECT FROM WHERE", InvalidQuery, "at character 8, 'FROM': expected a property or *");
    refused("SELECT * FROM", InvalidQuery, "at the end of the query: expected the name of a class");
    refused("SELECT * FROM X y z", InvalidQuery, "at character 19, 'z': expected WHERE or the end");
    refused("SELECT * FROM X WHERE A = NULL", InvalidQuery, "'NULL': NULL is tested with IS NULL");
    refused("SELECT * FROM X WHERE A", InvalidQuery, "expected =, <>, <, >, <=, >=, LIKE, IS or ISA");
    refused("SELECT * FROM X WHERE A != 5", InvalidQuery, "'!=': expected =");
    refused("SELECT * FROM X WHERE 1 = 2", InvalidQuery, "'2': one side of a comparison must be a property");
    refused("SELECT * FROM X WHERE A < TRUE", InvalidQuery, "booleans compare with = and <>");
    refused("SELECT * FROM X WHERE A[x] = 1", InvalidQuery, "'x': expected a position or *");
    refused("SELECT * FROM X WHERE A[1 = 1", InvalidQuery, "'=': expected ]");
    refused("SELECT * FROM X WHERE A[*] = 1", InvalidQuery, "expected ANY or EVERY");
    refused("SELECT * FROM X WHERE ANY A = 1", InvalidQuery, "expected a property with [*]");
    refused("SELECT * FROM X WHERE ANY 5 = A[*]", InvalidQuery, "expected the property whose elements");
    refused("SELECT * FROM X WHERE A:: = 1", InvalidQuery, "expected a property after ::");
    refused("SELECT * FROM X WHERE A = #5", InvalidQuery, "'5': expected the name of a value in quotes");
    refused("SELECT * FROM X WHERE X = 5", InvalidQuery, "expected one of its properties");
    refused("SELECT * FROM X WHERE A LIKE '*a'", InvalidQuery, "begins with *");
    refused(r"SELECT * FROM X WHERE A LIKE 'a\\'", InvalidQuery, "ends with a backslash");
    refused("SELECT * FROM X WHERE A = 0x", InvalidQuery, "'0x': this is not a number");
    refused("SELECT * FROM X WHERE A = 0x1FFFFFFFFFFFFFFFF", InvalidQuery, "64 bits");
    refused("SELECT * FROM X WHERE A = 'it''", InvalidQuery, "the string is not closed");
    refused(&" ".repeat(MAX_LENGTH + 1), InvalidQuery, "at most 65536");
    refused(&format!("SELECT * FROM X WHERE {}A = 1", "(".repeat(5000)), InvalidQuery, "too deep");
}

#[test]
fn what_is_known_but_not_served_has_its_own_status() {
    use CimStatus::QueryFeatureNotSupported;
    refused("SELECT DISTINCT A FROM X", QueryFeatureNotSupported, "DISTINCT");
    refused("SELECT OBJECTPATH(X) FROM X", QueryFeatureNotSupported, "functions");
    refused("SELECT A AS B FROM X", QueryFeatureNotSupported, "keep their names");
    refused("SELECT 'a' FROM X", QueryFeatureNotSupported, "only properties");
    refused("SELECT * FROM X, Y", QueryFeatureNotSupported, "only one class");
    refused("SELECT * FROM X ORDER BY A", QueryFeatureNotSupported, "ORDER");
    refused("SELECT * FROM X WHERE A + 1 = 2", QueryFeatureNotSupported, "'+': nothing is calculated");
    refused("SELECT * FROM X WHERE A -1 = 2", QueryFeatureNotSupported, "nothing is calculated");
    refused("SELECT * FROM X WHERE A = 'a' || 'b'", QueryFeatureNotSupported, "nothing is calculated");
    refused("SELECT * FROM X WHERE UPPERCASE(A) = 'B'", QueryFeatureNotSupported, "functions");
    refused("SELECT * FROM X WHERE A = B#'c'", QueryFeatureNotSupported, "stands by itself");
    refused("SELECT * FROM X WHERE ANY A[*].B[*] = 1", QueryFeatureNotSupported, "at the end");
}

// ---- Printing by the client's encoder is the inverse of reading

fn any_step() -> impl Strategy<Value = Step> {
    let name = || "p_[A-Za-z0-9_é]{0,6}".prop_map(Name::from);
    (option::of(name()), name(), option::of(any::<u32>().prop_map(Index::At)))
        .prop_map(|(scope, name, index)| Step { scope, name, index })
}

fn any_path() -> impl Strategy<Value = PropertyPath> {
    vec(any_step(), 1..4).prop_map(PropertyPath)
}

/// A path on the left of a test, which may ask for all elements.
fn any_tested() -> impl Strategy<Value = PropertyPath> {
    let quantifier = option::of(prop::sample::select(vec![Index::Any, Index::Every]));
    (any_path(), quantifier).prop_map(|(mut path, quantifier)| {
        if let (Some(last), Some(_)) = (path.0.last_mut(), quantifier) {
            last.index = quantifier;
        }
        path
    })
}

fn any_operator() -> impl Strategy<Value = Comparison> {
    prop::sample::select(vec![
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ])
}

fn any_constant() -> impl Strategy<Value = Value> {
    prop_oneof![
        "\\PC{0,12}".prop_map(Value::String),
        "[a'\"\\\\ ]{0,8}".prop_map(Value::String),
        any::<i64>().prop_map(Value::Sint64),
        (1 << 63..=u64::MAX).prop_map(Value::Uint64),
        any::<f64>().prop_filter("there is no word for it", |x| x.is_finite()).prop_map(Value::Real64),
    ]
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let range = (prop::char::range('a', 'z'), 0u32..5)
        .prop_map(|(a, more)| (a, char::from_u32(u32::from(a) + more).unwrap()));
    let one = prop_oneof![
        "\\PC".prop_map(|s| PatternPart::Literal(s.chars().next().unwrap())),
        "[.*\\[\\]^\\\\-]".prop_map(|s| PatternPart::Literal(s.chars().next().unwrap())),
        (any::<bool>(), vec(range, 2..4)).prop_map(|(negated, ranges)| PatternPart::Set { negated, ranges }),
    ];
    let part = prop_oneof![
        one.clone(),
        one.prop_map(|part| PatternPart::Repeat(Box::new(part))),
        Just(PatternPart::One),
        Just(PatternPart::Any),
    ];
    vec(part, 0..6).prop_map(Pattern)
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        (any_tested(), any_operator(), any_constant()).prop_map(|(property, operator, constant)| {
            Condition::Compare { property, operator, constant }
        }),
        (any_tested(), any_operator(), any_path())
            .prop_map(|(left, operator, right)| Condition::CompareProperties { left, operator, right }),
        (any_tested(), any_operator(), "\\PC{0,8}")
            .prop_map(|(property, operator, symbol)| Condition::CompareSymbol { property, operator, symbol }),
        any_tested().prop_map(Condition::IsNull),
        (any_tested(), any_pattern()).prop_map(|(property, pattern)| Condition::Like { property, pattern }),
        (prop_oneof![any_path(), Just(PropertyPath(vec![]))], "C[a-z]{0,4}")
            .prop_map(|(property, class)| Condition::IsA { property, class: class.into() }),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(Condition::And),
            vec(inner.clone(), 2..4).prop_map(Condition::Or),
            inner.prop_map(|c| Condition::Not(Box::new(c))),
        ]
    })
}

/// What the server makes of the message that the client sends for a query. Control characters are left out above: XML cannot carry them.
fn received(query: &Query) -> Result<Operation, CimError> {
    let operation = Operation::ExecQuery { query: query.clone() };
    let (body, sent) = encode_request("1", &Request { namespace: NamespaceName::new("root"), operation });
    let headers = Headers {
        cim_operation: Some(b"MethodCall"),
        cim_method: Some(sent.cim_method.as_bytes()),
        cim_object: Some(sent.cim_object.as_bytes()),
        ..Headers::default()
    };
    let message = decode_request(&body, &headers, &Limits::default()).unwrap();
    message.requests[0].request.clone().map(|request| request.operation)
}

proptest! {
    #[test]
    fn queries_survive_being_sent(
        select in option::of(vec(any_path(), 1..4)),
        from in "C[A-Za-z_]{0,6}".prop_map(Name::from),
        condition in option::of(any_condition()),
    ) {
        let query = Query { select, from, condition, fold_case: false };
        prop_assert_eq!(received(&query), Ok(Operation::ExecQuery { query }));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = parse("DMTF:CQL", &text);
        let _ = parse("DMTF:CQL", &format!("SELECT * FROM X WHERE {text}"));
        let _ = parse("DMTF:CQL", &format!("SELECT * FROM X WHERE A LIKE '{text}'"));
    }

    #[test]
    fn no_scraps_panic(scraps in vec(prop::sample::select(vec![
        "SELECT", "*", "FROM", "X", "WHERE", "A", ".", "=", "<", "5", "-", "'s'", "\"", "\\", "NOT", "AND", "OR", "(", ")",
        "IS", "NULL", "LIKE", "'[a'", "ISA", "TRUE", ",", "é", "0x", "::", "[", "*]", "ANY", "EVERY", "#", "''", "1B",
    ]), 0..30)) {
        let _ = parse("DMTF:CQL", &format!("SELECT * FROM X WHERE {}", scraps.join(" ")));
        let _ = parse("DMTF:CQL", &scraps.concat());
    }
}
