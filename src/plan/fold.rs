//! Stage by stage, instruction by instruction: what each does to the config, and which steps it
//! leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::resolve::{Draft, Ref, Resolver};
use super::state::State;
use super::unused::unused;
use super::{
    Argument, Base, BaseLookup, Copy, History, Op, Plan, Request, Stage, Step, op, transfer,
};
use crate::base::{Arena, ImagePath, Span, StageId, StageMark, StepMark};
use crate::diag::{Code, Diagnostic, Sources};
use crate::dockerfile::{Dockerfile, Word};
use crate::instruction::{self, Instruction};

// What one plan may hold, in bytes: histories, operations, variables, and what each stage takes over
// from the one it is built on. Plans of real files hold some hundred KiB.
const PLAN_BUDGET: usize = 128 << 20;

pub(super) fn plan(
    file: &Dockerfile,
    instructions: &[Instruction],
    request: &Request,
    bases: &dyn BaseLookup,
    sources: &mut Sources,
) -> Result<Plan, Vec<Diagnostic>> {
    let end = file.lines.last().map_or(0, |line| line.span.end as usize);
    let mut resolver = Resolver::new(file.escape, request, bases, sources);
    resolver.cut(instructions, Span::new(file.source, 0, end.min(1)));
    let needed = match resolver.target() {
        Some(target) => resolver.needed(target),
        None => Default::default(),
    };
    let target = needed.last().copied();
    let drafts = std::mem::take(&mut resolver.stages);
    let mut planner = Planner {
        resolver,
        stages: Arena::new(),
        steps: Arena::new(),
        ids: BTreeMap::new(),
        below: drafts.iter().filter_map(Draft::below).collect(),
        states: BTreeMap::new(),
        proxy: super::state::proxy(request),
        spent: 0,
    };
    for index in needed {
        if planner.resolver.errors.len() >= instruction::ERROR_LIMIT {
            break;
        }
        planner.stage(index, &drafts[index], target == Some(index));
    }
    let warnings = unused(instructions, &planner.stages, request);
    let Planner { resolver, stages, steps, ids, .. } = planner;
    let mut errors = resolver.errors;
    let target = target.and_then(|target| ids.get(&target).copied());
    match target {
        Some(target) if errors.is_empty() => {
            let (bases, arguments) = (resolver.bases, resolver.arguments);
            Ok(Plan { stages, steps, bases, target, arguments, warnings })
        }
        _ => {
            errors.sort_by_key(|error| error.span.map(|span| (span.source, span.start)));
            Err(errors)
        }
    }
}

struct Planner<'a> {
    resolver: Resolver<'a>,
    stages: Arena<StageMark, Stage>,
    steps: Arena<StepMark, Step>,
    ids: BTreeMap<usize, StageId>,
    // What stages end with that others are built on: which those are, and what of it is known.
    below: BTreeSet<usize>,
    states: BTreeMap<usize, State>,
    proxy: Arc<Vec<(String, String)>>,
    // Bytes that the plan holds, of all its stages.
    spent: usize,
}

// What an instruction leaves: an entry of the history, perhaps with work to do.
type Done = (String, Option<Op>);

