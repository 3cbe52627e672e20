//! The example applications' images, from the Containerfile that a user would build too. On the embedded cluster the
//! base is made here and the packages are fetched by the machine's own pip or npm, with its own configuration, into
//! `vendor/`; elsewhere the Containerfile's own base and `PyPI` or npm's registry do.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::store::{Builder, Source, Workspace};
use super::{Built, Example, Image, node};
use crate::digest::Key;
use crate::exec::{Cmd, find};
use crate::{paths, progress};

/// Wheels for the base's Python and C library, whatever the machine's own are.
pub(super) fn wheels() -> Vec<String> {
    let arch = std::env::consts::ARCH;
    [
        "--only-binary=:all:",
        "--implementation=cp",
        "--python-version=3.11",
        "--abi=cp311",
        "--abi=abi3",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain(["2_28", "2_17", "2014"].map(|libc| match libc {
        "2014" => format!("--platform=manylinux2014_{arch}"),
        libc => format!("--platform=manylinux_{libc}_{arch}"),
    }))
    .collect()
}

/// Builds the application's image, unless it was built from the same files before.
pub(super) fn build(builder: Builder, example: &Example) -> Result<Built> {
    let image = Image::Example(example.clone());
    let reference = image.reference();
    let source = paths::checkout().join("examples").join(&example.name);
    if !source.join("Containerfile").is_file() {
        bail!(
            "there is no examples/{}/Containerfile in this checkout",
            example.name
        );
    }
    let mut key = Key::default().text("wheels", &wheels().join(" ")).tree(&source)?;
    let mut args = example.args.clone();
    let is_node = source.join("package.json").is_file();
    if builder.is_offline() {
        let base = if is_node { Image::Node } else { Image::Python }.build(builder)?;
        key = key.text("base", &base.key);
        builder.ensure_in_store(&base)?;
        args.push(("BASE".to_owned(), base.reference));
    }
    for (name, value) in &example.args {
        key = key.text(name, value);
    }
    let key = key.finish();
    if let Some(built) = builder.built_before(&reference, &key)? {
        return Ok(built);
    }
    progress::during(&format!("building {reference}"), "", || {
        let work = Workspace::new()?;
        copy_tree(&source, work.path())?;
        if builder.is_offline() && source.join("requirements.txt").is_file() {
            let site = packages(&source.join("requirements.txt"))?;
            copy_tree(&site, &work.path().join("vendor/site"))?;
        }
        if builder.is_offline() && is_node {
            // Not by `copy_tree`: a package may have a `node_modules` of its own, and needs it.
            let vendor = paths::ensure(&work.path().join("vendor"))?;
            let packages = node::packages(&source)?;
            Cmd::new("cp").arg("-a").arg(packages).arg(vendor).run()?;
        }
        builder.build(
            &reference,
            &key,
            &Source {
                context: work.path(),
                recipe: None,
                args: &args,
                is_dated: true,
            },
        )
    })
}

/// The installed packages of a requirements file, fetched once.
pub(super) fn packages(requirements: &Path) -> Result<PathBuf> {
    let key = Key::default()
        .text("wheels", &wheels().join(" "))
        .file("requirements", requirements)?
        .finish();
    let site = paths::cache_dir("python")?.join(key);
    if site.is_dir() {
        return Ok(site);
    }
    let Some(python) = find("python3") else {
        bail!(
            "the example applications' packages are fetched with pip, and there is no `python3` here: install \
             Python 3 with pip"
        );
    };
    let unfinished = site.with_extension(format!("{}", std::process::id()));
    Cmd::new(python)
        .args(["-m", "pip", "install", "--quiet", "--no-compile", "--target"])
        .arg(&unfinished)
        .args(wheels())
        .arg("--requirement")
        .arg(requirements)
        .run()?;
    std::fs::rename(&unfinished, &site).with_context(|| format!("can't write {}", site.display()))?;
    Ok(site)
}

/// Copies a directory's content into another, without what tests leave behind.
pub(super) fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    paths::ensure(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("can't list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if crate::digest::is_leftover(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)
                .with_context(|| format!("can't copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
