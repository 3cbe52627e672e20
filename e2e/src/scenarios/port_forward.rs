//! The way to a pod that `--context` uses, where pods have no address that this machine can reach: tried here as well,
//! so that it isn't first tried on somebody's own cluster.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::http::{PodHttp, Request};
use crate::images::Image;
use crate::wait::{Seen, wait};

const NAMESPACE: &str = "scenario-port-forward";

/// Answers every request with what it was asked.
const SERVER: &str = r#"
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"host": self.headers["Host"], "path": self.path}).encode()
        self.send_response(302)
        self.send_header("Location", "https://elsewhere.example.com/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"#;

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    let loaded = cluster.load(&Image::Python)?;
    let image = loaded.map_or_else(
        || "docker.io/library/python:3.11-slim".to_owned(),
        |l| l.reference,
    );
    cluster.delete_namespace(NAMESPACE)?;
    cluster.namespace(NAMESPACE)?;
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "echo"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "echo", "image": image, "imagePullPolicy": "IfNotPresent",
                "command": ["python", "-c", SERVER],
                "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1}
            }]
        }
    });
    cluster.apply_in(NAMESPACE, &pod.to_string())?;
    wait(
        cluster,
        NAMESPACE,
        "the pod to be ready",
        Duration::from_mins(1),
        || {
            let pod = cluster.get("pod", NAMESPACE, "echo")?;
            let ready = pod["status"]["containerStatuses"][0]["ready"] == true;
            Ok(if ready {
                Seen::Done(())
            } else {
                Seen::NotYet(pod["status"]["phase"].to_string())
            })
        },
    )?;
    let way = PodHttp::forward(&cluster.kubectl_cmd(), NAMESPACE, "echo", 8000)?;
    for path in ["/first", "/second"] {
        let answer = way.send(&Request::get(path).host("login.example.com"))?;
        ensure!(
            answer.status == 302,
            "a redirect was followed, or not given: {}",
            answer.status
        );
        ensure!(
            answer.field("host") == Some("login.example.com") && answer.field("path") == Some(path),
            "the pod was asked for something else: {}",
            answer.json
        );
    }
    drop(way);
    cluster.delete_namespace(NAMESPACE)
}
