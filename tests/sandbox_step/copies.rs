//! Steps in a mere change of the root: what they were lent is theirs only for the time being.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rbuild::base::{Masker, Secret};
use rbuild::rootfs::{Change, Snapshot};
use rbuild::sandbox::{
    Cancel, Error, FileMount, Isolation, Lent, Mount, MountKind, Outcome, Source, Spec, run_in_copy,
};

use super::world::{Case, World, at};

pub(crate) const CASES: &[(&str, Case)] = &[
    ("copy_cache", a_link_in_place_of_a_cache_stays_out),
    ("copy_moved", what_a_step_is_lent_is_never_its_own),
];

impl World {
    // A step in a copy of the tree, with a cache at `/c`.
    fn copied(&self, script: &str) -> (Spec, PathBuf) {
        let mut spec = self.spec(script);
        spec.lowers.clear();
        spec.isolation = Isolation::Chroot;
        let mut copy = std::process::Command::new("cp");
        copy.arg("-aT").arg(&self.base).arg(&spec.upper);
        assert!(copy.status().unwrap().success());
        let cache = spec.scratch.with_file_name("cache");
        fs::create_dir(&cache).unwrap();
        fs::write(cache.join("f"), "cached").unwrap();
        let source = Source::Path(cache.clone());
        let kind = MountKind::Cache { source, readonly: false };
        spec.mounts.push(Mount { target: at("/c"), kind });
        (spec, cache)
    }

    fn run_copied(&self, spec: &Spec) -> Result<Lent, Error> {
        let (masker, cancel) = (Masker::new(), Cancel::new());
        let mut said = String::new();
        let (outcome, _, lent) =
            run_in_copy(spec, &self.launcher, &masker, &cancel, &mut |_, line| {
                said.push_str(&String::from_utf8_lossy(line));
                said.push('\n');
            })?;
        assert_eq!(outcome, Outcome::Exited(0), "{said}");
        Ok(lent)
    }
}

fn a_link_in_place_of_a_cache_stays_out(world: &World) {
    for (script, want) in [
        ("echo new >/c/f", Some("new\n")),
        ("mv /c /d; ln -s / /c", None),
        ("mv /c /d; echo x >/c", None),
        ("rm -r /c", None),
    ] {
        let (spec, cache) = world.copied(script);
        world.run_copied(&spec).unwrap();
        let left = fs::symlink_metadata(&cache).ok();
        assert_eq!(left.is_some(), want.is_some(), "{script}");
        assert_eq!(fs::read_to_string(cache.join("f")).ok().as_deref(), want, "{script}");
        assert!(!spec.upper.join("c").exists(), "{script}");
    }
    // A folder that the step has made in its place is the step's own.
    let script = "mv /c /d; mkdir /c; echo x >/c/f";
    let (spec, cache) = world.copied(script);
    world.run_copied(&spec).unwrap();
    assert!(!cache.exists(), "{script}");
    assert_eq!(fs::read_to_string(spec.upper.join("c/f")).unwrap(), "x\n", "{script}");
}

fn what_a_step_is_lent_is_never_its_own(world: &World) {
    for (script, want) in [
        ("mv /dev /d2", &[][..]),
        ("mv /etc /e2; mkdir /etc", &["/e2", "/e2/passwd", "/etc"]),
        ("ln /etc/hosts /h; ln /dev/null /n; mv /proc/meminfo /m; echo x >/own", &["/own"]),
        ("mv /c /c2; rm /etc/hosts; echo own >/own", &["/own"]),
    ] {
        let (spec, _) = world.copied(script);
        let before = Snapshot::take(&spec.upper, world.mode).unwrap();
        let lent = world.run_copied(&spec).unwrap();
        let path = |change: &Change| change.entry.path.to_string();
        let found = before.changes(&spec.upper, &lent.spared, &lent.inodes, world.mode).unwrap();
        let found: Vec<_> = found.iter().map(path).filter(|path| path != "/etc").collect();
        let want: Vec<_> = want.iter().filter(|path| **path != "/etc").collect();
        assert!(found.iter().eq(want), "{script}: {found:?}");
    }
    for (script, kept) in [
        ("cat /a/key", false),
        ("rm /a/key", false),
        ("rm -r /a", false),
        ("ln /a/key /k", true),
        ("mv /a /b", true),
        ("ln /a/key /c/k", true),
    ] {
        let (mut spec, cache) = world.copied(script);
        let content = Arc::new(Secret::new(b"hidden".to_vec()));
        let file = FileMount { content, uid: 0, gid: 0, mode: 0o400 };
        spec.mounts.push(Mount { target: at("/a/key"), kind: MountKind::Secret(file) });
        let ended = world.run_copied(&spec);
        assert_eq!(matches!(ended, Err(Error::Kept(_))), kept, "{script}: {ended:?}");
        assert_eq!(ended.is_ok(), !kept, "{script}");
        for place in [spec.upper.join("k"), spec.upper.join("b/key"), cache.join("k")] {
            assert_eq!(fs::read_to_string(place).unwrap_or_default(), "", "{script}");
        }
    }
}
