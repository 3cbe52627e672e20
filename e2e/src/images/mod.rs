//! Container images: what goes into them, built once for each content. The embedded cluster has no registry to pull
//! from, so its data stores and the base of the example applications are made of Debian packages; on another cluster
//! those are the public images, and only the operator and the examples are built.

mod base;
mod earlier;
mod example;
mod node;
mod operator;
mod page;
pub(crate) mod store;

use std::path::PathBuf;

use anyhow::{Context as _, Result};

pub use self::earlier::Earlier;
pub(crate) use self::operator::BINARIES as OPERATOR_BINARIES;
use self::store::Builder;

/// An image of this project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// Postgres 17, as `localhost/postgres:17`.
    Postgres,
    /// Valkey 8, as `localhost/valkey:8`.
    Valkey,
    /// Python 3.11, the base of the example applications on the embedded cluster, as `localhost/python:3.11`.
    Python,
    /// Node, likewise, as `localhost/node:24`.
    Node,
    /// The operator with the runner, as `localhost/accord-operator:dev`.
    Operator,
    /// The operator as an earlier commit has it.
    Earlier(Earlier),
    /// An application of `examples/`.
    Example(Example),
    /// The project that the documentation's page on Django makes, as `localhost/mysite:docs`.
    Page,
}

/// An application of `examples/`, in one of its variants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The directory's name.
    pub name: String,
    /// The image's tag: `dev` for the application as it should be.
    pub tag: String,
    /// Build arguments, by which a Containerfile makes variants.
    pub args: Vec<(String, String)>,
}

/// An image that was built, and lies in an archive or in docker's store.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    /// The name by which pods ask for it.
    pub(crate) reference: String,
    /// What it was built from.
    pub(crate) key: String,
    /// Where it lies; none when docker keeps it.
    pub(crate) archive: Option<PathBuf>,
}

/// The digest of the operator's image, built for the embedded cluster.
pub fn operator_digest() -> Result<String> {
    let built = Image::Operator.build(Builder::Chroot)?;
    let archive = built
        .archive
        .context("an image of the embedded cluster has an archive")?;
    store::digest(&archive)
}

impl Image {
    /// An application of `examples/` as it should be, with the tag `dev`.
    pub fn example(name: &str) -> Self {
        Self::Example(Example {
            name: name.to_owned(),
            tag: "dev".to_owned(),
            args: Vec::new(),
        })
    }

    /// A variant of an application of `examples/`: another tag, made by build arguments.
    pub fn variant(name: &str, tag: &str, args: &[(&str, &str)]) -> Self {
        let args = args.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        Self::Example(Example {
            name: name.to_owned(),
            tag: tag.to_owned(),
            args,
        })
    }

    /// The name by which pods on the embedded cluster ask for it.
    pub fn reference(&self) -> String {
        match self {
            Self::Postgres => "localhost/postgres:17".to_owned(),
            Self::Valkey => "localhost/valkey:8".to_owned(),
            Self::Python => "localhost/python:3.11".to_owned(),
            Self::Node => "localhost/node:24".to_owned(),
            Self::Operator => "localhost/accord-operator:dev".to_owned(),
            Self::Earlier(earlier) => format!("localhost/accord-operator:{earlier}"),
            Self::Example(example) => format!("localhost/{}:{}", example.name, example.tag),
            Self::Page => "localhost/mysite:docs".to_owned(),
        }
    }

    /// Builds it, unless it was built from the same inputs before.
    pub(crate) fn build(&self, builder: Builder) -> Result<Built> {
        match self {
            Self::Postgres => base::POSTGRES.build(builder),
            Self::Valkey => base::VALKEY.build(builder),
            Self::Python => base::PYTHON.build(builder),
            Self::Node => base::NODE.build(builder),
            Self::Operator => operator::build(builder),
            Self::Earlier(earlier) => earlier.build(builder),
            Self::Example(example) => example::build(builder, example),
            Self::Page => page::build(builder),
        }
    }
}
