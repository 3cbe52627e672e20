//! Images that are a small Debian with one program: the data stores of the embedded cluster, and the base of the
//! example applications.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::store::{Builder, Source, Workspace};
use super::{Built, Image, node};
use crate::digest::Key;
use crate::exec::Cmd;
use crate::{paths, progress};

/// What a base image is made of.
pub(super) struct Base {
    image: Image,
    suite: &'static str,
    packages: &'static str,
    /// A program that Debian doesn't have as it is wanted: the recipe finds it as `program`. Its path tells its version.
    program: Option<fn() -> Result<PathBuf>>,
    /// The rest of its Containerfile.
    recipe: &'static str,
}

/// The official image's user has the id 999, and so manifests count on it; `initdb` wants its user to have a name.
pub(super) const POSTGRES: Base = Base {
    image: Image::Postgres,
    suite: "trixie",
    packages: "postgresql-17,ca-certificates",
    program: None,
    recipe: "RUN groupmod -g 999 postgres && usermod -u 999 -g 999 postgres && rm -rf /var/lib/postgresql/17\n\
             ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8\n\
             EXPOSE 5432\nUSER 999:999\n",
};

pub(super) const VALKEY: Base = Base {
    image: Image::Valkey,
    suite: "trixie",
    packages: "valkey-server,valkey-tools,ca-certificates",
    program: None,
    recipe: "RUN groupmod -g 999 valkey && usermod -u 999 -g 999 valkey\n\
             ENV LANG=C.UTF-8\nEXPOSE 6379\nUSER 999:999\n",
};

/// The same version as `docker.io/library/python:3.11-slim`, and as there the program is called `python`.
pub(super) const PYTHON: Base = Base {
    image: Image::Python,
    suite: "bookworm",
    packages: "python3,ca-certificates",
    program: None,
    recipe: "RUN ln -s python3 /usr/bin/python\nENV LANG=C.UTF-8\nCMD [\"python3\"]\n",
};

/// `docker.io/library/node:24-slim`, but for the patch release. Debian's own Node is older than packages want.
pub(super) const NODE: Base = Base {
    image: Image::Node,
    suite: "trixie",
    packages: "libstdc++6,ca-certificates",
    program: Some(node::program),
    recipe: "COPY program /usr/local/bin/node\nENV LANG=C.UTF-8\nCMD [\"node\"]\n",
};

/// Files that no container needs, and that half the size of a small Debian.
/// Postgres compiles queries with LLVM where it is there, and doesn't where it isn't; it is larger than all the rest.
const LEFT_OUT: [&str; 10] = [
    "/usr/lib/*/libLLVM*",
    "/usr/lib/llvm-*",
    "/usr/lib/*/libz3*",
    "/usr/lib/postgresql/*/lib/llvmjit*",
    "/usr/lib/postgresql/*/lib/bitcode/*",
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
    "/usr/share/lintian/*",
];

impl Base {
    /// Builds it, unless it is there.
    pub(super) fn build(&self, builder: Builder) -> Result<Built> {
        let recipe = format!("FROM scratch\nADD base.tar /\n{}", self.recipe);
        let reference = self.image.reference();
        let program = self.program.map(|fetch| fetch()).transpose()?;
        let mut key = Key::default()
            .text("suite", self.suite)
            .text("packages", self.packages)
            .text("left out", &LEFT_OUT.join(" "))
            .text("recipe", &recipe);
        if let Some(program) = &program {
            key = key.text("program", &program.to_string_lossy());
        }
        let key = key.finish();
        if let Some(built) = builder.built_before(&reference, &key)? {
            return Ok(built);
        }
        progress::during(&format!("building {reference}"), "first time: about 30 s", || {
            let work = Workspace::new()?;
            let tarball = work.path().join("base.tar");
            if let Some(program) = &program {
                std::fs::copy(program, work.path().join("program"))
                    .with_context(|| format!("can't copy {}", program.display()))?;
            }
            let mut debian = Cmd::new("mmdebstrap").args(["--quiet", "--variant=minbase"]);
            for pattern in LEFT_OUT {
                debian = debian.arg(format!("--dpkgopt=path-exclude={pattern}"));
            }
            debian
                .arg(format!("--include={}", self.packages))
                .arg(self.suite)
                .arg(&tarball)
                .env("TMPDIR", paths::cache_dir("tmp")?)
                .run()?;
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
}
