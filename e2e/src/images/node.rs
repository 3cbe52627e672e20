//! Node and an application's packages, by the script that the application's own tests use: one version, fetched once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::exec::{Cmd, find};
use crate::paths;

/// The application whose `.node-version` the base has.
const APPLICATION: &str = "examples/express-accounts";

/// The program, for this machine's processor.
pub(super) fn program() -> Result<PathBuf> {
    fetched("node_program", &paths::checkout().join(APPLICATION))
}

/// The directory `node_modules` of an application, as its `package-lock.json` has it.
pub(super) fn packages(application: &Path) -> Result<PathBuf> {
    Ok(fetched("node_packages", application)?.join("node_modules"))
}

fn fetched(function: &str, application: &Path) -> Result<PathBuf> {
    let script = paths::checkout().join("examples/testing/node.sh");
    let printed = Cmd::new(find("bash").context("there is no `bash` here")?)
        .args(["-c", r#". "$1" && "$2" "$3""#, "node.sh"])
        .arg(script)
        .arg(function)
        .arg(application)
        .env("ACCORD_CACHE", paths::cache())
        .output()?;
    Ok(PathBuf::from(printed.trim()))
}
