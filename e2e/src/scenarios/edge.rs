//! `verification.edge`: the way in from outside is tried, with the certificate that it shows. A router that strips
//! `Set-Cookie` is named, and nobody is isolated for it.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::kit::{self, CHANGE, COME_UP, Kit, seconds};
use crate::cluster::Cluster;
use crate::demo::service::current_condition;
use crate::exec::Cmd;
use crate::images::Image;
use crate::paths;

const HOST: &str = "orders.example.com";

/// A router: ends TLS, says so to the servers, and hands on what they answer, without the header that it is told to strip.
const ROUTER: &str = r#"
import http.client, http.server, os, ssl

STRIPPED = os.environ.get("STRIPPED", "").lower()

class Router(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def hand_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {**dict(self.headers), "X-Forwarded-Proto": "https"}
        servers = http.client.HTTPConnection("orders", 80, timeout=10)
        servers.request(self.command, self.path, body, headers)
        answer = servers.getresponse()
        content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", STRIPPED):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        servers.close()

    do_GET = do_POST = hand_on

server = http.server.ThreadingHTTPServer(("", 8443), Router)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("/etc/router/tls.crt", "/etc/router/tls.key")
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-edge", "orders", |kit| {
        let image = Image::example("django-orders");
        let yaml = kit.orders_yaml(&image, 2)?;
        kit.declare(&router(&kit.load(&image)?)?)?;
        let address = format!("router.{}.svc", kit.namespace);
        let edge = json!({"address": address, "port": 8443, "caSecretRef": {"name": "edge-ca"}});
        let begun = Instant::now();
        kit.declare(&format!(
            "{yaml}  verification: {{intervalSeconds: 10, edge: {edge}}}\n"
        ))?;
        kit.ready(COME_UP)?;
        until(kit, "Verified")?;
        let proved = begun.elapsed();

        let begun = Instant::now();
        kit.kubectl(&["set", "env", "deployment/router", "STRIPPED=Set-Cookie"])?;
        let object = until(kit, "CredentialLost")?;
        let named = begun.elapsed();
        ensure!(
            current_condition(&object, "Ready").is_some_and(|c| c["status"] == "True")
                && object["status"]["consistency"]["agreeing"] == 2
                && object["status"]["readyReplicas"] == 2,
            "replicas answer for what the router does: {}",
            object["status"]
        );
        let told = kit.kubectl(&["get", "events", "--field-selector=reason=EdgeFails", "-o", "name"])?;
        ensure!(!told.trim().is_empty(), "no event tells of it");

        let begun = Instant::now();
        kit.kubectl(&["set", "env", "deployment/router", "STRIPPED-"])?;
        until(kit, "Verified")?;
        Ok(format!(
            "proved {} after the declaration; a stripped Set-Cookie named after {}, mended after {}; no replica touched",
            seconds(proved),
            seconds(named),
            seconds(begun.elapsed())
        ))
    })
}

/// Waits until the way in is found to be so.
fn until(kit: &Kit<'_>, reason: &str) -> Result<Value> {
    kit.until(&format!("the way in to be {reason}"), CHANGE, |object| {
        object["status"]["consistency"]["edge"]["reason"] == reason
    })
}

/// The router with its certificate, and the authority that vouches for it.
fn router(image: &str) -> Result<String> {
    let dir = std::env::temp_dir().join(format!("accord-edge-{}", std::process::id()));
    let made = certificate(&paths::ensure(&dir)?);
    std::fs::remove_dir_all(&dir)?;
    let Certificate {
        authority,
        chain,
        key,
    } = made?;
    let labels = json!({"app": "router"});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "edge-ca"},
         "stringData": {"ca.crt": authority}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "router"},
         "stringData": {"tls.crt": chain, "tls.key": key}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "router"},
         "spec": {"selector": labels, "ports": [{"port": 8443}]}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "router"},
         "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "router", "image": image, "command": ["python", "-c", ROUTER],
                "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
                "volumeMounts": [{"name": "tls", "mountPath": "/etc/router", "readOnly": true}]}],
            "volumes": [{"name": "tls", "secret": {"secretName": "router"}}]}}}},
    ]});
    Ok(list.to_string())
}

/// What a router shows, and who vouches for it; PEM.
struct Certificate {
    authority: String,
    chain: String,
    key: String,
}

fn certificate(dir: &Path) -> Result<Certificate> {
    let openssl = |line: &str| Cmd::new("openssl").args(line.split(' ')).cwd(dir).run();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.crt -days 90 -subj /CN=edge-ca"
    ))?;
    openssl(&format!(
        "req {key} -keyout tls.key -out tls.csr -subj /CN={HOST}"
    ))?;
    paths::write(
        &dir.join("tls.ext"),
        format!("subjectAltName=DNS:{HOST}\nbasicConstraints=CA:FALSE\n"),
    )?;
    // Longer than what is told as about to run out.
    openssl(
        "x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 60 -extfile tls.ext -out tls.crt",
    )?;
    let read = |name: &str| paths::read(&dir.join(name));
    Ok(Certificate {
        authority: read("ca.crt")?,
        chain: read("tls.crt")?,
        key: read("tls.key")?,
    })
}
