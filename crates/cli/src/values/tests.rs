use super::*;
use cimwright_cim::class::Parameter;

fn parameter(name: &str, cim_type: CimType, is_array: bool, embedded: Option<&str>) -> Parameter {
    Parameter {
        name: name.into(),
        cim_type,
        is_array,
        array_size: None,
        embedded: embedded.map(|_| Embedded::Instance),
        reference_class: embedded.map(Name::new),
        qualifiers: Vec::new(),
    }
}

fn method() -> Method {
    Method {
        name: "Do".into(),
        return_type: Some(CimType::Uint32),
        parameters: vec![
            parameter("Size", CimType::Uint64, false, None),
            parameter("Path", CimType::String, false, None),
            parameter("Types", CimType::Uint16, true, None),
            parameter("Setting", CimType::String, false, Some("X_Setting")),
            parameter("Element", CimType::Reference, false, None),
        ],
        class_origin: None,
        propagated: false,
        qualifiers: Vec::new(),
    }
}

fn classes() -> HashMap<ClassName, Class> {
    let mut class = Class::new("X_Setting");
    class.properties.push(Property::new("Path", CimType::String, None));
    class.properties.push(Property::new("Type", CimType::Uint16, None));
    HashMap::from([(class.name.clone(), class)])
}

fn typed(given: &[&str]) -> Result<Vec<Param>, Untyped> {
    let given: Vec<_> = given.iter().map(|g| assignment(g).unwrap()).collect();
    typed_params(&given, &method(), &NamespaceName::new("root/x"), &classes())
}

fn value(given: &str) -> Option<Value> {
    typed(&[given]).unwrap().remove(0).value
}

#[test]
fn the_class_decides_what_a_value_is() {
    assert_eq!(value("size=1024"), Some(Value::Uint64(1024)));
    assert_eq!(value("Path=1024"), Some("1024".into()));
    assert_eq!(value("Path=C:\\VMs\\a b.vhdx"), Some("C:\\VMs\\a b.vhdx".into()));
    assert_eq!(value("Path="), Some("".into()));
    assert_eq!(value("Path=@@home"), Some("@home".into()));
    assert_eq!(value("Path={6BE0-11}"), Some("{6BE0-11}".into()));
    assert_eq!(value("Types=2"), Some(Value::uint16s([2])));
    assert_eq!(value("Types=[2, 3]"), Some(Value::uint16s([2, 3])));
    assert_eq!(value("Types=[]"), Some(Value::Array(vec![])));
    let twice = typed(&["Types=2", "types=3", "Types=4"]).unwrap();
    assert_eq!(twice[0].value, Some(Value::uint16s([2, 3, 4])));
    let reference = value("Element=X.K=\"v\"").unwrap();
    assert_eq!(reference.as_reference().unwrap().namespace(), Some(&NamespaceName::new("root/x")));
}

#[test]
fn an_embedded_instance_is_written_in_braces_json_or_cim_xml() {
    let expected = Instance::new("X_Setting").with("Path", "/a, b").with("Type", Value::Uint16(3));
    for text in [
        "Setting={X_Setting: Path=\"/a, b\", Type=3}",
        "Setting={Path=\"/a, b\",Type=3,}",
        "Setting={\"$class\": \"X_Setting\", \"Path\": \"/a, b\", \"Type\": 3}",
        "Setting=<INSTANCE CLASSNAME=\"X_Setting\"><PROPERTY NAME=\"Path\" TYPE=\"string\"><VALUE>/a, b</VALUE></PROPERTY>\
         <PROPERTY NAME=\"Type\" TYPE=\"uint16\"><VALUE>3</VALUE></PROPERTY></INSTANCE>",
    ] {
        let Some(Value::Instance(got)) = value(text) else { panic!("{text}") };
        assert_eq!(*got, expected, "{text}");
    }
    // A plain string parameter gets the text of the instance.
    assert!(matches!(value("Path={X_Setting: Type=3}"), Some(Value::InstanceText(_))));
}

#[test]
fn a_class_that_is_not_known_yet_is_asked_for() {
    assert_eq!(typed(&["Setting={Y_Setting: A=1}"]), Err(Untyped::Needs("Y_Setting".into())));
}

#[test]
fn what_does_not_fit_is_told_with_its_name() {
    let reason = |given: &str| match typed(&[given]) {
        Err(Untyped::Wrong(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason("Size=12x").starts_with("Size: \"12x\" is no uint64"));
    assert!(reason("Sise=1").contains("it has Size, Path, Types, Setting, Element"));
    assert!(reason("Setting={Path=1, Nope=2}").contains("X_Setting has no property Nope"));
    assert!(reason("Setting={Type=99999}").starts_with("Setting.Type: "));
    assert!(reason("Size=[1]").contains("not an array"));
    assert!(reason("Size={A: b=1}").contains("uint64 is expected"));
}

#[test]
fn brackets_must_close() {
    for text in ["[1, 2", "{A: b=1", "{A: b=\"1}", "[1] x", "{A: =1}"] {
        assert!(parse(text).is_err(), "{text}: {:?}", parse(text));
    }
    let nested = parse("{A: b=[{C: d=null}, x y], e=\"q\\\"\"}").unwrap();
    assert_eq!(
        nested,
        Literal::Object(
            Some("A".into()),
            vec![
                (
                    "b".into(),
                    Literal::Array(vec![
                        Literal::Object(Some("C".into()), vec![("d".into(), Literal::Null)]),
                        Literal::Text("x y".into()),
                    ])
                ),
                ("e".into(), Literal::Text("q\"".into())),
            ]
        )
    );
}

#[test]
fn a_file_is_read_without_its_last_line_end() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("v");
    std::fs::write(&file, "hello\n").unwrap();
    let (key, literal) = assignment(&format!("Path=@{}", file.display())).unwrap();
    assert_eq!((key.as_str(), literal), ("Path", Literal::Text("hello".into())));
    assert_eq!(assignment("Path=@/nonexistent").unwrap_err().exit, Exit::Trouble);
    assert_eq!(assignment("nothing").unwrap_err().exit, Exit::Usage);
    assert_eq!(assignment("a b=1").unwrap_err().exit, Exit::Usage);
}

#[test]
fn without_classes_everything_is_text() {
    let given = [assignment("A=1").unwrap(), assignment("B=[x,y]").unwrap()];
    let params = untyped_params(&given).unwrap();
    assert_eq!(params[0].value, Some("1".into()));
    assert_eq!(params[0].cim_type, None);
    assert_eq!(params[1].value, Some(Value::strings(["x", "y"])));
    assert!(untyped_params(&[assignment("A={X: b=1}").unwrap()]).is_err());
}
