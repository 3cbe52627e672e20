//! HTTP to one pod as a browser behind the router would send it: the declared host name in `Host`, redirects
//! reported and not followed, no cookie jar (a strict one withholds Secure cookies over HTTP).

use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::exec::Cmd;

/// A way to one pod.
#[derive(Debug)]
pub struct PodHttp {
    pod: String,
    base: String,
    agent: ureq::Agent,
    /// `kubectl port-forward`, where the pod can't be reached by its address.
    forward: Option<Child>,
}

/// A request, before it is sent.
#[derive(Debug, Clone, Default)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<(&'static str, Vec<u8>)>,
}

/// What a pod answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; null when it isn't JSON.
    pub json: Value,
}

impl Request {
    /// A GET of a path.
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET",
            path: path.to_owned(),
            ..Self::default()
        }
    }

    /// A POST of JSON to a path.
    pub fn post(path: &str, body: &Value) -> Self {
        Self {
            method: "POST",
            path: path.to_owned(),
            body: Some(("application/json", body.to_string().into_bytes())),
            ..Self::default()
        }
    }

    /// A POST of a form to a path, as a browser sends one.
    pub fn form(path: &str, fields: &[(&str, &str)]) -> Self {
        let encoded = |text: &str| -> String {
            text.bytes()
                .map(|b| match b {
                    b if b.is_ascii_alphanumeric() || b"-._*".contains(&b) => char::from(b).to_string(),
                    b => format!("%{b:02X}"),
                })
                .collect()
        };
        let pairs: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        Self {
            method: "POST",
            path: path.to_owned(),
            body: Some(("application/x-www-form-urlencoded", pairs.join("&").into_bytes())),
            ..Self::default()
        }
    }

    /// As it comes in through the router: the host's name, and HTTPS outside.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        let origin = format!("https://{host}");
        let request = self.header("Host", host).header("X-Forwarded-Proto", "https");
        if request.method == "GET" {
            request
        } else {
            request.header("Origin", &origin).header("Referer", &origin)
        }
    }

    /// Sets a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends a bearer token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Sends a cookie.
    #[must_use]
    pub fn cookie(self, name: &str, value: &str) -> Self {
        self.header("Cookie", &format!("{name}={value}"))
    }
}

impl Answer {
    /// The value of the last cookie of that name that was set.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.headers
            .iter()
            .filter(|(header, _)| header == "set-cookie")
            .filter_map(|(_, value)| value.split(';').next()?.strip_prefix(name)?.strip_prefix('='))
            .next_back()
            .map(str::to_owned)
    }

    /// The attributes of the last cookie of that name that was set, as `(name, value)` in lower case; without the cookie's
    /// own value.
    pub fn cookie_attributes(&self, name: &str) -> Option<Vec<(String, String)>> {
        let line = self
            .headers
            .iter()
            .filter(|(header, _)| header == "set-cookie")
            .map(|(_, line)| line)
            .rfind(|line| line.split('=').next() == Some(name))?;
        let parts = line.split(';').skip(1);
        Some(
            parts
                .map(|part| {
                    let (name, value) = part.split_once('=').unwrap_or((part, ""));
                    (name.trim().to_lowercase(), value.trim().to_lowercase())
                })
                .collect(),
        )
    }

    /// A text field of the JSON body.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.json[name].as_str()
    }
}

impl PodHttp {
    pub(crate) fn direct(pod: &str, address: &str, port: u16) -> Self {
        let host = if address.contains(':') {
            format!("[{address}]")
        } else {
            address.to_owned()
        };
        Self::new(pod, format!("http://{host}:{port}"), None)
    }

    pub(crate) fn forward(kubectl: &Cmd, namespace: &str, pod: &str, port: u16) -> Result<Self> {
        let target = format!("pod/{pod}");
        let mut child = kubectl
            .clone()
            .args(["port-forward", "-n", namespace, &target, &format!(":{port}")])
            .spawn_piped()?;
        let output = child.stdout.take().context("port-forward has no output")?;
        let mut lines = BufReader::new(output);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        // It says a line for each connection, and ends when nobody reads them.
        std::thread::spawn(move || drop(std::io::copy(&mut lines, &mut std::io::sink())));
        // "Forwarding from 127.0.0.1:40321 -> 8000"
        let Some(address) = line
            .strip_prefix("Forwarding from ")
            .and_then(|l| l.split_whitespace().next())
        else {
            let _ = child.kill();
            let _ = child.wait();
            anyhow::bail!(
                "kubectl port-forward to {namespace}/{pod} said: {:?}",
                line.trim()
            );
        };
        let base = format!("http://{address}");
        Ok(Self::new(pod, base, Some(child)))
    }

