//! Instructions to a plan: which stages are needed, what each step does, what the image says.
//!
//! Names become ids, words become strings, metadata instructions end here in a config. A [`Plan`]
//! holds what its target needs and nothing else; each step is complete, so that `exec` needs the
//! plan and files. Pure: the configs of bases are asked from a [`BaseLookup`].

mod environment;
mod fold;
mod mounts;
mod op;
mod resolve;
mod state;
mod transfer;
mod unused;

pub use environment::Environment;
pub use op::{
    Copy, From, InlineFile, Mount, MountKind, Op, Run, Sharing, Source, StepFile, Workdir,
};
pub use resolve::{TRIGGER_LIMIT, trigger};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{
    Arena, Id, ImageRef, PinnedRef, Platform, Span, StageId, StageMark, StepId, StepMark,
};
use crate::diag::{Diagnostic, Sources};
use crate::dockerfile::Dockerfile;
use crate::image;
use crate::instruction::{self, Instruction};

/// The most stages of a file.
pub const STAGE_LIMIT: usize = 1000;

/// The PATH of an image that has none, as Docker and BuildKit set it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is asked of a plan, besides the file.
#[derive(Clone, Debug)]
pub struct Request {
    /// `--target`: a stage by name or number; else the last one.
    pub target: Option<String>,
    /// `--build-arg`. `None` is `--build-arg NAME` of a name that the caller's environment does not
    /// have: it has no effect.
    pub build_args: BTreeMap<String, Option<String>>,
    /// The platform of the image.
    pub platform: Platform,
    /// The platform that steps run on.
    pub build_platform: Platform,
    /// `--build-context NAME=…`: each replaces the stage and the image of its name.
    pub named_contexts: BTreeMap<String, NamedContext>,
    /// `--label`: set last, over those of the file.
    pub labels: BTreeMap<String, String>,
}

impl Request {
    /// Asks for the last stage, for one platform, with nothing else given.
    pub fn new(platform: Platform) -> Self {
        Request {
            target: None,
            build_args: BTreeMap::new(),
            build_platform: platform.clone(),
            platform,
            named_contexts: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// What a named context is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NamedContext {
    /// An image: `docker-image://`, `oci-layout://`.
    Image,
    /// Files: a folder, an archive, a repository.
    Files,
}

/// An image that the plan asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The name as written, expanded. Of a named context, the key in [`Request::named_contexts`].
    pub name: String,
    /// The reference; `None` if a named context stands in for it.
    pub reference: Option<ImageRef>,
    /// The platform.
    pub platform: Platform,
    /// Where it is asked for.
    pub span: Span,
}

/// What a [`BaseLookup`] knows.
#[derive(Clone, Debug)]
pub enum Found {
    /// The image.
    Image {
        /// Name and digest; `None` when it comes from a layout or an archive.
        pinned: Option<PinnedRef>,
        /// Its documents and layers.
        image: Arc<image::Image>,
    },
    /// Nothing: it was not looked up. Such a plan can be judged, but not executed.
    Unread,
}

/// Answers what a base is. Asked once for each name and platform.
pub trait BaseLookup {
    /// Returns the image, or says why it cannot be had.
    fn base(&self, wanted: &Wanted) -> Result<Found, Diagnostic>;
}

impl<F: Fn(&Wanted) -> Result<Found, Diagnostic>> BaseLookup for F {
    fn base(&self, wanted: &Wanted) -> Result<Found, Diagnostic> {
        self(wanted)
    }
}

/// Marks the ids of base images.
#[derive(Clone, Copy, Debug)]
pub enum BaseMark {}
/// Names an image that a plan reads.
pub type BaseId = Id<BaseMark>;

/// An image that the plan reads: a base, or the source of a COPY or a mount.
#[derive(Clone, Debug)]
pub struct BaseImage {
    /// What was asked for.
    pub wanted: Wanted,
    /// Name and digest; `None` when it comes from a layout or an archive.
    pub pinned: Option<PinnedRef>,
    /// The image; `None` when it was not looked up.
    pub image: Option<Arc<image::Image>>,
}

/// What a stage begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// The result of an earlier stage.
    Stage(StageId),
    /// An image.
    Image(BaseId),
    /// The files of a named context, over nothing. The first step of the stage copies them.
    Files(String),
    /// An image that was not looked up.
    Unread {
        /// Its name.
        name: String,
    },
}

