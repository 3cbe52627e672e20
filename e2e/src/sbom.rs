//! The bill of materials of the operator's image: the crates that its binaries are linked of and those that only build
//! them, as CycloneDX JSON. cargo itself says which: what features leave out isn't in the binary, and a bill that names it
//! all the same raises alarms about nothing. Writes below `target/`, the same bytes for the same sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::exec::{Cmd, find};
use crate::images::OPERATOR_BINARIES;
use crate::paths;

/// What becomes code in the binary.
const LINKED: &str = "normal,no-proc-macro";
/// The same with what runs while it is compiled: build scripts, macros, and what they are made of.
const ALL: &str = "normal,build";

/// A bill that was written.
pub struct Bill {
    /// Where it lies.
    pub file: PathBuf,
    /// How many crates are linked into the binary.
    pub linked: usize,
    /// How many others had a part in building it.
    pub building: usize,
}

/// Writes a bill for each binary of the operator's image.
pub fn write() -> Result<Vec<Bill>> {
    let (linked, all) = (Graph::ask(LINKED)?, Graph::ask(ALL)?);
    let lock = checksums(&paths::read(&paths::checkout().join("Cargo.lock"))?);
    let write = |binary: &str| {
        let (bill, [linked, building]) = bill(binary, &linked, &all, &lock)?;
        let file = paths::checkout().join(format!("target/sbom/{binary}.cdx.json"));
        paths::write(&file, format!("{bill:#}\n"))?;
        Ok(Bill {
            file,
            linked,
            building,
        })
    };
    OPERATOR_BINARIES.into_iter().map(write).collect()
}

/// The platform that the binaries are for.
fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// A crate in one version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
}

impl Crate {
    /// The package URL, by which scanners look up advisories.
    fn url(&self) -> String {
        // Of what a version may hold, only this has a meaning in a URL.
        format!("pkg:cargo/{}@{}", self.name, self.version.replace('+', "%2B"))
    }
}

/// Which crate is made of which others.
#[derive(Default)]
struct Graph {
    licenses: BTreeMap<Crate, String>,
    edges: BTreeMap<Crate, BTreeSet<Crate>>,
}

impl Graph {
    /// Asks cargo for the binaries as they are built: both at once, for their features are those of both.
    fn ask(edges: &str) -> Result<Self> {
        let mut tree = Cmd::new(find("cargo").context("there is no `cargo` on the PATH")?)
            .args([
                "tree",
                "--quiet",
                "--locked",
                "--target",
                &target(),
                "--edges",
                edges,
            ])
            .args(["--prefix", "depth", "--format", "{p}\t{l}"])
            .cwd(paths::checkout());
        for binary in OPERATOR_BINARIES {
            tree = tree.args(["--package", binary]);
        }
        Self::parse(&tree.output()?)
    }

    /// Reads lines of `DEPTHname vVERSION (where)<TAB>licence (*)`. A crate that was shown before has `(*)`, and not again
    /// what it is made of.
    fn parse(tree: &str) -> Result<Self> {
        let mut graph = Self::default();
        let mut above: Vec<Crate> = Vec::new();
        for line in tree.lines().filter(|l| !l.is_empty()) {
            let wrong = || format!("cargo tree printed a line that isn't understood: {line:?}");
            let digits = line.find(|c: char| !c.is_ascii_digit()).with_context(wrong)?;
            let (depth, rest) = line.split_at(digits);
            let depth: usize = depth.parse().with_context(wrong)?;
            let (package, license) = rest.split_once('\t').with_context(wrong)?;
            let mut words = package.split(' ');
            let name = words.next().unwrap_or_default().to_owned();
            let version = words
                .next()
                .and_then(|w| w.strip_prefix('v'))
                .with_context(wrong)?;
            let found = Crate {
                name,
                version: version.to_owned(),
            };
            ensure!(depth <= above.len(), wrong());
            above.truncate(depth);
            if let Some(user) = above.last() {
                graph.edges.entry(user.clone()).or_default().insert(found.clone());
            }
            // An older way to write OR.
            let license = license.trim_end_matches(" (*)").replace('/', " OR ");
            graph.licenses.insert(found.clone(), license);
            above.push(found);
        }
        Ok(graph)
    }

    /// What a package is made of, itself included.
    fn parts(&self, package: &str) -> Result<BTreeSet<&Crate>> {
        let root = self.licenses.keys().find(|c| c.name == package);
        let mut left = vec![root.with_context(|| format!("cargo tree doesn't name {package}"))?];
        let mut parts = BTreeSet::new();
        while let Some(part) = left.pop() {
            if parts.insert(part) {
                left.extend(self.used_by(part));
            }
        }
        Ok(parts)
    }

    fn used_by(&self, user: &Crate) -> impl Iterator<Item = &Crate> {
        self.edges.get(user).into_iter().flatten()
    }
}

