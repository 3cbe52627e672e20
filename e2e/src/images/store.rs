//! Building and keeping images: buildah on a store of the project's own for the embedded cluster, docker or buildah
//! as the user has them for another.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Built;
use crate::exec::{Cmd, find};
use crate::paths;

/// How images are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builder {
    /// buildah without a container runtime and without a registry.
    Chroot,
    /// The user's buildah.
    Buildah,
    /// The user's docker, which keeps the images itself.
    Docker,
}

/// What an image is built from.
pub(super) struct Source<'a> {
    /// The directory that COPY copies from.
    pub(super) context: &'a Path,
    /// The recipe; none: the directory's Containerfile.
    pub(super) recipe: Option<&'a str>,
    /// Build arguments.
    pub(super) args: &'a [(String, String)],
    /// True where files keep their times, by which Python knows what it compiled. Without, and made by buildah, the same
    /// content is the same image to the last byte.
    pub(super) is_dated: bool,
}

impl Builder {
    /// What the user has, for a cluster of the user's own.
    pub(crate) fn of_user() -> Result<Self> {
        if find("docker").is_some() && Cmd::new("docker").arg("info").succeeds() {
            return Ok(Self::Docker);
        }
        if find("buildah").is_some() {
            return Ok(Self::Buildah);
        }
        bail!(
            "images are built with docker (its daemon has to run) or with buildah, and neither is here: install one"
        )
    }

    /// True where nothing can be pulled.
    pub(super) fn is_offline(self) -> bool {
        self == Self::Chroot
    }

    /// The image, if it was built from the same inputs before.
    pub(super) fn built_before(self, reference: &str, key: &str) -> Result<Option<Built>> {
        let found = match self {
            Self::Docker => Cmd::new("docker")
                .args(["image", "inspect", &keyed(reference, key)])
                .succeeds(),
            Self::Chroot | Self::Buildah => archive(reference, key)?.is_file(),
        };
        Ok(if found {
            Some(self.result(reference, key)?)
        } else {
            None
        })
    }

    /// Builds an image and keeps it under its name and key.
    pub(super) fn build(self, reference: &str, key: &str, source: &Source<'_>) -> Result<Built> {
        let recipe = match source.recipe {
            Some(text) => {
                let file = source.context.join(".recipe");
                paths::write(&file, text)?;
                file
            }
            None => source.context.join("Containerfile"),
        };
        let args = source
            .args
            .iter()
            .map(|(name, value)| format!("--build-arg={name}={value}"));
        if self == Self::Docker {
            Cmd::new("docker")
                .args([
                    "build",
                    "--quiet",
                    "--tag",
                    reference,
                    "--tag",
                    &keyed(reference, key),
                ])
                .args(args)
                .arg("--file")
                .arg(&recipe)
                .arg(source.context)
                .run()?;
            return self.result(reference, key);
        }
        let mut build = self.buildah()?.args(["bud", "--quiet", "--tag", reference]);
        if self == Self::Chroot {
            // Needs no runtime.
            build = build.args(["--isolation", "chroot", "--pull=false"]);
        }
        build = build.args(if source.is_dated {
            // A health check of a Containerfile is kept in docker's format only.
            &["--format", "docker"][..]
        } else {
            // Docker's format holds the random name of the container that it was made in.
            &["--format", "oci", "--timestamp", "0", "--identity-label=false"]
        });
        build
            .args(args)
            .arg("--file")
            .arg(&recipe)
            .arg(source.context)
            .run()?;
        let archive = archive(reference, key)?;
        let unfinished = archive.with_extension(format!("{}.tar", std::process::id()));
        self.buildah()?
            .args([
                "push",
                "--quiet",
                reference,
                &format!("docker-archive:{}:{reference}", unfinished.display()),
            ])
            .run()?;
        std::fs::rename(&unfinished, &archive)
            .with_context(|| format!("can't write {}", archive.display()))?;
        forget_older(&archive, reference)?;
        self.result(reference, key)
    }

    /// Puts an image that was built before back into the store, for one that is built FROM it.
    pub(super) fn ensure_in_store(self, built: &Built) -> Result<()> {
        let Some(archive) = &built.archive else {
            return Ok(());
        };
        if self
            .buildah()?
            .args(["inspect", "--type", "image", &built.reference])
            .succeeds()
        {
            return Ok(());
        }
        self.buildah()?
            .args([
                "pull",
                "--quiet",
                &format!("docker-archive:{}", archive.display()),
            ])
            .run()
    }

