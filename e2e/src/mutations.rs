//! `cargo xtask mutations`: bugs that are put in on purpose, each of which a named test has to catch. It tests the
//! tests: "0 failures" says nothing as long as nobody has seen them fail.
//!
//! A bug is a patch in `e2e/mutations`, which begins with two lines: what it `Breaks:`, and the command it is
//! `Caught-by:`, whose last word is the test. Works on a copy of the checkout; what is being worked on isn't touched.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::exec::{Cmd, find, last_lines};
use crate::{paths, progress};

/// A bug that is put in on purpose.
struct Mutation {
    name: String,
    breaks: String,
    /// The command, without `cargo test` or `bash`.
    command: Vec<String>,
    patch: PathBuf,
}

impl Mutation {
    fn read(patch: PathBuf) -> Result<Self> {
        let text = paths::read(&patch)?;
        let name = patch
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let header = |key: &str| -> Result<String> {
            let found = text.lines().take(4).find_map(|l| l.strip_prefix(key));
            let value = found.map(str::trim).filter(|v| !v.is_empty());
            Ok(value
                .with_context(|| format!("{}: its first lines have no `{key}`", patch.display()))?
                .to_owned())
        };
        Ok(Self {
            name,
            breaks: header("Breaks:")?,
            command: header("Caught-by:")?
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            patch,
        })
    }

    /// The last part of the test's name, which is the function.
    fn test(&self) -> &str {
        let last = self.command.last().map_or("", String::as_str);
        last.rsplit([':', '.']).next().unwrap_or(last)
    }
}

/// Every bug, by name.
fn all() -> Result<Vec<Mutation>> {
    let dir = paths::checkout().join("e2e/mutations");
    let entries = std::fs::read_dir(&dir).with_context(|| format!("can't read {}", dir.display()))?;
    let mut patches = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "patch") {
            patches.push(path);
        }
    }
    patches.sort();
    patches.into_iter().map(Mutation::read).collect()
}

/// Says which bugs there are.
pub fn list() -> Result<()> {
    for mutation in all()? {
        println!("{:<40} {}", mutation.name, mutation.breaks);
    }
    Ok(())
}

/// Each bug is compiled once and tested once: what optimising costs never comes back.
///
/// The crates that `accord-plan` isn't part of are told apart too. To cargo the copy is the same workspace: what it built of
/// them would count as the checkout's own, with the bug in it.
const PROFILE: [&str; 6] = [
    "--config",
    "profile.dev.package.accord-plan.opt-level=0",
    "--config",
    "profile.dev.package.accord-runner.debug=false",
    "--config",
    "profile.dev.package.accord-crds.debug=false",
];

/// Puts in each bug, one after the other, and runs its test; true when each was caught by it.
pub fn run(names: &[String]) -> Result<bool> {
    let all = all()?;
    for name in names {
        ensure!(
            all.iter().any(|m| m.name == *name),
            "there is no mutation `{name}`; `cargo xtask mutations --list` shows them"
        );
    }
    let mut chosen: Vec<&Mutation> = all
        .iter()
        .filter(|m| names.is_empty() || names.contains(&m.name))
        .collect();
    // Those of one crate after each other: going to another one compiles what both rest on again.
    chosen.sort_by_key(|m| (&m.command, &m.name));
    let place = Place::prepare()?;
    progress::during(
        "the tests as they are",
        "each has to pass before it may fail",
        || {
            let mut tests = chosen.clone();
            tests.dedup_by_key(|m| &m.command);
            tests.iter().try_for_each(|m| match place.test(m)? {
                Verdict::Passed => Ok(()),
                _ => bail!("{}: `{}` fails without any bug", m.name, m.command.join(" ")),
            })
        },
    )?;
    let mut caught = 0;
    for mutation in &chosen {
        let begun = Instant::now();
        place.patch(mutation, &[])?;
        let verdict = place.test(mutation);
        place.patch(mutation, &["--reverse"])?;
        let words = match verdict? {
            Verdict::Caught => {
                caught += 1;
                "caught".to_owned()
            }
            Verdict::Passed => "NOT CAUGHT: the test passes".to_owned(),
            Verdict::Other(why) => format!("NOT CAUGHT: {why}"),
        };
        progress::say(&format!(
            "{:<40} {words} by {} in {}",
            mutation.name,
            mutation.test(),
            progress::clock(begun.elapsed())
        ));
    }
    println!("\n{caught} of {} bugs caught", chosen.len());
    Ok(caught == chosen.len() && !chosen.is_empty())
}

/// How a test ended.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    /// The named test failed.
    Caught,
    /// It didn't come to that.
    Other(String),
}

/// A copy of the checkout, built beside it: what both rest on is compiled once.
struct Place {
    copy: PathBuf,
    target: PathBuf,
}

