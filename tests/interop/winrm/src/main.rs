//! What the crate winrm-rs, unmodified, can ask a server that is no Windows: queries in WQL. Called by `test_winrm.py` with host, port,
//! user, namespace and query; the password is in the environment.

use std::process::ExitCode;
use winrm_rs::{AuthMethod, WinrmClient, WinrmConfig, WinrmCredentials};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, user, namespace, query] = arguments.as_slice() else {
        eprintln!("host, port, user, namespace and query are expected");
        return ExitCode::from(2);
    };
    let config = WinrmConfig {
        port: port.parse().expect("a port"),
        use_tls: false,
        auth_method: AuthMethod::Basic,
        ..WinrmConfig::default()
    };
    let password = std::env::var("INTEROP_PASSWORD").expect("a password");
    let client = WinrmClient::new(config, WinrmCredentials::new(user, password, "")).expect("a client");
    match client.run_wql(host, query, Some(namespace)).await {
        Ok(items) => {
            println!("{items}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
