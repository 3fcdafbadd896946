//! The text in the form in which rules look at it: stages with their bases, instructions with the
//! values known there, and what each RUN runs.
//!
//! Made without the plan, which exists only for a file without mistakes and holds only the stages
//! that the target needs: rules look at all of them.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::bases::{BaseFacts, Bases};
use super::calls::{Call, kind};
use super::context::ContextFiles;
use super::finding::Place;
use super::scripts;
use super::values::{Snapshot, Values};
use crate::base::{ImageRef, Span};
use crate::diag::{Diagnostic, Sources};
use crate::dockerfile::{Dockerfile, Expander, Scope, constant};
use crate::facts::shell::{self, Command, Renames, Script};
use crate::image::RunConfig;
use crate::instruction::{From, Instruction};
use crate::plan::{Request, TRIGGER_LIMIT};

/// All that is known before anything runs.
#[derive(Clone, Copy)]
pub struct TextInput<'a> {
    /// The file.
    pub file: &'a Dockerfile,
    /// Its instructions, as far as they are right.
    pub instructions: &'a [Instruction],
    /// What was wrong with it: of the parser, the instructions and the plan.
    pub errors: &'a [Diagnostic],
    /// The texts that spans point into.
    pub sources: &'a Sources,
    /// Target, build arguments, named contexts.
    pub request: &'a Request,
    /// What is known of base images.
    pub bases: &'a Bases,
    /// Whether own layers will become one (`--squash`).
    pub squash: bool,
    /// Today, `YYYY-MM-DD`: waivers end. `None` lets none end.
    pub today: Option<&'a str>,
    /// The names that the image will have (`-t`); `None` where none can be known.
    pub tags: Option<&'a [String]>,
    /// The files of the build context; `None` where there is no folder.
    pub context: Option<&'a dyn ContextFiles>,
}

/// What a FROM names.
#[derive(Clone, Debug)]
pub enum BaseName {
    /// Nothing.
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// A named context.
    Context,
    /// An image of a registry.
    Image(ImageRef),
    /// A name that cannot be read, or with variables that have no value.
    Unknown,
}

/// A stage.
pub struct Stage<'a> {
    /// Its number, from 0.
    pub index: usize,
    /// Its FROM.
    pub from: &'a From,
    /// Where its FROM stands.
    pub place: Place,
    /// What it begins with.
    pub base: BaseName,
    /// The config of its base image, if that was looked up.
    pub config: Option<&'a RunConfig>,
    /// All that is known of its base image.
    pub facts: Option<&'a BaseFacts>,
    /// Its instructions after FROM: first the triggers of its base, whose place is that of FROM with a
    /// span of their own, in another text or an earlier stage.
    pub items: Vec<Item<'a>>,
    // Their kinds, and the commands of the RUNs.
    pub(super) kinds: Vec<u8>,
    pub(super) calls: OnceCell<Vec<Call>>,
    /// The folders that the commands of its RUNs run in, where they can be told.
    pub(super) folders: OnceCell<Vec<Option<Rc<str>>>>,
}

impl Stage<'_> {
    /// What to call it: its name, else its number.
    pub fn shown(&self) -> String {
        self.from.name.as_ref().map_or_else(|| self.index.to_string(), |name| name.raw.clone())
    }
}

/// An instruction with what is known where it stands.
pub struct Item<'a> {
    /// The instruction.
    pub instruction: &'a Instruction,
    /// Where it stands.
    pub place: Place,
    values: Snapshot,
    names: Snapshot,
    /// The shell of shell forms.
    pub shell: Rc<Vec<String>>,
    /// The working directory, if it can be told: `/` where nothing sets one.
    pub workdir: Option<Rc<str>>,
    /// Whether a WORKDIR stands before it, and whether one is absolute.
    pub below_workdir: (bool, bool),
    escape: char,
    renames: Rc<Renames>,
    run: bool,
    script: OnceCell<Box<Script>>,
}

