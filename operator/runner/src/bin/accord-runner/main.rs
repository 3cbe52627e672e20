//! Runs a command under the ledger. Under construction.
fn main() {}
