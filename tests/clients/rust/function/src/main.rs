//! A function on AWS's Rust runtime client that does what its event says.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use lambda_runtime::streaming::{Body, channel};
use lambda_runtime::{
    Diagnostic, Error, FunctionResponse, LambdaEvent, MetadataPrelude, StreamResponse, service_fn,
};
use serde_json::{Value, json};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// The error of the `fail` action; its type has a name of its own, as a library's user would give it.
#[derive(Debug)]
struct Refused(String);

impl From<Refused> for Diagnostic {
    fn from(refused: Refused) -> Self {
        Diagnostic {
            error_type: "Refused".into(),
            error_message: refused.0,
        }
    }
}

type Answer = FunctionResponse<Value, Body>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if env::var_os("GRACEFUL").is_some() {
        lambda_runtime::spawn_graceful_shutdown_handler(|| async { println!("the hook has run") })
            .await;
    }
    lambda_runtime::run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Value>) -> Result<Answer, Refused> {
    let (payload, context) = event.into_parts();
    let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    let value = payload["value"].clone();
    if let Some(line) = payload["print"].as_str() {
        println!("{line}");
    }
    Ok(match payload["action"].as_str() {
        Some("fail") => return Err(Refused(value.as_str().unwrap_or_default().into())),
        Some("exit") => std::process::exit(3),
        Some("hang") => std::future::pending().await,
        Some("panic") => panic!("{}", value.as_str().unwrap_or_default()),
        Some("stream") => FunctionResponse::StreamingResponse(stream(&value)),
        _ => FunctionResponse::BufferedResponse(json!({
            "value": value,
            "count": count,
            "context": {
                "request_id": context.request_id,
                "arn": context.invoked_function_arn,
                "name": context.env_config.function_name,
                "version": context.env_config.version,
                "deadline_ms": context.deadline().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64,
                "client_context": context.client_context,
                "trace_id": context.xray_trace_id,
            },
        })),
    })
}

/// Sends the texts one by one, with the prelude that a function URL reads.
fn stream(texts: &Value) -> StreamResponse<Body> {
    let (mut sender, body) = channel();
    let texts: Vec<String> = texts
        .as_array()
        .into_iter()
        .flatten()
        .map(|text| text.as_str().unwrap().into())
        .collect();
    tokio::spawn(async move {
        for text in texts {
            // The caller may have gone: nobody is left to be told.
            if sender.send_data(text.into()).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    StreamResponse {
        metadata_prelude: MetadataPrelude::default(),
        stream: body,
    }
}
