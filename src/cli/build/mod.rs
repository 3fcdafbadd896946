//! `rbuild [build]`: a Dockerfile and a context in, an image out.

mod brought;
mod contexts;
mod given;
mod host;
mod known;
mod outcome;
mod steps;
mod watch;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rbuild::base::{ImageRef, Masker, Platform, Secret};
use rbuild::build::{Job, NamedSource, NotPrepared, Prepared, Resolver, Work};
use rbuild::diag::chain;
use rbuild::event::{Cancel, Event, Events};
use rbuild::exec::{Agent, AgentSocket, Options, Services, Times};
use rbuild::input::Context;
use rbuild::input::git::Tools;
use rbuild::layer::Compression;
use rbuild::output::Target;
use rbuild::plan::{BaseLookup, Found, Request, Wanted};
use rbuild::policy::{Bases, Level, Policy};
use rbuild::sandbox::{Hardening, Launcher};
use rbuild::store::Store;
use serde_json::json;
use tempfile::TempDir;

use brought::{Brought, Means, Origin};
pub(super) use given::read_dockerfile;
use given::{agents, annotations, compression, dockerfile, pairs, secrets, times};
use host::{Choice, Host};
use known::{Begun, Planned};
pub(super) use outcome::tell_not_prepared;
use outcome::{End, exit_of, write_metadata};
use steps::{StepArgs, Steps};
use watch::{Signals, Stage};

use super::call::Steps as Foresight;
use super::environment;
use super::exit::Exit;
use super::progress::Format;
use super::shared::{KeyValue, PolicyArgs, Stop, StoreArgs, attributes};

/// Steps that run at once where nobody says how many: they wait for the network more than they compute.
const LEAST_STEPS: usize = 4;

/// Build an image from a Dockerfile.
///
/// Prints one line on stdout, the digest of the manifest; all talk goes to stderr.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The context: a folder, a tar (a file, an https:// address, `-` for standard input), a git
    /// repository (`https://….git`, `git@host:path`, with `#REF:SUBDIR` or `?branch=…&subdir=…`); a
    /// Dockerfile alone may stand in for a tar
    #[arg(value_name = "CONTEXT")]
    pub(crate) context: PathBuf,
    /// The Dockerfile, or `-` for standard input [default: CONTEXT/Dockerfile, CONTEXT/Containerfile]
    #[arg(short, long, value_name = "PATH", env = "RBUILD_FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Build this stage, by name or number, instead of the last one
    #[arg(long, value_name = "STAGE", env = "RBUILD_TARGET")]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) arguments: super::arguments::ArgumentArgs,
    #[command(flatten)]
    pub(crate) call: super::call::CallArgs,
    /// Make NAME (a stage, an image, a `--from`) mean a folder, `oci-layout://DIR[:TAG|@DIGEST]`,
    /// `docker-image://REF`, or a tar or a repository by its address
    #[arg(long, value_name = "NAME=SOURCE")]
    pub(crate) build_context: Vec<KeyValue>,
    /// Offer a secret to `RUN --mount=type=secret`: `id=ID[,src=FILE|,env=VARIABLE]`
    #[arg(long, value_name = "SPEC")]
    pub(crate) secret: Vec<String>,
    /// Offer an ssh agent or keys to `RUN --mount=type=ssh` and to `ADD git@…`, for listing and signing
    /// only: `default` or ID alone is the agent of $SSH_AUTH_SOCK
    #[arg(long, value_name = "ID[=SOCKET|KEYFILE,…]")]
    pub(crate) ssh: Vec<String>,
    /// The platform to build for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", env = "RBUILD_PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Name the image (written into the layout's index)
    #[arg(short, long, value_name = "REF")]
    pub(crate) tag: Vec<String>,
    /// Where the image goes: `type=oci|docker|local|tar|registry|cacheonly,dest=PATH,…`; PATH alone
    /// is type=local, `-` is type=tar on standard output [default: type=oci,dest=image.oci,tar=false]
    #[arg(short, long, value_name = "SPEC")]
    pub(crate) output: Vec<String>,
    /// Push the image to all its names: `type=registry`
    #[arg(long)]
    pub(crate) push: bool,
    /// Set a label
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<KeyValue>,
    /// Set an annotation of the manifest
    #[arg(long, value_name = "[manifest[PLATFORM]:]KEY=VALUE")]
    pub(crate) annotation: Vec<KeyValue>,
    /// Do not read cache records (they are still written)
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Taken for compatibility: tags are always resolved again, digests never need to be
    #[arg(long)]
    pub(crate) pull: bool,
    #[command(flatten)]
    pub(crate) steps: StepArgs,
    /// What stands around RUN steps
    #[arg(
        long,
        value_name = "auto|userns|chroot",
        default_value = "auto",
        hide_possible_values = true,
        env = "RBUILD_ISOLATION"
    )]
    pub(crate) isolation: Choice,
    /// One layer above the base
    #[arg(long)]
    pub(crate) squash: bool,
    /// Times in the image: `auto` (SOURCE_DATE_EPOCH, else a constant), seconds, or `preserve`
    #[arg(
        long,
        value_name = "auto|SECONDS|preserve",
        default_value = "auto",
        env = "RBUILD_TIMESTAMP"
    )]
    pub(crate) timestamp: String,
    /// How layers are packed
    #[arg(
        long,
        value_name = "gzip|zstd|uncompressed",
        default_value = "gzip",
        env = "RBUILD_COMPRESSION"
    )]
    pub(crate) compression: String,
    /// The level of the compression [default: gzip 6, zstd 3]
    #[arg(long, value_name = "N", env = "RBUILD_COMPRESSION_LEVEL")]
    pub(crate) compression_level: Option<u32>,
    /// How many steps run at once, and threads pack [default: the CPUs this process may use; of steps 4
    /// at least, since they wait for the network]
    #[arg(long, value_name = "N", env = "RBUILD_JOBS")]
    pub(crate) jobs: Option<usize>,
    #[command(flatten)]
    pub(crate) terms: super::terms::TermArgs,
    /// Write the image's config digest (the image id) into FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,
    /// Write what was built, or why not, as JSON into FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// How progress is shown
    #[arg(
        long,
        value_name = "auto|plain|json|quiet|none",
        default_value = "auto",
        env = "RBUILD_PROGRESS"
    )]
    pub(crate) progress: String,
    /// Show nothing but the digest and errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// This build is a case of `rbuild policy test`, which the file tells
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) as_case: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    let metadata = args.metadata_file.clone();
    match Command::new(args).and_then(Command::run) {
        Ok(exit) => exit,
        Err(stop) => {
            if let Some(path) = metadata {
                let error = json!({"kind": "usage", "message": stop.text, "exit": stop.exit as u8});
                write_metadata(&path, &json!({"rbuild": {"error": error}}));
            }
            stop.tell()
        }
    }
}

