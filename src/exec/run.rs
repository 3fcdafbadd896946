//! RUN: a command in a sandbox over the layers so far.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::again::{join, varying};
use super::behaviour::Attempt;
use super::copy::Reading;
use super::key::Request;
use super::mounts::no_secret;
use super::pack::Job;
use super::place::Scratch;
use super::stack::{Cell, Stack};
use super::stage::{Execution, Packers};
use super::terms::{LastLine, ended};
use super::{Cause, Failure, Times};
use crate::base::{Blob, Digest, ImagePath, Secret, StageId, StepId};
use crate::event::{Event, Stream};
use crate::facts::{Conduct, Varies, Varying};
use crate::instruction::{Network, Security};
use crate::plan::{From, MountKind, Op, Run, Step};
use crate::rootfs::{self, Work, passwd};
use crate::sandbox::{self, Account, Hardening, Isolation, Lent, Outcome, Spec};

/// The stages whose trees a step reads.
pub(super) fn stages_read(op: &Op) -> Vec<StageId> {
    let stage = |from: &From| match from {
        From::Stage(stage) => Some(*stage),
        From::Context | From::Named(_) | From::Image(_) | From::Scratch => None,
    };
    match op {
        Op::Copy(copy) => stage(&copy.from).into_iter().collect(),
        Op::Run(run) => run
            .mounts
            .iter()
            .filter_map(|mount| match &mount.kind {
                MountKind::Bind { from, .. } => stage(from),
                MountKind::Cache { from, .. } => from.as_ref().and_then(stage),
                MountKind::Tmpfs { .. } | MountKind::Secret { .. } | MountKind::Ssh { .. } => None,
            })
            .collect(),
        Op::Workdir(_) => Vec::new(),
    }
}

type Variables = Vec<(String, String)>;
type SecretVariables = Vec<(String, Arc<Secret>)>;

