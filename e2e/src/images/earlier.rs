//! The operator as an earlier commit has it: its sources are taken out of the repository and built in a directory of their
//! own, which costs a second release build. Touches neither the checkout nor what was compiled of it.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::store::Builder;
use super::{Built, Image, operator};
use crate::exec::{Cmd, find};
use crate::paths;

/// Names the commit.
const VARIABLE: &str = "ACCORD_EARLIER";
/// How far back the commit is where nothing is said and nothing was released.
const BACK: &str = "HEAD~50";

/// A commit before this one, by its full hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier(String);

impl Earlier {
    /// The commit that `ACCORD_EARLIER` names, or the newest release before this commit, or one that is fifty commits
    /// back.
    pub(crate) fn choose() -> Result<Self> {
        let named = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty());
        let tag = || git(&["describe", "--tags", "--abbrev=0", "HEAD~1"]).ok();
        let name = named.or_else(tag).unwrap_or_else(|| BACK.to_owned());
        let commit = git(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")]);
        let commit = commit.with_context(|| {
            format!(
                "this checkout has no commit {name}: name an earlier one in {VARIABLE}, and fetch the history"
            )
        })?;
        Ok(Self(commit))
    }

    /// Where its sources lie once it is built.
    pub(crate) fn sources(&self) -> PathBuf {
        paths::cache().join("earlier").join(&self.0)
    }

    pub(super) fn build(&self, builder: Builder) -> Result<Built> {
        self.take_out()?;
        let target_dir = paths::cache_dir("earlier/target")?;
        let image = Image::Earlier(self.clone());
        operator::build_from(builder, &self.sources(), &target_dir, &image)
    }

    fn take_out(&self) -> Result<()> {
        let sources = self.sources();
        if sources.is_dir() {
            return Ok(());
        }
        let unfinished = sources.with_extension(std::process::id().to_string());
        paths::ensure(&unfinished)?;
        let archive = unfinished.join("sources.tar");
        git(&["archive", "--output", &archive.to_string_lossy(), &self.0])?;
        let tar = Cmd::new("tar").arg("--extract").arg("--file").arg(&archive);
        tar.arg("--directory").arg(&unfinished).run()?;
        std::fs::remove_file(&archive)?;
        std::fs::rename(&unfinished, &sources).with_context(|| format!("can't make {}", sources.display()))
    }
}

impl fmt::Display for Earlier {
    /// As git shortens it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

fn git(args: &[&str]) -> Result<String> {
    let git = Cmd::new(find("git").context("there is no `git` on the PATH")?);
    let said = git.args(args).cwd(paths::checkout()).output()?;
    Ok(said.trim().to_owned())
}
