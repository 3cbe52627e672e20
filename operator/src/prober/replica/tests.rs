//! Real streaming replication on loopback.

use accord_plan::outcome::{Login, ReplicaCheck};

use super::*;
use crate::prober::database::tests::Server;

/// The primary's role and database serve for both: a replica has the same.
fn check(primary: &Server, replica: Option<&Server>) -> DatabaseCheck {
    let login = Login {
        user: "postgres".into(),
        password: "unused".into(),
    };
    DatabaseCheck {
        port: primary.port,
        database: "postgres".into(),
        ledger: login.clone(),
        replica: replica.map(|server| ReplicaCheck {
            host: "127.0.0.1".into(),
            port: server.port,
            database: "postgres".into(),
            login,
        }),
        ..Server::nowhere()
    }
}

async fn write(primary: &Server, statement: &'static str) {
    let mut conn = primary.connect("postgres", "postgres").await.unwrap();
    sqlx::raw_sql(statement).execute(&mut conn).await.unwrap();
}

#[tokio::test]
async fn a_replica_that_keeps_up_is_told_from_one_that_does_not() {
    let primary = Server::start().await;
    write(&primary, "CREATE TABLE users (name text)").await;
    let (prompt, late) = tokio::join!(primary.standby("0"), primary.standby("1h"));
    let (prompt, late) = (check(&primary, Some(&prompt)), check(&primary, Some(&late)));
    // Nothing was written since the copy: both have everything.
    assert_eq!(behind(&late).await, Some(false));

    write(&primary, "INSERT INTO users VALUES ('new')").await;
    assert_eq!(behind(&prompt).await, Some(false));
    assert_eq!(behind(&late).await, Some(true));
}

#[tokio::test]
async fn without_a_replica_that_can_be_asked_nothing_is_said() {
    let primary = Server::start().await;
    assert_eq!(behind(&check(&primary, None)).await, None);
    // The address of the database itself: it replays nothing.
    assert_eq!(behind(&check(&primary, Some(&primary))).await, None);
    let mut gone = check(&primary, Some(&primary));
    if let Some(replica) = &mut gone.replica {
        replica.port = 1;
    }
    assert_eq!(behind(&gone).await, None);
}
