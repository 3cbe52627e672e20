//! `run`, as numbered steps. Everything is written through the one session that holds the lock, so an outcome can't be
//! recorded without it.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use accord_runner::ledger::{self, Key, Outcome, State, lock};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tracing::{error, info, warn};

use crate::child::{Child, LOST_LOCK_GRACE};
use crate::cli::RunArgs;
use crate::connect::{Ledger, connect};
use crate::decide::{Decision, decide};
use crate::exit::Stop;
use crate::heartbeat::Heartbeat;
use crate::redact::Redactor;
use crate::signals::Signals;
use crate::{environment, sessions};

/// Between two tries for the lock.
const TRY: Duration = Duration::from_millis(250);

/// What a run leaves for the termination message.
pub(crate) struct Report {
    pub(crate) result: Result<&'static str, Stop>,
    pub(crate) tail: String,
}

/// Runs the command, or says why not.
pub(crate) async fn run(args: &RunArgs, redactor: &mut Redactor) -> Report {
    let mut tail = String::new();
    let result = steps(args, redactor, &mut tail).await;
    Report { result, tail }
}

async fn steps(args: &RunArgs, redactor: &mut Redactor, tail: &mut String) -> Result<&'static str, Stop> {
    let mut signals = Signals::new()?;
    let pod = environment::pod();

    // 1. Connect and take the lock. A signal ends the waiting at once: nothing has happened yet.
    let prepared = tokio::select! {
        prepared = prepare(args, &pod, redactor) => prepared?,
        () = signals.recv() => return Err(Stop::Terminated { started: false }),
    };
    let Prepared::Locked(Ledger {
        mut conn,
        server_version,
    }) = prepared
    else {
        return Ok(recorded(args));
    };

    // 2. Ask the ledger what this revision needs.
    if let Some(key) = key(args) {
        let state = ledger::get(&mut conn, &key).await?.map(|row| row.state);
        let decision = decide(state, key.kind, args.idempotent);
        if matches!(
            decision,
            Decision::Run { mark: true } | Decision::Hold { mark: true }
        ) {
            warn!("an earlier run ended without an outcome; recording it as interrupted");
            ledger::interrupt(&mut conn, &key).await?;
        }
        match decision {
            Decision::Done => return Ok(recorded(args)),
            Decision::Hold { .. } => return Err(held(args, &key)),
            Decision::Run { .. } => {}
        }
    }

    // 3. End what an earlier, killed run may still be doing in the server.
    let role = environment::migration_role();
    tokio::select! {
        ended = sessions::end_earlier(&mut conn, &role) => ended?,
        () = signals.recv() => return Err(Stop::Terminated { started: false }),
    }

    // 4. Record the start, committed, before the command can change anything.
    let attempt = match key(args) {
        Some(key) => Some((ledger::start(&mut conn, &key, &pod).await?, key)),
        None => None,
    };

    // 5. Run the command.
    let redactor = Arc::new(redactor.clone());
    let command = command(args, server_version);
    info!(kind = args.kind.as_str(), name = %args.name, attempt = attempt.map(|(attempt, _)| attempt), "starting the command");
    let (ended, heartbeat) = match Child::spawn(command, &redactor) {
        Ok(child) => {
            let mut heartbeat = Heartbeat::start(conn, args.service.clone());
            let ended = supervise(args, child, &mut heartbeat, &mut signals, tail).await;
            if let Ended::LockLost(why) = ended {
                return Err(Stop::LockLost { why });
            }
            (ended, heartbeat)
        }
        Err(source) => {
            let program = args.command.first().cloned().unwrap_or_default();
            (
                Ended::CannotStart(Stop::CannotStart { program, source }),
                Heartbeat::start(conn, args.service.clone()),
            )
        }
    };

    // 6. Record the outcome, which the ledger accepts only from the lock's holder.
    let mut conn = heartbeat.stop().await.map_err(|why| Stop::LockLost { why })?;
    if let Some((attempt, key)) = &attempt {
        let message = if let Ended::CannotStart(stop) = &ended {
            redactor.redact(&stop.to_string())
        } else {
            tail.clone()
        };
        let outcome = ended.outcome(crate::tail::last_bytes(&message, ledger::TAIL_BYTES));
        ledger::finish(&mut conn, key, *attempt, &outcome)
            .await
            .map_err(|error| match error {
                // The session went between the last heartbeat and now.
                ledger::Error::Sql { source, .. } => Stop::LockLost {
                    why: source.to_string(),
                },
                error => error.into(),
            })?;
    }
    close(conn).await;
    match ended {
        Ended::Exited(0) => Ok("Succeeded"),
        Ended::Exited(code) => Err(Stop::CommandFailed {
            code,
            recorded: attempt.is_some(),
        }),
        Ended::Terminated(_) => Err(Stop::Terminated {
            started: attempt.is_some(),
        }),
        Ended::CannotStart(stop) => Err(stop),
        Ended::LockLost(why) => Err(Stop::LockLost { why }),
    }
}

enum Prepared {
    /// Recorded as done by somebody else, maybe while we waited.
    Done,
    Locked(Ledger),
}

