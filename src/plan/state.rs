//! A stage while it is folded: its config, its variables, its history.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Argument, DEFAULT_PATH, Environment, History, Request, StepFile};
use crate::base::{ImagePath, Span};
use crate::diag::{Code, Diagnostic};
use crate::dockerfile::Scope;
use crate::image::{self, RunConfig};
use crate::instruction::{self, Form, RunForm};

// What one stage may hold and copy, in bytes: variables, environments of steps.
const STAGE_BUDGET: usize = 64 << 20;

// Variables in the order in which they were first set.
#[derive(Clone, Default)]
struct Variables {
    list: Vec<Arc<(String, String)>>,
    places: BTreeMap<String, usize>,
}

impl Variables {
    fn set(&mut self, name: &str, value: &str) {
        match self.places.get(name) {
            Some(place) => self.list[*place] = Arc::new((name.to_owned(), value.to_owned())),
            None => {
                self.places.insert(name.to_owned(), self.list.len());
                self.list.push(Arc::new((name.to_owned(), value.to_owned())));
            }
        }
    }
}

#[derive(Clone)]
pub(super) struct State {
    pub(super) config: RunConfig,
    pub(super) author: Option<String>,
    pub(super) history: Vec<History>,
    // Entries that are told after all others.
    pub(super) late: Vec<History>,
    pub(super) arguments: Vec<Argument>,
    // CMD was set in this stage.
    pub(super) cmd_set: bool,
    // Bytes copied for this stage.
    pub(super) spent: usize,
    // Bytes that this state holds, and a stage on top of it takes over.
    pub(super) held: usize,
    image_env: Variables,
    step_env: Environment,
    // How many names that are, and the bytes that a list of them takes.
    names: usize,
    listed: usize,
    // The environment is that of a step already.
    told: bool,
    scope: Scope,
}

impl State {
    pub(super) fn new() -> Self {
        State {
            config: RunConfig::default(),
            author: None,
            history: Vec::new(),
            late: Vec::new(),
            arguments: Vec::new(),
            cmd_set: false,
            spent: 0,
            held: 0,
            image_env: Variables::default(),
            step_env: Environment::default(),
            names: 0,
            listed: 0,
            told: false,
            scope: Scope::new(),
        }
    }

    // On top of an image.
    pub(super) fn of(config: &image::Config) -> Self {
        let mut state = State::new();
        state.config = config.config.clone();
        state.author.clone_from(&config.author);
        for entry in std::mem::take(&mut state.config.env) {
            // An entry without `=` sets nothing that a shell could see.
            let (name, value) = entry.split_once('=').unwrap_or((&entry, ""));
            state.set_env(name.to_owned(), value.to_owned());
        }
        state
    }

    // On top of a stage.
    pub(super) fn child(&self) -> Self {
        let mut state = self.clone();
        state.arguments.clear();
        state.cmd_set = false;
        state.spent = state.spent / 2 + state.names;
        state
    }

