//! Keeps the lock's connection alive, and notices at once when it, or the lock, is gone.

use std::time::Duration;

use accord_runner::ledger::lock;
use sqlx::PgConnection;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Between two looks. With [`ANSWER`] and the time to kill a child it stays below the server's keepalive limit
/// (`connect::SETTINGS`).
const INTERVAL: Duration = Duration::from_secs(2);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// The connection, while the command runs. A task of its own, so that no query is ever cut in the middle.
pub(crate) struct Heartbeat {
    task: JoinHandle<Result<PgConnection, String>>,
    stop: oneshot::Sender<()>,
}

impl Heartbeat {
    pub(crate) fn start(mut conn: PgConnection, service: String) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = &mut stopped => return Ok(conn),
                    () = sleep(INTERVAL) => {}
                }
                match timeout(ANSWER, lock::is_held(&mut conn, &service)).await {
                    Ok(Ok(true)) => {}
                    Ok(Ok(false)) => {
                        return Err("the session lives, but the lock isn't its own any more".to_owned());
                    }
                    Ok(Err(error)) => return Err(error.to_string()),
                    Err(_) => return Err(format!("no answer within {ANSWER:?}")),
                }
            }
        });
        Self { task, stop }
    }

    /// Resolves only when the lock is lost, with the reason.
    pub(crate) async fn lost(&mut self) -> String {
        match (&mut self.task).await {
            Ok(Err(why)) => why,
            Ok(Ok(_)) => "the heartbeat stopped".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Gives the connection back, or says why it is lost.
    pub(crate) async fn stop(self) -> Result<PgConnection, String> {
        // A closed channel means that the task has ended already, and its result says why.
        let _ = self.stop.send(());
        self.task.await.map_err(|error| error.to_string())?
    }
}
