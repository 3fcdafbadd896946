//! Names to things: stages, named contexts, images; and which stages the target needs.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Argument, BaseId, BaseImage, BaseLookup, BaseMark, Found, NamedContext, Request, STAGE_LIMIT,
    Wanted,
};
use crate::base::{Arena, ImageRef, Platform, Span};
use crate::diag::{Code, Diagnostic, Sources, nearest};
use crate::dockerfile::{Expander, Scope, Word, parse};
use crate::instruction::{self, Instruction};

/// The most triggers of bases in one plan: each gets a text of its own.
pub const TRIGGER_LIMIT: usize = 1000;

/// What a name stands for. Stages by their number in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ref {
    Context,
    Scratch,
    Stage(usize),
    Image(BaseId),
    Files(String),
}

/// A stage as the text has it, and what its base is once it turns out to be needed.
pub(super) struct Draft<'a> {
    pub(super) from: &'a instruction::From,
    pub(super) own: &'a [Instruction],
    pub(super) base: Option<Ref>,
    pub(super) name: String,
    pub(super) platform: Platform,
    pub(super) triggers: Vec<Instruction>,
    pub(super) sources: BTreeMap<Span, Ref>,
}

impl Draft<'_> {
    // The stage that it is built on.
    pub(super) fn below(&self) -> Option<usize> {
        match self.base {
            Some(Ref::Stage(below)) => Some(below),
            _ => None,
        }
    }
}

