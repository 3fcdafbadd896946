//! A step as a list of operations, made by a pure function: what is done, in which order, can be
//! printed and compared. `init` performs it.

use super::isolation::Keeping;
use super::spec::{Hardening, MountKind, Network, Spec, Ulimit, User};
use crate::base::ImagePath;
use crate::sys::IdMode;

/// Bytes that travel as JSON: each byte is the character with its number.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Raw(pub(super) Vec<u8>);

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl serde::Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0.iter().map(|byte| char::from(*byte)).collect::<String>())
    }
}

impl<'de> serde::Deserialize<'de> for Raw {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(from)?;
        let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
        bytes.map(Raw).map_err(serde::de::Error::custom)
    }
}

impl From<&ImagePath> for Raw {
    fn from(path: &ImagePath) -> Self {
        Raw(path.as_bytes().to_vec())
    }
}

impl Raw {
    /// The path of an image that this is; what is no such path becomes the root, which no operation
    /// mounts on.
    pub(super) fn path(&self) -> ImagePath {
        ImagePath::from_entry(&self.0).unwrap_or_else(|_| ImagePath::root())
    }
}

fn path(text: &str) -> Raw {
    Raw(text.as_bytes().to_vec())
}

/// One operation of the step's first process. Numbers stand for descriptors and byte strings that
/// travel beside the list.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Setup {
    /// Names the machine.
    Hostname(String),
    /// Brings the loopback device of a new network namespace up.
    Loopback,
    /// Makes a place for the files that are mounted one by one, and attaches the tree there.
    Root,
    /// A fresh procfs of the step's pid namespace.
    Proc,
    /// The `/proc` of outside, where a fresh one is refused.
    HostProc,
    /// A sysfs of the step's own network namespace, read-only.
    Sysfs,
    /// The host's /sys, read-only.
    HostSys,
    /// An empty folder in memory.
    Tmpfs { target: Raw, size: Option<u64>, mode: u32, of_builder: bool },
    /// A device node of the host.
    Node { target: Raw, major: u32, minor: u32 },
    /// Terminals of the step's own; the group that owns them.
    Pts { group: Option<u32> },
    /// Message queues of the step's own, where the kernel has them.
    Mqueue,
    /// A symlink.
    Link { at: Raw, to: Raw },
    /// Hides a file or folder, if it is there.
    Mask(Raw),
    /// Forbids writing to a file or folder, if it is there.
    ReadOnly(Raw),
    /// A file of the builder that the step may write to; nothing of it is kept.
    Note { target: Raw, bytes: usize },
    /// A file in memory that is never swapped, read-only.
    File { target: Raw, bytes: usize, uid: u32, gid: u32, mode: u32 },
    /// A mount that the builder made.
    Attach { target: Raw, fd: usize },
    /// Makes the tree the root, and lets go of the host's.
    Pivot,
}

/// All that the step's first process is told, but for secrets and descriptors.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Orders {
    pub(super) setup: Vec<Setup>,
    pub(super) argv: Vec<Raw>,
    pub(super) env: Vec<(String, String)>,
    /// Names, and numbers of byte strings.
    pub(super) secret_env: Vec<(String, usize)>,
    pub(super) cwd: Raw,
    pub(super) user: User,
    pub(super) id_mode: IdMode,
    pub(super) hardening: Hardening,
    pub(super) ulimits: Vec<Ulimit>,
    pub(super) own_network: bool,
    pub(super) keeping: Keeping,
    /// What the command does is told, act by act.
    pub(super) audit: bool,
    /// Milliseconds that its processes may outlive it then, before they are told of.
    pub(super) grace: u64,
}

pub(super) const LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

// linux/Documentation/admin-guide/devices.txt
pub(super) const NODES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Byte strings and descriptors, numbered in the order in which [`orders`] meets them: first those
/// of the mounts in order of targets, then those of the environment.
pub(super) struct Numbers<'a> {
    /// The byte strings.
    pub(super) bytes: Vec<&'a [u8]>,
    /// Which mounts of the spec need a descriptor from the builder.
    pub(super) mounts: Vec<&'a MountKind>,
}

