//! The text in the form in which rules look at it: stages with their bases, instructions with the
//! values known there, and what each RUN runs.
//!
//! Made without the plan, which exists only for a file without mistakes and holds only the stages
//! that the target needs: rules look at all of them.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::finding::Place;
use super::values::{Snapshot, Values};
use crate::base::{ImageRef, Span};
use crate::diag::{Diagnostic, Sources};
use crate::dockerfile::{Dockerfile, Expander, Scope};
use crate::facts::shell::{self, Body, Dialect, Script};
use crate::image::RunConfig;
use crate::instruction::{From, Instruction, Run, RunForm};
use crate::plan::{Plan, Request};

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
}

/// The configs of base images, by the name in the Dockerfile (expanded).
#[derive(Clone, Debug, Default)]
pub struct Bases(BTreeMap<String, RunConfig>);

impl Bases {
    /// Nothing is known: `lint --offline`.
    pub fn none() -> Self {
        Self::default()
    }

    /// Takes what a plan has looked up.
    pub fn of_plan(plan: &Plan) -> Self {
        Bases(
            plan.bases
                .iter()
                .filter_map(|(_, base)| {
                    let image = base.image.as_ref()?;
                    Some((base.wanted.name.clone(), image.config.config.clone()))
                })
                .collect(),
        )
    }

    /// Adds a base.
    pub fn insert(&mut self, name: impl Into<String>, config: RunConfig) {
        self.0.insert(name.into(), config);
    }

    /// Reads stand-in facts, `{"debian:12": {"config": {"User": "65532"}}}`: what `lint --bases`
    /// takes. `None` if the text is not of that form.
    pub fn from_json(text: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let mut bases = Bases::default();
        for (name, facts) in value.as_object()? {
            let Some(config) = facts.get("config") else { continue };
            bases.insert(name.clone(), serde_json::from_value(config.clone()).ok()?);
        }
        Some(bases)
    }

    fn get(&self, name: &str) -> Option<&RunConfig> {
        self.0.get(name).or_else(|| {
            let wanted = ImageRef::parse(name).ok()?;
            let same = |known: &&String| ImageRef::parse(known).is_ok_and(|known| known == wanted);
            self.0.get(self.0.keys().find(same)?)
        })
    }
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
    /// Its instructions after FROM.
    pub items: Vec<Item<'a>>,
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
    shell: Rc<Vec<String>>,
    escape: char,
    script: OnceCell<Script>,
}

impl Item<'_> {
    /// Expands a word with the values known here.
    pub fn expand(&self, raw: &str) -> Option<String> {
        expand(raw, &self.values, self.escape)
    }

    /// Returns what the RUN runs; nothing for other instructions and for bodies that are no shell.
    pub fn script(&self) -> &Script {
        self.script.get_or_init(|| match self.instruction {
            Instruction::Run(run) => script(run, &self.values, &self.shell),
            _ => Script { parsed: true, ..Script::default() },
        })
    }
}

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
            globals,
            shell: Rc::new(vec!["/bin/sh".into(), "-c".into()]),
            stages: Vec::new(),
            ends: Vec::new(),
        };
        for (index, instruction) in input.instructions.iter().enumerate() {
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

// Environment and shell at the end of a stage.
type End = (Values, Rc<Vec<String>>);

struct Builder<'a> {
    input: TextInput<'a>,
    globals: Values,
    values: Values,
    shell: Rc<Vec<String>>,
    stages: Vec<Stage<'a>>,
    ends: Vec<End>,
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
        let item = Item {
            instruction,
            place,
            values: self.values.now(),
            shell: self.shell.clone(),
            escape: self.input.file.escape,
            script: OnceCell::new(),
        };
        match instruction {
            Instruction::Arg(arg) => {
                for declared in &arg.args {
                    let name = &declared.name.raw;
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
                    if value.is_some() {
                        last.0.set(&name, value.clone());
                    }
                    self.values.set(&name, value);
                }
            }
            Instruction::Shell(shell) => {
                self.shell = Rc::new(shell.words.iter().map(|word| word.raw.clone()).collect());
                let last = self.ends.last_mut().expect("a stage is open");
                last.1 = self.shell.clone();
            }
            _ => {}
        }
        self.stages.last_mut().expect("a stage is open").items.push(item);
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
        let config = self.input.bases.get(&name);
        let (env, shell) = match &base {
            BaseName::Stage(below) => (self.ends[*below].0.child(), self.ends[*below].1.clone()),
            _ => {
                let env = config.map(|config| &config.env).into_iter().flatten();
                let env = env.filter_map(|pair| {
                    pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
                });
                let shell = config
                    .and_then(|config| config.shell.clone())
                    .unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
                (self.globals.beside(env.collect()), Rc::new(shell))
            }
        };
        self.values = env.child();
        self.shell = shell.clone();
        self.ends.push((env, shell));
        self.stages.push(Stage { index, from, place, base, config, items: Vec::new() });
    }
}

fn expand(raw: &str, values: &Snapshot, escape: char) -> Option<String> {
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

const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"];

fn script(run: &Run, snapshot: &Snapshot, shell: &[String]) -> Script {
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let dialect = |name: &str| match name {
        "bash" | "zsh" | "ksh" | "mksh" => Dialect::Bash,
        _ => Dialect::Posix,
    };
    let program = shell.first().map(|program| name(program)).unwrap_or_default();
    match &run.form {
        RunForm::Exec(words) => {
            let words: Vec<(String, Span)> =
                words.iter().map(|word| (word.raw.clone(), word.span)).collect();
            let known: String = words.iter().flat_map(|(word, _)| [word, "\n"]).collect();
            shell::analyse_exec(&words, &snapshot.mentioned(&known), Dialect::Posix)
        }
        RunForm::Shell { text, heredocs } => {
            let mut body = Body::new();
            let marker = crate::dockerfile::marker(text.as_str().trim());
            // `RUN <<EOF` alone: the content is the script, for the shell or for its own `#!`.
            if let ([only], Some(_)) = (heredocs.as_slice(), marker) {
                let start = only.span.start as usize;
                body.push(&only.content, |range| {
                    Span::new(only.span.source, start + range.start, start + range.end)
                });
                let first = only.content.lines().next().unwrap_or("");
                let interpreter = match first.strip_prefix("#!") {
                    Some(line) => {
                        let mut words = line.split_whitespace();
                        let mut word = words.next().map(name).unwrap_or_default();
                        if word == "env" {
                            word =
                                words.find(|word| !word.starts_with('-')).unwrap_or("").to_owned();
                        }
                        word
                    }
                    None => program,
                };
                if !SHELLS.contains(&interpreter.as_str()) {
                    return Script { parsed: true, ..Script::default() };
                }
                let values = snapshot.mentioned(&only.content);
                return shell::analyse(&body, &values, dialect(&interpreter));
            }
            if !SHELLS.contains(&program.as_str()) {
                return Script { parsed: true, ..Script::default() };
            }
            body.push(text.as_str(), |range| text.span(range));
            for heredoc in heredocs {
                let start = heredoc.span.start as usize;
                body.push_at("\n", heredoc.marker);
                body.push(&heredoc.content, |range| {
                    Span::new(heredoc.span.source, start + range.start, start + range.end)
                });
                body.push_at(&heredoc.name, heredoc.marker);
            }
            if !heredocs.is_empty() {
                body.push_at("\n", run.keyword);
            }
            let mut values = snapshot.mentioned(text.as_str());
            for heredoc in heredocs {
                values.extend(snapshot.mentioned(&heredoc.content));
            }
            shell::analyse(&body, &values, dialect(&program))
        }
    }
}
