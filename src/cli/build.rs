//! `rbuild [build]`: a Dockerfile and a context in, an image out.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rbuild::base::{ImageRef, Masker, Platform, Secret, Timestamp};
use rbuild::build::{Ended, Job, NamedSource, Prepared, Resolver, Work};
use rbuild::diag::{Sources, chain, render};
use rbuild::event::{Event, Events};
use rbuild::exec::{Cause, Failure, Options, Services, Times};
use rbuild::input::{Context, Ignore};
use rbuild::layer::Compression;
use rbuild::output::Target;
use rbuild::plan::Request;
use rbuild::policy::{Bases, Level, Policy, Report};
use rbuild::sandbox::{Cancel, Hardening, Ulimit};
use rbuild::store::Store;
use rbuild::sys;
use serde_json::json;

use super::context::{dockerfile_in, ignore, ignore_file};
use super::environment;
use super::exit::Exit;
use super::progress::{Format, Progress, size};
use super::shared::{KeyValue, PolicyArgs, Stop, StoreArgs, attributes, bytes, say};

/// Build an image from a Dockerfile.
///
/// Prints one line on stdout, the digest of the manifest; all talk goes to stderr.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The context: a folder, or `-` for a tar stream (or a Dockerfile) on standard input
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
    /// Make NAME (a stage, an image, a `--from`) mean a folder, `oci-layout://DIR[:TAG|@DIGEST]`
    /// or `docker-image://REF`
    #[arg(long, value_name = "NAME=SOURCE")]
    pub(crate) build_context: Vec<KeyValue>,
    /// Offer a secret to `RUN --mount=type=secret`: `id=ID[,src=FILE|,env=VARIABLE]`
    #[arg(long, value_name = "SPEC")]
    pub(crate) secret: Vec<String>,
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
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) annotation: Vec<KeyValue>,
    /// Do not read cache records (they are still written)
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Resolve bases again although their digest is known
    #[arg(long)]
    pub(crate) pull: bool,
    /// The network of RUN steps
    #[arg(
        long,
        value_name = "default|none|host",
        default_value = "default",
        env = "RBUILD_NETWORK"
    )]
    pub(crate) network: String,
    /// Grant more: `network.host` to steps, `local.delete` to an output
    #[arg(long, value_name = "ENTITLEMENT")]
    pub(crate) allow: Vec<String>,
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
    /// How many steps run at once [default: the CPUs this process may use]
    #[arg(long, value_name = "N", env = "RBUILD_JOBS")]
    pub(crate) jobs: Option<usize>,
    /// Memory of /dev/shm in steps
    #[arg(long, value_name = "BYTES", default_value = "64m")]
    pub(crate) shm_size: String,
    /// Add a line to /etc/hosts of steps
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub(crate) add_host: Vec<String>,
    /// Set a resource limit of steps: `nofile=1024[:2048]`
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub(crate) ulimit: Vec<String>,
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
}

/// The largest secret, in bytes: Docker's limit.
const SECRET_LIMIT: u64 = 500 * 1024;

