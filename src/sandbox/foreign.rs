//! Steps of other architectures: whether this machine runs their programs, and with whose help.
//!
//! What can be run is found by running it: the smallest program of the architecture, from memory. Where
//! that fails, a static emulator of the machine is made the handler of such programs in a `binfmt_misc`
//! of the builder's own user namespace. The kernel opens it once, so no tree has to hold it; the host's
//! handlers are neither used up nor changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::machine::{Machine, is_static};
use crate::base::Platform;
use crate::sys::binfmt;

/// Where emulators are looked for.
#[derive(Clone, Debug, Default)]
pub struct Emulators {
    /// An emulator, or a folder of emulators, that was named; nothing else is looked at then.
    pub named: Option<PathBuf>,
    /// Folders with programs, in order.
    pub folders: Vec<PathBuf>,
}

/// How programs of a platform are run here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Runs {
    /// By the processor itself.
    Natively,
    /// By an emulator: its path, or `None` where the host has a handler of its own.
    Emulated(Option<PathBuf>),
}

/// Why programs of a platform cannot be run here.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ForeignError {
    /// No emulator was found.
    #[error(
        "this machine ({}) does not run programs of {platform}, and no emulator `{name}` was found",
        Platform::host()
    )]
    NoEmulator {
        /// The platform.
        platform: String,
        /// What the emulator is called.
        name: String,
        /// The one that is there, which needs a loader that steps do not have.
        dynamic: Option<PathBuf>,
    },
    /// The platform has no emulator that is known.
    #[error("no emulator for programs of {platform} is known")]
    Unknown {
        /// The platform.
        platform: String,
    },
    /// The named emulator cannot be used.
    #[error("cannot use the emulator `{}`: {cause}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// The kernel takes no handler.
    #[error("cannot tell the kernel of an emulator for {platform}: {cause}")]
    Kernel {
        /// The platform.
        platform: String,
        /// Why not.
        cause: String,
        /// What to do.
        cure: String,
    },
}

impl ForeignError {
    /// Returns what to do.
    pub fn help(&self) -> String {
        let other = "or build this stage on such a machine, or cross-compile in a stage `FROM \
                     --platform=$BUILDPLATFORM` for $TARGETARCH";
        match self {
            ForeignError::NoEmulator { dynamic: Some(path), .. } => format!(
                "`{}` is not static: install the package `qemu-user-static`, or name a static \
                 emulator with --qemu PATH; {other}",
                path.display()
            ),
            ForeignError::NoEmulator { .. } => format!(
                "install the package `qemu-user-static`, or name a static emulator with --qemu PATH; \
                 {other}"
            ),
            ForeignError::Unknown { .. } => format!("choose another platform, {other}"),
            ForeignError::Unusable { .. } => {
                "name a static emulator of this architecture with --qemu PATH".to_owned()
            }
            ForeignError::Kernel { cure, .. } => cure.clone(),
        }
    }
}

/// What this machine runs, found out once per platform. Handlers live as long as this.
#[derive(Debug, Default)]
pub struct Foreign {
    emulators: Emulators,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    registry: Option<binfmt::Registry>,
    answers: BTreeMap<Platform, Result<Runs, ForeignError>>,
}

impl Foreign {
    /// Makes one that has not looked yet.
    pub fn new(emulators: Emulators) -> Self {
        Foreign { emulators, known: Mutex::default() }
    }