impl Item<'_> {
    /// Expands a word with the values known here.
    pub fn expand(&self, raw: &str) -> Option<String> {
        expand(raw, &self.values, self.escape)
    }

    /// Returns what a RUN runs; nothing for other instructions and for bodies that are no shell.
    pub fn script(&self) -> &Script {
        if self.is_run() { self.program() } else { &NOTHING }
    }

    /// Returns what a RUN runs, and what CMD, ENTRYPOINT and HEALTHCHECK will.
    pub fn program(&self) -> &Script {
        self.script.get_or_init(|| {
            let mut script = scripts::script(self.instruction, &self.values, &self.shell);
            script.rename(&self.renames);
            Box::new(script)
        })
    }

    /// Returns the value of a variable, if it is known.
    pub fn value(&self, name: &str) -> Option<String> {
        self.values.get(name)
    }

    /// Tells whether the text sets a variable, to whatever value.
    pub fn declares(&self, name: &str) -> bool {
        self.names.get(name).is_some() || self.values.get(name).is_some()
    }

    /// Returns the names of all variables that the text sets.
    pub fn declared(&self) -> Vec<String> {
        self.names.all().into_keys().collect()
    }

    /// Reads a text as the script of a shell, as if it stood at `span`; `None` if its `#!` names
    /// another program.
    pub fn read_script(&self, text: &str, span: Span) -> Option<Script> {
        scripts::file(text, &self.values, span)
    }

    /// Adds commands to those of a RUN.
    pub(super) fn add_commands(&mut self, more: Vec<Command>) {
        if let Some(script) = self.script.get_mut() {
            script.commands.extend(more);
        }
    }

    /// Tells whether it is a RUN.
    pub fn is_run(&self) -> bool {
        self.run
    }
}

static NOTHING: Script = Script {
    commands: Vec::new(),
    parsed: true,
    error: None,
    pipelines: Vec::new(),
    notes: Vec::new(),
};

/// The whole text.
pub struct Outline<'a> {
    /// What it was made of.
    pub input: TextInput<'a>,
    /// The stages.
    pub stages: Vec<Stage<'a>>,
    /// The stage that becomes the image; `None` if there is none, or none of that name.
    pub target: Option<usize>,
    /// The values of variables were too much to keep: some are not known.
    pub full: bool,
}

impl<'a> Outline<'a> {
    /// Makes the outline.
    pub fn new(input: TextInput<'a>) -> Self {
        let globals = Values::of(platform_args(input.request));
        let mut builder = Builder {
            input,
            values: globals.beside(BTreeMap::new()),
            names: globals.beside(BTreeMap::new()),
            globals,
            workdir: Some("/".into()),
            below_workdir: (false, false),
            shell: Rc::new(vec!["/bin/sh".into(), "-c".into()]),
            renames: Rc::default(),
            stages: Vec::new(),
            ends: Vec::new(),
            triggers: 0,
        };
        let mut said = input
            .file
            .comments
            .iter()
            .filter_map(|comment| {
                Some((comment.span.start, super::comments::shell(&comment.text)?))
            })
            .peekable();
        for (index, instruction) in input.instructions.iter().enumerate() {
            // `# hadolint shell=/bin/bash` speaks for the rest of its stage.
            while let Some((_, shell)) = said.next_if(|(at, _)| *at < instruction.span().start) {
                builder.shell = Rc::new(vec![shell.to_owned(), "-c".into()]);
            }
            builder.instruction(index, instruction);
        }
        let full = builder.globals.full();
        let stages = builder.stages;
        let target = match &input.request.target {
            None => stages.len().checked_sub(1),
            Some(name) => stages
                .iter()
                .position(|stage: &Stage<'_>| {
                    stage.from.name.as_ref().is_some_and(|n| n.raw.eq_ignore_ascii_case(name))
                })
                .or_else(|| name.parse().ok().filter(|index| *index < stages.len())),
        };
        Outline { input, stages, target, full }
    }

    /// Returns the stages that become the image: the one over the base image first, the target
    /// last.
    pub fn chain(&self) -> Vec<&Stage<'a>> {
        let mut chain = Vec::new();
        let mut at = self.target;
        while let Some(index) = at {
            let stage = &self.stages[index];
            chain.push(stage);
            // A stage names earlier ones only: this ends.
            at = match stage.base {
                BaseName::Stage(below) => Some(below),
                _ => None,
            };
        }
        chain.reverse();
        chain
    }

    /// Returns the stage that a `--from` names.
    pub fn stage_named(&self, name: &str, before: usize) -> Option<usize> {
        self.stages[..before.min(self.stages.len())]
            .iter()
            .rposition(|stage| {
                stage.from.name.as_ref().is_some_and(|n| n.raw.eq_ignore_ascii_case(name))
            })
            .or_else(|| name.parse().ok().filter(|index| *index < before))
    }

    /// Tells whether the image takes files from a stage that it is not built on: a multi-stage
    /// build.
    pub fn is_multi_stage(&self) -> bool {
        let chain = self.chain();
        chain.iter().any(|stage| {
            stage.items.iter().any(|item| {
                let names: Vec<&str> = match item.instruction {
                    Instruction::Copy(copy) => copy.from.iter().map(|w| w.raw.as_str()).collect(),
                    Instruction::Run(run) => run
                        .mounts
                        .iter()
                        .filter_map(|mount| mount.value("from").map(|word| word.raw.as_str()))
                        .collect(),
                    _ => Vec::new(),
                };
                names.iter().any(|name| {
                    self.stage_named(name, stage.index)
                        .is_some_and(|from| chain.iter().all(|stage| stage.index != from))
                })
            })
        })
    }
}

