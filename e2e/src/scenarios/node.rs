//! The cluster itself: volumes, the first pod, Services, DNS, and addresses that aren't translated on the way.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::images::Image;
use crate::wait::{Seen, wait};

const NAMESPACE: &str = "scenario-node";

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    let loaded = cluster.load(&Image::Postgres)?;
    let image = loaded.map_or_else(|| "docker.io/library/postgres:17".to_owned(), |l| l.reference);
    cluster.delete_namespace(NAMESPACE)?;
    cluster.namespace(NAMESPACE)?;
    cluster.apply_in(NAMESPACE, &manifest(&image))?;
    wait(
        cluster,
        NAMESPACE,
        "the server to be ready",
        Duration::from_mins(2),
        || {
            let pod = cluster.get("pod", NAMESPACE, "server-0")?;
            let statuses = &pod["status"]["containerStatuses"][0];
            Ok(if statuses["ready"] == true {
                Seen::Done(())
            } else {
                Seen::NotYet(pod["status"]["phase"].to_string())
            })
        },
    )?;
    let seen = wait(
        cluster,
        NAMESPACE,
        "the client to end",
        Duration::from_mins(1),
        || {
            let pod = cluster.get("pod", NAMESPACE, "client")?;
            match pod["status"]["phase"].as_str() {
                Some("Succeeded") => Ok(Seen::Done(cluster.kubectl(&["logs", "-n", NAMESPACE, "client"])?)),
                phase => Ok(Seen::NotYet(phase.unwrap_or_default().to_owned())),
            }
        },
    )?;
    let client = cluster.get("pod", NAMESPACE, "client")?;
    let address = client["status"]["podIP"].as_str().unwrap_or_default();
    ensure!(
        seen.lines().any(|l| l == address),
        "through its Service, Postgres saw the client at {seen:?}; its address is {address}"
    );
    cluster.delete_namespace(NAMESPACE)?;
    if cluster.is_embedded() {
        let left: Vec<String> = cluster
            .list("persistentvolumes", NAMESPACE, "")?
            .iter()
            .filter(|v| v["spec"]["claimRef"]["namespace"] == NAMESPACE && v["status"]["phase"] == "Bound")
            .map(|v| v["metadata"]["name"].to_string())
            .collect();
        ensure!(
            left.is_empty(),
            "volumes are bound to claims that are gone: {left:?}"
        );
    }
    Ok(())
}

fn manifest(image: &str) -> String {
    // `trust`, since what is shown is the way to the server and not who may log in.
    format!(
        r#"
apiVersion: v1
kind: Service
metadata: {{name: server}}
spec: {{selector: {{app: server}}, ports: [{{port: 5432}}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: server}}
spec:
  serviceName: server
  selector: {{matchLabels: {{app: server}}}}
  template:
    metadata: {{labels: {{app: server}}}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 5
      securityContext: {{runAsUser: 999, runAsGroup: 999, fsGroup: 999, runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
      containers:
      - name: postgres
        image: {image}
        imagePullPolicy: IfNotPresent
        command: [sh, -c, 'initdb -D /data/pg -A trust && echo "host all all all trust" >> /data/pg/pg_hba.conf && exec postgres -D /data/pg -c listen_addresses="*" -c unix_socket_directories=/tmp']
        readinessProbe: {{exec: {{command: [pg_isready, -h, 127.0.0.1]}}, periodSeconds: 1}}
        resources: {{limits: {{memory: 512Mi, cpu: "1"}}, requests: {{memory: 64Mi, cpu: 50m}}}}
        securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
        volumeMounts: [{{name: data, mountPath: /data}}, {{name: tmp, mountPath: /tmp}}]
      volumes: [{{name: tmp, emptyDir: {{}}}}]
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client}}
spec:
  automountServiceAccountToken: false
  restartPolicy: OnFailure
  containers:
  - name: psql
    image: {image}
    imagePullPolicy: IfNotPresent
    command: [psql, -h, server.{NAMESPACE}.svc.cluster.local, -U, postgres, -Atc, "select client_addr from pg_stat_activity where client_addr is not null"]
"#
    )
}
