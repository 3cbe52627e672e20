//! The script that runs before managed Postgres starts, with a real shell: an empty volume is initialised once in its life.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use accord_plan::Kind;

use crate::support::World;
use crate::support::fixtures::orders;

/// A directory of one test, with programs that stand for Postgres' own: `initdb` makes the directory, and counts.
struct Volume(PathBuf);

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Volume {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("accord-{test}-{}", std::process::id()));
        let volume = Self(dir);
        fs::create_dir_all(volume.path("bin")).unwrap();
        volume.program("postgres", "echo 'postgres (PostgreSQL) 17.5'");
        // `--pgdata DIR` comes first.
        volume.program(
            "initdb",
            &format!(
                r#"mkdir "$2"; echo 17 > "$2/PG_VERSION"; echo x >> {}"#,
                volume.path("made").display()
            ),
        );
        volume
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn program(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\nset -e\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// How often a database was made.
    fn made(&self) -> usize {
        fs::read_to_string(self.path("made")).map_or(0, |text| text.lines().count())
    }

    /// Runs the script as the init container does, with what is recorded; true when Postgres may start, and the last words.
    fn start(&self, recorded: Option<&str>) -> (bool, String) {
        let words = self.path("termination-log");
        let script = script().replace("/dev/termination-log", words.to_str().unwrap());
        let identity = self.path("identity");
        let _ = fs::remove_file(&identity);
        if let Some(identifier) = recorded {
            fs::write(&identity, identifier).unwrap();
        }
        let programs = format!(
            "{}:{}",
            self.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let ended = Command::new("sh")
            .args(["-c", &script, "initdb"])
            .args([self.path("pgdata"), identity])
            .env("PATH", programs)
            .output()
            .unwrap();
        let words = fs::read_to_string(words).unwrap_or_default();
        (ended.status.success(), words)
    }
}

/// The script as it stands in the `StatefulSet`.
fn script() -> String {
    let mut world = World::new();
    world.create(orders());
    world.settle();
    let set = world.api.get(Kind::StatefulSet, "orders-postgres").unwrap();
    let init = &set["spec"]["template"]["spec"]["initContainers"][0];
    assert_eq!(init["name"], "initdb");
    init["command"][2].as_str().unwrap().to_owned()
}

#[test]
fn an_empty_volume_is_initialised_where_none_was_recorded_and_never_again() {
    let volume = Volume::new("initdb-once");
    assert!(volume.start(None).0);
    assert_eq!(volume.made(), 1);
    assert!(volume.path("pgdata/pg_hba.conf").exists());
    assert!(volume.start(Some("7423")).0, "it is there: nothing is to be done");
    fs::remove_dir_all(volume.path("pgdata")).unwrap();
    let (starts, words) = volume.start(Some("7423"));
    assert!(!starts && words.contains("database 7423 was here"), "{words}");
    assert_eq!(volume.made(), 1);
}

#[test]
fn data_of_another_major_version_is_left_alone() {
    let volume = Volume::new("initdb-version");
    assert!(volume.start(None).0);
    volume.program("postgres", "echo 'postgres (PostgreSQL) 18.1'");
    let (starts, words) = volume.start(Some("7423"));
    assert!(!starts && words.contains("data of Postgres 17"), "{words}");
    assert_eq!(volume.made(), 1);
}
