//! The extension's own `main`, without its log: its library has the rest.

use opentelemetry_lambda_extension::{Config, ExtensionRuntime, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    ExtensionRuntime::new(Config::load()?).run().await
}
