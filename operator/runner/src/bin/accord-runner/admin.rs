//! What a person does with the ledger: look at it, and decide over what is held.

use std::io::Write as _;
use std::time::Duration;

use accord_runner::ledger::{self, Key, lock};
use tracing::info;

use crate::cli::ReleaseArgs;
use crate::connect::connect;
use crate::environment;
use crate::exit::Stop;
use crate::redact::Redactor;
use crate::run::{close, holder};

/// A person waits less patiently than a Job.
const CONNECT: Duration = Duration::from_secs(15);

/// Prints the rows as JSON.
pub(crate) async fn print(service: &str, redactor: &mut Redactor) -> Result<&'static str, Stop> {
    let mut ledger = connect(&environment::pod(), CONNECT, redactor).await?;
    ledger::ensure(&mut ledger.conn).await?;
    let rows = ledger::rows(&mut ledger.conn, service).await?;
    close(ledger.conn).await;
    let failed = |source| Stop::Io {
        step: "print the ledger".to_owned(),
        source,
    };
    let json = serde_json::to_string_pretty(&rows).map_err(|error| failed(error.into()))?;
    writeln!(std::io::stdout(), "{json}").map_err(failed)?;
    Ok("Printed")
}

/// Releases an interrupted run, under the lock, so that a run that is alive can't be declared dead.
pub(crate) async fn release(args: &ReleaseArgs, redactor: &mut Redactor) -> Result<&'static str, Stop> {
    let pod = environment::pod();
    let mut ledger = connect(&pod, CONNECT, redactor).await?;
    let conn = &mut ledger.conn;
    ledger::ensure(conn).await?;
    if !lock::try_acquire(conn, &args.service).await? {
        let holder = holder(conn, &args.service).await?;
        return Err(Stop::Busy {
            waited: Duration::ZERO,
            service: args.service.clone(),
            holder,
        });
    }
    let key = Key {
        service: &args.service,
        kind: args.kind.into(),
        name: &args.name,
        revision: &args.revision,
    };
    let note = if args.done {
        "released as done by a person"
    } else {
        "released by a person, to run again"
    };
    ledger::release(conn, &key, args.done, note).await?;
    info!("{key}: {note}");
    close(ledger.conn).await;
    Ok("Released")
}