/// The arguments, understood.
struct Command {
    args: Args,
    job: Job,
    origin: Origin,
    brought: Option<(Brought, Option<Context>)>,
    named: BTreeMap<String, NamedSource>,
    ignore: Option<PathBuf>,
    secrets: BTreeMap<String, Arc<Secret>>,
    ssh: BTreeMap<String, Agent>,
    steps: Steps,
    annotations: BTreeMap<String, String>,
    outputs: Vec<Target>,
    tags: Vec<ImageRef>,
    times: Times,
    compression: Compression,
    format: Format,
}

impl Command {
    fn new(args: Args) -> Result<Self, Stop> {
        let format =
            Format::parse(if args.quiet { "none" } else { &args.progress }).map_err(Stop::usage)?;
        let platform = match &args.platform {
            Some(text) => Platform::parse(text).map_err(|error| Stop::usage(error.to_string()))?,
            None => Platform::host(),
        };
        let steps = args.steps.understood()?;
        let mut outputs = Vec::new();
        for text in &args.output {
            let wrong = |why: String| Stop::usage(format!("--output `{text}`: {why}"));
            let output = match Target::bare(text) {
                Some(output) => output,
                None => Target::from_attributes(&attributes(text).map_err(wrong)?)
                    .map_err(|error| wrong(error.to_string()))?,
            };
            if let Some(needed) = output.permission()
                && !steps.grants.has(needed)
            {
                return Err(
                    wrong(format!("needs --allow {needed}")).help(format!("add --allow {needed}"))
                );
            }
            outputs.push(output);
        }
        if args.push {
            outputs.push(Target::push());
        }
        if outputs.is_empty() {
            outputs.push(Target::default_layout());
        }
        let mut named = BTreeMap::new();
        for pair in &args.build_context {
            let source = NamedSource::parse(&pair.value)
                .map_err(|error| Stop::usage(format!("--build-context {}: {error}", pair.key)))?;
            if let NamedSource::Folder(path) = &source
                && !path.is_dir()
            {
                return Err(Stop::usage(format!(
                    "--build-context {}: `{}` is not a folder",
                    pair.key,
                    path.display()
                )));
            }
            named.insert(pair.key.clone(), source);
        }
        let mut tags = Vec::new();
        for tag in &args.tag {
            tags.push(
                ImageRef::parse(tag).map_err(|error| Stop::usage(format!("--tag: {error}")))?,
            );
        }
        let annotations = annotations(&args.annotation, &outputs, &platform)?;
        let mut request = Request::new(platform);
        request.build_platform = Platform::host();
        request.target = args.target.clone();
        request.named_contexts =
            named.iter().map(|(name, source)| (name.clone(), source.kind())).collect();
        request.labels = pairs(&args.label);
        request.build_args = args.arguments.build_args()?;
        let origin = Origin::of(&args.context)?;
        let (text, name, ignore) = match &origin {
            Origin::Folder(folder) => dockerfile(&args, folder)?,
            _ => Default::default(), // it comes with the context
        };
        let job = Job {
            name,
            text,
            request,
            squash: args.squash,
            today: Some(environment::today()),
            known: Bases::none(),
            tags: Some(args.tag.clone()),
            files: None,
            last: false,
        };
        let secrets = secrets(&args.secret)?;
        let ssh = agents(&args.ssh)?;
        let times = times(&args.timestamp)?;
        let compression = compression(&args)?;
        let mut command = Command {
            args,
            job,
            origin,
            brought: None,
            named,
            ignore,
            secrets,
            ssh,
            steps,
            annotations,
            outputs,
            tags,
            times,
            compression,
            format,
        };
        if let Some(files) = command.listed()? {
            command.job.files = Some(files);
        }
        Ok(command)
    }

