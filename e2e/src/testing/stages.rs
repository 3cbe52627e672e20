//! The stages that need no cluster. Each runs the tools that a contributor would run by hand.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{Count, Place, Stage};
use crate::exec::{Cmd, find, last_lines};
use crate::{chaos, embedded, machine, paths, progress};

pub(super) const ALL: &[Stage] = &[
    Stage {
        name: "format",
        run: format,
    },
    Stage {
        name: "clippy",
        run: clippy,
    },
    Stage {
        name: "dependencies",
        run: dependencies,
    },
    Stage {
        name: "unit tests",
        run: unit_tests,
    },
    Stage {
        name: "histories",
        run: histories,
    },
    Stage {
        name: "generated files",
        run: generated,
    },
    Stage {
        name: "chart",
        run: chart,
    },
    Stage {
        name: "applications",
        run: applications,
    },
    Stage {
        name: "documentation",
        run: documentation,
    },
    Stage {
        name: "chaos",
        run: chaos,
    },
];

/// How much of a failed program's output is shown.
const SHOWN: usize = 60;

fn format(place: &Place) -> Result<Count> {
    logged(place, "format", cargo(&["fmt", "--all", "--check"])?)?;
    Ok(Count::passed(1))
}

fn clippy(place: &Place) -> Result<Count> {
    let args = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    logged(place, "clippy", cargo(&args)?)?;
    Ok(Count::passed(1))
}

/// Licences, sources and doubled versions. The database of advisories lies on a host that isn't a registry; where it
/// can't be reached, that part is left to who can.
fn dependencies(place: &Place) -> Result<Count> {
    if !paths::checkout().join("deny.toml").is_file() {
        return Ok(Count::skipped("there is no deny.toml"));
    }
    let root = paths::cache().join("tools");
    let own = root.join("bin/cargo-deny");
    let deny = if own.is_file() {
        Some(own.clone())
    } else {
        find("cargo-deny")
    };
    let deny = match deny {
        Some(deny) => deny,
        None if place.fast => {
            return Ok(Count::skipped(
                "--fast, and cargo-deny isn't installed: cargo install --locked cargo-deny",
            ));
        }
        None => {
            let root_text = root.to_string_lossy().into_owned();
            // Not optimised: it compiles in half the time and runs for a second.
            let install = cargo(&[
                "install",
                "--quiet",
                "--locked",
                "--debug",
                "cargo-deny",
                "--root",
                &root_text,
            ])?
            .env("CARGO_TARGET_DIR", root.join("build"))
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
            progress::during("installing cargo-deny", "first time: some minutes", || {
                logged(place, "cargo-deny-install", install)
            })?;
            let _ = std::fs::remove_dir_all(root.join("build"));
            own
        }
    };
    let check = Cmd::new(deny)
        .args(["--locked", "check", "bans", "licenses", "sources"])
        .cwd(paths::checkout());
    logged(place, "dependencies", check)?;
    Ok(Count::passed(1))
}

/// How many histories the core lives through.
const HISTORIES: &str = "100000";

/// The core's random histories, optimised: not so, each takes several times as long.
fn histories(place: &Place) -> Result<Count> {
    if place.fast {
        return Ok(Count::skipped("--fast: takes ten minutes"));
    }
    let command = cargo(&[
        "test",
        "--release",
        "--locked",
        "--package",
        "accord-plan",
        "--test",
        "it",
        "any_history",
    ])?;
    progress::during(
        &format!("{HISTORIES} histories"),
        "about 10 min on two cores",
        || logged(place, "histories", command.env("PROPTEST_CASES", HISTORIES)),
    )?;
    Ok(Count::passed(1))
}

fn unit_tests(place: &Place) -> Result<Count> {
    servers()?;
    let log = place.log("unit-tests");
    // The documentation's examples count too; `--no-fail-fast` shows all that is red in one run.
    let outcome = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"])?
        // A snapshot that differs is a failure, never rewritten here.
        .env("INSTA_UPDATE", "no")
        .env("RUST_BACKTRACE", "0")
        .log(&log)
        .outcome()?;
    let written = paths::read(&log)?;
    let mut count = Count::default();
    for line in written.lines() {
        count.add(&test_result(line).unwrap_or_default());
    }
    if !outcome.status.success() {
        // A crate that doesn't compile has no line of results.
        count.failed = count.failed.max(1);
        let failures: Vec<&str> = written
            .lines()
            .filter(|l| l.starts_with("error") || l.contains("panicked at") || l.ends_with("FAILED"))
            .collect();
        count.note = format!(
            "{}\nall of it: {}",
            last_lines(&failures.join("\n"), SHOWN),
            log.display()
        );
    }
    Ok(count)
}

/// The counts of a line like `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn test_result(line: &str) -> Option<Count> {
    let line = line.trim().strip_prefix("test result:")?;
    let number = |word: &str| {
        line.split([';', '.'])
            .find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
            .unwrap_or(0)
    };
    Some(Count {
        passed: number("passed"),
        failed: number("failed"),
        skipped: number("ignored"),
        note: String::new(),
    })
}

