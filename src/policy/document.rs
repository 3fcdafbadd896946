//! What rules in Rego see as `input`: the text, in our own form, as trivy's checks know it, and as
//! conftest's. docs/rego.md describes them; fields are added, never changed.

use serde_json::{Map, Value, json};

use super::custom::View;
use super::judged::Judged;
use super::outline::{BaseName, Item, Outline, Stage};
use super::profile::Policy;
use crate::base::Span;
use crate::diag::Sources;
use crate::dockerfile::{ExecForm, Line, blank_words, exec_form, quoted_words};
use crate::facts::shell::{Arg, Command, Dialect, Join};
use crate::facts::{FileKind, Origin};
use crate::instruction::{Form, Instruction, RunForm, Source};

/// The document of the text.
pub(super) fn of_text(outline: &Outline<'_>, policy: &Policy) -> Value {
    match policy.custom.view {
        View::Conftest => Value::Array(commands(outline, false)),
        View::Rbuild => json!({
            "version": 1,
            "moment": "static",
            "dockerfile": dockerfile(outline),
            "plan": plan(outline),
            "context": context(outline),
            "Stages": stages(outline),
        }),
    }
}

/// A place: `S` of docs/rego.md.
pub(super) fn place(span: Span, sources: &Sources) -> Value {
    let (line, col) = sources.line_column(span.source, span.start);
    let (end_line, end_col) = sources.line_column(span.source, span.end);
    json!({
        "file": sources.get(span.source).name, "line": line, "col": col,
        "end_line": end_line, "end_col": end_col,
    })
}

fn dockerfile(outline: &Outline<'_>) -> Value {
    let input = &outline.input;
    let directives: Map<String, Value> = input
        .file
        .directives
        .iter()
        .map(|one| (one.name.clone(), one.value.clone().into()))
        .collect();
    let mut args = Vec::new();
    for instruction in input.instructions {
        match instruction {
            Instruction::From(_) => break,
            Instruction::Arg(arg) => {
                for one in &arg.args {
                    let given = input.request.build_args.get(&one.name.raw).cloned().flatten();
                    let default = one.default.as_ref().map(|word| word.raw.clone());
                    args.push(json!({
                        "name": one.name.raw, "default": default,
                        "value": given.or_else(|| outline.with_defaults(&format!("${{{}}}", one.name.raw)).filter(|v| !v.is_empty())),
                        "span": place(one.name.span, input.sources),
                    }));
                }
            }
            _ => {}
        }
    }
    let chain: Vec<usize> = outline.chain().iter().map(|stage| stage.index).collect();
    let stages: Vec<Value> = outline
        .stages
        .iter()
        .map(|stage| one_stage(stage, outline, chain.contains(&stage.index)))
        .collect();
    json!({
        "path": input.sources.get(input.file.source).name,
        "escape": input.file.escape.to_string(),
        "syntax": directives.get("syntax"),
        "directives": directives,
        "args": args,
        "stages": stages,
    })
}

fn one_stage(stage: &Stage<'_>, outline: &Outline<'_>, last: bool) -> Value {
    let sources = outline.input.sources;
    let image = match &stage.base {
        BaseName::Image(image) => Some(image),
        _ => None,
    };
    let below = match stage.base {
        BaseName::Stage(below) => Some(below),
        _ => None,
    };
    let resolved = stage.config.map(|config| {
        json!({
            "config": serde_json::to_value(config).unwrap_or_default(),
            "os": stage.facts.and_then(|facts| facts.os.clone()),
            "architecture": stage.facts.and_then(|facts| facts.architecture.clone()),
            "created": stage.facts.and_then(|facts| facts.created.clone()),
        })
    });
    let used: Vec<usize> = outline
        .stages
        .iter()
        .filter(|other| {
            matches!(other.base, BaseName::Stage(below) if below == stage.index)
                || other.items.iter().any(|item| {
                    item.froms()
                        .iter()
                        .any(|name| outline.stage_named(name, other.index) == Some(stage.index))
                })
        })
        .map(|other| other.index)
        .collect();
    let instructions: Vec<Value> = stage.items.iter().map(|item| one(item, outline)).collect();
    json!({
        "index": stage.index,
        "name": stage.from.name.as_ref().map(|name| &name.raw),
        "final": last,
        "used_by": used,
        "span": place(stage.place.span, sources),
        "base": {
            "text": stage.from.base.raw,
            "name": image.map(|image| image.name()),
            "registry": image.map(|image| image.registry()),
            "tag": image.and_then(|image| image.tag()),
            "digest": image.and_then(|image| image.digest()).map(|digest| digest.to_string()),
            "stage": below,
            "scratch": matches!(stage.base, BaseName::Scratch),
            "platform": stage.from.platform.as_ref().map(|word| &word.raw),
            "resolved": resolved,
        },
        "instructions": instructions,
    })
}