/// The largest Dockerfile, in bytes.
const DOCKERFILE_LIMIT: u64 = 16 << 20;

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
    named: BTreeMap<String, NamedSource>,
    ignore: Option<PathBuf>,
    secrets: BTreeMap<String, Arc<Secret>>,
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
        let mut outputs = Vec::new();
        for text in &args.output {
            let wrong = |why: String| Stop::usage(format!("--output `{text}`: {why}"));
            let output = match Target::bare(text) {
                Some(output) => output,
                None => Target::from_attributes(&attributes(text).map_err(wrong)?)
                    .map_err(|error| wrong(error.to_string()))?,
            };
            if let Some(needed) = output.permission()
                && !args.allow.iter().any(|word| word == needed)
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
        let mut request = Request::new(platform);
        request.build_platform = Platform::host();
        request.target = args.target.clone();
        request.named_contexts =
            named.iter().map(|(name, source)| (name.clone(), source.kind())).collect();
        request.labels = pairs(&args.label);
        request.build_args = args.arguments.build_args()?;
        let (text, name, ignore) = dockerfile(&args)?;
        let job = Job {
            name,
            text,
            request,
            squash: args.squash,
            today: Some(environment::today()),
            known: Bases::none(),
        };
        let secrets = secrets(&args.secret)?;
        let times = times(&args.timestamp)?;
        let compression = compression(&args)?;
        Ok(Command { args, job, named, ignore, secrets, outputs, tags, times, compression, format })
    }

    fn run(self) -> Result<Exit, Stop> {
        let policy = super::policy::effective(&self.args.policy, &self.args.context)?;
        if let Some(exit) = self.args.call.run(&self.job, &policy, &self.args.policy)? {
            return Ok(exit);
        }
        for target in &self.outputs {
            target.check(&self.tags).map_err(|error| {
                Stop::usage(chain(&error))
                    .help("choose another place with -o type=oci,dest=PATH,tar=false")
            })?;
        }
        // What is wrong with the text is told on any host, before powers are asked for.
        if let Err(not) = rbuild::build::parse(&self.job, &policy) {
            return Ok(tell_not_prepared(&not, Exit::Parse));
        }

        // From here on this process is root of its own namespace. One thread until here.
        let entered = sys::enter_user_namespace(None).map_err(|error| Stop {
            exit: Exit::Sandbox,
            text: error.to_string(),
            help: Some(error.cure),
        })?;
        let cancel = Cancel::new();
        let on_signal = cancel.clone();
        let terminated = Arc::new(AtomicBool::new(false));
        let by_term = Arc::clone(&terminated);
        let act = move |signal| {
            by_term.store(signal == sys::TERMINATE, Ordering::SeqCst);
            on_signal.cancel();
        };
        sys::on_interrupt(act).map_err(|error| Stop {
            exit: Exit::Internal,
            text: format!("cannot watch signals: {error}"),
            help: None,
        })?;

        let masker = Masker::new();
        for secret in self.secrets.values() {
            masker.add(secret);
        }
        let sources: Arc<RwLock<Sources>> = Arc::default();
        let progress = Arc::new(Progress::new(self.format, colour()));
        let events = {
            let (progress, sources) = (Arc::clone(&progress), Arc::clone(&sources));
            Events::new(masker, move |event| {
                let sources = sources.read().unwrap_or_else(PoisonError::into_inner);
                progress.show(&event, &sources);
            })
        };
        if let Some(why) = &entered.why_single
            && self.format == Format::Plain
        {
            events.note(format!("one user id only: {}; {}", why.cause, why.cure));
        }

        let root = environment::store_root(&self.args.store);
        let store = Store::open(&root).map_err(|error| Stop {
            exit: Exit::Internal,
            text: chain(&error),
            help: None,
        })?;
        let registry = environment::registry(&self.args.store, &events)?;
        let resolver = Resolver::new(&store, &registry, &events, &self.named);
        let prepared = match rbuild::build::prepare(&self.job, &policy, &resolver) {
            Ok(prepared) => prepared,
            Err(not) => {
                let exit = match (not.parsed, resolver.cause()) {
                    (false, _) => Exit::Parse,
                    (true, Some(cause)) => exit_of(cause),
                    (true, None) => Exit::Parse,
                };
                if let Some(path) = &self.args.metadata_file {
                    let message = not.diagnostics.first().map(|first| first.message.as_str());
                    let error =
                        json!({"kind": "not-planned", "message": message, "exit": exit as u8});
                    write_metadata(path, &json!({"rbuild": {"error": error}}));
                }
                return Ok(tell_not_prepared(&not, exit));
            }
        };
        let mut prepared = prepared;
        let texts = std::mem::take(&mut prepared.sources);
        prepared.sources = texts.clone();
        *sources.write().unwrap_or_else(PoisonError::into_inner) = texts;
        for warning in &prepared.plan.warnings {
            events.send(Event::Finding(Box::new(warning.clone())));
        }
        if prepared.report.verdict(policy.fail_on).refused {
            return self.refused(&prepared.report, &prepared.sources, &policy);
        }

        let contexts = self.contexts(&store)?;
        let bases = resolver.images(&prepared.plan);
        let options = self.options(&prepared, &policy)?;
        let git = environment::git(&self.args.store);
        let services = Services {
            store: &store,
            registry: &registry,
            git: &git,
            events: &events,
            cancel: &cancel,
            program: environment::program(),
            id_mode: entered.mode,
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
        let result = rbuild::build::execute(&work);
        if let Err(error) = store.stat_cache().flush() {
            events.note(chain(&error));
        }
        let sources = sources.read().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(done) => {
                let digest = done.built.image.digest.to_string();
                self.written(&done.built)?;
                self.summary(&done.built, &progress);
                super::policy::write_reports(&self.args.policy, &done.report, &sources, &policy)?;
                if self.format != Format::None {
                    say(&format!("{}\n", done.report.human(&sources, &policy, colour())));
                }
                if !self.outputs.iter().any(Target::is_stdout) {
                    // The one line of stdout. A closed pipe is the reader's choice.
                    let _ = writeln!(std::io::stdout(), "{digest}");
                }
                Ok(Exit::Success)
            }
            Err(Ended::Refused(report)) => self.refused(&report, &sources, &policy),
            Err(Ended::Failed(failure)) => {
                let exit = match failure.cause {
                    Cause::Interrupted if terminated.load(Ordering::SeqCst) => Exit::Terminated,
                    Cause::Interrupted if cancel.is_cancelled() => Exit::Interrupted,
                    cause => exit_of(cause),
                };
                tell_failure(&failure, &sources, &progress, exit);
                self.failed(exit, &failure, &sources);
                Ok(exit)
            }
        }
    }

    /// Tells why the policy refuses, in the terminal and in the reports.
    fn refused(&self, report: &Report, sources: &Sources, policy: &Policy) -> Result<Exit, Stop> {
        super::policy::write_reports(&self.args.policy, report, sources, policy)?;
        say(&format!("{}\n", report.human(sources, policy, colour())));
        if let Some(path) = &self.args.metadata_file {
            let rules: Vec<_> = report
                .findings
                .iter()
                .filter(|finding| finding.counts())
                .map(|finding| json!({"rule": finding.rule, "message": finding.message}))
                .collect();
            let error = json!({"kind": "refused", "findings": rules, "exit": Exit::Refused as u8});
            write_metadata(path, &json!({"rbuild": {"error": error}}));
        }
        Ok(Exit::Refused)
    }

    fn contexts(&self, store: &Store) -> Result<Contexts, Stop> {
        let open = |path: &Path, ignore: Option<Ignore>| {
            Context::open(path, ignore).map_err(|error| Stop::usage(chain(&error)))
        };
        let mut named = BTreeMap::new();
        for (name, source) in &self.named {
            if let NamedSource::Folder(path) = source {
                let file = Some(path.join(".dockerignore")).filter(|file| file.is_file());
                let outputs = if file.is_some() { self.outputs.as_slice() } else { &[] };
                named.insert(name.clone(), open(path, ignore(file.as_deref(), path, outputs)?)?);
            }
        }
        let main = if self.args.context == Path::new("-") {
            if self.args.file.is_none() {
                None // the Dockerfile came from there
            } else {
                let context =
                    Context::from_tar(std::io::stdin().lock(), store).map_err(|error| {
                        Stop::usage(format!("the context on standard input: {}", chain(&error)))
                    })?;
                Some(context)
            }
        } else {
            let path = &self.args.context;
            Some(open(path, ignore(self.ignore.as_deref(), path, &self.outputs)?)?)
        };
        Ok(Contexts { main, named })
    }

    fn options(&self, prepared: &Prepared, policy: &Policy) -> Result<Options, Stop> {
        let args = &self.args;
        let mut ulimits = Vec::new();
        for text in &args.ulimit {
            let wrong = || Stop::usage(format!("--ulimit `{text}`: write NAME=SOFT[:HARD]"));
            let (name, values) = text.split_once('=').ok_or_else(wrong)?;
            let number = |text: &str| match text {
                "-1" | "unlimited" => Ok(None),
                text => text.parse().map(Some).map_err(|_| wrong()),
            };
            let (soft, hard) = values.split_once(':').unwrap_or((values, values));
            ulimits.push(Ulimit {
                name: name.to_owned(),
                soft: number(soft)?,
                hard: number(hard)?,
            });
        }
        let (no_network, granted) = match args.network.as_str() {
            "default" => (false, false),
            "none" => (true, false),
            "host" => (false, true),
            other => {
                return Err(Stop::usage(format!(
                    "unknown network `{other}`; there are default, none, host"
                )));
            }
        };
        let mut allow_host_network = false;
        for word in &args.allow {
            match word.as_str() {
                "network.host" => allow_host_network = true,
                "local.delete" => {} // an output asks for it
                other => {
                    return Err(Stop::usage(format!(
                        "unknown entitlement `{other}`; there is network.host"
                    )));
                }
            }
        }
        if granted && !allow_host_network {
            return Err(Stop::usage("--network host needs --allow network.host")
                .help("add --allow network.host"));
        }
        let jobs = args.jobs.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
        });
        Ok(Options {
            jobs: jobs.max(1),
            no_cache: args.no_cache,
            no_cache_stages: args.arguments.no_cache_stages(&prepared.instructions)?,
            times: self.times,
            compression: self.compression,
            squash: prepared.squash,
            no_network,
            allow_host_network,
            secrets: self.secrets.clone(),
            hardening: match policy.demands_hardened_steps() {
                true => Hardening::Hardened,
                false => Hardening::Docker,
            },
            hosts: environment::hosts(&args.add_host)?,
            resolv_conf: environment::resolv_conf(),
            shm_size: bytes(&args.shm_size).map_err(Stop::usage)?,
            ulimits,
            leak_is_error: policy.setting("build-secret-leaked").level == Level::Error,
            tables: policy.looks_at_files(),
            name: std::path::absolute(&self.job.name)
                .map_or_else(|_| self.job.name.clone(), |path| path.display().to_string()),
            annotations: pairs(&args.annotation),
        })
    }

    /// Writes `--iidfile` and `--metadata-file` of a build that succeeded.
    fn written(&self, built: &rbuild::exec::Built) -> Result<(), Stop> {
        let image = &built.image;
        if let Some(path) = &self.args.iidfile {
            std::fs::write(path, image.config_digest().to_string()).map_err(|error| Stop {
                exit: Exit::Internal,
                text: format!("cannot write `{}`: {error}", path.display()),
                help: None,
            })?;
        }
        if let Some(path) = &self.args.metadata_file {
            let names: Vec<_> = self.tags.iter().map(ToString::to_string).collect();
            let layers: Vec<_> = built
                .layers
                .iter()
                .map(|layer| {
                    json!({
                        "digest": layer.layer.descriptor.digest,
                        "diff_id": layer.layer.diff,
                        "packed": layer.layer.descriptor.size,
                        "size": layer.size,
                        "base": layer.step.is_none(),
                    })
                })
                .collect();
            let document = json!({
                "containerimage.digest": image.digest,
                "containerimage.config.digest": image.config_digest(),
                "containerimage.descriptor": {
                    "mediaType": image.manifest.media_type,
                    "digest": image.digest,
                    "size": image.manifest_bytes.len(),
                },
                "image.name": names.join(","),
                "rbuild": { "layers": layers },
            });
            write_metadata(path, &document);
        }
        Ok(())
    }

    fn failed(&self, exit: Exit, failure: &Failure, sources: &Sources) {
        if let Some(path) = &self.args.metadata_file {
            let place = failure.diagnostic.span.map(|span| sources.place(span));
            let error = json!({
                "kind": failure.diagnostic.code.0,
                "message": failure.diagnostic.message,
                "place": place,
                "status": failure.status,
                "exit": exit as u8,
            });
            write_metadata(path, &json!({"rbuild": {"error": error}}));
        }
    }

    fn summary(&self, built: &rbuild::exec::Built, progress: &Progress) {
        if !matches!(self.format, Format::Plain) {
            return;
        }
        let (cached, run) = progress.counts();
        let mut text = String::from("layers:\n");
        for layer in &built.layers {
            let digest = layer.layer.descriptor.digest.to_string();
            let origin = if layer.step.is_none() { "base" } else { "own" };
            text.push_str(&format!(
                "  {digest}  {:>9}  {origin}\n",
                size(layer.layer.descriptor.size)
            ));
        }
        let total: u64 = built.layers.iter().map(|layer| layer.layer.descriptor.size).sum();
        text.push_str(&format!(
            "built: {} in {} layers; {run} steps run, {cached} cached\n",
            size(total),
            built.layers.len()
        ));
        say(&text);
    }
}

