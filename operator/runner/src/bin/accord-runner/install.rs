//! Copies this program into a directory that the user's container shares. Touches that directory only.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Copies through a temporary name and a rename, so that no half-written program can ever be run.
pub(crate) fn install(dir: &Path) -> io::Result<PathBuf> {
    let target = dir.join("accord-runner");
    let temporary = dir.join(format!(".accord-runner.{}", std::process::id()));
    let copied = fs::copy(std::env::current_exe()?, &temporary)
        .and_then(|_| fs::set_permissions(&temporary, Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&temporary, &target));
    if copied.is_err() {
        // The first error is the one that tells; a left-over file in an emptyDir does no harm.
        let _ = fs::remove_file(&temporary);
    }
    copied.map(|()| target)
}
