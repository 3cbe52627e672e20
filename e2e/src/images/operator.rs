//! The operator's image: two static binaries and nothing else.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::store::{Builder, Source, Workspace};
use super::{Built, Image};
use crate::digest::Key;
use crate::exec::{Cmd, find};
use crate::{paths, progress};

pub(crate) const BINARIES: [&str; 2] = ["accord-operator", "accord-runner"];
/// What of a checkout goes into them.
const PACKAGES: [&str; 5] = [
    "accord-crds",
    "accord-exchange",
    "accord-operator",
    "accord-plan",
    "accord-runner",
];
const RECIPE: &str = "FROM scratch\nCOPY accord-operator accord-runner /\nUSER 65532:65532\nENTRYPOINT [\"/accord-operator\"]\n";

/// The image of this checkout.
pub(super) fn build(builder: Builder) -> Result<Built> {
    // Outside of the checkout: every checkout shares what was compiled, and it is by far the longest step.
    let target_dir = match std::env::var_os("CARGO_TARGET_DIR").filter(|d| !d.is_empty()) {
        Some(dir) => paths::checkout().join(dir),
        None => paths::cache_dir("target")?,
    };
    build_from(builder, paths::checkout(), &target_dir, &Image::Operator)
}

/// Builds the binaries of a checkout, which cargo does only where something changed, and the image around them.
pub(super) fn build_from(
    builder: Builder,
    checkout: &Path,
    target_dir: &Path,
    image: &Image,
) -> Result<Built> {
    let arch = std::env::consts::ARCH;
    let target = format!("{arch}-unknown-linux-gnu");
    let output = target_dir.join(&target).join("release");
    let expectation = if output.exists() {
        ""
    } else {
        "first time: about 5 min on two cores"
    };
    let cargo = find("cargo").context("there is no `cargo` on the PATH")?;
    forget_another_checkout(&cargo, checkout, target_dir, &target)?;
    let mut command = Cmd::new(cargo)
        .args(["build", "--release", "--quiet", "--locked", "--target", &target])
        .cwd(checkout)
        .env("CARGO_TARGET_DIR", target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags().join(SEPARATOR))
        .env("CFLAGS", c_flags());
    for binary in BINARIES {
        command = command.args(["--package", binary]);
    }
    progress::during("compiling the operator and the runner", expectation, || {
        command.run()
    })?;

    let mut key = Key::default().text("recipe", RECIPE);
    for binary in BINARIES {
        let file = output.join(binary);
        if !file.is_file() {
            bail!(
                "cargo built no {}: has the binary another name in its Cargo.toml?",
                file.display()
            );
        }
        key = key.file(binary, &file)?;
    }
    let (key, reference) = (key.finish(), image.reference());
    if let Some(built) = builder.built_before(&reference, &key)? {
        return Ok(built);
    }
    let work = Workspace::new()?;
    for binary in BINARIES {
        let copy = work.path().join(binary);
        std::fs::copy(output.join(binary), &copy).with_context(|| format!("can't copy {binary}"))?;
        // Whatever whoever builds lets others do with new files.
        std::fs::set_permissions(&copy, Permissions::from_mode(0o755))?;
    }
    builder.build(
        &reference,
        &key,
        &Source {
            context: work.path(),
            recipe: Some(RECIPE),
            args: &[],
            is_dated: false,
        },
    )
}

/// Between two flags in `CARGO_ENCODED_RUSTFLAGS`: paths may hold spaces.
const SEPARATOR: &str = "\u{1f}";

fn flags() -> [String; 3] {
    [
        // A binary that needs no C library of the image: the image has none.
        "-C".to_owned(),
        "target-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={}={REGISTRY}", cargo_home().display()),
    ]
}

/// Where sources of registries lie, wherever that is: binaries name it in every message of a panic. A checkout's own files are
/// named from its top.
const REGISTRY: &str = "/cargo";

fn c_flags() -> String {
    format!("-ffile-prefix-map={}={REGISTRY}", cargo_home().display())
}

fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

/// Cargo tells what is fresh by the times of files, and takes what another checkout compiled for this one's. So that goes
/// first; what comes from registries stays.
fn forget_another_checkout(cargo: &Path, checkout: &Path, target_dir: &Path, target: &str) -> Result<()> {
    let (mark, here) = (target_dir.join("checkout"), checkout.to_string_lossy());
    if std::fs::read_to_string(&mark).is_ok_and(|last| last == here) {
        return Ok(());
    }
    if target_dir.join(target).exists() {
        let mut clean = Cmd::new(cargo)
            .args(["clean", "--quiet", "--locked", "--release", "--target", target])
            .cwd(checkout)
            .env("CARGO_TARGET_DIR", target_dir);
        for package in PACKAGES {
            clean = clean.args(["--package", package]);
        }
        clean.run()?;
    }
    paths::ensure(target_dir)?;
    paths::write(&mark, here.as_bytes())
}
