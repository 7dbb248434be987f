//! What was stored once must be readable for ever.

use super::*;
use crate::repository::conformance as loaded;
use crate::samples;
use cimwright_jobs::JobRecord;
use proptest::prelude::*;

const SPEC: &str = include_str!("../../forms/v1/spec.json");
const RUN: &str = include_str!("../../forms/v1/run.json");
const SETTINGS: &str = include_str!("../../forms/v1/settings.json");
const REQUEST: &str = include_str!("../../forms/v1/request.json");
const SPEC_2: &str = include_str!("../../forms/v2/spec.json");
const RUN_2: &str = include_str!("../../forms/v2/run.json");

const CLASS: &str = include_str!("../../forms/v1/class.json");
const QUALIFIER: &str = include_str!("../../forms/v1/qualifier.json");
const INSTANCE: &str = include_str!("../../forms/v1/instance.json");

/// The files hold exactly these, so they are never changed.
#[test]
fn what_clients_loaded_reads_and_is_written_as_version_1() {
    let (class, qualifier) = (loaded::class("ACME_Note", Some("ACME_Thing")), loaded::qualifier());
    let note = loaded::note(1, "a \"note\"");
    exactly(&decode_class(CLASS.as_bytes()).unwrap(), &class);
    exactly(&decode_qualifier(QUALIFIER.as_bytes()).unwrap(), &qualifier);
    exactly(&decode_instance(INSTANCE.as_bytes()).unwrap(), &note);
    assert_eq!(json(&encode_class(&class).unwrap()), json(CLASS.as_bytes()));
    assert_eq!(json(&encode_qualifier(&qualifier).unwrap()), json(QUALIFIER.as_bytes()));
    assert_eq!(json(&encode_instance(&note).unwrap()), json(INSTANCE.as_bytes()));
    let later = CLASS.replacen("\"v\": 1", "\"v\": 2", 1);
    assert!(matches!(decode_class(later.as_bytes()), Err(FormError::Version { found: 2, .. })));
}

fn sample() -> JobRecord {
    samples::every_field(samples::id(1))
}

/// Equality of paths ignores hosts and equality of names ignores case; what is stored must not.
fn exactly<T: std::fmt::Debug>(left: &T, right: &T) {
    assert_eq!(format!("{left:?}"), format!("{right:?}"));
}

fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn version_1_reads() {
    let record = sample();
    exactly(&decode_spec(SPEC.as_bytes()).unwrap(), &*record.spec);
    exactly(&decode_run(RUN.as_bytes()).unwrap(), &record.run);
    exactly(&decode_settings(SETTINGS.as_bytes()).unwrap(), &record.settings);
    exactly(&decode_request(REQUEST.as_bytes()).unwrap(), &record.request.unwrap());
}

/// Whoever changes what is written makes a new version and keeps these files.
#[test]
fn version_1_is_what_is_written() {
    let record = sample();
    assert_eq!(json(&encode_spec(&record.spec).unwrap()), json(SPEC.as_bytes()));
    assert_eq!(json(&encode_run(&record.run).unwrap()), json(RUN.as_bytes()));
    assert_eq!(json(&encode_settings(&record.settings).unwrap()), json(SETTINGS.as_bytes()));
    assert_eq!(json(&encode_request(&record.request.unwrap()).unwrap()), json(REQUEST.as_bytes()));
}

