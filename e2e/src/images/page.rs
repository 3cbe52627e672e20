//! The project that `operator/docs/django.md` makes, as an image: what a reader has who followed the page to its end.
//! On the embedded cluster two of its Containerfile's lines are replaced, those that need a registry.

use anyhow::{Context, Result, bail};

use super::example::{copy_tree, packages, wheels};
use super::store::{Builder, Source, Workspace};
use super::{Built, Image};
use crate::digest::Key;
use crate::exec::{Cmd, find};
use crate::{paths, progress};

const FROM: &str = "FROM docker.io/library/python:3.11-slim";
/// Debian's Python is 3.11.2; redis wants this before 3.11.3, and the page's own base is later.
const OLDER_PYTHON: &str = "async-timeout==5.0.1\n";
const INSTALL: &str = "RUN pip install --no-cache-dir -r requirements.txt";

/// Makes the project and builds its image, unless it was made from the same page before.
pub(super) fn build(builder: Builder) -> Result<Built> {
    let docs = paths::checkout().join("operator/docs");
    let (page, maker) = (docs.join("django.md"), docs.join("run_blocks.py"));
    let reference = Image::Page.reference();
    let mut key = Key::default()
        .text("wheels", &wheels().join(" "))
        .text("older", OLDER_PYTHON)
        .file("page", &page)?
        .file("maker", &maker)?;
    let base = if builder.is_offline() {
        let base = Image::Python.build(builder)?;
        key = key.text("base", &base.key);
        builder.ensure_in_store(&base)?;
        Some(base.reference)
    } else {
        None
    };
    let key = key.finish();
    if let Some(built) = builder.built_before(&reference, &key)? {
        return Ok(built);
    }
    progress::during(&format!("building {reference} from django.md"), "", || {
        let work = Workspace::new()?;
        let path = environment()?;
        Cmd::new(find("python3").context("there is no `python3` here")?)
            .arg(&maker)
            .arg("build")
            .arg(&page)
            .arg(work.path())
            .env("PATH", path)
            .env("PIP_QUIET", "1")
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .run()?;
        let recipe = paths::read(&work.path().join("Containerfile"))?;
        let recipe = match &base {
            Some(base) => {
                let listed = paths::read(&work.path().join("requirements.txt"))?;
                let here = work.path().join("requirements-here.txt");
                paths::write(&here, format!("{listed}{OLDER_PYTHON}"))?;
                let site = packages(&here)?;
                copy_tree(&site, &work.path().join("vendor/site"))?;
                without_registries(&recipe, base)?
            }
            None => recipe,
        };
        builder.build(
            &reference,
            &key,
            &Source {
                context: work.path(),
                recipe: Some(&recipe),
                args: &[],
                is_dated: true,
            },
        )
    })
}

/// The page's Containerfile, with the base that is here and the packages that were fetched.
fn without_registries(recipe: &str, base: &str) -> Result<String> {
    for line in [FROM, INSTALL] {
        if recipe.matches(line).count() != 1 {
            bail!("the Containerfile of django.md has not exactly one line {line:?}: adapt images/page.rs");
        }
    }
    Ok(recipe
        .replace(FROM, &format!("FROM {base}"))
        .replace(INSTALL, "ENV PYTHONPATH=/app/vendor/site"))
}

/// A PATH on which the page's `pip` and `django-admin` are those of an environment of their own.
fn environment() -> Result<std::ffi::OsString> {
    let venv = paths::cache_dir("venv")?.join("page");
    if !venv.join("bin/pip").is_file() {
        Cmd::new(find("python3").context("there is no `python3` here")?)
            .args(["-m", "venv"])
            .arg(&venv)
            .run()?;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(venv.join("bin")).chain(std::env::split_paths(&path));
    std::env::join_paths(all).context("the PATH has a directory with a colon in its name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_s_own_containerfile_has_the_lines_that_are_replaced() {
        let page = paths::read(&paths::checkout().join("operator/docs/django.md")).unwrap();
        let recipe = without_registries(&page, "localhost/python:3.11").unwrap();
        assert!(recipe.contains("FROM localhost/python:3.11"));
        assert!(!recipe.contains("docker.io/library/python"));
        assert!(without_registries("FROM elsewhere", "b").is_err());
    }
}
