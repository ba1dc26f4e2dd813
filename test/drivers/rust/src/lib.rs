//! Runs checks and prints one line of JSON for each, as ../../README.md describes.

use std::{env, error::Error, fmt::Debug, future::Future, time::Duration};

use serde_json::json;
use tokio::time::timeout;

pub type Outcome = Result<(), Box<dyn Error>>;

const SKIPPED: &str = "skipped: direct";

pub fn equal<T: PartialEq + Debug>(actual: T, expected: T) -> Outcome {
    if actual == expected {
        return Ok(());
    }
    Err(format!("got {actual:?}, expected {expected:?}").into())
}

pub fn direct() -> bool {
    env::var("DRIVER_TARGET").as_deref() == Ok("direct")
}

/// Ends a check that says nothing about a direct connection.
pub fn needs_rules() -> Outcome {
    if direct() {
        return Err(SKIPPED.into());
    }
    Ok(())
}

/// Runs one check, within 60 s.
pub async fn report(name: &str, check: impl Future<Output = Outcome>) {
    let outcome = timeout(Duration::from_secs(60), check).await.unwrap_or_else(|_| Err("no end after 60 s".into()));
    let detail = outcome.map_or_else(|error| format!("{error} {:?}", error.source()), |()| String::new());
    let skipped = detail.starts_with(SKIPPED);
    let line = json!({
        "check": name,
        "ok": detail.is_empty() || skipped,
        "detail": if skipped { SKIPPED } else { &detail },
    });
    println!("{line}");
}
