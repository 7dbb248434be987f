//! The provider as a program that the server starts.

/// Serves until the server closes the connection.
#[tokio::main]
async fn main() -> std::process::ExitCode {
    match cimwright_sdk::process::serve(disk_usage::plugin()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("disk-usage: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
