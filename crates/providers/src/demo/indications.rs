//! A method that raises as many indications as it is told, under the name that test suites of clients know from OpenPegasus' test
//! provider.

use super::slow::test_namespace;
use async_trait::async_trait;
use cimwright_sdk::cim::{CimError, CimStatus, Instance};
use cimwright_sdk::{Alerts, Context, MethodCall, MethodOutcome, MethodProvider, Plugin, ServedClass};
use std::sync::Arc;

/// The class of the indications, which has the method as well.
pub const TEST_INDICATION: &str = "Test_IndicationProviderClass";

/// The most indications of one call.
const MOST: u64 = 10_000;

struct Raises(Alerts);

/// The method, in the namespace that such suites ask.
pub fn test_indications(alerts: &Alerts) -> Plugin {
    let served = ServedClass {
        namespace: test_namespace(),
        class: TEST_INDICATION.into(),
        instances: None,
        methods: Some(Arc::new(Raises(alerts.clone()))),
    };
    Plugin { name: "test indications", classes: vec![served], ..Plugin::default() }
}

#[async_trait]
impl MethodProvider for Raises {
    async fn invoke(&self, _: Context<'_>, call: MethodCall) -> Result<MethodOutcome, CimError> {
        if !call.method.is("SendTestIndicationsCount") {
            let text = format!("{TEST_INDICATION} does not implement {}", call.method);
            return Err(CimError::new(CimStatus::MethodNotAvailable, text));
        }
        let count = call.required_u64("indicationSendCount")?;
        if count > MOST {
            let text = format!("indicationSendCount must not be more than {MOST}");
            return Err(CimError::invalid_parameter(text));
        }
        for _ in 0..count {
            self.0.raise(&test_namespace(), Instance::new(TEST_INDICATION)).await?;
        }
        Ok(MethodOutcome::code(0))
    }
}