/// Number of the first descriptor that is a mount; 0 is the tree, 1 the folder that it writes to.
pub(super) const FIRST_MOUNT: usize = 2;

/// Makes the list for `spec`.
pub(super) fn orders(spec: &Spec) -> (Orders, Numbers<'_>) {
    let mut numbers = Numbers { bytes: Vec::new(), mounts: Vec::new() };
    let own_network = spec.network == Network::None;
    let keeping = spec.isolation.keeping();
    if keeping == Keeping::Chroot {
        // The builder has put all in place; there is nothing to mount.
        return (finish(spec, vec![Setup::Root], &mut numbers), numbers);
    }
    let mut setup = vec![Setup::Hostname(spec.hostname.clone())];
    if own_network {
        setup.push(Setup::Loopback);
    }
    setup.push(Setup::Root);
    setup.push(match keeping {
        Keeping::PidNamespace => Setup::Proc,
        Keeping::Subreaper | Keeping::Chroot => Setup::HostProc,
    });
    setup.push(if own_network { Setup::Sysfs } else { Setup::HostSys });
    let tmpfs = |target, size, mode| Setup::Tmpfs { target, size, mode, of_builder: true };
    setup.push(tmpfs(path("/dev"), Some(64 << 10), 0o755));
    setup.extend(NODES.map(|(at, major, minor)| Setup::Node { target: path(at), major, minor }));
    // Group 5 is `tty` everywhere; without it in the map the mount is refused.
    setup.push(Setup::Pts { group: spec.id_mode.has_many().then_some(5) });
    setup.push(tmpfs(path("/dev/shm"), Some(spec.shm_size), 0o1777));
    setup.push(Setup::Mqueue);
    setup.extend(LINKS.map(|(at, to)| Setup::Link { at: path(at), to: path(to) }));
    if spec.hardening != Hardening::Insecure {
        setup.extend(MASKED.map(|at| Setup::Mask(path(at))));
        setup.extend(READ_ONLY.map(|at| Setup::ReadOnly(path(at))));
    }
    for (at, content) in [
        ("/etc/resolv.conf", spec.resolv_conf.as_slice()),
        ("/etc/hosts", &spec.hosts),
        ("/etc/hostname", spec.hostname.as_bytes()),
    ] {
        setup.push(Setup::Note { target: path(at), bytes: numbers.bytes(content) });
    }
    let mut mounts: Vec<_> = spec.mounts.iter().collect();
    // What lies deeper is mounted later, whatever the order of the file; else it would be hidden.
    mounts.sort_by_key(|mount| mount.target.components().count());
    for mount in mounts {
        let target = Raw::from(&mount.target);
        setup.push(match &mount.kind {
            kind @ (MountKind::Bind { .. } | MountKind::Cache { .. } | MountKind::Device(_)) => {
                numbers.mounts.push(kind);
                Setup::Attach { target, fd: FIRST_MOUNT + numbers.mounts.len() - 1 }
            }
            MountKind::Tmpfs { size } => {
                Setup::Tmpfs { target, size: *size, mode: 0o1777, of_builder: false }
            }
            MountKind::Secret(file) => Setup::File {
                target,
                bytes: numbers.bytes(file.content.expose()),
                uid: file.uid,
                gid: file.gid,
                mode: file.mode,
            },
            MountKind::File(file) => Setup::File {
                target,
                bytes: numbers.bytes(&file.content),
                uid: file.uid,
                gid: file.gid,
                mode: file.mode,
            },
        });
    }
    setup.push(Setup::Pivot);
    (finish(spec, setup, &mut numbers), numbers)
}

