//! A facts command runs twice, without a database, and its answers are handed on.

use std::fs;
use std::process::Command;

use serde_json::Value;

struct Asked {
    code: Option<i32>,
    said: Value,
    printed: String,
}

fn ask(options: &[&str], script: &str) -> Asked {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("termination-log");
    fs::write(&log, "").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_accord-runner"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("ACCORD_TERMINATION_LOG", &log)
        .env("ACCORD_FACTS", "1")
        .env("ACCORD_FACTS_KEY", "the-ring-of-keys")
        .env("PGSSLMODE", "verify-full")
        .env("DATABASE_URL", "postgres://app:hidden-word@db.example:5432/app")
        .env("DIR", dir.path())
        .arg("facts")
        .args(options)
        .args(["--", "sh", "-c", script])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Asked {
        code: output.status.code(),
        said: serde_json::from_str(&fs::read_to_string(&log).unwrap()).unwrap(),
        printed: format!("{}{}", text(&output.stdout), text(&output.stderr)),
    }
}

#[test]
fn two_processes_answer_and_what_else_they_print_doesnt_matter() {
    let asked = ask(
        &[],
        r#"echo "6 objects imported"; echo "{\"accordFacts\": 1, \"made\": $$}"; seq 1 5000 >&2; echo '{"level": "info"}'"#,
    );
    assert_eq!(asked.code, Some(0), "{}", asked.printed);
    let facts = asked.said["facts"].as_array().unwrap();
    assert_eq!(facts.len(), 2);
    assert_ne!(facts[0]["made"], facts[1]["made"], "one process answered twice");
}

#[test]
fn the_command_has_what_it_needs_and_secrets_go_nowhere() {
    let asked = ask(
        &[],
        r#"echo "{\"accordFacts\": 1, \"asked\": \"$ACCORD_FACTS\", \"tls\": \"$PGSSLMODE\", \"url\": \"$DATABASE_URL\", \"key\": \"$ACCORD_FACTS_KEY\"}""#,
    );
    let facts = &asked.said["facts"][0];
    assert_eq!(
        (&facts["asked"], &facts["tls"]),
        (&"1".into(), &"verify-full".into())
    );
    assert_eq!(facts["key"], "***");
    let everything = format!("{}{}", asked.said, asked.printed);
    for secret in ["hidden-word", "the-ring-of-keys"] {
        assert!(!everything.contains(secret), "{everything}");
    }
}

#[test]
fn what_is_no_answer_says_why() {
    let long = format!("echo '{{\"accordFacts\": 1, \"x\": \"{}\"}}'", "y".repeat(2000));
    for (options, script, why) in [
        (
            &[][..],
            "echo ModuleNotFoundError >&2; exit 3",
            "ended with 3: ModuleNotFoundError",
        ),
        (
            &[],
            "echo '{\"database\": 1}'",
            "printed no line that begins with",
        ),
        (&[], "echo '{\"accordFacts\": '", "isn't JSON"),
        (&[], long.as_str(), "1900 are read"),
        (&["--timeout", "200ms"], "sleep 30", "took longer than 200ms"),
    ] {
        let asked = ask(options, script);
        assert_eq!(asked.code, Some(1), "{script}: {}", asked.printed);
        let message = asked.said["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
        assert!(asked.said["facts"].is_null());
    }
}