    /// Gives an image another name and pushes it there.
    pub(crate) fn push(self, reference: &str, remote: &str) -> Result<()> {
        if self == Self::Docker {
            Cmd::new("docker").args(["tag", reference, remote]).run()?;
            return Cmd::new("docker").args(["push", "--quiet", remote]).run();
        }
        self.buildah()?
            .args(["push", "--quiet", reference, &format!("docker://{remote}")])
            .run()
    }

    fn buildah(self) -> Result<Cmd> {
        if self == Self::Chroot {
            buildah()
        } else {
            Ok(Cmd::new("buildah"))
        }
    }

    fn result(self, reference: &str, key: &str) -> Result<Built> {
        let archive = if self == Self::Docker {
            None
        } else {
            Some(archive(reference, key)?)
        };
        Ok(Built {
            reference: reference.to_owned(),
            key: key.to_owned(),
            archive,
        })
    }
}

/// The digest of an image in an archive: that of its configuration, which names those of its layers.
pub(super) fn digest(archive: &Path) -> Result<String> {
    let manifest = Cmd::new("tar")
        .arg("--extract")
        .arg("--to-stdout")
        .arg("--file")
        .arg(archive);
    digest_in(&manifest.arg("manifest.json").output()?)
        .with_context(|| format!("{} isn't an archive of one image", archive.display()))
}

fn digest_in(manifest: &str) -> Result<String> {
    let manifest: Value = serde_json::from_str(manifest)?;
    let config = manifest[0]["Config"].as_str().unwrap_or_default();
    let digest = config
        .strip_suffix(".json")
        .context("its manifest names no configuration")?;
    Ok(format!("sha256:{digest}"))
}

/// A directory that is removed with the value.
pub(super) struct Workspace(PathBuf);

impl Workspace {
    /// A directory of its own for one build.
    pub(super) fn new() -> Result<Self> {
        let now = std::time::SystemTime::now();
        let moment = now
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        let dir = paths::cache_dir("tmp")?.join(format!("image-{}-{moment}", std::process::id()));
        Ok(Self(paths::ensure(&dir)?))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

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

/// `localhost/postgres:17` and a key make `IMAGES/postgres_17-KEY.tar`.
fn archive(reference: &str, key: &str) -> Result<PathBuf> {
    Ok(paths::cache_dir("images")?.join(format!("{}{key}.tar", stem(reference))))
}

fn stem(reference: &str) -> String {
    format!(
        "{}-",
        reference
            .rsplit('/')
            .next()
            .unwrap_or(reference)
            .replace(':', "_")
    )
}

fn keyed(reference: &str, key: &str) -> String {
    format!(
        "{}:{key}",
        reference.rsplit_once(':').map_or(reference, |(name, _)| name)
    )
}

/// Keeps the newest few archives of an image: each build of the operator would add one for ever.
fn forget_older(newest: &Path, reference: &str) -> Result<()> {
    let mut others: Vec<(std::time::SystemTime, PathBuf)> = std::fs::read_dir(paths::cache_dir("images")?)?
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with(&stem(reference)) && e.path() != newest)
        .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
        .collect();
    others.sort();
    others.reverse();
    for (_, old) in others.into_iter().skip(2) {
        let _ = std::fs::remove_file(old);
    }
    // Layers without a name, left by earlier builds: the store may keep them, it only grows by them.
    let _ = buildah()?.args(["rmi", "--prune"]).outcome();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_digest_is_that_of_its_configuration() {
        let manifest = r#"[{"Config":"ab12.json","RepoTags":["localhost/a:dev"],"Layers":["cd34.tar"]}]"#;
        assert_eq!(digest_in(manifest).unwrap(), "sha256:ab12");
        assert!(digest_in("[]").is_err());
    }

    #[test]
    fn names_of_archives_and_keyed_tags_tell_images_apart() {
        assert_eq!(stem("localhost/postgres:17"), "postgres_17-");
        assert_ne!(stem("localhost/postgres:17"), stem("localhost/postgres:1"));
        assert_eq!(
            keyed("localhost/accord-operator:dev", "abc"),
            "localhost/accord-operator:abc"
        );
    }
}