struct Contexts {
    main: Option<Context>,
    named: BTreeMap<String, Context>,
}

/// Tells all that is wrong with a text.
pub(super) fn tell_not_prepared(not: &rbuild::build::NotPrepared, exit: Exit) -> Exit {
    let mut text = String::new();
    for diagnostic in &not.diagnostics {
        text.push_str(&render(diagnostic, &not.sources, colour()));
        text.push('\n');
    }
    let errors = not.diagnostics.len();
    text.push_str(&format!("rbuild: {errors} error{}\n", if errors == 1 { "" } else { "s" }));
    say(&text);
    exit
}

/// Tells why a build ended: the last lines of the step's output, the place, the remedy.
fn tell_failure(failure: &Failure, sources: &Sources, progress: &Progress, exit: Exit) {
    if matches!(exit, Exit::Interrupted | Exit::Terminated) {
        say("interrupted\n");
        return;
    }
    let mut text = String::new();
    if let (Some(step), Cause::Step) = (failure.step, failure.cause) {
        let tail = progress.tail(step);
        if !tail.is_empty() {
            text.push_str("the step's last lines:\n");
            for line in tail {
                text.push_str(&format!("  | {line}\n"));
            }
        }
    }
    text.push_str(&render(&failure.diagnostic, sources, colour()));
    text.push('\n');
    say(&text);
}

