//! A plan to an image: order, cache, snapshots.
//!
//! Stages run side by side, each on a thread of its own; a stage that needs another one waits for
//! it. A step's key holds the *results* of what it reads, so a step that rebuilds to the same bytes
//! leaves everything after it cached. A layer is packed by another thread while later steps already
//! run; layers of stages that do not ship are hashed for the keys, but never compressed.
//!
//! ```text
//! key of the operation ──no record of it──▶ run ──▶ tree ──▶ next step
//!        │ some record                        └──▶ pack (tar, hash, compress, hash) ──▶ record
//!        ▼
//! wait for the parents' digests ──▶ key ──▶ hit: nothing runs
//! ```

mod again;
mod assemble;
mod authorities;
mod behaviour;
mod copied;
mod copy;
mod failure;
mod foresee;
mod grants;
mod key;
mod mounts;
mod pack;
mod place;
mod promise;
mod recall;
mod run;
mod search;
mod ssh;
mod stack;
mod stage;
mod taken;
mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use failure::{Cause, Failure, cause_of_base};
pub use foresee::{Foreseen, foresee};
pub use grants::{GrantError, Grants};
pub use recall::recall;
pub use ssh::{Agent, AgentSocket, KEY_LIMIT, KeyError, Keyring};
pub use terms::StepTerms;

use crate::base::{Diff, Digest, Secret, StepId, Timestamp};
use crate::event::Events;
use crate::facts::{Conduct, Leak};
use crate::image::{Image, LayerRef};
use crate::input::git::Tools;
use crate::input::{BaseImage, Context};
use crate::layer::Compression;
use crate::plan::{BaseId, Plan};
use crate::registry::Registry;
use crate::rootfs::Stacking;
use crate::sandbox::{Cancel, Hardening, Isolation, Launcher, Ulimit};
use crate::store::Store;
use crate::sys::IdMode;

/// How times are written into layers, config and history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Times {
    /// Everything that this build makes has this one time.
    Fixed(Timestamp),
    /// Copied files keep theirs, RUN's files have the clock's; the image was made at this time.
    Preserve(Timestamp),
}

impl Times {
    /// When the image was made.
    pub fn created(self) -> Timestamp {
        match self {
            Times::Fixed(time) | Times::Preserve(time) => time,
        }
    }
}

/// How a plan is carried out.
#[derive(Debug)]
pub struct Options {
    /// Steps that run at once (at least 1).
    pub jobs: usize,
    /// Threads that compress one layer, or unpack (at least 1).
    pub threads: usize,
    /// Cache records are not read.
    pub no_cache: bool,
    /// Stages, by their number in the file, whose steps' cache records are not read.
    pub no_cache_stages: BTreeSet<usize>,
    /// Times in the image.
    pub times: Times,
    /// How layers are packed.
    pub compression: Compression,
    /// The layers above the base become one.
    pub squash: bool,
    /// Steps without a `--network` of their own have none.
    pub no_network: bool,
    /// The same, for the stages that become the image.
    pub no_network_in_final: bool,
    /// What steps were granted by name (`--allow`).
    pub grants: Grants,
    /// Secrets by id.
    pub secrets: BTreeMap<String, Arc<Secret>>,
    /// Ssh agents and keys by id. A step gets a socket of its own, which lists and signs only.
    pub ssh: BTreeMap<String, Agent>,
    /// How much steps may do.
    pub hardening: Hardening,
    /// Content of `/etc/hosts` in steps.
    pub hosts: Vec<u8>,
    /// Content of `/etc/resolv.conf` in steps.
    pub resolv_conf: Vec<u8>,
    /// Bytes of `/dev/shm` in steps.
    pub shm_size: u64,
    /// Limits of steps.
    pub ulimits: Vec<Ulimit>,
    /// What steps are run with and watched for.
    pub terms: StepTerms,
    /// A secret found in a file of a layer ends the build; otherwise it is reported.
    pub leak_is_error: bool,
    /// Tables of the layers' files are made, for rules and audits.
    pub tables: bool,
    /// What the Dockerfile is called: where the last build of it is remembered, for telling what
    /// has changed since.
    pub name: String,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
}