fn one(item: &Item<'_>, outline: &Outline<'_>) -> Value {
    let sources = outline.input.sources;
    let span = item.place.span;
    let line = outline.line_at(span.start).map(|(_, line)| line);
    let value = |raw: &str| item.expand(raw);
    let mut out = json!({
        "kind": item.instruction.name().to_ascii_lowercase(),
        "text": sources.slice(span),
        "span": place(span, sources),
        "index": item.place.index,
        "flags": flags(item, line),
        "words": line.map(|line| words(item.instruction, line)),
        "shell": item.shell.as_ref(),
        "workdir": item.workdir.as_deref(),
    });
    let pairs = |pairs: &[crate::instruction::Pair]| -> Vec<Value> {
        pairs
            .iter()
            .map(|pair| {
                json!({
                    "name": value(&pair.name.raw), "value": value(&pair.value.raw),
                    "text": pair.value.raw, "span": place(pair.name.span.to(pair.value.span), sources),
                })
            })
            .collect()
    };
    match item.instruction {
        Instruction::Env(env) => out["env"] = pairs(&env.pairs).into(),
        Instruction::Label(label) => out["labels"] = pairs(&label.pairs).into(),
        Instruction::Arg(arg) => {
            let of = |one: &crate::instruction::Declared| {
                json!({
                    "name": one.name.raw, "default": one.default.as_ref().map(|word| &word.raw),
                    "value": item.value(&one.name.raw), "span": place(one.name.span, sources),
                })
            };
            out["args"] = arg.args.iter().map(of).collect();
        }
        Instruction::User(user) => out["user"] = json!(value(&user.who.raw)),
        Instruction::Workdir(workdir) => out["path"] = json!(value(&workdir.path.raw)),
        Instruction::Expose(expose) => {
            out["ports"] = expose.ports.iter().map(|word| json!(value(&word.raw))).collect();
        }
        Instruction::Copy(_) | Instruction::Add(_) => {
            let all = match item.instruction {
                Instruction::Copy(copy) => &copy.sources,
                Instruction::Add(add) => &add.sources,
                _ => return out,
            };
            let source = |source: &Source| match source {
                Source::Path(word) => json!(value(&word.raw)),
                Source::Inline(..) => Value::Null,
            };
            let transfer = item.transfer();
            out["sources"] = all.iter().map(source).collect();
            out["destination"] = json!(transfer.as_ref().map(|it| &it.destination));
            out["from"] = json!(transfer.and_then(|it| it.from));
        }
        _ => {}
    }
    let form = match item.instruction {
        Instruction::Run(run) => Some(match &run.form {
            RunForm::Exec(_) => "exec",
            RunForm::Shell { heredocs, .. } if !heredocs.is_empty() => "heredoc",
            RunForm::Shell { .. } => "shell",
        }),
        Instruction::Cmd(cmd) => Some(form_word(&cmd.form)),
        Instruction::Entrypoint(entrypoint) => Some(form_word(&entrypoint.form)),
        Instruction::Healthcheck(health) => {
            health.check.as_ref().map(|check| form_word(&check.form))
        }
        _ => None,
    };
    if let Some(form) = form {
        let script = item.program();
        let all = &script.commands;
        out["form"] = form.into();
        out["parsed"] = script.parsed.into();
        out["commands"] = all
            .iter()
            .enumerate()
            .map(|(at, command)| one_command(at, command, all, sources))
            .collect();
        out["dialect"] = all.first().map_or(Value::Null, |command| match command.dialect {
            Dialect::Posix => "posix".into(),
            Dialect::Bash => "bash".into(),
        });
    }
    let heredocs: Vec<Value> = line
        .map(|line| &line.heredocs[..])
        .unwrap_or(&[])
        .iter()
        .map(|doc| json!({ "name": doc.name, "content": doc.text(), "expand": doc.expand }))
        .collect();
    if !heredocs.is_empty() {
        out["heredocs"] = heredocs.into();
    }
    out
}