/// The exit code of a kind of failure.
fn exit_of(cause: Cause) -> Exit {
    match cause {
        Cause::Tampered => Exit::Tampered,
        Cause::Refused => Exit::Refused,
        Cause::Usage => Exit::Usage,
        Cause::Step | Cause::Input => Exit::Step,
        Cause::Network => Exit::Network,
        Cause::Sandbox => Exit::Sandbox,
        Cause::Internal => Exit::Internal,
        Cause::Interrupted => Exit::Interrupted,
    }
}

pub(super) fn colour() -> bool {
    let forced = environment::variable("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    let refused = environment::variable("NO_COLOR").is_some()
        || environment::variable("TERM").is_some_and(|term| term == "dumb");
    forced || (!refused && std::io::stderr().is_terminal())
}

/// Writes the metadata file, aside and renamed; that it cannot be written is told, and is no
/// reason to fail a build that is done.
fn write_metadata(path: &Path, document: &serde_json::Value) {
    let text = format!("{document:#}\n");
    let aside = path.with_extension("partial");
    let done = std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, path));
    if let Err(error) = done {
        say(&format!("warning: cannot write `{}`: {error}\n", path.display()));
    }
}

fn pairs(list: &[KeyValue]) -> BTreeMap<String, String> {
    list.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect()
}

