//! What a user does to one service, in order, and what it is like when it has come to rest after each step.

use serde_json::{Value, json};

use super::container::items;

/// The service's name.
pub(super) const NAME: &str = "login";

/// The first and the last step, which aren't changes.
pub(super) const CREATE: &str = "create";
pub(super) const DELETE: &str = "delete";

/// The conditions of the released revision: true after each step.
const SERVING: [&str; 2] = ["WorkloadReady", "ReplicasAgree"];

/// A change of the declaration, and what comes of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) name: &'static str,
    change: fn() -> Value,
    /// How many replicas serve afterwards, and which image.
    pub(super) replicas: usize,
    pub(super) image: u32,
    /// Why what is declared isn't released; what was serves on.
    held: Option<&'static str>,
}

/// The first step: what is declared comes up.
pub(super) const FIRST: Step = Step {
    name: CREATE,
    change: || Value::Null,
    replicas: 2,
    image: 1,
    held: None,
};

/// The steps between the first and the last.
pub(super) const CHANGES: [Step; 6] = [
    Step {
        name: "scale",
        change: || json!({"spec": {"replicas": 3}}),
        replicas: 3,
        ..FIRST
    },
    Step {
        name: "image",
        change: || json!({"spec": {"image": image(2)}}),
        replicas: 3,
        image: 2,
        ..FIRST
    },
    // To a revision of which the ledger has a row: nothing is migrated.
    Step {
        name: "back",
        change: || json!({"spec": {"image": image(1)}}),
        replicas: 3,
        ..FIRST
    },
    Step {
        name: "failing",
        change: || json!({"spec": {"migration": {"command": shell("echo failing >> \"$USERS.runs\"; exit 3")}}}),
        replicas: 3,
        held: Some("MigrationFailed"),
        ..FIRST
    },
    Step {
        name: "mended",
        change: || json!({"spec": {"migration": {"command": noted("migration")}}}),
        replicas: 3,
        ..FIRST
    },
    Step {
        name: "down",
        change: || json!({"spec": {"replicas": 2}}),
        ..FIRST
    },
];

/// The names of all steps, in order.
pub(super) fn names() -> Vec<&'static str> {
    let changes = CHANGES.iter().map(|step| step.name);
    std::iter::once(CREATE).chain(changes).chain([DELETE]).collect()
}

impl Step {
    /// What the user declares.
    pub(super) fn change(&self) -> Value {
        (self.change)()
    }

    /// Why a service isn't yet as it is to be after this step.
    pub(super) fn unsettled(&self, service: &Value) -> Option<String> {
        let status = &service["status"];
        let generation = &service["metadata"]["generation"];
        let ready = items(&status["conditions"]).iter().find(|c| c["type"] == "Ready");
        let Some(ready) = ready else {
            return Some("no status".to_owned());
        };
        if let Some(state) = status["candidate"]["state"]
            .as_str()
            .filter(|_| self.held.is_none())
        {
            return Some(format!(
                "the declared revision isn't the released one yet: {state}"
            ));
        }
        let consistency = &status["consistency"];
        let agree = consistency["agreeing"] == self.replicas && consistency["total"] == self.replicas;
        let as_expected = match self.held {
            None => ready["status"] == "True",
            Some(reason) => ready["status"] == "False" && ready["reason"] == reason,
        };
        // What holds the candidate up says nothing of those that serve.
        let conditions = items(&status["conditions"]);
        for kind in SERVING {
            if conditions
                .iter()
                .all(|c| c["type"] != kind || c["status"] != "True")
            {
                return Some(format!("{kind} isn't true"));
            }
        }
        if as_expected && ready["observedGeneration"] == *generation && agree {
            return None;
        }
        Some(format!(
            "{} {}: {}",
            consistency["summary"], ready["reason"], ready["message"]
        ))
    }
}

/// What the user declares first.
pub(super) fn declaration() -> Value {
    // By reference: a path in the text would make another revision of each run.
    let users =
        json!({"name": "USERS", "valueFrom": {"secretKeyRef": {"name": "my-database", "key": "users"}}});
    let canary = r#"printf '%s %s\n' "$ACCORD_CANARY_USERNAME" "$ACCORD_CANARY_PASSWORD" >> "$USERS""#;
    json!({
        "apiVersion": "accord.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": NAME},
        "spec": {
            "framework": "Custom", "image": image(1), "hostnames": ["login.example.com"], "replicas": 2,
            "database": {"external": {"secretRef": {"name": "my-database"}}},
            // Replaced pods are waited for: shorter than where nobody says anything, and long enough for who hears late.
            "server": {"port": super::app::PORT, "env": [users], "drainSeconds": 1},
            "bindings": [
                {"env": "DATABASE_URL", "source": "database.uri"},
                {"env": "SECRET_KEY", "source": "keys.active"},
            ],
            "migration": {"command": noted("migration")},
            "seeds": [{"name": "users", "command": noted("seed")}],
            "preflight": {"mode": "Skip"},
            "verification": {
                "canary": {"command": shell(canary)},
                "recipe": {
                    "login": {"path": "/login", "sessionCookie": "sid"},
                    "check": {"path": "/me", "username": "/username"},
                    "logout": {"path": "/logout"},
                },
            },
        },
    })
}

/// A command that leaves a line for each time that it runs.
fn noted(word: &str) -> Value {
    shell(&format!("echo {word} >> \"$USERS.runs\""))
}

fn shell(script: &str) -> Value {
    json!(["/bin/sh", "-c", script])
}

pub(super) fn image(version: u32) -> String {
    format!("registry.invalid/login:{version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(ready: &str, reason: &str, agreeing: usize, candidate: &Value) -> Value {
        json!({"metadata": {"generation": 4}, "status": {
            "conditions": [
                {"type": "Ready", "status": ready, "reason": reason, "message": "", "observedGeneration": 4},
                {"type": "WorkloadReady", "status": "True"}, {"type": "ReplicasAgree", "status": "True"}],
            "consistency": {"agreeing": agreeing, "total": agreeing, "summary": ""}, "candidate": candidate}})
    }

    fn step(name: &str) -> Step {
        *CHANGES.iter().find(|step| step.name == name).unwrap()
    }

    #[test]
    fn a_failed_candidate_is_the_end_of_one_step_and_the_end_of_no_other() {
        let withdrawn = json!({"state": "Withdrawn"});
        let failed = service("False", "MigrationFailed", 3, &withdrawn);
        assert_eq!(step("failing").unsettled(&failed), None);
        let mut rolling = failed.clone();
        rolling["status"]["conditions"][1]["status"] = "False".into();
        assert!(step("failing").unsettled(&rolling).is_some());
        assert!(step("mended").unsettled(&failed).is_some());
        let good = service("True", "AsDeclared", 3, &Value::Null);
        assert_eq!(step("mended").unsettled(&good), None);
        assert!(step("failing").unsettled(&good).is_some());
        assert!(step("down").unsettled(&good).is_some(), "three still serve");
    }

    #[test]
    fn what_was_observed_of_an_older_declaration_does_not_count() {
        let mut old = service("True", "AsDeclared", 2, &Value::Null);
        assert_eq!(FIRST.unsettled(&old), None);
        old["metadata"]["generation"] = 5.into();
        assert!(FIRST.unsettled(&old).is_some());
    }
}