fn form_word(form: &Form) -> &'static str {
    match form {
        Form::Shell(_) => "shell",
        Form::Exec(_) => "exec",
    }
}

fn one_command(at: usize, command: &Command, all: &[Command], sources: &Sources) -> Value {
    let argv: Vec<String> = command.argv.iter().map(Arg::shown).collect();
    let known: Vec<bool> = command.argv.iter().map(|arg| arg.known().is_some()).collect();
    let feeds =
        |from: &Command, to: &Command| from.feeds.iter().any(|pipe| to.reads.contains(pipe));
    let near = |found: Option<usize>| found.map_or(Value::Null, Into::into);
    let operation = command.operation();
    let packages: Vec<&str> = operation
        .iter()
        .flat_map(|operation| operation.operands.iter().filter_map(|arg| arg.known()))
        .collect();
    let links = ["http://", "https://", "ftp://"];
    let urls: Vec<&String> =
        argv.iter().filter(|word| links.iter().any(|link| word.starts_with(link))).collect();
    let redirects: Vec<Value> = command
        .redirects
        .iter()
        .map(|one| json!({ "kind": format!("{:?}", one.kind).to_lowercase(), "fd": one.fd, "target": one.target.shown() }))
        .collect();
    json!({
        "name": command.name(),
        "argv": argv,
        "known": known,
        "raw": sources.slice(command.span),
        "wrapped_by": command.wrapped_by,
        "pos": at,
        "list": command.list,
        "reads_from": near(all.iter().position(|other| feeds(other, command))),
        "feeds": near(all.iter().position(|other| feeds(command, other))),
        "op_before": match command.join {
            Join::First => Value::Null,
            Join::Then => ";".into(),
            Join::And => "&&".into(),
            Join::Or => "||".into(),
            Join::Pipe => "|".into(),
            Join::Background => "&".into(),
        },
        "redirects": redirects,
        "urls": urls,
        "manager": operation.as_ref().map(|operation| operation.manager),
        "subcommand": operation.as_ref().and_then(|operation| operation.verb),
        "packages": packages,
        "checked": command.status.errexit || command.status.asked || !command.status.lost,
        "span": place(command.span, sources),
    })
}

fn flags(item: &Item<'_>, line: Option<&Line>) -> Value {
    let mut out = Map::new();
    for flag in line.map(|line| &line.flags[..]).unwrap_or(&[]) {
        if flag.name != "mount" {
            let value = flag.value.as_ref().map(|text| text.as_str().to_owned());
            out.insert(flag.name.clone(), value.map_or(true.into(), Value::from));
        }
    }
    let mount = |mount: &crate::instruction::Mount| -> Value {
        let pair = |field: &crate::instruction::Field| {
            let value = field.value.as_ref().map(|word| word.raw.clone());
            (field.key.to_owned(), value.map_or(true.into(), Value::from))
        };
        Value::Object(mount.fields.iter().map(pair).collect())
    };
    if !item.mounts().is_empty() {
        out.insert("mount".into(), item.mounts().iter().map(mount).collect());
    }
    Value::Object(out)
}

