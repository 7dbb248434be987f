//! A plugin that does everything a plugin can.

use crate::NAMESPACE;
use async_trait::async_trait;
use cimwright_cim::operation::Param;
use cimwright_cim::{
    CatalogueEntry, CimError, CimStatus, ClassName, ErrorDetail, ErrorType, Instance, InstancePath, Property,
    Severity, Value,
};
use cimwright_jobs::live::Wish;
use cimwright_jobs::{JobKind, JobSpec, Progress, Step, StepContext, StepError};
use cimwright_sdk::{
    Alerts, Context, Declaration, InstancePortions, InstanceProvider, JobDialect, MethodCall, MethodOutcome,
    MethodProvider, NewJob, Plugin, ServedClass,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const MOF: &str = r#"
class Test_Thing : CIM_LogicalElement {
    [Key, Override("Name")] string Name;
    [Write] uint32 Size = 7;
    uint64 Pid;
    uint32 Echo(
        [In] sint64 Number, [In] datetime Time, [In] string Words[], [In] CIM_ManagedElement REF Thing,
        [In, EmbeddedInstance("CIM_Error")] string Object, [In] real64 Real, [In] char16 Letter,
        [Out, In(false)] string User, [Out, In(false)] sint64 NumberOut, [Out, In(false)] datetime TimeOut,
        [Out, In(false)] string WordsOut[], [Out, In(false)] CIM_ManagedElement REF ThingOut,
        [Out, In(false), EmbeddedInstance("CIM_Error")] string ObjectOut, [Out, In(false)] real64 RealOut,
        [Out, In(false)] char16 LetterOut);
    uint32 Act([In] string What);
    uint32 Work([In] string How, [Out, In(false)] Test_Job REF Job);
};
class Test_Many : CIM_ManagedElement { [Key, Override("InstanceID")] string InstanceID; string Text; };
class Test_Job : CIM_ConcreteJob {
    string Found;
    [Override("GetError")] uint32 GetError([Out, In(false), EmbeddedInstance("CIM_Error")] string Error);
};
[Indication] class Test_Alert : CIM_AlertIndication { string Text; };
"#;

pub(crate) fn plugin() -> Plugin {
    let alerts = Alerts::new();
    let provider = Arc::new(Things {
        names: Mutex::new(vec![("a".into(), 7), ("b".into(), 8)]),
        alerts: alerts.clone(),
    });
    let served = |class: &str, methods| ServedClass {
        namespace: NAMESPACE.into(),
        class: class.into(),
        instances: Some(provider.clone()),
        methods,
    };
    Plugin {
        name: "test",
        declarations: vec![Declaration { namespace: NAMESPACE.into(), name: "test.mof", mof: MOF }],
        classes: vec![served("Test_Thing", Some(provider.clone())), served("Test_Many", None)],
        dialects: vec![JobDialect::dmtf(NAMESPACE, "Test_Job", "test")],
        kinds: vec![Arc::new(Kind)],
        alerts,
        ..Plugin::default()
    }
}

struct Things {
    names: Mutex<Vec<(String, u32)>>,
    alerts: Alerts,
}

impl Things {
    fn name(path: &InstancePath) -> &str {
        path.key_str("Name").unwrap()
    }
}

#[async_trait]
impl InstanceProvider for Things {
    async fn enumerate(&self, context: Context<'_>, class: &ClassName) -> Result<Vec<Instance>, CimError> {
        assert!(context.schema.is_a("Test_Thing", "CIM_ManagedElement"));
        if class.is("Test_Many") {
            // What `open` does not give at once.
            return Err(CimError::failed("there are too many"));
        }
        let thing = |(name, size): &(String, u32)| {
            Instance::new("Test_Thing")
                .with("Name", name.as_str())
                .with("Size", Value::Uint32(*size))
                .with("Pid", Value::Uint64(std::process::id().into()))
        };
        Ok(self.names.lock().unwrap().iter().map(thing).collect())
    }

    async fn open(
        &self,
        context: Context<'_>,
        class: &ClassName,
    ) -> Result<Box<dyn InstancePortions>, CimError> {
        if class.is("Test_Many") {
            return Ok(Box::new(Many(0)));
        }
        let portion = self.enumerate(context, class).await?;
        Ok(Box::new(Few(Some(portion))))
    }

    async fn create(&self, context: Context<'_>, instance: Instance) -> Result<InstancePath, CimError> {
        let name = instance.get_str("Name").unwrap().to_owned();
        let mut names = self.names.lock().unwrap();
        if names.iter().any(|(n, _)| *n == name) {
            return Err(CimError::already_exists(format!("{name} is there")).with_detail(full()));
        }
        names.push((name.clone(), instance.get_u64("Size").unwrap() as u32));
        Ok(InstancePath::new(context.namespace.clone(), "Test_Thing").with_key("Name", name))
    }

    async fn modify(
        &self,
        _: Context<'_>,
        path: &InstancePath,
        changes: Vec<Property>,
    ) -> Result<(), CimError> {
        let mut names = self.names.lock().unwrap();
        let thing = names.iter_mut().find(|(n, _)| n == Self::name(path)).unwrap();
        for change in changes {
            assert!(change.name.is("Size"));
            thing.1 = change.value.as_ref().and_then(Value::as_u64).unwrap() as u32;
        }
        Ok(())
    }

    async fn delete(&self, _: Context<'_>, path: &InstancePath) -> Result<(), CimError> {
        self.names.lock().unwrap().retain(|(n, _)| n != Self::name(path));
        Ok(())
    }
}

struct Few(Option<Vec<Instance>>);

#[async_trait]
impl InstancePortions for Few {
    async fn next(&mut self) -> Result<Option<Vec<Instance>>, CimError> {
        Ok(self.0.take())
    }
}

/// 40 MiB in portions of one.
struct Many(u32);

#[async_trait]
impl InstancePortions for Many {
    async fn next(&mut self) -> Result<Option<Vec<Instance>>, CimError> {
        self.0 += 1;
        let text = "x".repeat(1 << 16);
        let one = |n: u32| {
            Instance::new("Test_Many")
                .with("InstanceID", format!("{}/{n}", self.0))
                .with("Text", text.as_str())
        };
        Ok((self.0 <= 40).then(|| (0..16).map(one).collect()))
    }
}

#[async_trait]
impl MethodProvider for Things {
    async fn invoke(&self, context: Context<'_>, call: MethodCall) -> Result<MethodOutcome, CimError> {
        match call.method.as_str() {
            "Echo" => {
                let user = format!("{} ({})", context.principal.name(), context.principal.role());
                let mut out = vec![Param::new("User", user)];
                for name in ["Number", "Time", "Words", "Thing", "Object", "Real", "Letter"] {
                    out.extend(call.get(name).map(|v| Param::new(format!("{name}Out"), v.clone())));
                }
                Ok(MethodOutcome::Done { return_value: 9, out })
            }
            "Act" => self.act(context, call.required_str("What")?).await,
            _ => {
                let how = call.required_str("How")?.to_owned();
                let job = Box::new(NewJob {
                    family: "test",
                    kind: "work",
                    payload: how.clone(),
                    name: how.clone(),
                    ..NewJob::default()
                });
                if how == "refused" {
                    return Ok(MethodOutcome::Refused { job, reason: Box::new(full()) });
                }
                Ok(MethodOutcome::Job(job))
            }
        }
    }
}

impl Things {
    async fn act(&self, context: Context<'_>, what: &str) -> Result<MethodOutcome, CimError> {
        match what {
            "panic" => panic!("as the test wants"),
            "die" => std::process::abort(),
            "wait" => std::future::pending().await,
            "sleep" => tokio::time::sleep(Duration::from_millis(700)).await,
            "raise" => {
                let alert = Instance::new("Test_Alert").with("Text", "it is hot");
                self.alerts.raise(context.namespace, alert).await?;
            }
            "raise elsewhere" => {
                self.alerts.raise(&"root/other".into(), Instance::new("Test_Alert")).await?;
            }
            other => {
                return Err(CimError::new(CimStatus::NotFound, format!("there is no {other}"))
                    .with_detail(full().about("x").because(full())));
            }
        }
        Ok(MethodOutcome::code(0))
    }
}

/// A reason that is the plugin's own.
pub(crate) fn full() -> ErrorDetail {
    static ENTRY: CatalogueEntry = CatalogueEntry {
        id: "TEST1001",
        message: "{0} is full.",
        meaning: "",
        error_type: ErrorType::Oversubscription,
        severity: Severity::Critical,
        probable_cause: 50,
        probable_cause_description: "Out of Memory",
        actions: &["Make room in {0}."],
        status: CimStatus::ServerLimitsExceeded,
        code: 32778,
    };
    ENTRY.detail(["the box"])
}

struct Kind;

/// What the last step does is in the payload; those before it only say something.
struct Work {
    name: &'static str,
    how: String,
}

impl Work {
    fn is_last(&self) -> bool {
        self.name == "last"
    }
}

impl JobKind for Kind {
    fn name(&self) -> &'static str {
        "work"
    }

    fn steps(&self, spec: &JobSpec) -> Result<Vec<Arc<dyn Step>>, ErrorDetail> {
        if spec.payload == "no steps" {
            return Err(full());
        }
        if spec.payload == "no such step" {
            // Fewer every time it is asked.
            static ASKED: Mutex<bool> = Mutex::new(false);
            if std::mem::replace(&mut *ASKED.lock().unwrap(), true) {
                return Ok(Vec::new());
            }
        }
        let step = |name| Arc::new(Work { name, how: spec.payload.clone() }) as Arc<dyn Step>;
        Ok(match spec.payload.as_str() {
            "many steps" => std::iter::repeat_with(|| step("first")).take(256).collect(),
            "too many steps" => std::iter::repeat_with(|| step("first")).take(257).collect(),
            "die undoing" => vec![step("first"), step("second"), step("last")],
            _ => vec![step("first"), step("last")],
        })
    }
}

#[async_trait]
impl Step for Work {
    fn name(&self) -> &'static str {
        self.name
    }

    fn title(&self) -> String {
        format!("Working: {}", self.how)
    }

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        if !self.is_last() {
            return Ok(format!("from {}", context.spec().owner));
        }
        context.set_progress(Progress { done: 1, total: 2, share: 5000 });
        context.set_result("Found", context.output_of("first").unwrap());
        match self.how.as_str() {
            "well" => {}
            "fail" | "die undoing" => return Err(full().because(full()).into()),
            "panic" => panic!("as the test wants"),
            "die" => std::process::abort(),
            _ => {
                let mut known = Wish::Run;
                loop {
                    known = context.wish_other_than(known).await;
                    if known == Wish::Stop {
                        return Err(StepError::Stopped);
                    }
                    context.report_paused(known == Wish::Pause);
                }
            }
        }
        Ok(String::new())
    }

    async fn undo(&self, context: &StepContext, output: Option<&str>) -> Result<(), ErrorDetail> {
        if self.how == "die undoing" && self.name != "first" {
            std::process::abort();
        }
        if context.spec().payload == "fail" && !self.is_last() {
            assert!(output.is_some(), "the first step had ended well");
            return Err(full());
        }
        Ok(())
    }
}