pub(super) struct Resolver<'a> {
    pub(super) request: &'a Request,
    lookup: &'a dyn BaseLookup,
    pub(super) sources: &'a mut Sources,
    pub(super) errors: Vec<Diagnostic>,
    pub(super) globals: Scope,
    pub(super) expander: Expander,
    pub(super) stages: Vec<Draft<'a>>,
    pub(super) bases: Arena<BaseMark, BaseImage>,
    names: BTreeMap<String, Vec<usize>>,
    known: BTreeMap<(String, String), Option<BaseId>>,
    named: BTreeMap<String, String>,
    triggers: usize,
    pub(super) arguments: Vec<Argument>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        escape: char,
        request: &'a Request,
        lookup: &'a dyn BaseLookup,
        sources: &'a mut Sources,
    ) -> Self {
        let named =
            request.named_contexts.keys().map(|name| (normal(name), name.clone())).collect();
        Resolver {
            request,
            lookup,
            sources,
            errors: Vec::new(),
            globals: globals(request),
            expander: Expander::new(escape),
            stages: Vec::new(),
            bases: Arena::new(),
            names: BTreeMap::new(),
            known: BTreeMap::new(),
            named,
            triggers: 0,
            arguments: Vec::new(),
        }
    }

    pub(super) fn error(&mut self, code: &'static str, message: impl Into<String>, span: Span) {
        self.errors.push(Diagnostic::error(Code(code), message).at(span));
    }

    pub(super) fn global(&mut self, word: &Word) -> Option<String> {
        match self.expander.word(&word.raw, &self.globals) {
            Ok(text) => Some(text),
            Err(error) => {
                self.error("expansion", error.to_string(), word.span);
                None
            }
        }
    }

    // Reads the global ARGs and cuts the rest into stages.
    pub(super) fn cut(&mut self, instructions: &'a [Instruction], whole: Span) {
        let mut at = 0;
        while let Some(instruction) = instructions.get(at) {
            if self.errors.len() >= instruction::ERROR_LIMIT {
                return;
            }
            match instruction {
                Instruction::From(_) => break,
                Instruction::Arg(arg) => self.global_arg(arg),
                other => {
                    let message =
                        format!("no build stage yet: {} stands before FROM", other.name());
                    self.error("before-from", message, other.keyword());
                }
            }
            at += 1;
        }
        let starts: Vec<usize> = (at..instructions.len())
            .filter(|index| matches!(instructions[*index], Instruction::From(_)))
            .collect();
        if starts.is_empty() {
            self.error("no-stage", "no build stage: the file has no FROM", whole);
        }
        for (index, start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(instructions.len());
            let Instruction::From(from) = &instructions[*start] else { continue };
            if index >= STAGE_LIMIT {
                let message = format!("more than {STAGE_LIMIT} stages");
                self.error("too-many-stages", message, from.keyword);
                return;
            }
            if let Some(name) = &from.name {
                self.names.entry(name.raw.to_ascii_lowercase()).or_default().push(index);
            }
            self.stages.push(Draft {
                from,
                own: &instructions[start + 1..end],
                base: None,
                name: String::new(),
                platform: self.request.platform.clone(),
                triggers: Vec::new(),
                sources: BTreeMap::new(),
            });
        }
    }

    fn global_arg(&mut self, arg: &instruction::Arg) {
        for declared in &arg.args {
            let name = &declared.name.raw;
            if let Some(Some(value)) = self.request.build_args.get(name) {
                self.globals.set(name.clone(), value.clone());
            } else if let Some(default) = &declared.default
                && let Some(value) = self.global(default)
            {
                self.globals.set(name.clone(), value);
            }
            let value = self.globals.get(name).map(str::to_owned);
            self.arguments.push(Argument { name: name.clone(), value, span: arg.span });
        }
    }

    // The number of the stage that was asked for.
    pub(super) fn target(&mut self) -> Option<usize> {
        let last = self.stages.len().checked_sub(1)?;
        let Some(wanted) = self.request.target.as_deref().filter(|name| !name.is_empty()) else {
            return Some(last);
        };
        let lower = wanted.to_ascii_lowercase();
        if let Some(index) = self.names.get(&lower).and_then(|indexes| indexes.last()) {
            return Some(*index);
        }
        if let Some(index) = wanted.parse().ok().filter(|index| *index <= last) {
            return Some(index);
        }
        let shown: String = wanted.chars().take(60).collect();
        let error =
            Diagnostic::error(Code("no-target"), format!("target stage `{shown}` not found"));
        self.errors.push(match nearest(wanted, self.names.keys().map(String::as_str)) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        });
        None
    }

    // Finds out what each needed stage is built on, from the last to the first: a stage can only
    // need earlier ones.
    pub(super) fn needed(&mut self, target: usize) -> BTreeSet<usize> {
        let mut needed = BTreeSet::from([target]);
        for index in (0..=target).rev() {
            if !needed.contains(&index) {
                continue;
            }
            self.base(index);
            let stage = &self.stages[index];
            if let Some(Ref::Stage(below)) = stage.base {
                needed.insert(below);
            }
            let platform = stage.platform.clone();
            let wanted: Vec<(String, Span)> =
                stage.triggers.iter().chain(stage.own).flat_map(froms).collect();
            for (name, span) in wanted {
                // More errors help nobody, and each may look for the nearest name.
                if self.errors.len() >= instruction::ERROR_LIMIT {
                    return needed;
                }
                if let Some(found) = self.source(&name, index, &platform, span) {
                    if let Ref::Stage(below) = found {
                        needed.insert(below);
                    }
                    self.stages[index].sources.insert(span, found);
                }
            }
        }
        needed
    }

    fn base(&mut self, index: usize) {
        let from = self.stages[index].from;
        if let Some(word) = &from.platform
            && let Some(text) = self.global(word)
        {
            match Platform::parse(&text) {
                Ok(platform) => self.stages[index].platform = platform,
                Err(error) => self.error("bad-platform", error.to_string(), word.span),
            }
        }
        let Some(name) = self.global(&from.base) else { return };
        self.stages[index].name.clone_from(&name);
        if name.trim().is_empty() {
            let message = format!("the base name `{}` is empty after expansion", from.base.raw);
            self.error("empty-base", message, from.base.span);
            return;
        }
        let platform = self.stages[index].platform.clone();
        let found = match self.named_or_stage(&name, index, &platform, from.base.span) {
            Some(found) => found,
            None if name == "scratch" => Some(Ref::Scratch),
            None => self.image(&name, &platform, from.base.span),
        };
        match &found {
            Some(Ref::Stage(below)) => {
                let below = &self.stages[*below];
                let room = TRIGGER_LIMIT.saturating_sub(self.triggers);
                let triggers: Vec<Instruction> = below
                    .own
                    .iter()
                    .filter_map(|instruction| match instruction {
                        Instruction::Onbuild(onbuild) => Some((*onbuild.trigger).clone()),
                        _ => None,
                    })
                    .take(room + 1)
                    .collect();
                self.triggers += triggers.len();
                if from.platform.is_none() {
                    // A stage has its base's platform, which is not known yet if that has none.
                    let platform = below.from.platform.clone();
                    if let Some(text) = platform.and_then(|word| self.global(&word))
                        && let Ok(platform) = Platform::parse(&text)
                    {
                        self.stages[index].platform = platform;
                    }
                }
                self.stages[index].triggers = triggers;
                if self.triggers > TRIGGER_LIMIT {
                    self.too_many_triggers(from.base.span);
                }
            }
            Some(Ref::Image(id)) => {
                let texts = self.bases[*id]
                    .image
                    .as_ref()
                    .map(|image| image.config.config.on_build.clone())
                    .unwrap_or_default();
                self.stages[index].triggers = self.triggers(&name, &texts, from.base.span);
            }
            _ => {}
        }
        self.stages[index].base = found;
    }

    fn triggers(&mut self, base: &str, texts: &[String], span: Span) -> Vec<Instruction> {
        let mut instructions = Vec::new();
        for text in texts {
            self.triggers += 1;
            if self.triggers > TRIGGER_LIMIT {
                self.too_many_triggers(span);
                break;
            }
            match trigger(base, text, self.sources) {
                Ok(Some(instruction)) => instructions.push(instruction),
                Ok(None) => {
                    let message = format!(
                        "a trigger of `{base}` is not a single instruction, or a FROM or an ONBUILD"
                    );
                    self.error("onbuild-trigger", message, span);
                }
                Err(errors) => self.errors.extend(errors),
            }
        }
        instructions
    }

    fn too_many_triggers(&mut self, span: Span) {
        let message = format!("more than {TRIGGER_LIMIT} ONBUILD triggers in the bases");
        self.error("too-many-triggers", message, span);
    }

    // A named context or an earlier stage.
    fn named_or_stage(
        &mut self,
        name: &str,
        before: usize,
        platform: &Platform,
        span: Span,
    ) -> Option<Option<Ref>> {
        if let Some(key) = self.context(name) {
            return Some(match self.request.named_contexts.get(&key) {
                Some(NamedContext::Image) => self.ask(Wanted {
                    name: key,
                    reference: None,
                    platform: platform.clone(),
                    span,
                }),
                _ => Some(Ref::Files(key)),
            });
        }
        let indexes = self.names.get(&name.to_ascii_lowercase())?;
        let index = indexes.iter().rev().find(|index| **index < before)?;
        Some(Some(Ref::Stage(*index)))
    }

    fn context(&self, name: &str) -> Option<String> {
        if self.request.named_contexts.contains_key(name) {
            return Some(name.to_owned());
        }
        self.named.get(&normal(name)).cloned()
    }

    // What `--from` or `from=` means in a stage.
    fn source(&mut self, name: &str, stage: usize, platform: &Platform, span: Span) -> Option<Ref> {
        if name.is_empty() {
            return Some(Ref::Context);
        }
        if let Some(found) = self.named_or_stage(name, stage, platform, span) {
            return found;
        }
        if let Some(later) = self.names.get(&name.to_ascii_lowercase()) {
            let other = self.stages[later[0]].from.span;
            let message = if later.contains(&stage) {
                format!("stage `{name}` copies from itself: a circular dependency")
            } else {
                format!("stage `{name}` must be defined before the stage that uses it")
            };
            self.errors.push(
                Diagnostic::error(Code("stage-order"), message)
                    .at(span)
                    .also(other, "defined here"),
            );
            return None;
        }
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return match name.parse::<usize>() {
                Ok(index) if index < stage => Some(Ref::Stage(index)),
                _ => {
                    let message = format!("no earlier stage has the index {name}");
                    self.error("stage-order", message, span);
                    None
                }
            };
        }
        if name == "scratch" {
            return Some(Ref::Scratch);
        }
        self.image(name, platform, span)
    }

    fn image(&mut self, name: &str, platform: &Platform, span: Span) -> Option<Ref> {
        match ImageRef::parse(name) {
            Ok(reference) => self.ask(Wanted {
                name: name.to_owned(),
                reference: Some(reference),
                platform: platform.clone(),
                span,
            }),
            Err(error) => {
                let shown: String = name.chars().take(120).collect();
                let message = format!("invalid reference `{shown}`: {error}");
                let error = Diagnostic::error(Code("bad-reference"), message).at(span);
                let near = nearest(name, self.names.keys().map(String::as_str));
                self.errors.push(match near {
                    Some(near) => error.help(format!("did you mean the stage `{near}`?")),
                    None => error,
                });
                None
            }
        }
    }

    fn ask(&mut self, wanted: Wanted) -> Option<Ref> {
        let name = match &wanted.reference {
            Some(reference) => format!("image {reference}"),
            None => format!("context {}", wanted.name),
        };
        let key = (name, wanted.platform.to_string());
        if let Some(known) = self.known.get(&key) {
            return known.map(Ref::Image);
        }
        let id = match self.lookup.base(&wanted) {
            Ok(Found::Image { pinned, image }) => {
                Some(self.bases.push(BaseImage { wanted, pinned, image: Some(image) }))
            }
            Ok(Found::Unread) => {
                Some(self.bases.push(BaseImage { wanted, pinned: None, image: None }))
            }
            Err(error) => {
                self.errors.push(match error.span {
                    Some(_) => error,
                    None => error.at(wanted.span),
                });
                None
            }
        };
        self.known.insert(key, id);
        id.map(Ref::Image)
    }
}