fn plan(outline: &Outline<'_>) -> Value {
    let request = outline.input.request;
    json!({
        "target": outline.target.map(|target| outline.stages[target].shown()),
        "platforms": [request.platform.to_string()],
        "tags": outline.input.tags.unwrap_or(&[]),
        "squash": outline.input.squash,
        "build_args": request.build_args,
    })
}

fn context(outline: &Outline<'_>) -> Value {
    let Some(context) = outline.input.context else { return Value::Null };
    let files = context.files().unwrap_or(&[]);
    let seen = files.iter().filter(|file| !file.folder && !file.ignored);
    let (count, bytes) =
        seen.fold((0u64, 0u64), |(count, bytes), file| (count + 1, bytes + file.size));
    json!({ "files": count, "bytes": bytes, "ignore_file": context.ignore_file() })
}

// The words of an instruction as BuildKit's parser has them: trivy's and conftest's `Value`.
fn words(instruction: &Instruction, line: &Line) -> Vec<String> {
    let body = &line.body;
    let plain = |text: &str| vec![text.to_owned()];
    match instruction {
        Instruction::Env(_) | Instruction::Label(_) => {
            let pairs = match instruction {
                Instruction::Env(env) => &env.pairs,
                Instruction::Label(label) => &label.pairs,
                _ => return Vec::new(),
            };
            let of = |pair: &crate::instruction::Pair| {
                [pair.name.raw.clone(), pair.value.raw.clone(), "=".to_owned()]
            };
            pairs.iter().flat_map(of).collect()
        }
        Instruction::Arg(_) => {
            quoted_words(body, line.escape).into_iter().map(|(w, _)| w.raw).collect()
        }
        Instruction::From(_) | Instruction::Expose(_) => {
            blank_words(body).into_iter().map(|word| word.raw).collect()
        }
        Instruction::Healthcheck(_) => {
            let text = body.as_str();
            let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            let mut out = plain(first);
            let start = text.len() - rest.len();
            match exec_form(&body.slice(start..text.len())) {
                ExecForm::Array(words) => out.extend(words.into_iter().map(|word| word.raw)),
                _ if rest.is_empty() => {}
                _ => out.push(rest.trim().to_owned()),
            }
            out
        }
        _ => match exec_form(body) {
            ExecForm::Array(words) => words.into_iter().map(|word| word.raw).collect(),
            _ => match instruction {
                Instruction::Copy(_) | Instruction::Add(_) | Instruction::Volume(_) => {
                    blank_words(body).into_iter().map(|word| word.raw).collect()
                }
                _ => plain(body.as_str()),
            },
        },
    }
}

// Every instruction of the file as trivy (`trivy`) or conftest has it.
fn commands(outline: &Outline<'_>, trivy: bool) -> Vec<Value> {
    let input = &outline.input;
    let mut stage: i64 = -1;
    let mut out = Vec::new();
    for instruction in input.instructions {
        if matches!(instruction, Instruction::From(_)) {
            stage += 1;
        }
        let Some((_, line)) = outline.line_at(instruction.span().start) else { continue };
        let (inner, sub) = match (&line.nested, instruction) {
            (Some(nested), Instruction::Onbuild(_)) => {
                (&**nested, nested.keyword.text.to_ascii_lowercase())
            }
            _ => (line, String::new()),
        };
        let parsed = crate::instruction::parse(inner).ok();
        let value = words(parsed.as_ref().unwrap_or(instruction), inner);
        let flags: Vec<&str> =
            inner.flags.iter().map(|flag| input.sources.slice(flag.span)).collect();
        let mut one = json!({
            "Cmd": instruction.name().to_ascii_lowercase(),
            "SubCmd": sub,
            "Flags": flags,
            "Value": value,
            "JSON": matches!(exec_form(&inner.body), ExecForm::Array(_)),
            "Stage": stage.max(0),
        });
        if trivy {
            let whole = place(instruction.span(), input.sources);
            one["Original"] = input.sources.slice(instruction.span()).into();
            one["StartLine"] = whole["line"].clone();
            one["EndLine"] = whole["end_line"].clone();
            one["Path"] = whole["file"].clone();
        }
        out.push(one);
    }
    out
}