    /// Tells how programs of `platform` are run, after having made sure that they are. To be called
    /// in the builder's user namespace.
    pub fn prepare(&self, platform: &Platform) -> Result<Runs, ForeignError> {
        let host = Platform::host();
        if platform.architecture == host.architecture || platform.os != host.os {
            return Ok(Runs::Natively);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known.answers.get(platform) {
            return answer.clone();
        }
        let answer = self.look(platform, &mut known.registry);
        known.answers.insert(platform.clone(), answer.clone());
        answer
    }

    fn look(
        &self,
        platform: &Platform,
        registry: &mut Option<binfmt::Registry>,
    ) -> Result<Runs, ForeignError> {
        let machine = Machine::of(platform)
            .ok_or_else(|| ForeignError::Unknown { platform: platform.to_string() })?;
        let probe = machine.probe();
        let runs = binfmt::run_bytes(&probe).is_ok_and(|ended| ended.code() == Some(1));
        if self.emulators.named.is_none() && runs {
            return Ok(match is_sibling(platform) {
                true => Runs::Natively,
                false => Runs::Emulated(None),
            });
        }
        let emulator = self.find(platform, machine)?;
        let kernel = |error: &io::Error| refused(platform, error);
        if registry.is_none() {
            *registry = Some(binfmt::Registry::open().map_err(|error| kernel(&error))?);
        }
        let Some(registry) = registry else { return Err(kernel(&io::ErrorKind::NotFound.into())) };
        let (magic, mask) = machine.magic();
        let unusable = |cause: String| ForeignError::Unusable { path: emulator.clone(), cause };
        // Programs are to find the name by which they were called; what an older emulator makes of
        // that is one argument too many. Of two handlers the kernel asks the younger.
        let mut last = String::new();
        for named in [true, false] {
            let name = format!("{}{}", machine.qemu, if named { "" } else { "-unnamed" });
            registry
                .register(&name, &magic, &mask, &emulator, named)
                .map_err(|error| unusable(error.to_string()))?;
            match binfmt::run_bytes(&probe) {
                Ok(ended) if ended.code() == Some(1) => {
                    return Ok(Runs::Emulated(Some(emulator)));
                }
                Ok(ended) => last = format!("it ended with {ended}"),
                Err(error) => last = error.to_string(),
            }
        }
        Err(unusable(format!("a program of {platform} does not run by it: {last}")))
    }

    fn find(&self, platform: &Platform, machine: &Machine) -> Result<PathBuf, ForeignError> {
        let names = [format!("qemu-{}-static", machine.qemu), format!("qemu-{}", machine.qemu)];
        let folders = match &self.emulators.named {
            Some(named) if !named.is_dir() => {
                let unusable =
                    |cause: String| ForeignError::Unusable { path: named.clone(), cause };
                return match beginning(named) {
                    Err(error) => Err(unusable(error.to_string())),
                    Ok(start) if !is_static(&start) => {
                        Err(unusable("it is not a static program of this machine".into()))
                    }
                    Ok(_) => Ok(named.clone()),
                };
            }
            Some(named) => std::slice::from_ref(named),
            None => &self.emulators.folders,
        };
        let mut dynamic = None;
        for name in &names {
            // A relative folder is one of the context as well: nothing is run from there.
            for folder in folders.iter().filter(|folder| folder.is_absolute()) {
                let path = folder.join(name);
                match beginning(&path) {
                    Ok(start) if is_static(&start) => return Ok(path),
                    Ok(_) => dynamic = dynamic.or(Some(path)),
                    Err(_) => {}
                }
            }
        }
        let [name, _] = names;
        Err(ForeignError::NoEmulator { platform: platform.to_string(), name, dynamic })
    }
}

/// Tells whether processors of this machine's kind may run programs of this platform by themselves.
fn is_sibling(platform: &Platform) -> bool {
    let pair = (Platform::host().architecture, platform.architecture.as_str());
    matches!((pair.0.as_str(), pair.1), ("amd64", "386") | ("arm64", "arm"))
}

fn refused(platform: &Platform, error: &io::Error) -> ForeignError {
    let (cause, cure) = match error.kind() {
        io::ErrorKind::PermissionDenied => (
            "this kernel has no `binfmt_misc` of a user namespace's own (Linux 6.7)",
            "use a newer kernel, or let root register the emulator for the whole host: \
             apt-get install binfmt-support qemu-user-static",
        ),
        _ if error.raw_os_error() == Some(binfmt::NO_DEVICE) => (
            "this kernel has no `binfmt_misc`, or has not loaded it",
            "as root: modprobe binfmt_misc",
        ),
        _ => ("mount `binfmt_misc`", "look at the kernel's log"),
    };
    let cause = format!("{cause}: {error}");
    ForeignError::Kernel { platform: platform.to_string(), cause, cure: cure.to_owned() }
}

// The headers of a program lie in its first page.
fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(4096).read_to_end(&mut start)?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm64() -> Platform {
        Platform::parse(if cfg!(target_arch = "aarch64") { "riscv64" } else { "arm64" }).unwrap()
    }

    #[test]
    fn own_programs_need_nobody() {
        let foreign = Foreign::default();
        let host = Platform::host();
        let variant = Platform::new("linux", &host.architecture, Some("v9"));
        for platform in [host, variant] {
            assert_eq!(foreign.prepare(&platform).unwrap(), Runs::Natively);
        }
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let check = |named: PathBuf, want: &str| {
            let emulators = Emulators { named: Some(named), folders: Vec::new() };
            let error = Foreign::new(emulators).prepare(&arm64()).unwrap_err();
            let told = format!("{error}; {}", error.help());
            assert!(told.contains(want), "{told}");
        };
        check(folder.path().join("absent"), "No such file");
        check(folder.path().to_owned(), "qemu-user-static");
        let script = folder.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        check(script, "not a static program");
        let name = Machine::of(&arm64()).unwrap().qemu;
        std::fs::write(folder.path().join(format!("qemu-{name}")), "#!/bin/sh\n").unwrap();
        check(folder.path().to_owned(), "is not static");
    }
}