// Docker compares the names of contexts as references: `busybox` is `docker.io/library/busybox`.
fn normal(name: &str) -> String {
    match ImageRef::parse(name) {
        Ok(reference) => match reference.digest() {
            Some(digest) => format!("{}@{digest}", reference.name()),
            None => format!("{}:{}", reference.name(), reference.tag_or_latest()),
        },
        Err(_) => name.to_ascii_lowercase(),
    }
}

// All `--from` and `from=` of an instruction, with the place that names them.
fn froms(instruction: &Instruction) -> Vec<(String, Span)> {
    match instruction {
        Instruction::Copy(copy) => {
            copy.from.iter().map(|word| (word.raw.clone(), word.span)).collect()
        }
        Instruction::Run(run) => run
            .mounts
            .iter()
            .filter_map(|mount| mount.value("from"))
            .map(|word| (word.raw.clone(), word.span))
            .collect(),
        _ => Vec::new(),
    }
}

// The platform arguments, and the name of the target.
// https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope
fn globals(request: &Request) -> Scope {
    let mut scope = Scope::new();
    for (prefix, platform) in [("BUILD", &request.build_platform), ("TARGET", &request.platform)] {
        scope.set(format!("{prefix}PLATFORM"), platform.to_string());
        scope.set(format!("{prefix}OS"), platform.os.clone());
        scope.set(format!("{prefix}ARCH"), platform.architecture.clone());
        scope.set(format!("{prefix}VARIANT"), platform.variant.clone().unwrap_or_default());
    }
    let target = request.target.as_deref().filter(|target| !target.is_empty());
    scope.set("TARGETSTAGE", target.unwrap_or("default"));
    let given: Vec<(String, String)> = scope
        .iter()
        .filter_map(|(name, _)| {
            let value = request.build_args.get(name)?.clone()?;
            Some((name.to_owned(), value))
        })
        .collect();
    given.into_iter().for_each(|(name, value)| scope.set(name, value));
    scope
}

/// Reads a trigger of a base: `None` if it is not one instruction of a kind that ONBUILD takes.
pub fn trigger(
    base: &str,
    text: &str,
    sources: &mut Sources,
) -> Result<Option<Instruction>, Vec<Diagnostic>> {
    let source = sources.add(format!("ONBUILD of {base}"), text);
    let (file, errors) = parse(source, text);
    if !errors.is_empty() {
        return Err(errors);
    }
    let [line] = file.lines.as_slice() else { return Ok(None) };
    let instruction = instruction::parse(line)?;
    let fine = !matches!(instruction, Instruction::From(_) | Instruction::Onbuild(_));
    Ok(fine.then_some(instruction))
}