    // What is so at the start of every stage, whatever it is built on.
    pub(super) fn finish_start(&mut self) {
        // Triggers fire once, and are not handed on.
        self.config.on_build.clear();
        if !self.image_env.places.contains_key("PATH") {
            self.set_env("PATH".to_owned(), DEFAULT_PATH.to_owned());
        }
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(super) fn set_env(&mut self, name: String, value: String) {
        self.image_env.set(&name, &value);
        self.set_arg(&name, &value);
    }

    pub(super) fn set_arg(&mut self, name: &str, value: &str) {
        self.spent += name.len() + value.len();
        self.hold(2 * (name.len() + value.len()) + 128);
        self.told = false;
        match self.scope.get(name) {
            Some(old) => self.listed -= old.len(),
            None => {
                self.names += 1;
                self.listed += name.len() + 48;
            }
        }
        self.listed += value.len();
        self.step_env.set(name, value);
        self.scope.set(name, value);
    }

    // Counts what the state keeps.
    pub(super) fn hold(&mut self, bytes: usize) {
        self.held += bytes;
    }

    // Notes what an ARG declares.
    pub(super) fn declare(&mut self, argument: Argument) {
        let value = argument.value.as_ref().map_or(0, String::len);
        self.spent += argument.name.len() + value + 64;
        self.arguments.push(argument);
    }

    // The environment of a step. The plan shares it; what runs the step has a list of its own.
    pub(super) fn environment(&mut self) -> Environment {
        if !std::mem::replace(&mut self.told, true) {
            self.spent += self.listed;
        }
        self.step_env.clone()
    }

    pub(super) fn charge(&self, span: Span) -> Result<(), Box<Diagnostic>> {
        if self.spent <= STAGE_BUDGET {
            return Ok(());
        }
        let message = "the variables of this stage take too much memory";
        Err(Box::new(Diagnostic::error(Code("too-much"), message).at(span)))
    }

    pub(super) fn workdir(&self) -> ImagePath {
        // A base may hold anything; what is no path starts at the root.
        ImagePath::root()
            .resolve(self.config.working_dir.as_bytes())
            .unwrap_or_else(|_| ImagePath::root())
    }

    fn shell(&self) -> Vec<String> {
        match &self.config.shell {
            Some(shell) if !shell.is_empty() => shell.clone(),
            _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        }
    }

    fn with_shell(&self, text: String) -> Vec<String> {
        let mut args = self.shell();
        args.push(text);
        args
    }

    // CMD and ENTRYPOINT; nothing clears.
    pub(super) fn command(&self, form: &Form) -> Vec<String> {
        match form {
            Form::Exec(words) => words.iter().map(|word| word.raw.clone()).collect(),
            Form::Shell(text) if text.is_empty() => Vec::new(),
            Form::Shell(text) => self.with_shell(text.as_str().to_owned()),
        }
    }

    pub(super) fn healthcheck(&self, check: &instruction::Healthcheck) -> image::Healthcheck {
        let Some(check) = &check.check else {
            return image::Healthcheck { test: vec!["NONE".to_owned()], ..Default::default() };
        };
        let test = match &check.form {
            Form::Exec(words) => std::iter::once("CMD".to_owned())
                .chain(words.iter().map(|word| word.raw.clone()))
                .collect(),
            Form::Shell(text) => vec!["CMD-SHELL".to_owned(), text.as_str().to_owned()],
        };
        image::Healthcheck {
            test,
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: check.retries,
            ..Default::default()
        }
    }

    // The argument list of a RUN, and the files that it needs.
    pub(super) fn arguments(&self, form: &RunForm) -> (Vec<String>, Vec<StepFile>) {
        let (text, heredocs) = match form {
            RunForm::Exec(words) => {
                return (words.iter().map(|word| word.raw.clone()).collect(), Vec::new());
            }
            RunForm::Shell { text, heredocs } => (text.as_str(), heredocs),
        };
        match heredocs.as_slice() {
            [] => (self.with_shell(text.to_owned()), Vec::new()),
            // Nothing but a marker: the content is the script, and its first line may name another
            // interpreter.
            [only] if crate::dockerfile::marker(text).is_some() => {
                let content = only.text();
                if !content.starts_with("#!") {
                    return (self.with_shell(content), Vec::new());
                }
                let folder = ImagePath::root().resolve(b"/dev/pipes");
                match folder.and_then(|folder| folder.join(only.name.as_bytes())) {
                    Ok(path) => {
                        let args = self.with_shell(path.to_string());
                        (args, vec![StepFile { path, content, mode: 0o755 }])
                    }
                    Err(_) => (self.with_shell(content), Vec::new()),
                }
            }
            // The shell reads them itself.
            several => {
                let mut full = text.to_owned();
                for heredoc in several {
                    full.push('\n');
                    full.push_str(&heredoc.content);
                    full.push_str(&heredoc.name);
                }
                (self.with_shell(full), Vec::new())
            }
        }
    }

    // The config with its variables.
    pub(super) fn finished(&self) -> RunConfig {
        let mut config = self.config.clone();
        config.env =
            self.image_env.list.iter().map(|pair| format!("{}={}", pair.0, pair.1)).collect();
        config
    }
}

// https://docs.docker.com/reference/dockerfile/#predefined-args
const PROXIES: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

pub(super) fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
}

// The proxy variables of the build, each in capitals and in small letters.
pub(super) fn proxy(request: &Request) -> Arc<Vec<(String, String)>> {
    let mut out = Vec::new();
    for proxy in PROXIES {
        let given = request
            .build_args
            .iter()
            .filter(|(name, _)| proxy.eq_ignore_ascii_case(name))
            .find_map(|(_, value)| value.as_ref());
        if let Some(value) = given {
            out.push((proxy.to_string(), value.clone()));
            out.push((proxy.to_ascii_lowercase(), value.clone()));
        }
    }
    Arc::new(out)
}
