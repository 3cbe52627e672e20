//! The admission rules of the CRD, asked of a real API server: what can't work is refused, with a sentence that says
//! what to do, and what works is not. The CRD is installed under a group of its own, so that a running Accord, or
//! one that is installed by Helm, isn't touched.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::paths;
use crate::wait::{Seen, wait};

const NAMESPACE: &str = "scenario-crd-rules";
const GROUP: &str = "rules.scenario.example.com";

/// A declaration that works; the cases are this one with one line changed.
const GOOD: &str = "framework: Django
image: registry.example/login:1.4.2
hostnames: [login.example.com]
replicas: 3
database: {managed: {}}
cache: {managed: {}}
";

/// One that observes what somebody else made.
const OBSERVED: &str = "mode: Observe
selector: {matchLabels: {app: login}}
framework: Django
hostnames: [login.example.com]
verification: {canary: {secretRef: {name: login-canary}}}
";

/// What is changed in the good declaration, and a part of the sentence that refuses it.
struct Refused {
    what: &'static str,
    from: &'static str,
    to: &'static str,
    says: &'static str,
}

const ON_CREATE: &[Refused] = &[
    Refused {
        what: "three replicas without a database",
        from: "database: {managed: {}}\n",
        to: "",
        says: "Declare 'database: {managed: {}}'",
    },
    Refused {
        what: "a database of no kind",
        from: "database: {managed: {}}",
        to: "database: {}",
        says: "spec.database names no kind: set 'managed: {}'",
    },
    Refused {
        what: "a database of two kinds",
        from: "database: {managed: {}}",
        to: "database: {managed: {}, external: {secretRef: {name: a}}}",
        says: "keep either 'managed' or 'external'",
    },
    Refused {
        what: "a cache of no kind",
        from: "cache: {managed: {}}",
        to: "cache: {}",
        says: "spec.cache names no kind",
    },
    Refused {
        what: "an image with a blank",
        from: "image: registry.example/login:1.4.2",
        to: "image: ' '",
        says: "name the image that serves logins",
    },
    Refused {
        what: "two seeds of one name",
        from: "replicas: 3\n",
        to: "replicas: 3\nseeds: [{name: a, command: [one]}, {name: a, command: [two]}]\n",
        says: "two entries with the same name",
    },
    Refused {
        what: "observing without saying which pods",
        from: "framework: Django",
        to: "mode: Observe\nframework: Django",
        says: "spec.selector is not set",
    },
    Refused {
        what: "a selector where Accord makes the pods",
        from: "framework: Django",
        to: "selector: {matchLabels: {app: login}}\nframework: Django",
        says: "Take the selector away",
    },
    Refused {
        what: "a custom framework without a recipe",
        from: "framework: Django",
        to: "framework: Custom",
        says: "spec.verification.recipe is not set",
    },
    Refused {
        what: "attributes of a session cookie that isn't named",
        from: "framework: Django",
        to: "framework: Django\nverification: {recipe: {login: {path: /in, sessionCookieAttributes: {secure: true}}, check: {path: /me}}}",
        says: "login.sessionCookieAttributes is set without login.sessionCookie",
    },
];

const ON_UPDATE: &[Refused] = &[
    Refused {
        what: "the database's name changed",
        from: "database: {managed: {}}",
        to: "database: {managed: {name: other}}",
        says: "the users are in the database of the old name",
    },
    Refused {
        what: "the storage class changed",
        from: "database: {managed: {}}",
        to: "database: {managed: {storage: {className: other}}}",
        says: "storage.className can't be changed",
    },
    Refused {
        what: "storage shrunk",
        from: "database: {managed: {}}",
        to: "database: {managed: {storage: {size: 1Mi}}}",
        says: "storage.size can't shrink",
    },
    Refused {
        what: "the mode changed",
        from: "framework: Django",
        to: "mode: Observe\nframework: Django",
        says: "spec.mode can't be changed",
    },
    Refused {
        what: "the database taken away",
        from: "replicas: 3\ndatabase: {managed: {}}\n",
        to: "replicas: 1\n",
        says: "spec.database can't be taken away",
    },
];

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    let crd = paths::read(&paths::checkout().join("crds/generated/authservices.accord.dev.yaml"))?
        .replace(
            "name: authservices.accord.dev",
            &format!("name: authservices.{GROUP}"),
        )
        .replace("group: accord.dev", &format!("group: {GROUP}"));
    cluster.delete_namespace(NAMESPACE)?;
    cluster.namespace(NAMESPACE)?;
    cluster.apply(&crd)?;
    let result = cases(cluster);
    cluster.delete_namespace(NAMESPACE)?;
    cluster.kubectl(&["delete", "crd", &format!("authservices.{GROUP}"), "--timeout=60s"])?;
    result
}

fn cases(cluster: &Cluster) -> Result<()> {
    // The API server serves a new kind, and compiles its rules, a moment after the CRD is there.
    wait(
        cluster,
        NAMESPACE,
        "the CRD to be served",
        Duration::from_secs(30),
        || {
            create(cluster, "probe", GOOD, true)?;
            Ok(Seen::Done(()))
        },
    )?;
    let long = "a".repeat(41);
    let mut wrong = Vec::new();
    let mut refused = |what: &str, says: &str, result: Result<String>| match result {
        Ok(_) => wrong.push(format!("{what}: accepted")),
        Err(error) if error.to_string().contains(says) => {}
        Err(error) => wrong.push(format!("{what}: refused, but without {says:?}: {error}")),
    };
    refused(
        "a name of 41 characters",
        "longer than 40 characters",
        create(cluster, &long, GOOD, true),
    );
    refused(
        "a name that begins with a digit",
        "begin with a letter",
        create(cluster, "1st", GOOD, true),
    );
    for case in ON_CREATE {
        refused(
            case.what,
            case.says,
            create(cluster, "login", &case.spec()?, true),
        );
    }
    create(cluster, "observed", OBSERVED, true).context("one that observes was refused")?;
    create(cluster, "login", GOOD, false).context("the good declaration was refused")?;
    for case in ON_UPDATE {
        refused(
            case.what,
            case.says,
            create(cluster, "login", &case.spec()?, false),
        );
    }
    let scaled = cluster.kubectl(&[
        "scale",
        "-n",
        NAMESPACE,
        &format!("authservices.{GROUP}/login"),
        "--replicas=5",
    ]);
    ensure!(scaled.is_ok(), "kubectl scale doesn't work: {scaled:?}");
    ensure!(
        wrong.is_empty(),
        "{} of the rules are otherwise:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

impl Refused {
    fn spec(&self) -> Result<String> {
        ensure!(
            GOOD.contains(self.from),
            "the case {:?} changes what isn't there",
            self.what
        );
        Ok(GOOD.replace(self.from, self.to))
    }
}

fn create(cluster: &Cluster, name: &str, spec: &str, dry: bool) -> Result<String> {
    let indented = format!("  {}", spec.trim_end().replace('\n', "\n  "));
    let yaml = format!(
        "apiVersion: {GROUP}/v1alpha1\nkind: AuthService\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\nspec:\n{indented}"
    );
    let apply = cluster.kubectl_cmd().args(["apply", "-f", "-"]).stdin(yaml);
    if dry {
        apply.arg("--dry-run=server").output()
    } else {
        apply.output()
    }
}