impl Execution<'_> {
    pub(super) fn run_step<'scope>(
        &'scope self,
        id: StepId,
        step: &Step,
        run: &Run,
        parents: &Stack,
        packers: Packers<'scope, '_>,
    ) -> Result<Cell, Failure> {
        let network = self.network(run, step);
        if let Isolation::Refused { cause, cure } = &self.services.isolation {
            return Err(refused(cause, cure));
        }
        self.refuse_in_chroot(run)?;
        let mut request = self.run_request(run, step, network);
        let shown = self.shown(run, &mut request)?;
        if let Some(cell) = self.cached(id, step, &mut request, parents, None)? {
            return Ok(cell);
        }
        let emulated = self.emulation(id, step)?;
        let done = self.attempt(id, step, run, parents, shown, emulated.as_deref(), false)?;
        let mut conduct = self.conduct_of(run, &done)?;
        if self.options.terms.verify {
            let (varying, second) =
                self.run_again(id, step, run, parents, emulated.as_deref(), &done)?;
            conduct = Conduct { varying: Some(varying), ..join(conduct, second) };
        }
        self.note(id, conduct)?;
        let tree = done.work.commit()?;
        let cell = Cell::fresh(id, Some(self.services.store.tree_path(&tree)));
        let job = Job {
            step: id,
            request,
            parents: parents.clone(),
            cell: cell.clone(),
            changes: done.changes,
            tree: Some(tree),
            from_tree: true,
            reading: Reading::Nothing,
        };
        self.pack(packers, job);
        Ok(cell)
    }

    /// Runs a step a second time, and returns what came out otherwise, and what the step did.
    fn run_again(
        &self,
        id: StepId,
        step: &Step,
        run: &Run,
        parents: &Stack,
        emulated: Option<&str>,
        first: &Attempt,
    ) -> Result<(Vec<Varying>, Conduct), Failure> {
        // Another second, for who writes the time in seconds.
        std::thread::sleep(Duration::from_millis(1100));
        let shown = self.shown(run, &mut self.run_request(run, step, self.network(run, step)))?;
        let second = self.attempt(id, step, run, parents, shown, emulated, true)?;
        let (varying, all) = match second.failed {
            true => (vec![Varying { path: String::new(), how: Varies::End }], 1),
            false => varying(&first.changes, &second.changes, self.options.times)?,
        };
        if let Some(one) = varying.first() {
            let what = match one.how {
                Varies::End => "it failed the second time".to_owned(),
                _ => format!("`{}`, {all} in all", one.path),
            };
            self.services.events.note(format!("`{}` comes out otherwise: {what}", step.title));
        }
        Ok((varying, self.conduct_of(run, &second)?))
    }

    /// Runs a step, up to its changes. Of one that runs `again` nothing is told, and it may fail.
    #[allow(clippy::too_many_arguments, reason = "two callers, one step")]
    fn attempt(
        &self,
        id: StepId,
        step: &Step,
        run: &Run,
        parents: &Stack,
        shown: Vec<super::mounts::Shown>,
        emulated: Option<&str>,
        again: bool,
    ) -> Result<Attempt, Failure> {
        let network = self.network(run, step);
        let store = self.services.store;
        let mode = self.services.id_mode;
        let mut layers = self.trees(parents)?;
        let lower = self.lower(parents)?;
        let work = Work::new(store, &lower, mode)?;
        let scratch = Scratch::new(store)?;
        let user = passwd::lookup(&lower, &run.user)?;
        // Overlayfs wants a layer below; over nothing that is an empty folder.
        if layers.is_empty() {
            layers.push(scratch.path().to_owned());
        }
        let authorities = self.authorities(&lower, scratch.path())?;
        layers.extend(authorities.layer.clone());
        let layers = self.bounded(layers)?;
        let (mut env, secret_env) = self.environment(run, &user)?;
        for (name, value) in &authorities.env {
            if !env.iter().any(|(other, _)| other == name) {
                env.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        let (mut mounts, mut held) = self.mounts(run, shown, id)?;
        mounts.extend(authorities.mounts.iter().cloned());
        for node in super::grants::nodes(run, self.services.events)? {
            mounts.push(sandbox::Mount {
                target: ImagePath::from_entry(node.as_os_str().as_encoded_bytes())
                    .map_err(|error| Failure::new(Cause::Input, "device", error.to_string()))?,
                kind: sandbox::MountKind::Device(node),
            });
        }
        let place = self.place(layers, &work)?;
        let spec = Spec {
            lowers: place.lowers.clone(),
            upper: place.upper.clone(),
            work: work.work().to_owned(),
            scratch: scratch.path().to_owned(),
            argv: run.args.iter().map(|word| word.clone().into_bytes()).collect(),
            env,
            secret_env,
            cwd: run.workdir.clone(),
            user: sandbox::User { uid: user.uid, gid: user.gid, groups: user.groups.clone() },
            mounts,
            network,
            hostname: if again { "another" } else { "buildkitsandbox" }.to_owned(),
            hosts: self.options.hosts.clone(),
            resolv_conf: self.options.resolv_conf.clone(),
            id_mode: self.services.id_mode,
            isolation: self.services.isolation.clone(),
            hardening: self.hardening(run),
            shm_size: self.options.shm_size,
            ulimits: self.ulimits(),
            terms: self.terms(),
        };
        let mut last = LastLine::default();
        let mut heard = Conduct::default();
        let since;
        // Taken down while what the step wrote is looked at.
        let mut mounts_left = None;
        let outcome = {
            let _slot = self.jobs.take();
            // Waiting for others is none of its time.
            since = Instant::now();
            let events = self.services.events;
            let mut tell = |stream, line: &[u8]| {
                last.take(line);
                if stream == Stream::Stderr {
                    heard.hear(line);
                }
                if again {
                    return;
                }
                events.send(Event::StepOutput { step: id, stream, line: line.to_vec() });
            };
            let launcher = self.services.launcher;
            let masker = events.masker();
            if self.is_chroot() {
                sandbox::run_in_copy(&spec, launcher, masker, self.cancel(), &mut tell)
            } else {
                sandbox::run_watched(&spec, launcher, masker, self.cancel(), &mut tell).map(
                    |(outcome, account, leaving)| {
                        mounts_left = Some(leaving);
                        (outcome, account, Lent::default())
                    },
                )
            }
        };
        // The step's own failure comes before that of what it was lent.
        let given_back = held.loans.give_back();
        drop((held, scratch));
        let took = since.elapsed();
        let (mut lent, mut account) = (Lent::default(), Account::default());
        let outcome = outcome.map(|(outcome, done, left)| {
            if !again {
                self.tell_audit(id, &done);
            }
            (lent, account) = (left, done);
            outcome
        });
        let ended = ended(&outcome, &self.options.terms, &step.title, &last);
        let end = ended.map_or_else(|| judge(outcome, run), Err).map_err(|mut failure| {
            let note = emulated.map(|what| format!("this step was emulated: {what}"));
            failure.diagnostic.notes.extend(note);
            failure
        });
        let failed = match end {
            Err(failure) if again && failure.cause == Cause::Step => true,
            end => end.map(|()| false)?,
        };
        given_back?;
        // A record stands for a node only where the kernel makes none for a step that may have them.
        let by_record = !mode.has_many() && self.hardening(run) != Hardening::Hardened;
        self.settle(place, &lent, &work, &lower, by_record)?;
        if !again {
            self.done(id, since);
        }

        authorities.take_back(&work)?;
        let mut changes = work.changes(&lower, self.stacking(), mode)?;
        if !by_record {
            rootfs::forget_nodes(&mut changes, &work.root()?, mode, &lower)?;
        }
        // The next step's tree has this folder in it.
        drop(mounts_left);
        Ok(Attempt { work, lower, changes, account, took, heard, failed })
    }

    // That all of it is granted was checked before the first step.
    pub(super) fn network(&self, run: &Run, step: &Step) -> sandbox::Network {
        let ships = || self.plan.chain(self.plan.target).contains(&step.stage);
        match run.network {
            Network::None => sandbox::Network::None,
            Network::Default if self.options.no_network => sandbox::Network::None,
            Network::Default if self.options.no_network_in_final && ships() => {
                sandbox::Network::None
            }
            Network::Host | Network::Default => sandbox::Network::Host,
        }
    }

    pub(super) fn hardening(&self, run: &Run) -> Hardening {
        match run.security {
            Security::Sandbox => self.options.hardening,
            Security::Insecure => Hardening::Insecure,
        }
    }

    /// What a step without namespaces cannot be given.
    fn refuse_in_chroot(&self, run: &Run) -> Result<(), Failure> {
        let what = match (run.security, run.devices.first()) {
            _ if !self.is_chroot() => return Ok(()),
            (Security::Insecure, _) => "RUN --security=insecure",
            (_, Some(_)) => "RUN --device",
            _ => return Ok(()),
        };
        let text = format!("{what} needs namespaces, which --isolation=chroot does without");
        Err(Failure::new(Cause::Usage, "entitlement", text))
    }

    /// The parts of the key that are the operation: everything that the command sees, but for the
    /// values of secrets and of proxy variables.
    pub(super) fn run_request(&self, run: &Run, step: &Step, network: sandbox::Network) -> Request {
        let mut request = Request::new("RUN");
        for (index, word) in run.args.iter().enumerate() {
            let name = if index + 1 == run.args.len() {
                "command".into()
            } else {
                format!("argument {index}")
            };
            request.operation(name, word.as_str());
        }
        for file in &run.files {
            request
                .operation(format!("script {} {:o}", file.path, file.mode), file.content.as_str());
        }
        for (name, value) in run.env.pairs() {
            // A build argument may be what nobody should read, in the store or as a miss's cause.
            let value = Digest::<Blob>::of(value.as_bytes());
            request.operation(format!("env {name}"), value.to_string());
        }
        request.operation("user", run.user.as_str());
        request.operation("workdir", run.workdir.to_string());
        request.operation("platform", self.plan.stages[step.stage].platform.to_string());
        request.operation("network", format!("{network:?}"));
        request.operation("hardening", format!("{:?}", self.hardening(run)));
        for device in &run.devices {
            request.operation("device", device.as_str());
        }
        let ids = if self.services.id_mode.has_many() { "many" } else { "one, owners recorded" };
        request.operation("ids", ids);
        // What a step sees without namespaces is not what it sees with them.
        if self.is_chroot() {
            request.operation("isolation", "chroot");
        }
        request.operation("shm", self.options.shm_size.to_string());
        for limit in &self.options.ulimits {
            request.operation(
                format!("ulimit {}", limit.name),
                format!("{:?} {:?}", limit.soft, limit.hard),
            );
        }
        // The name servers are the machine's, what --add-host says is the build's.
        request.operation("/etc/hosts", Digest::<Blob>::of(&self.options.hosts).to_string());
        request.operation("times", times_part(self.options.times));
        for mount in &run.mounts {
            request.operation("mount", mount_part(&mount.kind));
        }
        request
    }

    /// What `SSH_AUTH_SOCK` names: the first agent that is there. Where none is, it is the first that
    /// was asked for, as with BuildKit.
    fn agent_socket(&self, run: &Run) -> Option<String> {
        let mut sockets = run.mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Ssh { id, target, .. } => Some((id, target)),
            _ => None,
        });
        let there = sockets.clone().find(|(id, _)| self.options.ssh.contains_key(*id));
        there.or_else(|| sockets.next()).map(|(_, target)| target.to_string())
    }

    fn environment(
        &self,
        run: &Run,
        user: &passwd::User,
    ) -> Result<(Variables, SecretVariables), Failure> {
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut env: Vec<(String, String)> = run.env.pairs().into_iter().map(own).collect();
        let mut add = |name: &str, value: &str| {
            if !env.iter().any(|(other, _)| other == name) {
                env.push((name.to_owned(), value.to_owned()));
            }
        };
        for (name, value) in run.proxy.iter() {
            add(name, value);
        }
        add("PATH", crate::plan::DEFAULT_PATH);
        add("HOME", user.home.as_deref().unwrap_or("/"));
        if let Some(socket) = self.agent_socket(run) {
            add("SSH_AUTH_SOCK", &socket);
        }
        if let Times::Fixed(time) = self.options.times {
            add("SOURCE_DATE_EPOCH", &time.seconds().to_string());
        }
        let mut secrets = Vec::new();
        for mount in &run.mounts {
            if let MountKind::Secret { id, env: Some(variable), required, .. } = &mount.kind {
                match self.options.secrets.get(id) {
                    Some(secret) => secrets.push((variable.clone(), Arc::clone(secret))),
                    None if *required => return Err(no_secret(id, mount.span)),
                    None => {}
                }
            }
        }
        Ok((env, secrets))
    }
}

