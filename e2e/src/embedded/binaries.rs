//! The cluster's binaries, built with Go from the modules that `e2e/cluster` pins, once for each content of those
//! modules, and kept in the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::digest::Key;
use crate::exec::Cmd;
use crate::{machine, paths, progress};

/// Programs that the one binary of Kubernetes and etcd is, by the name it is called by.
const PROGRAMS: [&str; 8] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
    "volume-provisioner",
];

/// Builds what isn't built yet; returns the directory that holds every program by its name.
pub(crate) fn build() -> Result<PathBuf> {
    let source = paths::checkout().join("e2e/cluster");
    let key = Key::default()
        .file("go.mod", &source.join("go.mod"))?
        .file("go.sum", &source.join("go.sum"))?
        .tree(&source.join("kube"))?
        .tree(&source.join("dns"))?
        .tree(&source.join("pause"))?
        .finish();
    let dir = paths::cache_dir("bin")?.join(format!("kubernetes-{key}"));
    let version = kubernetes_version(&paths::read(&source.join("go.mod"))?);
    let module = "k8s.io/component-base/version";
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("0"));
    let stamp = format!(
        "-s -w -X {module}.gitVersion={version} -X {module}.gitMajor={major} -X {module}.gitMinor={minor} -X {module}.gitTreeState=clean"
    );
    let what = format!("building Kubernetes {version} and etcd");
    build_one(
        &source,
        "./kube",
        &dir.join("kube"),
        &stamp,
        &what,
        "first time: about 6 min on two cores",
    )?;
    build_one(
        &source,
        "./dns",
        &dir.join("dns"),
        "-s -w",
        "building CoreDNS",
        "about 1 min",
    )?;
    build_one(
        &source,
        "./pause",
        &dir.join("pause"),
        "-s -w",
        "building the sandbox's program",
        "",
    )?;
    for program in PROGRAMS {
        link(Path::new("kube"), &dir.join(program))?;
    }
    Ok(dir)
}

/// Builds Helm if it isn't built yet; returns its path.
pub(crate) fn helm() -> Result<PathBuf> {
    let source = paths::checkout().join("e2e/cluster/helm");
    let key = Key::default()
        .file("go.mod", &source.join("go.mod"))?
        .file("go.sum", &source.join("go.sum"))?
        .finish();
    let helm = paths::cache_dir("bin")?.join(format!("helm-{key}")).join("helm");
    let package = "helm.sh/helm/v4/cmd/helm";
    build_one(
        &source,
        package,
        &helm,
        "-s -w",
        "building Helm",
        "first time: about 2 min",
    )?;
    Ok(helm)
}

fn build_one(
    source: &Path,
    package: &str,
    target: &Path,
    flags: &str,
    what: &str,
    expectation: &str,
) -> Result<()> {
    if target.exists() {
        return Ok(());
    }
    let go = machine::go()?;
    let dir = target.parent().context("a binary lies in a directory")?;
    paths::ensure(dir)?;
    // A build that is interrupted leaves nothing that looks like a binary, and two at once don't meet.
    let unfinished = dir.join(format!(".{}.{}", package.replace('/', "_"), std::process::id()));
    progress::during(what, expectation, || {
        Cmd::new(go)
            .args(["build", "-trimpath", "-ldflags", flags, "-o"])
            .arg(&unfinished)
            .arg(package)
            .cwd(source)
            .env("CGO_ENABLED", "0")
            .log(dir.join("build.log"))
            .run()
    })?;
    std::fs::rename(&unfinished, target).with_context(|| format!("can't write {}", target.display()))
}

/// Makes a symbolic link, in place of whatever was there.
pub(crate) fn link(to: &Path, at: &Path) -> Result<()> {
    if std::fs::read_link(at).is_ok_and(|current| current == to) {
        return Ok(());
    }
    let _ = std::fs::remove_file(at);
    std::os::unix::fs::symlink(to, at).with_context(|| format!("can't link {}", at.display()))
}

fn kubernetes_version(go_mod: &str) -> String {
    go_mod
        .lines()
        .find_map(|l| l.trim().strip_prefix("k8s.io/kubernetes "))
        .map_or_else(|| "v0.0.0".to_owned(), |v| v.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_module_file() {
        let go_mod = std::fs::read_to_string(paths::checkout().join("e2e/cluster/go.mod")).unwrap();
        let version = kubernetes_version(&go_mod);
        assert!(version.starts_with("v1."), "{version}");
        // Kubernetes' own modules carry the same number as v0.
        assert!(go_mod.contains(&version.replacen("v1.", "v0.", 1)));
    }
}