/// Reads a Dockerfile, `-` from standard input: its name for messages, and its bytes.
pub(super) fn read_dockerfile(path: &Path) -> Result<(String, Vec<u8>), Stop> {
    let mut bytes = Vec::new();
    let (name, read) = if path == Path::new("-") {
        let read = std::io::stdin().lock().take(DOCKERFILE_LIMIT + 1).read_to_end(&mut bytes);
        ("<stdin>".to_owned(), read)
    } else {
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(DOCKERFILE_LIMIT + 1).read_to_end(&mut bytes));
        (path.display().to_string(), read)
    };
    read.map_err(|error| Stop::usage(format!("cannot read the Dockerfile `{name}`: {error}")))?;
    if bytes.len() as u64 > DOCKERFILE_LIMIT {
        return Err(Stop::usage(format!("`{name}` is larger than {DOCKERFILE_LIMIT} bytes")));
    }
    Ok((name, bytes))
}

/// Finds and reads the Dockerfile: its bytes, its name for messages, and its ignore file.
fn dockerfile(args: &Args) -> Result<(Vec<u8>, String, Option<PathBuf>), Stop> {
    let from_stdin = args.file.as_deref() == Some(Path::new("-"))
        || (args.file.is_none() && args.context == Path::new("-"));
    let folder = (args.context != Path::new("-")).then_some(args.context.as_path());
    if let Some(folder) = folder
        && !folder.is_dir()
    {
        return Err(Stop::usage(format!("the context `{}` is not a folder", folder.display())));
    }
    if from_stdin {
        let (name, bytes) = read_dockerfile(Path::new("-"))?;
        return Ok((bytes, name, ignore_file(folder, None)));
    }
    let path = match (&args.file, folder) {
        (Some(path), _) => path.clone(),
        (None, Some(folder)) => dockerfile_in(folder).ok_or_else(|| {
            Stop::usage(format!("no Dockerfile in `{}`", folder.display()))
                .help("name one with -f PATH")
        })?,
        (None, None) => unreachable!("a context on standard input was handled above"),
    };
    let (name, bytes) = read_dockerfile(&path)?;
    let ignore = ignore_file(folder, Some(&path));
    Ok((bytes, name, ignore))
}