/// One entry of the image's history, in the order of the history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    /// What made it, as `docker history` shows it.
    pub created_by: String,
    /// A remark.
    pub comment: String,
    /// The step whose layer it tells of; `None` for an entry without a layer.
    pub step: Option<StepId>,
}

/// A build argument, where it is declared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// What it is from there on: given, inherited, or the default; `None` if it is not set.
    pub value: Option<String>,
    /// The ARG instruction.
    pub span: Span,
}

/// A stage that the target needs.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its number in the file, from 0.
    pub index: usize,
    /// Its name as written.
    pub name: Option<String>,
    /// What it begins with.
    pub base: Base,
    /// Its platform.
    pub platform: Platform,
    /// Its own steps, in order; triggers of the base first. Those of stages below are not in it.
    pub steps: Vec<StepId>,
    /// The config at its end.
    pub config: image::RunConfig,
    /// The author at its end.
    pub author: Option<String>,
    /// The history above the base image's: of all stages below, then its own.
    pub history: Vec<History>,
    /// The build arguments that it declares itself, in order.
    pub arguments: Vec<Argument>,
    /// The FROM instruction.
    pub span: Span,
    /// The same, as it is written.
    pub from: instruction::From,
    /// The triggers of the base, which stand before its own instructions.
    pub triggers: Vec<Instruction>,
}

/// One unit of execution: makes one layer.
#[derive(Clone, Debug)]
pub struct Step {
    /// The stage.
    pub stage: StageId,
    /// What to do.
    pub op: Op,
    /// The instruction in a line, for people.
    pub title: String,
    /// The instruction.
    pub span: Span,
    /// Its entry in the stage's history.
    pub history: usize,
}

/// What to do, in an order that can be followed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The needed stages: each after all that it reads from.
    pub stages: Arena<StageMark, Stage>,
    /// The steps: each after all that it reads from.
    pub steps: Arena<StepMark, Step>,
    /// The images that are read.
    pub bases: Arena<BaseMark, BaseImage>,
    /// The stage that becomes the image.
    pub target: StageId,
    /// The build arguments that are declared before the first FROM.
    pub arguments: Vec<Argument>,
    /// What is odd, but no error.
    pub warnings: Vec<Diagnostic>,
}

impl Plan {
    /// Returns the chain of stages from the one over the image's base to `stage` itself. All steps
    /// of these, in this order, make the layers above the base.
    pub fn chain(&self, stage: StageId) -> Vec<StageId> {
        let mut chain = vec![stage];
        let mut at = stage;
        while let Base::Stage(below) = self.stages[at].base {
            chain.push(below);
            at = below;
        }
        chain.reverse();
        chain
    }

    /// Returns the image at the bottom of a stage, if there is one that was looked up.
    pub fn base_image(&self, stage: StageId) -> Option<&BaseImage> {
        let bottom = *self.chain(stage).first()?;
        match &self.stages[bottom].base {
            Base::Image(id) => Some(&self.bases[*id]),
            _ => None,
        }
    }
}

/// Makes the plan. All errors are reported at once, in the order of the text.
///
/// `instructions` are those of `file`, in order. Triggers of a base get a text of their own in
/// `sources`, named after the base.
pub fn plan(
    file: &Dockerfile,
    instructions: &[Instruction],
    request: &Request,
    bases: &dyn BaseLookup,
    sources: &mut Sources,
) -> Result<Plan, Vec<Diagnostic>> {
    fold::plan(file, instructions, request, bases, sources)
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod mutation;
#[cfg(test)]
mod tests;