// What a stage hands on to those that are built on it.
struct End {
    env: Values,
    // Names of ENV with and without a known value.
    names: Values,
    shell: Rc<Vec<String>>,
    workdir: Option<Rc<str>>,
    below_workdir: (bool, bool),
    renames: Rc<Renames>,
}

struct Builder<'a> {
    input: TextInput<'a>,
    globals: Values,
    values: Values,
    names: Values,
    workdir: Option<Rc<str>>,
    below_workdir: (bool, bool),
    shell: Rc<Vec<String>>,
    renames: Rc<Renames>,
    stages: Vec<Stage<'a>>,
    ends: Vec<End>,
    // How many triggers were taken for instructions.
    triggers: usize,
}

impl<'a> Builder<'a> {
    fn instruction(&mut self, index: usize, instruction: &'a Instruction) {
        let stage = self.stages.len().checked_sub(1);
        let place = Place { index, span: instruction.span(), stage };
        if let Instruction::From(from) = instruction {
            self.from(from, place);
            return;
        }
        if stage.is_none() {
            if let Instruction::Arg(arg) = instruction {
                for declared in &arg.args {
                    let value = self.argument(&declared.name.raw, declared.default.as_ref(), true);
                    if value.is_some() {
                        self.globals.set(&declared.name.raw, value);
                    }
                }
            }
            return;
        }
        self.item(instruction, place);
    }

    fn item(&mut self, instruction: &'a Instruction, place: Place) {
        let item = Item {
            instruction,
            place,
            values: self.values.now(),
            names: self.names.now(),
            workdir: self.workdir.clone(),
            below_workdir: self.below_workdir,
            shell: self.shell.clone(),
            escape: self.input.file.escape,
            renames: self.renames.clone(),
            run: matches!(instruction, Instruction::Run(_)),
            script: OnceCell::new(),
        };
        match instruction {
            Instruction::Run(run) if shell::may_rename(self.input.sources.slice(run.span)) => {
                self.renames = Rc::new(item.script().leaves(&self.renames));
                let last = self.ends.last_mut().expect("a stage is open");
                last.renames = self.renames.clone();
            }
            Instruction::Arg(arg) => {
                for declared in &arg.args {
                    let name = &declared.name.raw;
                    self.names.set(name, Some(String::new()));
                    let value = self.argument(name, declared.default.as_ref(), false);
                    if value.is_some() {
                        self.values.set(name, value);
                    }
                }
            }
            Instruction::Env(env) => {
                // All values are expanded with what was known before the instruction.
                let new: Vec<(String, Option<String>)> = env
                    .pairs
                    .iter()
                    .filter_map(|pair| {
                        Some((item.expand(&pair.name.raw)?, item.expand(&pair.value.raw)))
                    })
                    .collect();
                let last = self.ends.last_mut().expect("a stage is open");
                for (name, value) in new {
                    last.names.set(&name, Some(String::new()));
                    self.names.set(&name, Some(String::new()));
                    if value.is_some() {
                        last.env.set(&name, value.clone());
                    }
                    self.values.set(&name, value);
                }
            }
            Instruction::Shell(shell) => {
                self.shell = Rc::new(shell.words.iter().map(|word| word.raw.clone()).collect());
                let last = self.ends.last_mut().expect("a stage is open");
                last.shell = self.shell.clone();
            }
            Instruction::Workdir(workdir) => {
                let path = item.expand(&workdir.path.raw);
                let absolute = path.as_deref().is_none_or(|path| path.starts_with('/'));
                self.workdir = path.and_then(|path| {
                    super::look::absolute(&path, self.workdir.as_deref()).map(Rc::from)
                });
                self.below_workdir = (true, self.below_workdir.1 || absolute);
                let last = self.ends.last_mut().expect("a stage is open");
                last.workdir.clone_from(&self.workdir);
                last.below_workdir = self.below_workdir;
            }
            _ => {}
        }
        let stage = self.stages.last_mut().expect("a stage is open");
        stage.kinds.push(kind(instruction.name()));
        stage.items.push(item);
    }

    fn argument(
        &self,
        name: &str,
        default: Option<&crate::dockerfile::Word>,
        global: bool,
    ) -> Option<String> {
        if let Some(given) = self.input.request.build_args.get(name) {
            return given.clone().or_else(|| self.globals.now().get(name));
        }
        let values = if global { &self.globals } else { &self.values };
        match default {
            Some(word) => expand(&word.raw, &values.now(), self.input.file.escape),
            None => self.globals.now().get(name),
        }
    }