/// The bill of one binary, and how many crates it lists as linked and as building it.
fn bill(
    binary: &str,
    linked: &Graph,
    all: &Graph,
    lock: &BTreeMap<Crate, String>,
) -> Result<(Value, [usize; 2])> {
    let parts = linked.parts(binary)?;
    let everything = all.parts(binary)?;
    let root = parts
        .iter()
        .find(|c| c.name == binary)
        .context("the binary is a part of itself")?;
    let component = |part: &Crate| {
        let scope = if parts.contains(part) {
            "required"
        } else {
            "excluded"
        };
        let mut component = json!({
            "type": if part == *root { "application" } else { "library" },
            "bom-ref": part.url(),
            "name": part.name,
            "version": part.version,
            "scope": scope,
            "purl": part.url(),
        });
        if let Some(license) = all.licenses.get(part).filter(|l| !l.is_empty()) {
            component["licenses"] = json!([{"expression": license}]);
        }
        // Accord's own crates are in no registry.
        if let Some(checksum) = lock.get(part) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        component
    };
    let others: Vec<Value> = everything
        .iter()
        .filter(|c| *c != root)
        .map(|c| component(c))
        .collect();
    let dependencies = parts.iter().map(|part| {
        let used: Vec<String> = linked.used_by(part).map(Crate::url).collect();
        json!({"ref": part.url(), "dependsOn": used})
    });
    let counts = [parts.len() - 1, everything.difference(&parts).count()];
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        // No time and no random number: the same sources have the same bill.
        "metadata": {
            "component": component(root),
            "properties": [{"name": "cdx:rustc:sbom:target:triple", "value": target()}],
        },
        "components": others,
        "dependencies": dependencies.collect::<Vec<_>>(),
    });
    Ok((bill, counts))
}

/// What the registry says that each crate's archive hashes to.
fn checksums(lock: &str) -> BTreeMap<Crate, String> {
    let field = |package: &str, name: &str| {
        let start = format!("{name} = \"");
        let line = package.lines().find_map(|l| l.strip_prefix(&start))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").skip(1);
    packages
        .filter_map(|package| {
            let (name, version) = (field(package, "name")?, field(package, "version")?);
            Some((Crate { name, version }, field(package, "checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKED: &str = "0accord-operator v0.1.0 (/somewhere/operator)\tApache-2.0\n\
        1accord-crds v0.1.0 (/somewhere/crds)\tApache-2.0\n\
        2serde v1.0.2\tMIT/Apache-2.0\n\
        1serde v1.0.2\tMIT/Apache-2.0 (*)\n\
        1zstd v2.0.16+1.5.7\tMIT\n\
        \n\
        0accord-runner v0.1.0 (/somewhere/operator/runner)\tApache-2.0\n\
        1accord-crds v0.1.0 (/somewhere/crds)\tApache-2.0 (*)\n";
    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"accord-crds\"\nversion = \"0.1.0\"\n\n\
        [[package]]\nname = \"serde\"\nversion = \"1.0.2\"\nchecksum = \"abc\"\n";

    fn example(binary: &str) -> (Value, [usize; 2]) {
        let all = format!("{LINKED}1cc v1.11.1\tMIT OR Apache-2.0\n");
        let (linked, all) = (Graph::parse(LINKED).unwrap(), Graph::parse(&all).unwrap());
        bill(binary, &linked, &all, &checksums(LOCK)).unwrap()
    }

    fn component<'b>(bill: &'b Value, name: &str) -> Option<&'b Value> {
        let all = bill["components"].as_array().unwrap();
        all.iter().find(|c| c["name"] == name)
    }

    #[test]
    fn a_bill_lists_what_a_binary_is_made_of_also_where_cargo_showed_it_before() {
        let (bill, counts) = example("accord-runner");
        assert_eq!(counts, [2, 1]);
        let serde = component(&bill, "serde").unwrap();
        assert_eq!(serde["purl"], "pkg:cargo/serde@1.0.2");
        assert_eq!(serde["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(serde["hashes"][0]["content"], "abc");
        assert!(component(&bill, "zstd").is_none());
        let (bill, _) = example("accord-operator");
        assert_eq!(
            component(&bill, "zstd").unwrap()["purl"],
            "pkg:cargo/zstd@2.0.16%2B1.5.7"
        );
    }

    #[test]
    fn what_only_builds_a_binary_is_listed_as_not_in_it() {
        let (bill, _) = example("accord-runner");
        let scope = |name: &str| component(&bill, name).unwrap()["scope"].clone();
        assert_eq!(
            (scope("cc"), scope("serde")),
            (json!("excluded"), json!("required"))
        );
    }

    #[test]
    fn a_bill_says_nothing_of_where_it_was_made() {
        let (bill, _) = example("accord-operator");
        assert!(!bill.to_string().contains("somewhere"));
        assert_eq!(bill["metadata"]["component"]["name"], "accord-operator");
    }

    #[test]
    fn a_line_that_is_not_understood_is_an_error() {
        assert!(Graph::parse("0accord-operator\tMIT").is_err());
        assert!(Graph::parse("2serde v1.0.2\tMIT").is_err());
    }

    /// Of the workspace as it is: every crate of a registry has its checksum, and nothing comes in that tests alone need.
    #[test]
    fn the_operator_s_own_bill_is_whole() {
        let (linked, all) = (Graph::ask(super::LINKED).unwrap(), Graph::ask(ALL).unwrap());
        let lock = checksums(&paths::read(&paths::checkout().join("Cargo.lock")).unwrap());
        for binary in OPERATOR_BINARIES {
            let (bill, [count, building]) = bill(binary, &linked, &all, &lock).unwrap();
            assert!(count > 50 && building > 5, "{count} and {building}");
            for component in bill["components"].as_array().unwrap() {
                let own = component["name"].as_str().unwrap().starts_with("accord-");
                assert!(own || component["hashes"].is_array(), "{component}");
                assert!(component["licenses"].is_array(), "{component}");
            }
            for (name, is_in) in [
                ("aws-lc-sys", true),
                ("sqlx-postgres", true),
                ("ring", false),
                ("insta", false),
            ] {
                assert_eq!(component(&bill, name).is_some(), is_in, "{binary}: {name}");
            }
        }
    }
}
