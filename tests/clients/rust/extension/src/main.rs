//! An external extension on AWS's Rust client that prints each event and each telemetry record as a line of JSON.
//!
//! With `LISTENER=logs` among its variables it listens to the older Logs API instead of the Telemetry API.

use std::env;

use lambda_extension::{
    Error, Extension, LambdaEvent, LambdaLog, LambdaTelemetry, LogBuffering, NextEvent,
    SharedService, service_fn,
};
use serde_json::json;

/// The least that the API allows, so that tests wait for nothing.
fn buffering() -> LogBuffering {
    LogBuffering {
        timeout_ms: 25,
        max_bytes: 262_144,
        max_items: 1_000,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // Its own lines are not among the types: each would make another one.
    let types = &["platform", "function"];
    let extension = Extension::new()
        .with_events(&["INVOKE", "SHUTDOWN"])
        .with_events_processor(service_fn(event));
    if env::var("LISTENER").as_deref() == Ok("logs") {
        let listener = SharedService::new(service_fn(logs));
        extension
            .with_log_types(types)
            .with_log_buffering(buffering())
            .with_logs_processor(listener)
            .run()
            .await
    } else {
        let listener = SharedService::new(service_fn(telemetry));
        extension
            .with_telemetry_types(types)
            .with_telemetry_buffering(buffering())
            .with_telemetry_processor(listener)
            .run()
            .await
    }
}

async fn event(event: LambdaEvent) -> Result<(), Error> {
    let line = match event.next {
        NextEvent::Invoke(invoke) => json!({
            "event": "INVOKE",
            "request_id": invoke.request_id,
            "arn": invoke.invoked_function_arn,
            "deadline_ms": invoke.deadline_ms,
            "trace_id": invoke.tracing.value,
        }),
        NextEvent::Shutdown(shutdown) => json!({
            "event": "SHUTDOWN",
            "reason": shutdown.shutdown_reason,
            "deadline_ms": shutdown.deadline_ms,
        }),
    };
    println!("{line}");
    Ok(())
}

async fn telemetry(records: Vec<LambdaTelemetry>) -> Result<(), Error> {
    for record in records {
        println!("{}", json!({ "telemetry": record }));
    }
    Ok(())
}

async fn logs(records: Vec<LambdaLog>) -> Result<(), Error> {
    for record in records {
        println!("{}", json!({ "log": format!("{:?}", record.record) }));
    }
    Ok(())
}