    fn run(mut self) -> Result<Exit, Stop> {
        let is_folder = matches!(self.origin, Origin::Folder(_));
        let folder = if is_folder { &self.args.context } else { Path::new("-") };
        let policy = match &self.args.as_case {
            Some(file) => super::cases::policy_of(file, &self.args.policy, &self.args.store)?,
            None => super::policy::effective(&self.args.policy, &self.args.store, folder)?,
        };
        if !is_folder && self.args.call.is_asked() {
            self.look()?;
        }
        // What is wrong with the text is told on any host, before powers are asked for.
        let parsed =
            if is_folder || self.args.call.is_asked() { self.parsed(&policy)? } else { Ok(()) };
        let foreseen = if is_folder && parsed.is_ok() { self.foresee(&policy) } else { None };
        if let Some(exit) = self.args.call.run(&self.job, &policy, &self.args.policy, foreseen)? {
            return Ok(exit);
        }
        for target in &self.outputs {
            target.check(&self.tags).map_err(|error| {
                Stop::usage(chain(&error))
                    .help("choose another place with -o type=oci,dest=PATH,tar=false")
            })?;
        }
        if let Err(not) = parsed {
            return self.not_prepared(&not, Exit::Parse, &policy);
        }

        environment::test_hooks();
        let begun = match is_folder {
            true => match self.known(&policy)? {
                ControlFlow::Break(exit) => return Ok(exit),
                ControlFlow::Continue(begun) => begun,
            },
            false => Begun::default(),
        };
        // From here on this process is root of its own namespace. One thread until here.
        let plan = begun.planned.as_ref().map(|planned| &planned.prepared.plan);
        let host = Host::enter(self.args.isolation, &policy, plan)?;
        let signals = Signals::new();
        signals.watch()?;

        let masker = Masker::new();
        for secret in self.secrets.values() {
            masker.add(secret);
        }
        let stage = Stage::open(self.format, masker);
        let (events, cancel) = (&stage.events, &signals.cancel);
        if let Some(why) = host.why_single()
            && self.format == Format::Plain
        {
            events.note(why);
        }

        let store = match begun.store {
            Some(store) => store,
            None => open_store(&environment::store_root(&self.args.store))?,
        };
        let insecure: Vec<_> =
            self.outputs.iter().flat_map(|target| target.insecure_hosts(&self.tags)).collect();
        let registry = environment::registry(&self.args.store, &insecure, events, cancel)?;
        let mut git = environment::git(&self.args.store);
        git.auth.clone_from(&self.secrets);
        git.cancel = cancel.clone();
        let _keys = self.git_agent(&mut git)?;
        let means = Means { store: &store, registry: &registry, git: &git };
        if !is_folder {
            let brought = self.bring(&means, events);
            if signals.interrupted().is_some() {
                return Ok(self.stopped(signals.interrupted()));
            }
            brought?;
            if let Err(not) = self.parsed(&policy)? {
                return self.not_prepared(&not, Exit::Parse, &policy);
            }
        }
        let Planned { prepared, bases, heard } = match begun.planned {
            Some(planned) => planned,
            None => {
                let resolver = Resolver::new(&store, &registry, events, &self.named);
                match rbuild::build::prepare(&self.job, &policy, &resolver) {
                    Ok(prepared) => {
                        let bases = resolver.images(&prepared.plan);
                        Planned { prepared, bases, heard: Vec::new() }
                    }
                    Err(_) if signals.interrupted().is_some() => {
                        return Ok(self.stopped(signals.interrupted()));
                    }
                    Err(not) => {
                        let exit = match (not.parsed, resolver.cause()) {
                            (false, _) => Exit::Parse,
                            (true, Some(cause)) => exit_of(cause),
                            (true, None) => Exit::Parse,
                        };
                        return self.not_prepared(&not, exit, &policy);
                    }
                }
            }
        };
        heard.into_iter().for_each(|event| events.send(event));
        stage.point_into(prepared.sources.clone());
        tell_warnings(&prepared, events);
        if prepared.report.verdict(policy.fail_on).refused {
            return self.refused(&prepared.report, &prepared.sources, &policy);
        }

        let end = End {
            prepared: &prepared,
            policy: &policy,
            stage: &stage,
            signals: &signals,
            store: &store,
        };
        if let Err(failure) = host.judge(&prepared.plan, &policy, events) {
            return Ok(self.failed(&failure, exit_of(failure.cause), &end));
        }
        let stacking = || host.stacking(&store, &prepared.plan, events);
        let contexts = self.contexts(&means, events);
        if signals.interrupted().is_some() {
            return Ok(self.stopped(signals.interrupted()));
        }
        let contexts = contexts?;
        let options = self.options(&prepared, &policy)?;
        let launcher = Launcher::new(environment::program());
        let services = Services {
            store: &store,
            registry: &registry,
            git: &git,
            events,
            cancel,
            launcher: &launcher,
            id_mode: host.mode,
            id_maps: None,
            stacking: &stacking,
            isolation: host.isolation.clone(),
            context: contexts.main.as_ref(),
            named: &contexts.named,
            bases: &bases,
        };
        let work = Work {
            job: &self.job,
            prepared: &prepared,
            policy: &policy,
            options: &options,
            services: &services,
            outputs: &self.outputs,
            tags: &self.tags,
        };
        self.ended(rbuild::build::execute(&work), &end)
    }