    fn new(pod: &str, base: String, forward: Option<Child>) -> Self {
        Self {
            pod: pod.to_owned(),
            base,
            // A connection for each request: what is measured is the pod, not a connection that was opened earlier.
            agent: agent(0),
            forward,
        }
    }

    /// The same way for a client that keeps its connection from one request to the next, as long as the other side does.
    #[must_use]
    pub fn kept_open(&self) -> Self {
        Self {
            pod: self.pod.clone(),
            base: self.base.clone(),
            agent: agent(1),
            forward: None,
        }
    }

    /// The pod's name.
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// Sends a request; an error only when no answer came.
    pub fn send(&self, request: &Request) -> Result<Answer> {
        let mut builder = ureq::http::Request::builder()
            .method(request.method)
            .uri(format!("{}{}", self.base, request.path));
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let body = match &request.body {
            Some((kind, bytes)) => {
                builder = builder.header("Content-Type", *kind);
                bytes.clone()
            }
            None => Vec::new(),
        };
        let context = || format!("{} {} at pod {}", request.method, request.path, self.pod);
        let mut response = self.agent.run(builder.body(body)?).with_context(context)?;
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        let text = response.body_mut().read_to_string().with_context(context)?;
        Ok(Answer {
            status: response.status().as_u16(),
            headers,
            json: serde_json::from_str(&text).unwrap_or(Value::Null),
        })
    }
}

fn agent(idle_connections: usize) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(idle_connections)
        .timeout_global(Some(Duration::from_secs(15)))
        .proxy(None)
        .build()
        .new_agent()
}

impl Drop for PodHttp {
    fn drop(&mut self) {
        if let Some(child) = &mut self.forward {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with `answer` and returns what was asked.
    fn once(answer: &'static str, request: &Request) -> (String, Answer) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        let answer = PodHttp::direct("p", "127.0.0.1", port).send(request).unwrap();
        (server.join().unwrap(), answer)
    }

    #[test]
    fn a_request_names_the_declared_host_and_a_redirect_is_reported() {
        let (asked, answer) = once(
            "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: sessionid=old; Path=/\r\nSet-Cookie: sessionid=new; Secure\r\nContent-Length: 0\r\n\r\n",
            &Request::get("/x").host("login.example.com"),
        );
        let hosts: Vec<&str> = asked
            .lines()
            .filter(|l| l.to_lowercase().starts_with("host:"))
            .collect();
        assert_eq!(hosts.len(), 1, "{asked}");
        assert!(hosts[0].ends_with("login.example.com"), "{asked}");
        assert_eq!(answer.status, 302);
        assert_eq!(answer.cookie("sessionid").as_deref(), Some("new"));
        assert_eq!(answer.cookie("session"), None);
    }

    #[test]
    fn a_client_that_keeps_its_connection_uses_it_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // One connection is all that this server ever takes.
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for _ in 0..2 {
                let mut asked = vec![0; 4096];
                assert!(stream.read(&mut asked).unwrap() > 0);
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                    .unwrap();
            }
        });
        let client = PodHttp::direct("p", "127.0.0.1", port).kept_open();
        for _ in 0..2 {
            assert_eq!(client.send(&Request::get("/")).unwrap().status, 200);
        }
        server.join().unwrap();
    }

    #[test]
    fn a_cookies_attributes_are_told_without_its_value() {
        let answer = Answer {
            status: 200,
            headers: vec![(
                "set-cookie".into(),
                "session=abc=; Path=/; Secure; SameSite=Lax".into(),
            )],
            json: Value::Null,
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            answer.cookie_attributes("session"),
            Some(vec![
                pair("path", "/"),
                pair("secure", ""),
                pair("samesite", "lax")
            ])
        );
        assert_eq!(answer.cookie_attributes("sess"), None);
    }

    #[test]
    fn a_form_is_sent_as_a_browser_encodes_it() {
        let request = Request::form("/login/", &[("user name", "a&b=c"), ("x", "1")]);
        let (kind, body) = request.body.unwrap();
        assert_eq!(kind, "application/x-www-form-urlencoded");
        assert_eq!(body, b"user%20name=a%26b%3Dc&x=1");
    }

    #[test]
    fn a_refusal_is_an_answer_and_json_is_read() {
        let (asked, answer) = once(
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 15\r\n\r\n{\"detail\":\"no\"}",
            &Request::post("/login/", &serde_json::json!({"username": "u"})).host("h"),
        );
        assert_eq!((answer.status, answer.field("detail")), (401, Some("no")));
        assert!(asked.to_lowercase().contains("origin: https://h"), "{asked}");
    }
}