/// What the execution uses.
pub struct Services<'a> {
    /// Bytes, trees and records.
    pub store: &'a Store,
    /// For layers of bases that are not in the store.
    pub registry: &'a Registry,
    /// For repositories.
    pub git: &'a Tools,
    /// Who hears what happens.
    pub events: &'a Events,
    /// Stops everything.
    pub cancel: &'a Cancel,
    /// What starts steps.
    pub launcher: &'a Launcher,
    /// Which ids there are.
    pub id_mode: IdMode,
    /// How those ids are mapped, as `/proc/self/uid_map` and `gid_map` tell it; `None` where this process
    /// has them already.
    pub id_maps: Option<String>,
    /// How layers are seen as one tree: asked once, and only if a tree is needed.
    pub stacking: &'a (dyn Fn() -> Stacking + Sync + 'a),
    /// What stands around a step.
    pub isolation: Isolation,
    /// The build context; `None` if there is none (a Dockerfile alone).
    pub context: Option<&'a Context>,
    /// Named contexts that are files.
    pub named: &'a BTreeMap<String, Context>,
    /// The images of the plan, as they were resolved.
    pub bases: &'a BTreeMap<BaseId, Arc<BaseImage>>,
}

/// One layer of the result.
#[derive(Clone, Debug)]
pub struct BuiltLayer {
    /// The layer.
    pub layer: LayerRef,
    /// The step that made it; `None` for a layer of the base.
    pub step: Option<StepId>,
    /// Bytes of its tar, where known.
    pub size: Option<u64>,
    /// Of a layer that was squashed of several: their steps and diff ids, the lowest first.
    pub parts: Vec<(StepId, Digest<Diff>)>,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Built {
    /// The image. Its blobs (layers, config, manifest) are in the store.
    pub image: Image,
    /// Its layers, bottom first.
    pub layers: Vec<BuiltLayer>,
    /// Secrets that were found in files, by step. Empty when a leak is an error.
    pub leaks: Vec<(StepId, Leak)>,
    /// How RUN steps went.
    pub conduct: BTreeMap<StepId, Conduct>,
}

/// Carries out a plan whose bases are all resolved.
///
/// The first failure stops the rest. Whatever happens, no process of a step is left, and the store
/// holds complete things only.
pub fn run(plan: &Plan, options: &Options, services: &Services<'_>) -> Result<Built, Failure> {
    options.grants.check(plan)?;
    stage::Execution::new(plan, options, services, None).run()
}

/// As [`run`]; `suffers` is asked about each RUN step that is done or was in the store, and `false`
/// ends the build there, with nothing of the step kept.
pub fn run_judged(
    plan: &Plan,
    options: &Options,
    services: &Services<'_>,
    suffers: &(dyn Fn(StepId, &Conduct) -> bool + Sync),
) -> Result<Built, Failure> {
    options.grants.check(plan)?;
    stage::Execution::new(plan, options, services, Some(suffers)).run()
}

/// Tells whether the steps of a plan can be run here, before anything long begins.
pub fn check_host(plan: &Plan, isolation: &Isolation) -> Result<(), Failure> {
    let Isolation::Refused { cause, cure } = isolation else { return Ok(()) };
    let run = plan.steps.iter().find(|(_, step)| matches!(step.op, crate::plan::Op::Run(_)));
    match run {
        Some((id, step)) => Err(run::refused(cause, cure).at(id, step.span)),
        None => Ok(()),
    }
}

/// The kind of facts under which the packed form of a layer is kept, by its diff id: no layer is
/// compressed twice. The number stands for how blocks are cut: bytes of other blocks are other bytes.
fn packed_kind(compression: Compression) -> String {
    match compression {
        Compression::None => "packed-1-plain".to_owned(),
        Compression::Gzip { level } => format!("packed-2-gzip-{level}"),
        Compression::Zstd { level } => format!("packed-1-zstd-{level}"),
    }
}

/// What is known of a packed layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
struct Packed {
    blob: Digest<crate::base::Blob>,
    packed: u64,
    size: u64,
}