    /// Gives git the agent `default`; keys of files get a socket, which lasts as long as the result.
    fn git_agent(&self, git: &mut Tools) -> Result<Option<(AgentSocket, TempDir)>, Stop> {
        match self.ssh.get("default") {
            None => Ok(None),
            Some(Agent::Socket(path)) => {
                git.ssh_agent = Some(path.clone());
                Ok(None)
            }
            Some(keys) => {
                // Not in the store, whose path may be longer than that of a socket can be.
                let folder = tempfile::tempdir();
                let started = folder.and_then(|folder| {
                    Ok((AgentSocket::start(folder.path().join("keys"), keys)?, folder))
                });
                let started = started.map_err(|error| Stop {
                    exit: Exit::Internal,
                    text: format!("cannot offer the keys of --ssh to git: {error}"),
                    help: None,
                })?;
                git.ssh_agent = Some(started.0.path());
                Ok(Some(started))
            }
        }
    }

    /// Brings a context for a look at its Dockerfile; no store is made for that.
    fn look(&mut self) -> Result<(), Stop> {
        let folder = tempfile::tempdir().map_err(|error| Stop {
            exit: Exit::Internal,
            text: format!("cannot make a temporary folder: {error}"),
            help: None,
        })?;
        let store = open_store(folder.path())?;
        let events = Events::silent();
        let registry = environment::registry(&self.args.store, &[], &events, &Cancel::new())?;
        let mut git = environment::git(&self.args.store);
        git.auth.clone_from(&self.secrets);
        let _keys = self.git_agent(&mut git)?;
        let means = Means { store: &store, registry: &registry, git: &git };
        self.bring(&means, &events)
    }

