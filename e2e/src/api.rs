//! The API server over plain HTTP, through `kubectl proxy`: for scenarios that send requests by the hundred, and such as
//! kubectl wouldn't send. It is kept to one namespace and to loopback, and ends with the value.

use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::cluster::Cluster;

/// How a PATCH is to be read.
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
/// The same, for one that is merged.
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
/// Server-side apply, which alone takes YAML.
pub(crate) const APPLY_YAML: &str = "application/apply-patch+yaml";

/// See the module.
#[derive(Debug)]
pub(crate) struct Api {
    base: String,
    agent: ureq::Agent,
    proxy: Child,
}

/// What the API server answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    /// The object, or the `Status` that says why not.
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The sentence of a refusal.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// The object; an error when the request was refused.
    pub(crate) fn object(self, what: &str) -> Result<Value> {
        ensure!(
            self.is_success(),
            "{what} was answered with {}: {}",
            self.code,
            self.message()
        );
        Ok(self.body)
    }
}

impl Api {
    /// A way to the objects of one namespace.
    pub(crate) fn of(cluster: &Cluster, namespace: &str) -> Result<Self> {
        let mut proxy = cluster
            .kubectl_cmd()
            .args(["proxy", "--port=0", "--address=127.0.0.1"])
            .arg(format!("--accept-paths=^/apis?/.*/namespaces/{namespace}/"))
            .spawn_piped()?;
        let output = proxy.stdout.take().context("kubectl proxy has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        // "Starting to serve on 127.0.0.1:40321"
        let Some(address) = line.trim().strip_prefix("Starting to serve on ") else {
            let _ = proxy.kill();
            let _ = proxy.wait();
            bail!("kubectl proxy said: {:?}", line.trim());
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .proxy(None)
            .build()
            .new_agent();
        Ok(Self {
            base: format!("http://{address}"),
            agent,
            proxy,
        })
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.send("GET", path, "", Vec::new())?.object(path)
    }

    /// A PATCH of JSON.
    pub(crate) fn patch(&self, path: &str, kind: &str, body: &Value) -> Result<Reply> {
        self.send("PATCH", path, kind, body.to_string().into_bytes())
    }

    /// Any request; an error only when no answer came.
    pub(crate) fn send(&self, method: &str, path: &str, kind: &str, body: Vec<u8>) -> Result<Reply> {
        let context = || format!("{method} {path}");
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if !kind.is_empty() {
            request = request.header("Content-Type", kind);
        }
        let mut response = self.agent.run(request.body(body)?).with_context(context)?;
        let text = response
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()
            .with_context(context)?;
        Ok(Reply {
            code: response.status().as_u16(),
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        })
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}
