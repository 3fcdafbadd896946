//! Flags about how RUN steps are run.

use std::path::PathBuf;

use rbuild::exec::StepTerms;
use rbuild::sandbox::Emulators;

use super::environment;
use super::shared::Stop;

/// `--qemu` and its like.
#[derive(clap::Args, Debug)]
pub(crate) struct StepArgs {
    /// The emulator for steps of another architecture: a static `qemu-…`, or a folder of them
    /// [default: the folders of $PATH]
    #[arg(long, value_name = "PATH", env = "RBUILD_QEMU")]
    qemu: Option<PathBuf>,
}

impl StepArgs {
    /// Understands the flags.
    pub(crate) fn terms(&self) -> Result<StepTerms, Stop> {
        Ok(StepTerms { emulators: self.emulators()? })
    }

    fn emulators(&self) -> Result<Emulators, Stop> {
        let named = match &self.qemu {
            None => None,
            Some(path) => {
                let wrong = |error| Stop::usage(format!("--qemu `{}`: {error}", path.display()));
                Some(std::path::absolute(path).map_err(wrong)?)
            }
        };
        Ok(Emulators { named, ..emulators() })
    }
}

/// Where emulators lie on this machine.
pub(crate) fn emulators() -> Emulators {
    let path = environment::variable("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // A cron job or a service has a short PATH.
    for folder in ["/usr/bin", "/usr/local/bin", "/usr/libexec/qemu-binfmt"] {
        if !folders.iter().any(|other| other == std::path::Path::new(folder)) {
            folders.push(folder.into());
        }
    }
    Emulators { named: None, folders }
}