/// A step on a host that cannot fence it in.
pub(super) fn refused(cause: &str, cure: &str) -> Failure {
    Failure::new(Cause::Sandbox, "sandbox", format!("this host cannot run a step: {cause}"))
        .help(cure)
}

/// A command's end as success or failure.
fn judge(outcome: Result<Outcome, sandbox::Error>, run: &Run) -> Result<(), Failure> {
    let command = run.args.join(" ");
    let failed = |status: i32, how: String| {
        let shown: String = command.chars().take(200).collect();
        let mut failure = Failure::new(
            Cause::Step,
            "step-failed",
            format!("process \"{shown}\" did not complete successfully: {how}"),
        );
        failure.status = Some(status);
        if let Some(hint) = likely_cause(status) {
            failure.diagnostic.notes.push(hint.to_owned());
        }
        failure
    };
    match outcome {
        Ok(Outcome::Exited(0)) => Ok(()),
        Ok(Outcome::Exited(status)) => Err(failed(status, format!("exit code: {status}"))),
        Ok(Outcome::Signaled(signal)) => {
            Err(failed(128 + signal, format!("killed by signal {signal}")))
        }
        Ok(Outcome::Cancelled) => Err(Failure::stopped()),
        Ok(Outcome::Expired(_) | Outcome::OutOfMemory { .. }) => {
            Err(failed(137, "it was stopped".to_owned()))
        }
        Err(error) => Err(Failure::from(error)),
    }
}

