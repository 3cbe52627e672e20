//! The cluster's certificate authority, certificates and kubeconfigs. Made anew with every cluster.

use std::path::Path;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::settings::{API_SERVICE, NODE, NODE_IP, Place};
use crate::exec::Cmd;
use crate::paths;

/// A certificate: file name, subject, alternative names.
struct Certificate<'a> {
    name: &'a str,
    subject: &'a str,
    names: &'a str,
}

/// Makes everything below the state directory: `pki/*` and one `NAME.conf` for each client.
pub(crate) fn make(place: &Place) -> Result<()> {
    let state = Path::new(place.state);
    let dir = paths::ensure(&state.join("pki"))?;
    let openssl = |args: &[&str]| Cmd::new("openssl").args(args).cwd(&dir).run();
    let curve = ["-pkeyopt", "ec_paramgen_curve:prime256v1"];
    openssl(
        &[
            &["req", "-x509", "-newkey", "ec"],
            &curve[..],
            &[
                "-nodes",
                "-keyout",
                "ca.key",
                "-out",
                "ca.crt",
                "-days",
                "3650",
                "-subj",
                "/CN=accord-cluster-ca",
            ],
        ]
        .concat(),
    )?;
    openssl(&[
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-out",
        "sa.key",
    ])?;
    openssl(&["pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub"])?;

    let api_names = format!(
        "IP:127.0.0.1,IP:{},IP:{API_SERVICE},DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,\
         DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local",
        place.address
    );
    let kubelet_subject = format!("/O=system:nodes/CN=system:node:{NODE}");
    let kubelet_names = format!("IP:{NODE_IP},DNS:{NODE}");
    let certificates = [
        Certificate {
            name: "apiserver",
            subject: "/CN=kube-apiserver",
            names: &api_names,
        },
        Certificate {
            name: "kubelet",
            subject: &kubelet_subject,
            names: &kubelet_names,
        },
        Certificate {
            name: "admin",
            subject: "/O=system:masters/CN=admin",
            names: "",
        },
        Certificate {
            name: "kubelet-client",
            subject: "/O=system:masters/CN=apiserver-kubelet-client",
            names: "",
        },
        Certificate {
            name: "controller",
            subject: "/CN=system:kube-controller-manager",
            names: "",
        },
        Certificate {
            name: "scheduler",
            subject: "/CN=system:kube-scheduler",
            names: "",
        },
        Certificate {
            name: "proxy",
            subject: "/CN=system:kube-proxy",
            names: "",
        },
        Certificate {
            name: "dns",
            subject: "/CN=system:coredns",
            names: "",
        },
        Certificate {
            name: "volumes",
            subject: "/CN=system:volume-provisioner",
            names: "",
        },
    ];
    let authority = paths::read(&dir.join("ca.crt"))?;
    for Certificate { name, subject, names } in certificates {
        let [key, request, certificate, extensions] =
            ["key", "csr", "crt", "ext"].map(|e| format!("{name}.{e}"));
        openssl(
            &[
                &["req", "-newkey", "ec"],
                &curve[..],
                &["-nodes", "-keyout", &key, "-out", &request, "-subj", subject],
            ]
            .concat(),
        )?;
        let alternative = if names.is_empty() {
            String::new()
        } else {
            format!("subjectAltName={names}\n")
        };
        paths::write(
            &dir.join(&extensions),
            format!("{alternative}extendedKeyUsage=serverAuth,clientAuth\n"),
        )?;
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "3650",
            "-extfile",
            &extensions,
            "-out",
            &certificate,
        ])?;
        let user = User {
            certificate: paths::read(&dir.join(&certificate))?,
            key: paths::read(&dir.join(&key))?,
        };
        paths::write(
            &state.join(format!("{name}.conf")),
            kubeconfig(place, &authority, &user),
        )?;
    }
    for file in std::fs::read_dir(&dir)?
        .flatten()
        .chain(std::fs::read_dir(state)?.flatten())
    {
        use std::os::unix::fs::PermissionsExt as _;
        let path = file.path();
        if path.extension().is_some_and(|e| e == "key" || e == "conf") {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}

struct User {
    certificate: String,
    key: String,
}

fn kubeconfig(place: &Place, authority: &str, user: &User) -> String {
    let [authority, certificate, key] =
        [authority, user.certificate.as_str(), user.key.as_str()].map(|pem| STANDARD.encode(pem));
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: accord\n\
         clusters: [{{name: accord, cluster: {{server: \"https://{}:{}\", certificate-authority-data: {authority}}}}}]\n\
         users: [{{name: accord, user: {{client-certificate-data: {certificate}, client-key-data: {key}}}}}]\n\
         contexts: [{{name: accord, context: {{cluster: accord, user: accord}}}}]\n",
        place.address, place.api_port
    )
}
