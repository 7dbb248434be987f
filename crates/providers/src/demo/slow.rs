//! A method that answers late, under the name that test suites of clients know from OpenPegasus' test provider.

use async_trait::async_trait;
use cimwright_sdk::cim::{CimError, CimStatus, NamespaceName, Param, Value};
use cimwright_sdk::{Context, MethodCall, MethodOutcome, MethodProvider, Plugin, ServedClass};
use std::sync::Arc;
use std::time::Duration;

/// The class with the method.
pub const SLOW_CLASS: &str = "Test_CLITestProviderClass";

/// The longest delay; more would only hold a connection.
const LONGEST: u64 = 60;

struct Slow;

/// The namespace that such suites ask.
pub fn test_namespace() -> NamespaceName {
    NamespaceName::new("test/testprovider")
}

/// The method, in [`test_namespace`].
pub fn slow_answers() -> Plugin {
    let served = ServedClass {
        namespace: test_namespace(),
        class: SLOW_CLASS.into(),
        instances: None,
        methods: Some(Arc::new(Slow)),
    };
    Plugin { name: "slow answers", classes: vec![served], ..Plugin::default() }
}

#[async_trait]
impl MethodProvider for Slow {
    async fn invoke(&self, _: Context<'_>, call: MethodCall) -> Result<MethodOutcome, CimError> {
        if !call.method.is("delayedMethodResponse") {
            let text = format!("{SLOW_CLASS} does not implement {}", call.method);
            return Err(CimError::new(CimStatus::MethodNotAvailable, text));
        }
        let seconds = call.required_u64("delayInSeconds")?;
        if seconds > LONGEST {
            let text = format!("delayInSeconds must not be more than {LONGEST}");
            return Err(CimError::invalid_parameter(text));
        }
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let given = call.get("delayInSeconds").cloned().unwrap_or(Value::Uint32(0));
        Ok(MethodOutcome::Done { return_value: 0, out: vec![Param::new("delayInSeconds", given)] })
    }
}