/// Reads the secrets: `id=ID[,src=FILE|,env=VARIABLE][,type=file|env]`.
fn secrets(specs: &[String]) -> Result<BTreeMap<String, Arc<Secret>>, Stop> {
    let mut secrets = BTreeMap::new();
    for spec in specs {
        let wrong = |why: &str| Stop::usage(format!("--secret `{spec}`: {why}"));
        let (mut id, mut file, mut env, mut kind) = (None, None, None, None);
        for (key, value) in attributes(spec).map_err(|why| wrong(&why))? {
            match key.as_str() {
                "id" => id = Some(value),
                "src" | "source" => file = Some(value),
                "env" => env = Some(value),
                "type" if value == "file" || value == "env" => kind = Some(value),
                "type" => return Err(wrong("type is file or env")),
                other => return Err(wrong(&format!("unknown key `{other}`"))),
            }
        }
        let id = match (id, &file) {
            (Some(id), _) if !id.is_empty() => id,
            _ => return Err(wrong("write id=NAME")),
        };
        // `type=env` turns `src` into the name of a variable, as Docker has it.
        if kind.as_deref() == Some("env") && env.is_none() {
            env = Some(file.take().unwrap_or_else(|| id.clone()));
        }
        let bytes = match (file, env) {
            (Some(_), Some(_)) => return Err(wrong("src and env exclude each other")),
            (Some(path), None) => secret_file(&path).map_err(|why| wrong(&why))?,
            (None, Some(name)) => environment::variable(&name)
                .ok_or_else(|| wrong(&format!("the variable `{name}` is not set")))?
                .into_bytes(),
            // Neither: the variable of that name, else the file of that name.
            (None, None) => match environment::variable(&id) {
                Some(value) if kind.as_deref() != Some("file") => value.into_bytes(),
                _ => secret_file(&id).map_err(|why| wrong(&why))?,
            },
        };
        secrets.insert(id, Arc::new(Secret::new(bytes)));
    }
    Ok(secrets)
}

fn secret_file(path: &str) -> Result<Vec<u8>, String> {
    let path = match (path.strip_prefix("~/"), environment::variable("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    };
    let mut bytes = Vec::new();
    std::fs::File::open(&path)
        .and_then(|file| file.take(SECRET_LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    if bytes.len() as u64 > SECRET_LIMIT {
        return Err(format!("`{}` is larger than {SECRET_LIMIT} bytes", path.display()));
    }
    Ok(bytes)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command line hands the time in: `preserve` dates the image"
)]
fn times(text: &str) -> Result<Times, Stop> {
    let epoch = match environment::variable("SOURCE_DATE_EPOCH") {
        Some(text) => Some(
            Timestamp::parse_seconds(&text)
                .map_err(|error| Stop::usage(format!("SOURCE_DATE_EPOCH: {error}")))?,
        ),
        None => None,
    };
    Ok(match text {
        "auto" => Times::Fixed(epoch.unwrap_or(Timestamp::BUILD_DEFAULT)),
        "preserve" => Times::Preserve(epoch.unwrap_or_else(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            Timestamp::from_seconds(since.map_or(0, |since| since.as_secs() as i64))
        })),
        seconds => {
            Times::Fixed(Timestamp::parse_seconds(seconds).map_err(|error| {
                Stop::usage(format!("--timestamp: {error}, or auto, or preserve"))
            })?)
        }
    })
}

fn compression(args: &Args) -> Result<Compression, Stop> {
    let level = args.compression_level;
    Ok(match args.compression.as_str() {
        "gzip" => match level.unwrap_or(6) {
            level @ 0..=9 => Compression::Gzip { level },
            other => return Err(Stop::usage(format!("gzip has levels 0 to 9, not {other}"))),
        },
        "zstd" => match level.unwrap_or(3) {
            level @ 1..=22 => Compression::Zstd { level: level as i32 },
            other => return Err(Stop::usage(format!("zstd has levels 1 to 22, not {other}"))),
        },
        "uncompressed" | "none" => Compression::None,
        other => {
            return Err(Stop::usage(format!(
                "unknown compression `{other}`; there are gzip, zstd, uncompressed"
            )));
        }
    })
}