/// Tells whether what the command does can be told. Who traces it has to be its first process, whose end
/// ends all others.
pub(super) fn is_audited(spec: &Spec) -> bool {
    spec.terms.audit && spec.isolation.keeping() == Keeping::PidNamespace
}

fn finish<'a>(spec: &'a Spec, setup: Vec<Setup>, numbers: &mut Numbers<'a>) -> Orders {
    let secret_env = spec
        .secret_env
        .iter()
        .map(|(name, secret)| (name.clone(), numbers.bytes(secret.expose())))
        .collect();
    Orders {
        setup,
        argv: spec.argv.iter().cloned().map(Raw).collect(),
        env: spec.env.clone(),
        secret_env,
        cwd: Raw::from(&spec.cwd),
        user: spec.user.clone(),
        id_mode: spec.id_mode,
        hardening: spec.hardening,
        ulimits: spec.ulimits.clone(),
        own_network: spec.network == Network::None,
        keeping: spec.isolation.keeping(),
        audit: is_audited(spec),
        grace: u64::try_from(spec.terms.grace.as_millis()).unwrap_or(u64::MAX),
    }
}

impl<'a> Numbers<'a> {
    fn bytes(&mut self, bytes: &'a [u8]) -> usize {
        self.bytes.push(bytes);
        self.bytes.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use expect_test::{Expect, expect};

    use super::super::spec::{FileMount, Mount, Source};
    use super::*;
    use crate::base::Secret;

    fn spec() -> Spec {
        Spec {
            lowers: vec!["/s/a".into()],
            upper: "/s/upper".into(),
            work: "/s/work".into(),
            scratch: "/s/scratch".into(),
            argv: vec![b"true".to_vec()],
            env: Vec::new(),
            secret_env: Vec::new(),
            cwd: ImagePath::root(),
            user: User::default(),
            mounts: Vec::new(),
            network: Network::Host,
            hostname: "buildkitsandbox".into(),
            hosts: b"127.0.0.1 localhost\n".to_vec(),
            resolv_conf: Vec::new(),
            id_mode: IdMode::Range,
            isolation: super::super::Isolation::Namespaces,
            hardening: Hardening::Docker,
            shm_size: 64 << 20,
            ulimits: Vec::new(),
            terms: super::super::Terms::default(),
        }
    }

    fn check(spec: &Spec, want: &Expect) {
        let (orders, _) = orders(spec);
        let text: Vec<String> = orders.setup.iter().map(|one| format!("{one:?}\n")).collect();
        want.assert_eq(&text.concat());
    }

    #[test]
    fn the_list_of_a_plain_step() {
        check(
            &spec(),
            &expect![[r#"
            Hostname("buildkitsandbox")
            Root
            Proc
            HostSys
            Tmpfs { target: /dev, size: Some(65536), mode: 493, of_builder: true }
            Node { target: /dev/null, major: 1, minor: 3 }
            Node { target: /dev/zero, major: 1, minor: 5 }
            Node { target: /dev/full, major: 1, minor: 7 }
            Node { target: /dev/random, major: 1, minor: 8 }
            Node { target: /dev/urandom, major: 1, minor: 9 }
            Node { target: /dev/tty, major: 5, minor: 0 }
            Pts { group: Some(5) }
            Tmpfs { target: /dev/shm, size: Some(67108864), mode: 1023, of_builder: true }
            Mqueue
            Link { at: /dev/fd, to: /proc/self/fd }
            Link { at: /dev/stdin, to: /proc/self/fd/0 }
            Link { at: /dev/stdout, to: /proc/self/fd/1 }
            Link { at: /dev/stderr, to: /proc/self/fd/2 }
            Link { at: /dev/ptmx, to: pts/ptmx }
            Mask(/proc/acpi)
            Mask(/proc/asound)
            Mask(/proc/interrupts)
            Mask(/proc/kcore)
            Mask(/proc/keys)
            Mask(/proc/latency_stats)
            Mask(/proc/sched_debug)
            Mask(/proc/scsi)
            Mask(/proc/timer_list)
            Mask(/proc/timer_stats)
            Mask(/sys/firmware)
            Mask(/sys/devices/virtual/powercap)
            ReadOnly(/proc/bus)
            ReadOnly(/proc/fs)
            ReadOnly(/proc/irq)
            ReadOnly(/proc/sys)
            ReadOnly(/proc/sysrq-trigger)
            Note { target: /etc/resolv.conf, bytes: 0 }
            Note { target: /etc/hosts, bytes: 1 }
            Note { target: /etc/hostname, bytes: 2 }
            Pivot
        "#]],
        );
    }

    #[test]
    fn an_insecure_step_hides_nothing() {
        let (all, _) = orders(&spec());
        let (orders, _) = orders(&Spec { hardening: Hardening::Insecure, ..spec() });
        let hides = |one: &Setup| matches!(one, Setup::Mask(_) | Setup::ReadOnly(_));
        let rest: Vec<_> = all.setup.into_iter().filter(|one| !hides(one)).collect();
        assert_eq!(orders.setup, rest);
    }

    #[test]
    fn mounts_stand_between_the_files_and_the_pivot() {
        let at = |text: &str| ImagePath::from_entry(text.as_bytes()).unwrap();
        let secret = FileMount {
            content: Arc::new(Secret::new(b"hunter2".to_vec())),
            uid: 5,
            gid: 6,
            mode: 0o400,
        };
        let bind = MountKind::Bind { source: Source::Path("/ctx".into()), writable: false };
        let mut spec = spec();
        spec.mounts = vec![
            Mount { target: at("m/d"), kind: MountKind::Tmpfs { size: Some(5) } },
            Mount { target: at("m"), kind: bind },
            Mount { target: at("run/secrets/tok"), kind: MountKind::Secret(secret) },
        ];
        spec.network = Network::None;
        spec.id_mode = IdMode::Single;
        let (orders, numbers) = orders(&spec);
        assert_eq!(numbers.mounts.len(), 1);
        assert!(numbers.bytes.contains(&b"hunter2".as_slice()));
        let json = serde_json::to_string(&orders).unwrap();
        assert!(!json.contains("hunter2"));
        let own: Vec<_> = orders
            .setup
            .iter()
            .filter(|one| !matches!(one, Setup::Mask(_) | Setup::ReadOnly(_) | Setup::Link { .. }))
            .map(|one| format!("{one:?}\n"))
            .collect();
        expect![[r#"
            Hostname("buildkitsandbox")
            Loopback
            Root
            Proc
            Sysfs
            Tmpfs { target: /dev, size: Some(65536), mode: 493, of_builder: true }
            Node { target: /dev/null, major: 1, minor: 3 }
            Node { target: /dev/zero, major: 1, minor: 5 }
            Node { target: /dev/full, major: 1, minor: 7 }
            Node { target: /dev/random, major: 1, minor: 8 }
            Node { target: /dev/urandom, major: 1, minor: 9 }
            Node { target: /dev/tty, major: 5, minor: 0 }
            Pts { group: None }
            Tmpfs { target: /dev/shm, size: Some(67108864), mode: 1023, of_builder: true }
            Mqueue
            Note { target: /etc/resolv.conf, bytes: 0 }
            Note { target: /etc/hosts, bytes: 1 }
            Note { target: /etc/hostname, bytes: 2 }
            Attach { target: /m, fd: 2 }
            Tmpfs { target: /m/d, size: Some(5), mode: 1023, of_builder: false }
            File { target: /run/secrets/tok, bytes: 3, uid: 5, gid: 6, mode: 256 }
            Pivot
        "#]]
        .assert_eq(&own.concat());
    }

    #[test]
    fn every_byte_travels() {
        let all = Raw((0..=255).collect());
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Raw>(&text).unwrap(), all);
        assert!(serde_json::from_str::<Raw>("\"\u{100}\"").is_err());
    }
}
