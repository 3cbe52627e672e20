//! A client of the API server for the runner's own part: the user, the node, the judge. It doesn't pass the faults.

use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::wire::{self, Headers, Request};

/// Longer than any answer but a watch takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What stands before an API server says these while there is none.
const AWAY: [u16; 2] = [502, 503];
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Api {
    address: SocketAddr,
    /// How long an API server that is away is waited for.
    waits: Duration,
}

/// An answer that isn't a success.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: u16,
    message: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refused {}

/// The status of a refusal; `None` for every other error.
pub(crate) fn code(error: &anyhow::Error) -> Option<u16> {
    error.downcast_ref::<Refused>().map(|r| r.code)
}

impl Api {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            waits: Duration::ZERO,
        }
    }

    /// The same for whom an API server that starts anew is no news.
    pub(crate) fn patient(self) -> Self {
        Self {
            waits: PATIENCE,
            ..self
        }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.send("GET", path, "", None)
    }

    /// An object, if it is there.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Value>> {
        match self.get(path) {
            Ok(object) => Ok(Some(object)),
            Err(error) if code(&error) == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The objects of a list.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut list = self.get(path)?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    pub(crate) fn create(&self, path: &str, object: &Value) -> Result<Value> {
        self.send("POST", path, "application/json", Some(object))
    }

    pub(crate) fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        self.send("PATCH", path, "application/merge-patch+json", Some(patch))
    }

    /// Lists are merged by their keys, as in a pod's conditions.
    pub(crate) fn merge_strategically(&self, path: &str, patch: &Value) -> Result<Value> {
        self.send(
            "PATCH",
            path,
            "application/strategic-merge-patch+json",
            Some(patch),
        )
    }

    pub(crate) fn delete(&self, path: &str, options: &Value) -> Result<Value> {
        self.send("DELETE", path, "application/json", Some(options))
    }

    /// Calls for each event of a watch until it ends, or until the call returns false.
    pub(crate) fn watch(&self, path: &str, mut each: impl FnMut(Value) -> bool) -> Result<()> {
        let stream = TcpStream::connect(self.address)?;
        wire::write_request(&mut &stream, &request("GET", path, "", None), "127.0.0.1")?;
        let mut from = BufReader::new(stream);
        let head = wire::read_head(&mut from)?;
        anyhow::ensure!(
            head.status == 200,
            "the watch {path} is answered with {}",
            head.status
        );
        let mut line = Vec::new();
        while let Some(chunk) = wire::read_chunk(&mut from)? {
            for byte in chunk {
                line.push(byte);
                if byte == b'\n' && !each(serde_json::from_slice(&std::mem::take(&mut line))?) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: Option<&Value>) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let answer = self.send_once(method, path, kind, body);
            let is_away = answer
                .as_ref()
                .err()
                .and_then(code)
                .is_some_and(|c| AWAY.contains(&c));
            if !is_away || begun.elapsed() >= self.waits {
                return answer;
            }
            std::thread::sleep(AGAIN);
        }
    }

    fn send_once(&self, method: &str, path: &str, kind: &str, body: Option<&Value>) -> Result<Value> {
        let context = || format!("{method} {path}");
        let stream = TcpStream::connect(self.address).with_context(context)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        wire::write_request(&mut &stream, &request(method, path, kind, body), "127.0.0.1")
            .with_context(context)?;
        let mut from = BufReader::new(stream);
        let head = wire::read_head(&mut from).with_context(context)?;
        let bytes = wire::read_body(&mut from, &head).with_context(context)?;
        let said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if (200..300).contains(&head.status) {
            return Ok(said);
        }
        Err(Refused {
            code: head.status,
            message: format!(
                "{method} {path}: {}",
                said["message"].as_str().unwrap_or_default()
            ),
        }
        .into())
    }
}

fn request(method: &str, path: &str, kind: &str, body: Option<&Value>) -> Request {
    let headers = if body.is_some() {
        Headers::of(&[("content-type", kind)])
    } else {
        Headers::default()
    };
    Request {
        method: method.to_owned(),
        target: path.to_owned(),
        headers,
        body: body.map(|b| b.to_string().into_bytes()).unwrap_or_default(),
    }
}
