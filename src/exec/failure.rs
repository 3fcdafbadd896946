//! Why a build ended without an image.

use std::io;

use crate::base::{Diff, Digest, Span, StepId};
use crate::diag::{Code, Diagnostic, chain};
use crate::image::LayerRef;
use crate::{input, layer, rootfs, sandbox, store};

/// What kind of end it was: callers choose an exit code by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Cause {
    /// A digest did not match.
    Tampered,
    /// A secret would have become part of the image, or another gate closed.
    Refused,
    /// The Dockerfile asks for what only the command line can grant.
    Usage,
    /// A step's command failed.
    Step,
    /// Something that the Dockerfile asks for is not there or not possible.
    Input,
    /// A registry or the network.
    Network,
    /// The host cannot sandbox a step.
    Sandbox,
    /// The store's disk, or a bug of ours.
    Internal,
    /// Somebody interrupted the build.
    Interrupted,
}

/// The end of a build that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What kind.
    pub cause: Cause,
    /// What to tell.
    pub diagnostic: Diagnostic,
    /// The step that failed, if one did.
    pub step: Option<StepId>,
    /// How its command ended: the status, or 128 and the signal's number.
    pub status: Option<i32>,
}

impl Failure {
    /// Makes a failure of this kind.
    pub fn new(cause: Cause, code: &'static str, message: impl Into<String>) -> Self {
        Failure {
            cause,
            diagnostic: Diagnostic::error(Code(code), message),
            step: None,
            status: None,
        }
    }

    /// Sets the step and the place.
    #[must_use]
    pub fn at(mut self, step: StepId, span: Span) -> Self {
        self.step.get_or_insert(step);
        self.diagnostic.span.get_or_insert(span);
        self
    }

    /// Sets the remedy.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.diagnostic.help = Some(text.into());
        self
    }

    /// A layer of a base cannot be read.
    pub fn malformed(layer: &LayerRef, error: &(dyn std::error::Error + 'static)) -> Self {
        let digest = layer.descriptor.digest;
        let text = format!("cannot unpack layer `{digest}`: {}", chain(error));
        Self::new(Cause::Input, "layer-malformed", text)
    }

    /// Fails if the layer's blob unpacked to something else than its image says.
    pub fn unless_same(layer: &LayerRef, found: Digest<Diff>) -> Result<(), Self> {
        if found == layer.diff {
            return Ok(());
        }
        let text = format!(
            "layer `{}` unpacks to `{found}`, but its image says `{}`",
            layer.descriptor.digest, layer.diff
        );
        Err(Self::new(Cause::Tampered, "digest-mismatch", text))
    }

    /// The build stops because something else failed first.
    pub(super) fn stopped() -> Self {
        Self::new(Cause::Interrupted, "stopped", "stopped")
    }
}

/// Makes a failure of what a write to the store says: a full disk is no fault of the Dockerfile.
fn of_write(
    error: &(dyn std::error::Error + 'static),
    otherwise: Cause,
    code: &'static str,
) -> Failure {
    let text = chain(error);
    let is = |kinds: &[io::ErrorKind]| {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.any(|error| {
            error.downcast_ref::<io::Error>().is_some_and(|error| kinds.contains(&error.kind()))
        })
    };
    if is(&[io::ErrorKind::Unsupported]) {
        return Failure::new(Cause::Internal, "store", text).help(
            "the store may lie on a file system without attributes (`user.*`), in which owners are \
             recorded here: choose another one with --root DIR",
        );
    }
    if is(&[io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded]) {
        return Failure::new(Cause::Internal, "disk-full", text)
            .help("make room on the disk of the store, or choose another store with --root DIR");
    }
    Failure::new(otherwise, code, text)
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        let text = chain(&error);
        match error {
            store::Error::Corrupt { .. } | store::Error::Size { .. } => {
                Failure::new(Cause::Tampered, "digest-mismatch", text)
                    .help("remove the store; it is a cache: nothing is lost")
            }
            store::Error::Cancelled(_) => Failure::stopped(),
            error => of_write(&error, Cause::Internal, "store"),
        }
    }
}

impl From<layer::Error> for Failure {
    fn from(error: layer::Error) -> Self {
        of_write(&error, Cause::Internal, "layer")
    }
}

impl From<rootfs::Error> for Failure {
    fn from(error: rootfs::Error) -> Self {
        of_write(&error, Cause::Input, "tree")
    }
}

impl From<rootfs::passwd::UserError> for Failure {
    fn from(error: rootfs::passwd::UserError) -> Self {
        Failure::new(Cause::Input, "user-unknown", chain(&error))
    }
}

impl From<input::BaseError> for Failure {
    fn from(error: input::BaseError) -> Self {
        let failure = Failure::new(cause_of_base(&error), "base-unavailable", chain(&error));
        match error.help() {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

impl From<input::http::Error> for Failure {
    fn from(error: input::http::Error) -> Self {
        use input::http::Error;
        let (text, help) = (chain(&error), error.help());
        let mut failure = match error {
            Error::Checksum { .. } => Failure::new(Cause::Tampered, "digest-mismatch", text),
            Error::Address(_) => Failure::new(Cause::Input, "source-address", text),
            Error::Fetch(_) => Failure::new(Cause::Network, "source-unavailable", text),
            Error::Store(error) => return error.into(),
        };
        failure.diagnostic.help = help;
        failure
    }
}

impl From<input::git::Error> for Failure {
    fn from(error: input::git::Error) -> Self {
        use input::git::Error;
        let (text, help) = (chain(&error), error.help());
        let mut failure = match error {
            Error::Checksum { .. } => Failure::new(Cause::Tampered, "digest-mismatch", text),
            Error::Remote { .. } => Failure::new(Cause::Input, "source-address", text),
            Error::NoRef { .. } | Error::NoSubdir { .. } => {
                Failure::new(Cause::Input, "source-missing", text)
            }
            Error::Interrupted => return Failure::stopped(),
            Error::NoAgent { .. } => Failure::new(Cause::Usage, "ssh-agent", text),
            Error::NoProgram { .. } | Error::Io { .. } => {
                Failure::new(Cause::Internal, "git", text)
            }
            Error::Offline { .. } | Error::Failed { .. } | Error::Limit { .. } => {
                Failure::new(Cause::Network, "source-unavailable", text)
            }
            Error::Store(error) => return error.into(),
        };
        failure.diagnostic.help = help;
        failure
    }
}

/// What kind of failure a base that cannot be had is.
pub fn cause_of_base(error: &input::BaseError) -> Cause {
    match error {
        error if error.is_mismatch() => Cause::Tampered,
        input::BaseError::Store(_) => Cause::Internal,
        _ => Cause::Network,
    }
}

impl From<sandbox::Error> for Failure {
    fn from(error: sandbox::Error) -> Self {
        let text = chain(&error);
        match error {
            sandbox::Error::Exec { .. } | sandbox::Error::Kept(_) => {
                Failure::new(Cause::Step, "step-failed", text)
            }
            sandbox::Error::Setup { .. } => Failure::new(Cause::Sandbox, "sandbox", text),
            sandbox::Error::Lost(_) => Failure::new(Cause::Internal, "sandbox", text),
        }
    }
}

impl From<super::promise::Stopped> for Failure {
    fn from(_: super::promise::Stopped) -> Self {
        Failure::stopped()
    }
}