impl Place {
    fn prepare() -> Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").filter(|d| !d.is_empty());
        let place = Self {
            copy: paths::cache_dir("mutations")?,
            target: paths::checkout().join(target.unwrap_or_else(|| "target".into())),
        };
        place.copy_checkout()?;
        Ok(place)
    }

    /// Files that are the same stay as they are, so that cargo builds what changed only.
    fn copy_checkout(&self) -> Result<()> {
        let from = paths::checkout();
        let listed = Cmd::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .cwd(from)
            .output()?;
        let wanted: Vec<&str> = listed.split('\0').filter(|f| !f.is_empty()).collect();
        let known = self.copy.join(".files");
        for gone in paths::read(&known).unwrap_or_default().split('\0') {
            if !gone.is_empty() && !wanted.contains(&gone) {
                let _ = std::fs::remove_file(self.copy.join(gone));
            }
        }
        for file in &wanted {
            let (old, new) = (from.join(file), self.copy.join(file));
            // Deleted and not yet committed.
            let Ok(content) = std::fs::read(&old) else {
                continue;
            };
            if std::fs::read(&new).is_ok_and(|there| there == content) {
                continue;
            }
            paths::write(&new, &content)?;
            std::fs::set_permissions(&new, std::fs::metadata(&old)?.permissions())?;
        }
        paths::write(&known, &listed)
    }

    fn patch(&self, mutation: &Mutation, how: &[&str]) -> Result<()> {
        // Outside of any repository: `git apply` would look for the patch's files in the one around.
        Cmd::new("git")
            .args(["apply", "--recount"])
            .args(how)
            .arg(&mutation.patch)
            .env(
                "GIT_CEILING_DIRECTORIES",
                self.copy.parent().unwrap_or(&self.copy),
            )
            .cwd(&self.copy)
            .run()
            .with_context(|| format!("{} doesn't fit the code any more", mutation.patch.display()))
    }

    fn test(&self, mutation: &Mutation) -> Result<Verdict> {
        let (program, arguments) = mutation.command.split_first().context("an empty command")?;
        let mut command = match program.as_str() {
            "cargo" => Cmd::new(find("cargo").context("there is no `cargo` on the PATH")?).args(PROFILE),
            other => Cmd::new(other),
        };
        command = command
            .args(arguments)
            .cwd(&self.copy)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("INSTA_UPDATE", "no")
            .env("RUST_BACKTRACE", "0");
        let outcome = command.outcome()?;
        let written = outcome.stdout + &outcome.stderr;
        Ok(verdict(outcome.status.success(), &written, mutation.test()))
    }
}

fn verdict(success: bool, written: &str, test: &str) -> Verdict {
    let ran = written.lines().any(|l| l.contains(test));
    if success && ran {
        return Verdict::Passed;
    }
    if success {
        return Verdict::Other(format!("the command doesn't run a test `{test}`"));
    }
    // `test a::b ... FAILED` of cargo; `FAIL: b (…)` and `ERROR: b (…)` of Python's unittest.
    let failed = written.lines().any(|l| {
        let cargo = l.starts_with("test ") && l.ends_with("FAILED");
        let python = l.starts_with("FAIL: ") || l.starts_with("ERROR: ");
        (cargo || python) && l.contains(test)
    });
    if failed {
        return Verdict::Caught;
    }
    Verdict::Other(last_lines(written, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_tests_failure_is_a_catch() {
        let cargo = |line: &str| format!("running 2 tests\ntest x::other ... ok\n{line}\n");
        assert_eq!(
            verdict(false, &cargo("test x::it ... FAILED"), "it"),
            Verdict::Caught
        );
        assert_eq!(verdict(true, &cargo("test x::it ... ok"), "it"), Verdict::Passed);
        assert_eq!(
            verdict(false, "FAIL: test_it (tests.test_faults.FaultTests)", "test_it"),
            Verdict::Caught
        );
        for broken in [
            verdict(false, "error: could not compile `x`, for x::it", "it"),
            verdict(false, &cargo("test x::another ... FAILED"), "it_self"),
            verdict(true, "running 0 tests", "it_self"),
        ] {
            assert!(matches!(broken, Verdict::Other(_)), "{broken:?}");
        }
    }

    #[test]
    fn every_patch_fits_the_code_and_names_a_test_that_there_is() {
        for mutation in all().unwrap() {
            let fits = Cmd::new("git")
                .args(["apply", "--check", "--recount"])
                .arg(&mutation.patch)
                .cwd(paths::checkout())
                .outcome()
                .unwrap();
            assert!(fits.status.success(), "{}: {}", mutation.name, fits.stderr);
            assert!(
                names(paths::checkout(), mutation.test()),
                "{}: there is no test {}",
                mutation.name,
                mutation.test()
            );
        }
    }

    /// True when a function of that name is defined in Rust or Python below a directory.
    fn names(dir: &std::path::Path, test: &str) -> bool {
        ["operator", "crds", "e2e", "examples"].iter().any(|part| {
            let found = Cmd::new("grep")
                .args(["-rqE", "--include=*.rs", "--include=*.py"])
                .arg(format!("(fn|def) {test}\\("))
                .arg(dir.join(part))
                .outcome();
            found.is_ok_and(|o| o.status.success())
        })
    }
}