/// What a status often means.
fn likely_cause(status: i32) -> Option<&'static str> {
    match status {
        126 => Some(
            "126: the program is there, but cannot be run: no execute bit, another architecture, or a missing interpreter",
        ),
        127 => Some(
            "127: a program was not found: is its package installed in this stage, and is PATH right?",
        ),
        137 => Some("137: killed; most often there was too little memory"),
        139 => Some("139: the program crashed (segmentation fault)"),
        _ => None,
    }
}

pub(super) fn times_part(times: Times) -> String {
    match times {
        Times::Fixed(time) => time.seconds().to_string(),
        // When it was made is no input of a step, only whether times are kept.
        Times::Preserve(_) => "preserve".to_owned(),
    }
}

/// A mount as part of a key: by id, target and mode; never a secret's value, never what is in a
/// cache.
fn mount_part(kind: &MountKind) -> String {
    match kind {
        MountKind::Bind { target, from: _, source, writable } => {
            format!("bind {target} {source} writable={writable}")
        }
        MountKind::Cache { target, id, from: None, source, readonly, .. } if !source.is_root() => {
            format!("cache {target} {id} ro={readonly} source={source}")
        }
        MountKind::Cache { target, id, readonly, .. } => {
            format!("cache {target} {id} ro={readonly}")
        }
        MountKind::Tmpfs { target, size } => format!("tmpfs {target} {size:?}"),
        MountKind::Secret { id, target, env, mode, uid, gid, required } => {
            let target = target.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("secret {id} {target} {env:?} {mode:o} {uid}:{gid} required={required}")
        }
        MountKind::Ssh { id, target, mode, uid, gid, required } => {
            format!("ssh {id} {target} {mode:o} {uid}:{gid} required={required}")
        }
    }
}
