//! Content keys: what was made from the same inputs is not made again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

/// Names that are never an input: what builds and tests leave behind, and what git keeps.
const LEFTOVERS: [&str; 8] = [
    ".git",
    "__pycache__",
    ".venv",
    "venv",
    ".pytest_cache",
    "node_modules",
    "target",
    ".ruff_cache",
];

/// Collects inputs into one key.
#[derive(Default)]
pub struct Key(Sha256);

impl Key {
    /// Adds a named text. Lengths are part of it, so that no two lists of inputs read alike.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.add(name, value.as_bytes());
        self
    }

    /// Adds a file's content under its name.
    pub fn file(mut self, name: &str, path: &Path) -> Result<Self> {
        let content = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        self.add(name, &content);
        Ok(self)
    }

    /// Adds every file below a directory, by relative path and content, in the order of the names.
    pub fn tree(mut self, dir: &Path) -> Result<Self> {
        let mut files = Vec::new();
        walk(dir, &mut files)?;
        files.sort();
        for file in files {
            let name = file
                .strip_prefix(dir)
                .unwrap_or(&file)
                .to_string_lossy()
                .into_owned();
            self = self.file(&name, &file)?;
        }
        Ok(self)
    }

    /// The key: 16 hexadecimal digits, enough to tell apart what one machine ever builds.
    pub fn finish(self) -> String {
        use std::fmt::Write as _;
        self.0
            .finalize()
            .iter()
            .take(8)
            .fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }

    fn add(&mut self, name: &str, content: &[u8]) {
        for part in [name.as_bytes(), content] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }
}

/// True for names that are never an input.
pub(crate) fn is_leftover(name: &str) -> bool {
    LEFTOVERS.contains(&name) || has_suffix(name, "pyc") || has_suffix(name, "sqlite3")
}

fn has_suffix(name: &str, suffix: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == suffix)
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("can't list {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if is_leftover(&name) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_changes_with_content_and_with_names_and_not_with_leftovers() {
        let dir = std::env::temp_dir().join(format!("accord-digest-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("__pycache__")).unwrap();
        std::fs::write(dir.join("a"), "1").unwrap();
        let key = |d: &Path| Key::default().tree(d).unwrap().finish();
        let first = key(&dir);
        std::fs::write(dir.join("__pycache__/x.pyc"), "junk").unwrap();
        assert_eq!(first, key(&dir));
        std::fs::write(dir.join("a"), "2").unwrap();
        let second = key(&dir);
        assert_ne!(first, second);
        std::fs::rename(dir.join("a"), dir.join("b")).unwrap();
        assert_ne!(second, key(&dir));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn where_one_input_ends_matters() {
        let one = Key::default().text("ab", "c").finish();
        let other = Key::default().text("a", "bc").finish();
        assert_ne!(one, other);
    }
}
