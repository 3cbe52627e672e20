//! Where things lie: the checkout, the cache outside of it, and the one state directory of this machine's cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The cluster's state: one per machine, since it owns addresses, cgroups and network tables that are one per
/// machine too. `cluster down` removes it whole.
pub const STATE: &str = "/var/lib/accord-cluster";
/// Sockets and mounts of the container runtime; gone after a reboot.
pub const RUN: &str = "/run/accord-cluster";
/// Held by whoever brings the cluster up or down. Beside the state and not in it: it outlives `cluster down`.
pub const LOCK: &str = "/var/lib/accord-cluster.lock";

/// The directory of this checkout.
pub fn checkout() -> &'static Path {
    // The crate lies in `e2e/`, one below the top. It was compiled from there.
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir)
}

/// What was built or fetched once and is good for every checkout: binaries, images, the release build.
/// `ACCORD_CACHE` moves it.
pub fn cache() -> PathBuf {
    if let Some(dir) = std::env::var_os("ACCORD_CACHE").filter(|d| !d.is_empty()) {
        return PathBuf::from(dir);
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/cache/accord");
    }
    match std::env::var_os("HOME") {
        Some(home) => Path::new(&home).join(".cache/accord"),
        None => std::env::temp_dir().join("accord-cache"),
    }
}

/// A directory below the cache, made if it isn't there.
pub fn cache_dir(name: &str) -> Result<PathBuf> {
    ensure(&cache().join(name))
}

/// Makes a directory, with those above it.
pub fn ensure(dir: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(dir).with_context(|| format!("can't make the directory {}", dir.display()))?;
    Ok(dir.to_owned())
}

/// Writes a file, making its directory.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(parent) = path.parent() {
        ensure(parent)?;
    }
    std::fs::write(path, content).with_context(|| format!("can't write {}", path.display()))
}

/// Reads a text file.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))
}
