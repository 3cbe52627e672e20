//! What the command prints, and what it may not show; what its connections are given.

use crate::postgres::Database;
use crate::runner::Pod;

#[tokio::test]
async fn secrets_are_masked_wherever_the_output_goes() {
    let mut database = Database::new().await;
    let pod = Pod::new(&database).env("STAFF1_PASSWORD", "correct horse");
    let script = r#"
        echo "created staff1 with correct horse"
        echo "connecting to $DATABASE_URL" >&2
        echo "cache redis://:s3same@cache:6379/0; ledger pw-of-accord"
        exit 1"#;
    let end = pod.run("seed", &[], script);
    let tail = database.text("SELECT output_tail FROM accord.ledger").await;
    let everything = format!("{}{}{}{tail}", end.stdout, end.stderr, end.termination);
    for secret in ["correct horse", "pw-of-migrate", "pw-of-accord", "s3same"] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
    assert!(end.stdout.contains("created staff1 with ***\n"), "{}", end.stdout);
    assert!(
        end.stderr
            .contains("connecting to postgres://migrate:***@127.0.0.1"),
        "{}",
        end.stderr
    );
    assert!(tail.contains("cache redis://:***@cache:6379/0"), "{tail}");
}

#[tokio::test]
async fn a_flood_of_output_neither_blocks_nor_bursts_the_ledger() {
    let mut database = Database::new().await;
    let pod = Pod::new(&database);
    let end = pod.run(
        "migration",
        &[],
        "seq 1 200000; echo 'ümläut' >&2; printf '\\377\\000bytes\\n'; echo last",
    );
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(end.stdout.starts_with("1\n2\n") && end.stdout.ends_with("last\n"));
    let tail = database.text("SELECT output_tail FROM accord.ledger").await;
    assert!(tail.len() <= 2048 && tail.ends_with("last"), "{tail}");
}

#[tokio::test]
async fn connections_of_the_command_wait_for_locks_briefly_and_notice_its_death() {
    let database = Database::new().await;
    let pod = Pod::new(&database).env("PGOPTIONS", "-c search_path=from_the_user");
    let script = r#"psql "$DATABASE_URL" -Atc "SELECT current_setting('lock_timeout'),
        current_setting('client_connection_check_interval'), current_setting('search_path'), current_user""#;
    let end = pod.run("migration", &["--lock-timeout", "7s"], script);
    assert_eq!(end.stdout, "7s|1s|from_the_user|owner\n", "{}", end.stderr);
}

#[tokio::test]
async fn logs_are_json_on_request_and_name_no_password() {
    let database = Database::new().await;
    let pod = Pod::new(&database)
        .env("ACCORD_LOG_FORMAT", "json")
        .env("ACCORD_LOG", "trace");
    let end = pod.run("migration", &[], "true");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(
        end.stderr
            .lines()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{}",
        end.stderr
    );
    assert!(!end.stderr.contains("pw-of-"));
}

#[tokio::test]
async fn progress_is_shown() {
    let database = Database::new().await;
    let pod = Pod::new(&database);
    let end = pod.run("migration", &["--progress-interval", "200ms"], "sleep 0.7");
    assert!(
        end.stderr.matches("the command is running").count() >= 2,
        "{}",
        end.stderr
    );
}

#[tokio::test]
async fn a_missing_or_wrong_url_file_is_named_and_its_content_is_not() {
    let database = Database::new().await;
    let pod = Pod::new(&database).env("ACCORD_LEDGER_URL_FILE", "/no/such/uri");
    let end = pod.run("migration", &[], "true");
    assert_eq!(end.code, Some(78));
    assert!(
        end.termination["message"]
            .as_str()
            .unwrap()
            .starts_with("/no/such/uri: can't be read")
    );
    for wrong in [
        "mysql://accord:hunter22@db/app",
        "postgres://accord:hunter22@db:99999/app",
        "accord:hunter22",
    ] {
        let end = Pod::with_url(&database, wrong).run("migration", &[], "true");
        assert_eq!(end.code, Some(78), "{}", end.stderr);
        assert!(!format!("{}{}", end.stderr, end.termination).contains("hunter22"));
    }
}

#[tokio::test]
async fn settings_for_the_command_do_not_reach_the_ledgers_connection() {
    let database = Database::new().await;
    // Each of these alone would break the ledger's connection: an unknown setting, and a certificate that isn't there.
    let pod = Pod::new(&database)
        .env("PGOPTIONS", "-c no_such_setting=1")
        .env("PGSSLCERT", "/no/such/certificate")
        .env("PGUSER", "migrate");
    let end = pod.run(
        "migration",
        &["--connect-timeout", "2s"],
        r#"echo "$PGUSER $PGSSLCERT $PGOPTIONS""#,
    );
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(
        end.stdout
            .starts_with("migrate /no/such/certificate -c no_such_setting=1 -c lock_timeout=30000ms"),
        "{}",
        end.stdout
    );
}