impl Planner<'_> {
    fn stage(&mut self, index: usize, draft: &Draft<'_>, last: bool) {
        let (base, mut state) = self.begin(draft);
        if let Err(error) = self.charge(state.held, draft.from.span) {
            self.resolver.errors.push(*error);
            return;
        }
        let platform = match (&draft.base, &draft.from.platform) {
            (Some(Ref::Stage(below)), None) => self
                .ids
                .get(below)
                .map_or_else(|| draft.platform.clone(), |id| self.stages[*id].platform.clone()),
            _ => draft.platform.clone(),
        };
        let id = self.stages.push(Stage {
            index,
            name: draft.from.name.as_ref().map(|name| name.raw.clone()),
            base: base.clone(),
            platform,
            steps: Vec::new(),
            config: Default::default(),
            author: None,
            history: Vec::new(),
            arguments: Vec::new(),
            span: draft.from.span,
            from: draft.from.clone(),
            triggers: draft.triggers.clone(),
        });
        self.ids.insert(index, id);
        if let Base::Files(name) = base {
            let op = Op::Copy(whole(op::From::Named(name.clone())));
            let step = self.step(id, op, format!("FROM {name}"), draft.from.span);
            // BuildKit tells of such a layer after all others.
            state.late.push(History {
                created_by: format!("FROM {name}"),
                comment: String::new(),
                step: Some(step),
            });
        }
        for instruction in draft.triggers.iter().chain(draft.own) {
            if self.resolver.errors.len() >= instruction::ERROR_LIMIT {
                break;
            }
            let before = (state.spent, state.held);
            let done = self.apply(&mut state, draft, instruction).and_then(|done| {
                state.hold(2 * done.0.len() + done.1.as_ref().map_or(0, weight) + 128);
                let more = (state.spent - before.0).max(state.held - before.1);
                self.charge(more, instruction.span()).map(|()| done)
            });
            match done {
                // BuildKit has no entry for a trigger that is only stored.
                Ok(_) if matches!(instruction, Instruction::Onbuild(_)) => {}
                Ok((created_by, op)) => {
                    let step = op.map(|op| {
                        let title = title(self.resolver.sources, instruction.span());
                        self.step(id, op, title, instruction.span())
                    });
                    state.history.push(History { created_by, comment: String::new(), step });
                }
                Err(error) => self.resolver.errors.push(*error),
            }
            if let Err(error) = state.charge(draft.from.span) {
                self.resolver.errors.push(*error);
                break;
            }
        }
        if last {
            for (name, value) in &self.resolver.request.labels {
                state.config.labels.insert(name.clone(), value.clone());
            }
        }
        let mut history = match self.below.contains(&index) {
            true => state.history.clone(),
            false => std::mem::take(&mut state.history),
        };
        history.extend(state.late.iter().cloned());
        for (place, entry) in history.iter().enumerate() {
            if let Some(step) = entry.step.filter(|step| self.steps[*step].stage == id) {
                self.steps[step].history = place;
            }
        }
        let stage = &mut self.stages[id];
        stage.config = state.finished();
        stage.author.clone_from(&state.author);
        stage.history = history;
        stage.arguments = std::mem::take(&mut state.arguments);
        if self.below.contains(&index) {
            self.states.insert(index, state);
        }
    }

    // Counts what the plan holds; a file must not make it endless.
    fn charge(&mut self, bytes: usize, span: Span) -> Result<(), Box<Diagnostic>> {
        self.spent += bytes;
        if self.spent <= PLAN_BUDGET {
            return Ok(());
        }
        let message = "the values of this file, variables replaced, take too much memory";
        Err(Box::new(Diagnostic::error(Code("too-much"), message).at(span)))
    }

    fn step(&mut self, stage: StageId, op: Op, title: String, span: Span) -> crate::base::StepId {
        let id = self.steps.push(Step { stage, op, title, span, history: 0 });
        self.stages[stage].steps.push(id);
        id
    }

    fn begin(&mut self, draft: &Draft<'_>) -> (Base, State) {
        let mut state = match &draft.base {
            Some(Ref::Stage(below)) => match self.states.get(below) {
                Some(state) => state.child(),
                None => State::new(),
            },
            Some(Ref::Image(id)) => match &self.resolver.bases[*id].image {
                Some(image) => State::of(&image.config),
                None => State::new(),
            },
            _ => State::new(),
        };
        state.finish_start();
        let base = match &draft.base {
            Some(Ref::Stage(below)) => self.ids.get(below).map(|id| Base::Stage(*id)),
            Some(Ref::Image(id)) if self.resolver.bases[*id].image.is_none() => {
                Some(Base::Unread { name: draft.name.clone() })
            }
            Some(Ref::Image(id)) => Some(Base::Image(*id)),
            Some(Ref::Files(name)) => Some(Base::Files(name.clone())),
            Some(Ref::Scratch | Ref::Context) | None => Some(Base::Scratch),
        };
        (base.unwrap_or(Base::Scratch), state)
    }

    fn from(&self, draft: &Draft<'_>, place: Span) -> Option<op::From> {
        Some(match draft.sources.get(&place)? {
            Ref::Context => op::From::Context,
            Ref::Scratch => op::From::Scratch,
            Ref::Stage(index) => op::From::Stage(*self.ids.get(index)?),
            Ref::Image(id) => op::From::Image(*id),
            Ref::Files(name) => op::From::Named(name.clone()),
        })
    }

    fn word(&mut self, state: &State, word: &Word) -> Result<String, Box<Diagnostic>> {
        self.resolver.expander.word(&word.raw, state.scope()).map_err(|error| {
            Box::new(Diagnostic::error(Code("expansion"), error.to_string()).at(word.span))
        })
    }

    fn words(&mut self, state: &State, words: &[Word]) -> Result<Vec<String>, Box<Diagnostic>> {
        words.iter().map(|word| self.word(state, word)).collect()
    }

    fn optional(
        &mut self,
        state: &State,
        word: Option<&Word>,
    ) -> Result<Option<String>, Box<Diagnostic>> {
        word.map(|word| self.word(state, word)).transpose()
    }

    fn apply(
        &mut self,
        state: &mut State,
        draft: &Draft<'_>,
        instruction: &Instruction,
    ) -> Result<Done, Box<Diagnostic>> {
        let name = instruction.name();
        let entry = |text: String| Ok((format!("{name} {text}"), None));
        match instruction {
            Instruction::From(from) => Err(Box::new(
                Diagnostic::error(Code("onbuild-trigger"), "FROM inside a stage").at(from.keyword),
            )),
            Instruction::Arg(arg) => {
                let mut shown = Vec::new();
                for declared in &arg.args {
                    self.arg(state, declared)?;
                    let name = declared.name.raw.clone();
                    let value = state.scope().get(&name).map(str::to_owned);
                    state.declare(Argument { name, value, span: arg.span });
                    // The default of the file, never a value of the command line.
                    shown.push(match &declared.default {
                        Some(default) => format!("{}={}", declared.name.raw, default.raw),
                        None => declared.name.raw.clone(),
                    });
                }
                entry(shown.join(" "))
            }
            Instruction::Env(env) => {
                let pairs = self.pairs(state, &env.pairs, name)?;
                let mut shown = Vec::new();
                for (name, value) in pairs {
                    shown.push(format!("{name}={value}"));
                    state.set_env(name, value);
                }
                entry(shown.join(" "))
            }
            Instruction::Label(label) => {
                let pairs = self.pairs(state, &label.pairs, name)?;
                let mut shown = Vec::new();
                for (name, value) in pairs {
                    shown.push(format!("{name}={value}"));
                    state.config.labels.insert(name, value);
                }
                entry(shown.join(" "))
            }
            Instruction::User(user) => {
                state.config.user = self.word(state, &user.who)?;
                entry(state.config.user.clone())
            }
            Instruction::Workdir(workdir) => {
                let path = self.word(state, &workdir.path)?;
                let path = resolve(&state.workdir(), &path, workdir.path.span)?;
                state.config.working_dir = path.to_string();
                let op = (!path.is_root())
                    .then(|| Op::Workdir(op::Workdir { path, user: state.config.user.clone() }));
                Ok((format!("WORKDIR {}", state.config.working_dir), op))
            }
            Instruction::Cmd(cmd) => {
                let args = state.command(&cmd.form);
                let shown = json(&args);
                state.config.cmd = Some(args);
                state.config.args_escaped = true;
                state.cmd_set = true;
                entry(shown)
            }
            Instruction::Entrypoint(entrypoint) => {
                let args = state.command(&entrypoint.form);
                let shown = json(&args);
                state.config.entrypoint = Some(args);
                // A command of the base was meant for the base's program.
                if !state.cmd_set {
                    state.config.cmd = None;
                }
                entry(shown)
            }
            Instruction::Shell(shell) => {
                let words: Vec<String> = shell.words.iter().map(|word| word.raw.clone()).collect();
                let shown = json(&words);
                state.config.shell = Some(words);
                entry(shown)
            }
            Instruction::Expose(expose) => {
                for port in &expose.ports {
                    self.expose(state, port)?;
                }
                let raw: Vec<&str> = expose.ports.iter().map(|port| port.raw.as_str()).collect();
                entry(raw.join(" "))
            }
            Instruction::Volume(volume) => {
                for (path, word) in self.words(state, &volume.paths)?.iter().zip(&volume.paths) {
                    let path = path.trim();
                    if path.is_empty() {
                        let message = "a path of VOLUME is an empty string";
                        let error = Diagnostic::error(Code("empty-volume"), message);
                        return Err(Box::new(error.at(word.span)));
                    }
                    state.hold(path.len() + 64);
                    state.config.volumes.insert(path.to_owned());
                }
                let raw: Vec<&str> = volume.paths.iter().map(|path| path.raw.as_str()).collect();
                entry(raw.join(" "))
            }
            Instruction::Stopsignal(stop) => {
                let signal = self.word(state, &stop.signal)?;
                if !instruction::Stopsignal::known(&signal) {
                    let shown: String = signal.chars().take(40).collect();
                    let message = format!("unknown signal `{shown}`");
                    let error = Diagnostic::error(Code("unknown-signal"), message);
                    return Err(Box::new(error.at(stop.signal.span)));
                }
                state.config.stop_signal = signal;
                entry(state.config.stop_signal.clone())
            }
            Instruction::Healthcheck(check) => {
                let healthcheck = state.healthcheck(check);
                let shown = json(&healthcheck.test);
                state.config.healthcheck = Some(healthcheck);
                entry(shown)
            }
            Instruction::Maintainer(maintainer) => {
                state.author = Some(maintainer.name.raw.clone());
                entry(maintainer.name.raw.clone())
            }
            Instruction::Onbuild(onbuild) => {
                state.config.on_build.push(onbuild.text.clone());
                entry(onbuild.text.clone())
            }
            Instruction::Copy(copy) => self.copy(state, draft, copy),
            Instruction::Add(add) => self.add(state, add),
            Instruction::Run(run) => self.run(state, draft, run),
        }
    }

    // A value of the command line beats the default, which beats the global value.
    fn arg(
        &mut self,
        state: &mut State,
        declared: &instruction::Declared,
    ) -> Result<(), Box<Diagnostic>> {
        let name = &declared.name.raw;
        let value = match (self.resolver.request.build_args.get(name), &declared.default) {
            (Some(Some(given)), _) => Some(given.clone()),
            (_, Some(default)) => Some(self.word(state, default)?),
            (_, None) => self.resolver.globals.get(name).map(str::to_owned),
        };
        if let Some(value) = value {
            state.set_arg(name, &value);
        }
        Ok(())
    }

    // All pairs see the values from before the instruction.
    fn pairs(
        &mut self,
        state: &State,
        pairs: &[instruction::Pair],
        keyword: &str,
    ) -> Result<Vec<(String, String)>, Box<Diagnostic>> {
        let mut out = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let name = self.word(state, &pair.name)?;
            if name.is_empty() {
                let message = format!("names of {keyword} cannot be blank");
                let error = Diagnostic::error(Code("blank-name"), message);
                return Err(Box::new(error.at(pair.name.span)));
            }
            out.push((name, self.word(state, &pair.value)?));
        }
        Ok(out)
    }

    fn expose(&mut self, state: &mut State, word: &Word) -> Result<(), Box<Diagnostic>> {
        let at =
            |message: String| Box::new(Diagnostic::error(Code("bad-port"), message).at(word.span));
        let ports = self
            .resolver
            .expander
            .list(&word.raw, state.scope())
            .map_err(|error| at(error.to_string()))?;
        for port in ports {
            let ports =
                instruction::Expose::expand(&port).map_err(|error| at(error.to_string()))?;
            // Counted here: one word may have a thousand times its length.
            self.charge(ports.len() * 64, word.span)?;
            state.hold(ports.len() * 64);
            state.config.exposed_ports.extend(ports);
        }
        Ok(())
    }

    fn inline(
        &mut self,
        state: &State,
        heredoc: &crate::dockerfile::Heredoc,
        marker: Span,
    ) -> Result<op::Source, Box<Diagnostic>> {
        // One heredoc may be the source many times.
        self.charge(heredoc.content.len(), marker)?;
        let text = heredoc.text();
        let content = if heredoc.expand {
            self.resolver.expander.heredoc(&text, state.scope()).map_err(|error| {
                Box::new(Diagnostic::error(Code("expansion"), error.to_string()).at(heredoc.span))
            })?
        } else {
            text
        };
        Ok(transfer::inline(heredoc.name.clone(), content, marker))
    }

    fn mode(
        &mut self,
        state: &State,
        word: Option<&Word>,
    ) -> Result<Option<String>, Box<Diagnostic>> {
        let mode = self.optional(state, word)?;
        if let (Some(mode), Some(word)) = (&mode, word) {
            transfer::chmod(mode, word.span)?;
        }
        Ok(mode)
    }

    fn copy(
        &mut self,
        state: &State,
        draft: &Draft<'_>,
        copy: &instruction::Copy,
    ) -> Result<Done, Box<Diagnostic>> {
        let mut sources = Vec::with_capacity(copy.sources.len());
        for source in &copy.sources {
            sources.push(match source {
                instruction::Source::Path(word) => {
                    transfer::copied(self.word(state, word)?, word.span)?
                }
                instruction::Source::Inline(heredoc, marker) => {
                    self.inline(state, heredoc, *marker)?
                }
            });
        }
        let written = self.word(state, &copy.destination)?;
        let destination = resolve(&state.workdir(), &written, copy.destination.span)?;
        let from = match &copy.from {
            // What could not be resolved was told already.
            Some(word) => self.from(draft, word.span).unwrap_or(op::From::Context),
            None => op::From::Context,
        };
        let created_by = format!("COPY {} {written}", names(&sources));
        let op = Op::Copy(Copy {
            sources,
            destination,
            directory: is_directory(&written),
            chown: self.optional(state, copy.chown.as_ref())?,
            chmod: self.mode(state, copy.chmod.as_ref())?,
            link: copy.link,
            parents: copy.parents,
            exclude: self.words(state, &copy.exclude)?,
            ..whole(from)
        });
        Ok((created_by, Some(op)))
    }

    fn add(&mut self, state: &State, add: &instruction::Add) -> Result<Done, Box<Diagnostic>> {
        let mut sources = Vec::with_capacity(add.sources.len());
        for source in &add.sources {
            sources.push(match source {
                instruction::Source::Path(word) => {
                    transfer::added(self.word(state, word)?, word.span)
                }
                instruction::Source::Inline(heredoc, marker) => {
                    self.inline(state, heredoc, *marker)?
                }
            });
        }
        let checksum = self.optional(state, add.checksum.as_ref())?;
        if let (Some(text), Some(word)) = (&checksum, &add.checksum) {
            transfer::checksum(text, &sources, word.span)?;
        }
        let written = self.word(state, &add.destination)?;
        let destination = resolve(&state.workdir(), &written, add.destination.span)?;
        let created_by = format!("ADD {} {written}", names(&sources));
        let op = Op::Copy(Copy {
            sources,
            destination,
            directory: is_directory(&written),
            chown: self.optional(state, add.chown.as_ref())?,
            chmod: self.mode(state, add.chmod.as_ref())?,
            link: add.link,
            exclude: self.words(state, &add.exclude)?,
            unpack: add.unpack.unwrap_or(true),
            unpack_remote: add.unpack == Some(true),
            checksum,
            keep_git_dir: add.keep_git_dir,
            ..whole(op::From::Context)
        });
        Ok((created_by, Some(op)))
    }

    fn run(
        &mut self,
        state: &mut State,
        draft: &Draft<'_>,
        run: &instruction::Run,
    ) -> Result<Done, Box<Diagnostic>> {
        let workdir = state.workdir();
        let mut mounts = Vec::with_capacity(run.mounts.len());
        let mut ssh = 0;
        for mount in &run.mounts {
            let mut fields = Vec::with_capacity(mount.fields.len());
            for field in &mount.fields {
                let value = match &field.value {
                    Some(word) if field.key == "from" => Some(word.raw.clone()),
                    Some(word) => Some(self.word(state, word)?),
                    None => None,
                };
                fields.push((field.key, value, field.span));
            }
            let from = mount.value("from").and_then(|word| self.from(draft, word.span));
            mounts.push(super::mounts::mount(mount, &fields, from, &workdir, &mut ssh)?);
        }
        let (args, files) = state.arguments(&run.form);
        let created_by = format!("RUN {}", args.join(" "));
        let op = Op::Run(op::Run {
            args,
            files,
            env: state.environment(),
            proxy: self.proxy.clone(),
            user: state.config.user.clone(),
            workdir,
            mounts,
            network: run.network,
            security: run.security,
            devices: self.words(state, &run.devices)?,
        });
        Ok((created_by, Some(op)))
    }
}