async fn prepare(args: &RunArgs, pod: &str, redactor: &mut Redactor) -> Result<Prepared, Stop> {
    let mut ledger = connect(pod, args.connect_timeout, redactor).await?;
    let conn = &mut ledger.conn;
    ledger::ensure(conn).await?;
    let began = Instant::now();
    let mut report_at = began;
    loop {
        if let Some(key) = key(args)
            && ledger::get(conn, &key)
                .await?
                .is_some_and(|row| row.state.is_done())
        {
            close(ledger.conn).await;
            return Ok(Prepared::Done);
        }
        if lock::try_acquire(conn, &args.service).await? {
            return Ok(Prepared::Locked(ledger));
        }
        let waited = began.elapsed();
        if Instant::now() >= report_at || waited >= args.wait_timeout {
            let holder = holder(conn, &args.service).await?;
            if waited >= args.wait_timeout {
                return Err(Stop::Busy {
                    waited,
                    service: args.service.clone(),
                    holder,
                });
            }
            info!(
                waited_seconds = waited.as_secs(),
                "waiting for the lock of {}, held by {holder}", args.service
            );
            report_at = Instant::now() + args.progress_interval.max(TRY);
        }
        sleep(TRY).await;
    }
}

/// Who holds the lock and with what, in words.
pub(crate) async fn holder(conn: &mut PgConnection, service: &str) -> Result<String, Stop> {
    let Some(holder) = lock::holder(conn, service).await? else {
        return Ok("nobody any more".to_owned());
    };
    let since = holder
        .since
        .map_or_else(|| "an unknown time".to_owned(), |since| since.to_string());
    let mut parts = vec![format!(
        "{:?} (Postgres pid {}, connected since {since})",
        holder.application_name, holder.pid
    )];
    for row in ledger::rows(conn, service).await? {
        if row.state == State::Started {
            parts.push(format!(
                "running {} {:?} since {}",
                row.kind, row.name, row.started_at
            ));
        }
    }
    Ok(parts.join(", "))
}

enum Ended {
    Exited(i32),
    Terminated(i32),
    LockLost(String),
    CannotStart(Stop),
}

impl Ended {
    fn outcome<'a>(&self, output_tail: &'a str) -> Outcome<'a> {
        let (state, exit_code) = match self {
            Self::Exited(0) => (State::Succeeded, Some(0)),
            Self::Exited(code) => (State::Failed, Some(*code)),
            // Interrupted even if it ended with 0: many programs do so on SIGTERM without having finished.
            Self::Terminated(code) => (State::Interrupted, Some(*code)),
            Self::CannotStart(_) => (State::Failed, None),
            Self::LockLost(_) => (State::Interrupted, None),
        };
        Outcome {
            state,
            exit_code,
            output_tail,
        }
    }
}

async fn supervise(
    args: &RunArgs,
    mut child: Child,
    heartbeat: &mut Heartbeat,
    signals: &mut Signals,
    tail: &mut String,
) -> Ended {
    let began = Instant::now();
    let every = args.progress_interval.max(Duration::from_millis(100));
    let mut progress = interval_at(began + every, every);
    progress.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let ended = loop {
        tokio::select! {
            // An end that has come already counts more than a signal that came with it.
            biased;
            code = child.wait() => break Ended::Exited(code),
            why = heartbeat.lost() => {
                error!(%why, "the lock is lost; ending the command");
                child.end(LOST_LOCK_GRACE).await;
                break Ended::LockLost(why);
            }
            () = signals.recv() => {
                warn!(grace = ?args.grace, "told to end; ending the command");
                break tokio::select! {
                    code = child.end(args.grace) => Ended::Terminated(code),
                    why = heartbeat.lost() => {
                        child.end(LOST_LOCK_GRACE).await;
                        Ended::LockLost(why)
                    }
                };
            }
            _ = progress.tick() => {
                info!(elapsed_seconds = began.elapsed().as_secs(), pid = child.pid(), "the command is running");
            }
        }
    };
    *tail = child.finish().await.text();
    ended
}

fn command(args: &RunArgs, server_version: i32) -> Command {
    let (program, rest) = args
        .command
        .split_first()
        .map_or(("", &[][..]), |(program, rest)| (program.as_str(), rest));
    let mut command = Command::new(program);
    command
        .args(rest)
        .env_clear()
        .envs(environment::of_child(args.lock_timeout, server_version));
    command
}

fn key(args: &RunArgs) -> Option<Key<'_>> {
    let kind = args.kind.in_ledger()?;
    Some(Key {
        service: &args.service,
        kind,
        name: &args.name,
        revision: &args.revision,
    })
}

fn recorded(args: &RunArgs) -> &'static str {
    info!(
        "{} {:?} revision {:?} is already recorded; nothing to do",
        args.kind.as_str(),
        args.name,
        args.revision
    );
    "AlreadyRecorded"
}

fn held(args: &RunArgs, key: &Key<'_>) -> Stop {
    let arguments = format!(
        "--kind {} --service {} --name {:?} --revision {:?}",
        args.kind.as_str(),
        args.service,
        args.name,
        args.revision
    );
    Stop::Held {
        what: key.to_string(),
        arguments,
    }
}

/// Says goodbye to the server, which frees the lock at once; bounded, since the outcome is recorded.
pub(crate) async fn close(conn: PgConnection) {
    let _ = timeout(Duration::from_secs(2), conn.close()).await;
}