    fn from(&mut self, from: &'a From, mut place: Place) {
        let index = self.stages.len();
        place.stage = Some(index);
        let raw = &from.base.raw;
        let name = expand(raw, &self.globals.now(), self.input.file.escape).unwrap_or_default();
        let contexts = &self.input.request.named_contexts;
        let earlier = self.stages.iter().rposition(|stage| {
            stage.from.name.as_ref().is_some_and(|known| known.raw.eq_ignore_ascii_case(&name))
        });
        let in_context = |key: &String| {
            *key == name
                || matches!(
                    (ImageRef::parse(key), ImageRef::parse(&name)),
                    (Ok(key), Ok(name)) if key == name
                )
        };
        let base = if name.is_empty() {
            BaseName::Unknown
        } else if contexts.keys().any(in_context) {
            BaseName::Context
        } else if let Some(earlier) = earlier {
            BaseName::Stage(earlier)
        } else if name == "scratch" {
            BaseName::Scratch
        } else {
            ImageRef::parse(&name).map_or(BaseName::Unknown, BaseName::Image)
        };
        let facts = self.input.bases.get(&name);
        let config = facts.and_then(|facts| facts.config.as_ref());
        let end = match &base {
            BaseName::Stage(below) => {
                let below = &self.ends[*below];
                End {
                    env: below.env.child(),
                    names: below.names.child(),
                    shell: below.shell.clone(),
                    workdir: below.workdir.clone(),
                    below_workdir: below.below_workdir,
                    renames: below.renames.clone(),
                }
            }
            _ => {
                let env = config.map(|config| &config.env).into_iter().flatten();
                let env = env.filter_map(|pair| {
                    pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
                });
                let shell = config
                    .and_then(|config| config.shell.clone())
                    .unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
                let env: BTreeMap<String, String> = env.collect();
                let names = env.keys().map(|name| (name.clone(), String::new())).collect();
                // The base's own is where relative ones begin.
                let workdir = match (&base, config) {
                    (_, Some(config)) if config.working_dir.starts_with('/') => {
                        config.working_dir.as_str()
                    }
                    _ => "/",
                };
                End {
                    names: self.globals.beside(names),
                    env: self.globals.beside(env),
                    shell: Rc::new(shell),
                    workdir: Some(workdir.into()),
                    below_workdir: (false, false),
                    renames: Rc::default(),
                }
            }
        };
        self.renames = end.renames.clone();
        self.values = end.env.child();
        self.names = end.names.child();
        self.shell = end.shell.clone();
        self.workdir.clone_from(&end.workdir);
        self.below_workdir = end.below_workdir;
        // What ONBUILD of the base says is as if it stood here.
        let triggers: Vec<&'a Instruction> = match base {
            BaseName::Stage(below) => self.stages[below].items.iter().filter_map(onbuild).collect(),
            BaseName::Image(_) | BaseName::Context => {
                self.input.bases.triggers(index, &name).iter().collect()
            }
            BaseName::Scratch | BaseName::Unknown => Vec::new(),
        };
        self.ends.push(end);
        self.stages.push(Stage {
            index,
            from,
            place,
            base,
            config,
            facts,
            items: Vec::new(),
            kinds: Vec::new(),
            calls: OnceCell::new(),
            folders: OnceCell::new(),
        });
        for trigger in triggers {
            if self.triggers == TRIGGER_LIMIT {
                break;
            }
            self.triggers += 1;
            self.item(trigger, Place { span: trigger.span(), ..place });
        }
    }
}

fn onbuild<'a>(item: &Item<'a>) -> Option<&'a Instruction> {
    let Instruction::Onbuild(onbuild) = item.instruction else { return None };
    let trigger = &*onbuild.trigger;
    (!matches!(trigger, Instruction::From(_) | Instruction::Onbuild(_))).then_some(trigger)
}

fn expand(raw: &str, values: &Snapshot, escape: char) -> Option<String> {
    if let Some(text) = constant(raw, escape) {
        return Some(text.to_owned());
    }
    let mut scope = Scope::new();
    for (name, value) in values.mentioned(raw) {
        scope.set(name, value);
    }
    Expander::new(escape).word(raw, &scope).ok()
}

fn platform_args(request: &Request) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (prefix, platform) in [("TARGET", &request.platform), ("BUILD", &request.build_platform)] {
        out.insert(format!("{prefix}PLATFORM"), platform.to_string());
        out.insert(format!("{prefix}OS"), platform.os.clone());
        out.insert(format!("{prefix}ARCH"), platform.architecture.clone());
        out.insert(format!("{prefix}VARIANT"), platform.variant.clone().unwrap_or_default());
    }
    out
}
