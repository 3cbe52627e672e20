//! Why nothing could be verified at all.

use std::path::PathBuf;

use accord_exchange::ClientError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0}")]
    Usage(String),
    #[error("{what} {} can't be read: {source}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{0}")]
    Client(#[source] ClientError),
    #[error("--cache: it can't be asked: {0}")]
    Cache(#[source] redis::RedisError),
    #[error("the report can't be written: {0}")]
    Output(#[source] std::io::Error),
    #[error("the report can't be put in this form: {0}")]
    Form(String),
    #[error("the system gives no event loop: {0}")]
    Runtime(#[source] std::io::Error),
    #[error("{host} can't be resolved: {source}")]
    Name {
        host: String,
        #[source]
        source: std::io::Error,
    },
}

impl Problem {
    /// 64 where another command line or file would help, 2 where it couldn't be told.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::File { .. } => crate::USAGE,
            Self::Client(_)
            | Self::Cache(_)
            | Self::Output(_)
            | Self::Form(_)
            | Self::Runtime(_)
            | Self::Name { .. } => 2,
        }
    }
}
