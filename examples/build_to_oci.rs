//! Builds a Dockerfile into an OCI layout with the library: what `rbuild build` does, without the
//! command line around it. The base `base` is a folder that is handed over.
//!
//! ```sh
//! sh examples/hello/base.sh /tmp/base
//! cargo run --example build_to_oci -- CONTEXT /tmp/base OUT STORE
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr)] // an example is a command line

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use rbuild::base::{Masker, Platform, Secret, Timestamp};
use rbuild::build::{Ended, Job, NamedSource, Resolver, Work, execute, prepare};
use rbuild::event::{Event, Events};
use rbuild::exec::{Grants, Options, Services, StepTerms, Times};
use rbuild::input::Context;
use rbuild::layer::Compression;
use rbuild::output::Target;
use rbuild::plan::Request;
use rbuild::policy::Policy;
use rbuild::registry::{Credentials, Network, Registry, RegistryConfig};
use rbuild::rootfs::Stacking;
use rbuild::sandbox::{Cancel, Hardening, Isolation, Launcher};
use rbuild::store::Store;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    rbuild::init(); // first of all: steps are this same program, started again
    let words: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [context, base, out, store] = words.as_slice() else {
        eprintln!("usage: build_to_oci CONTEXT BASE OUT STORE");
        return ExitCode::from(2);
    };
    match build(context, base, out, store) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn build(context: &Path, base: &Path, out: &Path, root: &Path) -> Result<(), Failure> {
    // While there is one thread: from here on this process is root of a namespace of its own.
    let entered = rbuild::sys::enter_user_namespace(None)?;

    let masker = Masker::new();
    let secret = Arc::new(Secret::new(b"not-a-real-token-0123456789\n".to_vec()));
    masker.add(&secret);
    let events = Events::new(masker, |event| {
        if let Event::StepOutput { line, .. } = event {
            eprintln!("{}", String::from_utf8_lossy(&line));
        }
    });
    let store = Store::open(root)?;
    let registry = Registry::new(
        RegistryConfig::default(),
        Credentials::none(),
        events.clone(),
        Network::Offline,
    )?;

    let named = BTreeMap::from([("base".to_owned(), NamedSource::Folder(base.to_owned()))]);
    let mut request = Request::new(Platform::host());
    request.named_contexts = named.iter().map(|(name, what)| (name.clone(), what.kind())).collect();
    let file = context.join("Dockerfile");
    let job = Job::new(file.display().to_string(), std::fs::read(&file)?, request);
    let policy = Policy::builtin("hardened").expect("a built-in profile");
    let resolver = Resolver::new(&store, &registry, &events, &named);
    let prepared = prepare(&job, &policy, &resolver).map_err(|not| {
        not.diagnostics.first().map_or(String::new(), |first| first.message.clone())
    })?;
    if prepared.report.verdict(policy.fail_on).refused {
        return Err(prepared.report.human(&prepared.sources, &policy, false).into());
    }

    let options = Options {
        jobs: 2,
        threads: 2,
        no_cache: false,
        no_cache_stages: Default::default(),
        times: Times::Fixed(Timestamp::BUILD_DEFAULT),
        compression: Compression::default(),
        squash: prepared.squash,
        no_network: true,
        no_network_in_final: true,
        grants: Grants::default(),
        secrets: BTreeMap::from([("token".to_owned(), secret)]),
        ssh: BTreeMap::new(),
        hardening: Hardening::Hardened,
        hosts: b"127.0.0.1\tlocalhost\n".to_vec(),
        resolv_conf: Vec::new(),
        shm_size: 64 << 20,
        ulimits: Vec::new(),
        terms: StepTerms::default(),
        leak_is_error: true,
        tables: true,
        name: job.name.clone(),
        annotations: BTreeMap::new(),
    };
    let main = Context::open(context, None)?;
    let files = BTreeMap::from([("base".to_owned(), Context::open(base, None)?)]);
    let services = Services {
        store: &store,
        registry: &registry,
        git: &rbuild::input::git::Tools::new(None, Network::Offline),
        events: &events,
        cancel: &Cancel::new(),
        launcher: &Launcher::new("/proc/self/exe".into()),
        id_mode: entered.mode,
        stacking: &|| Stacking::probe(&store).map_or(Stacking::Plain, |(found, _)| found),
        isolation: Isolation::Namespaces,
        context: Some(&main),
        named: &files,
        bases: &resolver.images(&prepared.plan),
    };
    let attributes = |dest: &Path| {
        [("type", "oci"), ("dest", &dest.display().to_string()), ("tar", "false")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
    };
    let outputs = [Target::from_attributes(&attributes(out))?];
    let work = Work {
        job: &job,
        prepared: &prepared,
        policy: &policy,
        options: &options,
        services: &services,
        outputs: &outputs,
        tags: &[],
    };
    match execute(&work) {
        Ok(done) => {
            println!("{}", done.built.image.digest);
            Ok(())
        }
        Err(Ended::Failed(failure)) => Err(failure.diagnostic.message.into()),
        Err(Ended::Refused(report)) => Err(report.human(&prepared.sources, &policy, false).into()),
    }
}