/// Of what version 2 added, each alone makes a form of that version.
#[test]
fn version_2_reads_and_is_what_is_written() {
    let record = samples::every_field_of_2(samples::id(1));
    exactly(&decode_spec(SPEC_2.as_bytes()).unwrap(), &*record.spec);
    exactly(&decode_run(RUN_2.as_bytes()).unwrap(), &record.run);
    assert_eq!(json(&encode_spec(&record.spec).unwrap()), json(SPEC_2.as_bytes()));
    assert_eq!(json(&encode_run(&record.run).unwrap()), json(RUN_2.as_bytes()));
    let (spec, run) = (samples::job(samples::id(1)).spec, JobRun::new());
    for newer in [
        JobSpec { call: record.spec.call.clone(), ..(*spec).clone() },
        JobSpec { run_of: record.spec.run_of, ..(*spec).clone() },
    ] {
        assert_eq!(json(&encode_spec(&newer).unwrap())["v"], 2);
    }
    for newer in [
        JobRun { undo_errors: record.run.undo_errors.clone(), ..run.clone() },
        JobRun { due: record.run.due, ..run.clone() },
        JobRun { runs: 1, ..run.clone() },
    ] {
        assert_eq!(json(&encode_run(&newer).unwrap())["v"], 2);
    }
    assert_eq!(json(&encode_run(&run).unwrap())["v"], 1);
}

#[test]
fn the_least_that_version_1_can_hold_reads() {
    let least = r#"{"v":1,"state":2,"status":"","ran":0,"progress":[0,0,0],"cancellable":true,"attempts":0}"#;
    let run = decode_run(least.as_bytes()).unwrap();
    assert!(run.errors.is_empty() && run.steps.is_empty() && run.finished.is_none());
    let least = r#"{"v":1,"time_before_removal":300000000,"delete_on_completion":true,"priority":100}"#;
    assert_eq!(decode_settings(least.as_bytes()).unwrap(), JobSettings::default());
}

#[test]
fn fields_nobody_knows_are_skipped() {
    let later = SETTINGS.trim_start().replacen('{', r#"{"colour":{"deep":[1]},"#, 1);
    assert_eq!(decode_settings(later.as_bytes()).unwrap(), sample().settings);
}

#[test]
fn a_later_version_is_refused_whatever_it_looks_like() {
    for text in [SETTINGS.replacen("\"v\": 1", "\"v\": 2", 1), r#"{"v":2}"#.to_owned()] {
        let refusal = StoreError::from(decode_settings(text.as_bytes()).unwrap_err()).to_string();
        assert!(refusal.contains("form version 2"), "{refusal}");
        assert!(refusal.contains("up to 1"), "{refusal}");
    }
    let refusal = decode_run(RUN_2.replacen("\"v\": 2", "\"v\": 3", 1).as_bytes()).unwrap_err().to_string();
    assert!(refusal.contains("form version 3") && refusal.contains("up to 2"), "{refusal}");
}

#[test]
fn nonsense_is_refused() {
    for text in ["", "{", "[]", "{\"v\":1}", "null"] {
        assert!(matches!(decode_run(text.as_bytes()), Err(FormError::Json { .. })), "{text}");
    }
    for (from, to) in
        [("\"state\": 10", "\"state\": 99"), ("\"type\": 9,", "\"type\": 77,"), ("\"-inf\"", "\"x\"")]
    {
        let wrong = RUN.replacen(from, to, 1);
        assert_ne!(wrong, RUN, "{from}");
        assert!(matches!(decode_run(wrong.as_bytes()), Err(FormError::Field { .. })), "{to}");
    }
}

#[test]
fn a_long_chain_of_reasons_reads_back() {
    let mut run = sample().run;
    let one = run.errors.pop().unwrap();
    run.errors = vec![(0..1000).fold(one.clone(), |chain, _| one.clone().because(chain))];
    let back = decode_run(&encode_run(&run).unwrap()).unwrap();
    assert_eq!(back.errors[0].chain().count(), 1001);
}

proptest! {
    #[test]
    fn whatever_is_written_reads_back(record in samples::random::record(samples::id(1))) {
        exactly(&decode_spec(&encode_spec(&record.spec).unwrap()).unwrap(), &*record.spec);
        exactly(&decode_run(&encode_run(&record.run).unwrap()).unwrap(), &record.run);
        exactly(&decode_settings(&encode_settings(&record.settings).unwrap()).unwrap(), &record.settings);
        if let Some(request) = &record.request {
            exactly(&decode_request(&encode_request(request).unwrap()).unwrap(), request);
        }
    }
}