fn generated(place: &Place) -> Result<Count> {
    // Together with the tests, so that the libraries that the tests were just built with serve here too: by itself, the
    // program would have them compiled again with fewer features.
    let build = cargo(&[
        "build",
        "--workspace",
        "--locked",
        "--quiet",
        "--tests",
        "--bin",
        "generate",
    ])?;
    logged(place, "generated-build", build)?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .filter(|d| !d.is_empty())
        .unwrap_or_else(|| "target".into());
    let program = paths::checkout().join(target).join("debug/generate");
    logged(
        place,
        "generated",
        Cmd::new(program).arg("--check").cwd(paths::checkout()),
    )?;
    Ok(Count::passed(1))
}

/// The command that writes what is generated from the types, or checks that it is current.
pub(crate) fn generate(check: bool) -> Result<Cmd> {
    let mut args = vec![
        "run",
        "--quiet",
        "--locked",
        "--package",
        "accord-crds",
        "--bin",
        "generate",
        "--",
    ];
    if check {
        args.push("--check");
    }
    cargo(&args)
}

fn chart(place: &Place) -> Result<Count> {
    let chart = paths::checkout().join("charts/accord");
    if !chart.join("Chart.yaml").is_file() {
        return Ok(Count::skipped("there is no charts/accord"));
    }
    let helm = embedded::helm()?;
    let own = chart.join("tests/run.sh");
    if own.is_file() {
        logged(place, "chart", Cmd::new("bash").arg(own).env("HELM", &helm))?;
    } else {
        logged(
            place,
            "chart",
            Cmd::new(&helm).args(["lint", "--strict"]).arg(&chart),
        )?;
    }
    Ok(Count::passed(1))
}

/// Every example application's own tests.
fn applications(place: &Place) -> Result<Count> {
    let mut count = Count::default();
    let mut notes = Vec::new();
    for dir in listed(&paths::checkout().join("examples"))? {
        let script = dir.join("test.sh");
        if !script.is_file() {
            continue;
        }
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match logged(
            place,
            &format!("application-{name}"),
            Cmd::new("bash").arg(&script).cwd(&dir),
        ) {
            Ok(()) => count.passed += 1,
            Err(error) => {
                count.failed += 1;
                notes.push(format!("{name}: {error:#}"));
            }
        }
    }
    count.note = notes.join("\n");
    Ok(count)
}

/// The pages whose steps are run as a reader would.
fn documentation(place: &Place) -> Result<Count> {
    let mut count = Count::default();
    for script in listed(&paths::checkout().join("operator/docs"))? {
        let name = script
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("test_") && script.extension().is_some_and(|e| e == "sh") {
            logged(place, &name, Cmd::new("bash").arg(&script))?;
            count.passed += 1;
        }
    }
    Ok(count)
}

/// A few faults between the operator and a real API server. All of them: `cargo xtask chaos`.
fn chaos(place: &Place) -> Result<Count> {
    if place.fast {
        return Ok(Count::skipped("--fast: needs a control plane"));
    }
    servers()?;
    chaos::few().map(Count::passed)
}

/// The servers that tests start on loopback. Where they can't be installed, the tests that need them say so.
fn servers() -> Result<()> {
    let postgres = Path::new("/usr/lib/postgresql").is_dir() || find("initdb").is_some();
    let pooler = find("pgbouncer").is_some();
    let cache = find("valkey-server").is_some() || find("redis-server").is_some();
    let missing: Vec<&str> = [
        (postgres, "postgresql"),
        (pooler, "pgbouncer"),
        (cache, "redis-server"),
    ]
    .into_iter()
    .filter(|(there, _)| !there)
    .map(|(_, package)| package)
    .collect();
    if missing.is_empty() || find("apt-get").is_none() || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    machine::apt_install(&missing)
}

fn cargo(args: &[&str]) -> Result<Cmd> {
    let cargo = find("cargo").context("there is no `cargo` on the PATH")?;
    Ok(Cmd::new(cargo).args(args).cwd(paths::checkout()))
}

/// Runs a program with its output in a log; the error shows the end of it.
fn logged(place: &Place, name: &str, command: Cmd) -> Result<()> {
    let log = place.log(name);
    let outcome = command.log(&log).outcome()?;
    if outcome.status.success() {
        return Ok(());
    }
    bail!(
        "{}\n(all of it: {})",
        last_lines(&paths::read(&log)?, SHOWN),
        log.display()
    )
}

fn listed(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Ok(Vec::new());
    };
    let mut found = entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_cargo_test_are_counted() {
        let line = "test result: FAILED. 17 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.09s";
        let count = test_result(line).unwrap();
        assert_eq!((count.passed, count.failed, count.skipped), (17, 1, 2));
        assert!(test_result("running 3 tests").is_none());
    }
}