// trivy's view: the instructions by stage, FROM first.
fn stages(outline: &Outline<'_>) -> Vec<Value> {
    let all = commands(outline, true);
    let mut out: Vec<Value> = Vec::new();
    for command in all {
        if command["Cmd"] == "from" {
            let words: Vec<&str> = command["Value"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            out.push(json!({ "Name": words.join(" "), "Commands": [] }));
        }
        if let Some(list) = out.last_mut().and_then(|stage| stage["Commands"].as_array_mut()) {
            list.push(command);
        }
    }
    out
}

/// The document of a finished image. The list of files is large: only where a rule asks for it.
pub(super) fn of_image(judged: &Judged<'_>, files: bool) -> Value {
    let (facts, outline) = (judged.facts, judged.outline);
    let config = &facts.config;
    let history: Vec<Value> = config
        .history
        .iter()
        .map(|entry| json!({ "created_by": entry.created_by, "empty_layer": entry.empty_layer }))
        .collect();
    let layers: Vec<Value> = facts
        .layers
        .iter()
        .enumerate()
        .map(|(index, layer)| {
            let size: u64 = layer.table.files.iter().map(|file| file.size).sum();
            let (base, created_by) = match &layer.origin {
                Origin::Base => (true, Value::Null),
                Origin::Step(span) => {
                    let text = outline.map(|outline| outline.written(*span).to_owned());
                    (false, json!(text))
                }
                Origin::Foreign(text) => (false, json!(text)),
            };
            json!({
                "index": index, "size": size, "base": base, "created_by": created_by,
                "diff_id": config.rootfs.diff_ids.get(index).map(ToString::to_string),
                "entries": layer.table.files.len(),
            })
        })
        .collect();
    let visible = judged.visible();
    let size: u64 = facts.layers.iter().flat_map(|layer| &layer.table.files).map(|f| f.size).sum();
    let accounts: Vec<Value> = judged
        .accounts()
        .iter()
        .map(|one| json!({ "name": one.name, "uid": one.uid, "gid": one.gid, "line": one.line }))
        .collect();
    let release = judged.text("/etc/os-release").or_else(|| judged.text("/usr/lib/os-release"));
    let release: Map<String, Value> = release
        .unwrap_or("")
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.trim_matches(['"', '\'']).into()))
        .collect();
    let mut image = json!({
        "platform": format!("{}/{}", config.os, config.architecture),
        "size": size,
        "config": serde_json::to_value(&config.config).unwrap_or_default(),
        "history": history,
        "layers": layers,
        "accounts": accounts,
        "os_release": release,
    });
    if files {
        image["files"] = visible
            .iter()
            .map(|(path, at)| {
                let file = at.file;
                let (kind, target) = match &file.kind {
                    FileKind::File => ("file", None),
                    FileKind::Dir => ("dir", None),
                    FileKind::Symlink(target) => ("symlink", Some(target)),
                    FileKind::Hardlink(target) => ("hardlink", Some(target)),
                    FileKind::Char => ("char", None),
                    FileKind::Block => ("block", None),
                    FileKind::Fifo => ("fifo", None),
                    FileKind::Whiteout | FileKind::Opaque => ("whiteout", None),
                };
                json!({
                    "path": path, "type": kind, "target": target, "mode": file.mode, "uid": file.uid,
                    "gid": file.gid, "size": file.size, "layer": at.layer, "sha256": file.sha256,
                    "xattrs": file.xattrs,
                })
            })
            .collect();
    }
    json!({
        "version": 1,
        "moment": "image",
        "dockerfile": outline.map(dockerfile),
        "plan": outline.map(plan),
        "image": image,
        "Stages": outline.map(stages),
    })
}
