//! Writes the CRD manifest and its reference from the types, or with `--check` says what is out of date.

use std::path::Path;
use std::process::ExitCode;

use accord_crds::AuthService;
use kube::CustomResourceExt;

mod reference;

fn main() -> ExitCode {
    let check = std::env::args().any(|a| a == "--check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crd = AuthService::crd();
    let yaml = match serde_saphyr::to_string(&crd) {
        Ok(yaml) => format!("# Made from the types in crds/src by `cargo xtask gen`. Edit those.\n{yaml}"),
        Err(error) => {
            eprintln!("generate: the CRD can't be written as YAML: {error}");
            return ExitCode::FAILURE;
        }
    };
    let files = [
        (
            root.join("../charts/accord/files/authservices.accord.dev.yaml"),
            yaml.clone(),
        ),
        (root.join("generated/authservices.accord.dev.yaml"), yaml),
        (root.join("generated/reference.md"), reference::markdown(&crd)),
    ];
    let mut stale = false;
    for (path, text) in files {
        if check {
            if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
                eprintln!(
                    "generate: {} is out of date: run `cargo xtask gen` and commit it",
                    path.display()
                );
                stale = true;
            }
        } else if let Err(error) = write(&path, &text) {
            eprintln!("generate: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    if stale {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(path, text)
}
