use std::collections::HashMap;
use std::fs;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde::{Deserialize, Serialize};

/// Words that functions share, from the layer.
const WORDS: &str = "/opt/share/greetings.json";

#[derive(Deserialize)]
struct Request {
    name: String,
    #[serde(default = "english")]
    language: String,
}

#[derive(Serialize)]
struct Response {
    greeting: String,
    layer: &'static str,
}

fn english() -> String {
    "en".into()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // Once for each execution environment; an error here is an init error.
    let words: HashMap<String, String> = serde_json::from_slice(&fs::read(WORDS)?)?;
    run(service_fn(|event| greet(event, &words))).await
}

async fn greet(event: LambdaEvent<Request>, words: &HashMap<String, String>) -> Result<Response, Error> {
    let Request { name, language } = event.payload;
    let word = words.get(&language).ok_or_else(|| format!("there is no greeting in {language}"))?;
    Ok(Response { greeting: format!("{word}, {name}!"), layer: WORDS })
}
