//! Log lines: JSON or text, no colours, `info` unless `RUST_LOG` says otherwise.

use tracing_subscriber::EnvFilter;

use crate::settings::LogFormat;

/// Libraries tell of every notice, and of every call and watch that an outage breaks; our own lines say what follows
/// from it. `RUST_LOG` is read after this, so it can name them to hear them.
const QUIET: &str = "info,sqlx=warn,kube_client::client=error,kube_client::client::builder=off";

/// Starts logging. To be called once.
pub fn init(format: LogFormat) -> anyhow::Result<()> {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let filter = EnvFilter::try_new(format!("{QUIET},{wanted}")).map_err(|e| {
        anyhow::anyhow!("RUST_LOG is {wanted:?}, which is no list of levels: {e}. Try RUST_LOG=info.")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    let done = match format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
        LogFormat::Text => builder.try_init(),
    };
    done.map_err(|e| anyhow::anyhow!("logging can't be started: {e}"))
}