    /// Looks what of the plan is in the store, where `--call plan` asks and there is a store; for
    /// `--call outline`, which bases are there or in layouts, whose ONBUILD counts. Neither the network
    /// nor another place is asked; without a namespace of our own nothing is known.
    fn foresee(&mut self, policy: &Policy) -> Option<(Prepared, Foresight)> {
        let mut root = environment::store_root(&self.args.store);
        let is_plan = self.args.call.is_plan();
        if !is_plan && !self.args.call.is_outline() {
            return None;
        }
        let mut _empty = None;
        if !root.is_dir() {
            if is_plan {
                return None;
            }
            root = _empty.insert(tempfile::tempdir().ok()?).path().to_owned();
        }
        let host = Host::enter(self.args.isolation, policy, None).ok()?;
        let store = Store::open(&root).ok()?;
        self.args.store.offline = true;
        let (events, cancel) = (Events::silent(), Cancel::new());
        let registry = environment::registry(&self.args.store, &[], &events, &cancel).ok()?;
        let git = environment::git(&self.args.store);
        let named = self.named.clone();
        let resolver = Resolver::new(&store, &registry, &events, &named);
        let known = |wanted: &Wanted| Ok(resolver.base(wanted).unwrap_or(Found::Unread));
        let prepared = rbuild::build::prepare(&self.job, policy, &known).ok()?;
        if !is_plan {
            return Some((prepared, Foresight::new()));
        }
        let means = Means { store: &store, registry: &registry, git: &git };
        let contexts = self.contexts(&means, &events).ok()?;
        let options = self.options(&prepared, policy).ok()?;
        let stacking = || host.stacking(&store, &prepared.plan, &events);
        let bases = resolver.images(&prepared.plan);
        let launcher = Launcher::new(environment::program());
        let services = Services {
            store: &store,
            registry: &registry,
            git: &git,
            events: &events,
            cancel: &cancel,
            launcher: &launcher,
            id_mode: host.mode,
            id_maps: None,
            stacking: &stacking,
            isolation: host.isolation.clone(),
            context: contexts.main.as_ref(),
            named: &contexts.named,
            bases: &bases,
        };
        let steps = rbuild::exec::foresee(&prepared.plan, &options, &services);
        Some((prepared, steps.into_iter().collect()))
    }

    /// Parses the text, and looks whether the stages are there that flags name.
    fn parsed(&self, policy: &Policy) -> Result<Result<(), Box<NotPrepared>>, Stop> {
        Ok(match rbuild::build::parse(&self.job, policy) {
            Ok(instructions) => {
                let target = self.args.target.as_deref();
                self.args.arguments.check_stages(target, &instructions)?;
                Ok(())
            }
            Err(not) => Err(not),
        })
    }

    fn options(&self, prepared: &Prepared, policy: &Policy) -> Result<Options, Stop> {
        let args = &self.args;
        let threads = environment::jobs(args.jobs);
        Ok(Options {
            jobs: args.jobs.map_or(threads.max(LEAST_STEPS), |_| threads),
            threads,
            no_cache: args.no_cache,
            no_cache_stages: args.arguments.no_cache_stages(&prepared.instructions)?,
            times: self.times,
            compression: self.compression,
            squash: prepared.squash,
            no_network: self.steps.no_network,
            no_network_in_final: policy.denies_network_in_final(),
            grants: self.steps.grants.clone(),
            secrets: self.secrets.clone(),
            ssh: self.ssh.clone(),
            hardening: match policy.demands_hardened_steps() {
                true => Hardening::Hardened,
                false => Hardening::Docker,
            },
            hosts: self.steps.hosts.clone(),
            resolv_conf: environment::resolv_conf(),
            shm_size: self.steps.shm_size,
            ulimits: self.steps.ulimits.clone(),
            terms: args.terms.terms(policy)?,
            leak_is_error: policy.setting("build-secret-leaked").level == Level::Error,
            tables: policy.looks_at_files(),
            name: std::path::absolute(&self.job.name)
                .map_or_else(|_| self.job.name.clone(), |path| path.display().to_string()),
            annotations: self.annotations.clone(),
        })
    }
}

fn tell_warnings(prepared: &Prepared, events: &Events) {
    for warning in &prepared.plan.warnings {
        events.send(Event::Finding(Box::new(warning.clone())));
    }
}

fn open_store(root: &Path) -> Result<Store, Stop> {
    Store::open(root).map_err(|error| Stop {
        exit: Exit::Internal,
        text: chain(&error),
        help: None,
    })
}

pub(super) fn colour() -> bool {
    let forced = environment::variable("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    let refused = environment::variable("NO_COLOR").is_some()
        || environment::variable("TERM").is_some_and(|term| term == "dumb");
    forced || (!refused && std::io::stderr().is_terminal())
}
