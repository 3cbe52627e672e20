//! What the runner and the operator share: the ledger of migrations and seeds.
//!
//! The library holds SQL and row types only: no command line, no child process, no I/O besides the connection that
//! the caller hands in. Everything that runs a command is in the binary, `src/bin/accord-runner`.

pub mod ledger;
