//! The image builder's own store: images of this project don't mix with the user's.

use std::path::Path;

use anyhow::Result;

use crate::exec::Cmd;
use crate::paths;

/// buildah on the project's own store.
pub(crate) fn buildah() -> Result<Cmd> {
    let root = paths::cache_dir("buildah")?;
    let runroot = paths::ensure(Path::new("/run/accord-images"))?;
    Ok(Cmd::new("buildah")
        .arg("--root")
        .arg(root)
        .arg("--runroot")
        .arg(runroot))
}