fn resolve(workdir: &ImagePath, path: &str, span: Span) -> Result<ImagePath, Box<Diagnostic>> {
    workdir
        .resolve(path.as_bytes())
        .map_err(|error| Box::new(Diagnostic::error(Code("bad-path"), error.to_string()).at(span)))
}

fn is_directory(written: &str) -> bool {
    written.is_empty() || written == "." || written.ends_with('/')
}

// All of a tree.
fn whole(from: op::From) -> Copy {
    Copy {
        from,
        sources: vec![op::Source::Path { path: "/".to_owned(), span: Span::default() }],
        destination: ImagePath::root(),
        directory: true,
        chown: None,
        chmod: None,
        link: false,
        parents: false,
        exclude: Vec::new(),
        unpack: false,
        unpack_remote: false,
        checksum: None,
        keep_git_dir: false,
    }
}

// Bytes that an operation holds, about, above what its history entry says.
fn weight(op: &Op) -> usize {
    match op {
        Op::Run(run) => {
            let files = run.files.iter().map(|file| file.content.len()).sum::<usize>();
            let devices = run.devices.iter().map(String::len).sum::<usize>();
            512 * (run.mounts.len() + 1)
                + files
                + devices
                + run.user.len()
                + run.workdir.as_bytes().len()
        }
        Op::Copy(copy) => {
            let exclude = copy.exclude.iter().map(String::len).sum::<usize>();
            let owner = copy.chown.as_ref().map_or(0, String::len);
            128 * copy.sources.len() + exclude + owner + 2 * copy.destination.as_bytes().len()
        }
        Op::Workdir(workdir) => workdir.user.len() + 2 * workdir.path.as_bytes().len(),
    }
}

fn names(sources: &[op::Source]) -> String {
    let names: Vec<String> = sources
        .iter()
        .map(|source| match source {
            op::Source::Path { path, .. } => path.clone(),
            op::Source::Inline(file) => format!("<<{}", file.name),
            op::Source::Url { url, .. } => transfer::without_login(url).into_owned(),
            op::Source::Git { remote, .. } => transfer::without_login(remote).into_owned(),
        })
        .collect();
    names.join(" ")
}

fn json(words: &[String]) -> String {
    serde_json::Value::from(words.to_vec()).to_string()
}

// An instruction in one line of at most 200 characters.
fn title(sources: &Sources, span: Span) -> String {
    let mut out = String::new();
    let mut count = 0;
    // A few KiB hold 200 characters of all but the strangest text.
    let text = sources.slice(span);
    let mut end = text.len().min(4096);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for word in text[..end].split_whitespace().filter(|word| *word != "\\" && *word != "`") {
        if !out.is_empty() {
            out.push(' ');
        }
        let word = transfer::without_login(word);
        let length = word.chars().count();
        if count + length > 200 {
            out.extend(word.chars().take(200 - count));
            out.push('…');
            return out;
        }
        out.push_str(&word);
        count += length;
    }
    out
}
