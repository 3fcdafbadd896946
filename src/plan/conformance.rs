//! The conformance suite, as far as text decides: config, history and errors of each case.
//!
//! Runs when `RBUILD_CONFORMANCE` names the folder of the suite and its bases are made; else it is
//! skipped, and says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Found, NamedContext, Op, Plan, Request, Source, Wanted, plan};
use crate::base::{Blob, Digest, Platform};
use crate::diag::{Code, Diagnostic, Sources, render};
use crate::dockerfile::parse;
use crate::image::{Image, RunConfig};
use crate::instruction::parse_all;

struct Suite {
    cases: PathBuf,
    bases: BTreeMap<String, PathBuf>,
}

fn suite() -> Option<Suite> {
    let cases = PathBuf::from(std::env::var_os("RBUILD_CONFORMANCE")?).join("cases");
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let mut bases = BTreeMap::new();
    for entry in std::fs::read_dir(cache.join("rbuild-conformance/bases")).ok()? {
        let entry = entry.ok()?;
        let name = entry.file_name().to_string_lossy().replace('+', "/");
        let name = if name == "debian" { "debian:bookworm-slim".to_owned() } else { name };
        bases.insert(name, entry.path());
    }
    Some(Suite { cases, bases })
}

fn blob(layout: &Path, digest: &str) -> Vec<u8> {
    std::fs::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap()
}

// The image of a layout for a platform; indexes in indexes are followed.
fn image(layout: &Path, platform: &Platform) -> Option<Image> {
    let mut documents = vec![std::fs::read(layout.join("index.json")).unwrap()];
    while let Some(bytes) = documents.pop() {
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        for entry in value["manifests"].as_array().into_iter().flatten() {
            documents.push(blob(layout, entry["digest"].as_str().unwrap()));
        }
        if let Some(config) = value["config"]["digest"].as_str() {
            let Ok(image) = Image::read(bytes, blob(layout, config)) else { continue };
            if image.platform() == *platform {
                return Some(image);
            }
        }
    }
    None
}

fn find(suite: &Suite, wanted: &Wanted) -> Result<Found, Diagnostic> {
    let name = match &wanted.reference {
        Some(reference) => {
            let path = reference.repository();
            path.strip_prefix("library/").unwrap_or(path).to_owned()
        }
        None => wanted.name.clone(),
    };
    let exact = wanted.reference.as_ref().is_none_or(|reference| {
        reference.digest().is_none() && reference.tag_or_latest() == "latest"
    });
    suite
        .bases
        .get(&name)
        .filter(|_| exact)
        .and_then(|layout| image(layout, &wanted.platform))
        .map(|image| Found::Image { pinned: None, image: Arc::new(image) })
        .ok_or_else(|| {
            let message = format!("{} ({}): not found", wanted.name, wanted.platform);
            Diagnostic::error(Code("not-found"), message)
        })
}

fn run(suite: &Suite, folder: &Path, case: &Value) -> Result<Plan, String> {
    let fill = |text: &str| {
        text.replace("@HTTP@", "http://127.0.0.1:1")
            .replace("@REGISTRY@", "127.0.0.1:5000")
            .replace("@NONCE@", "n")
            .replace("@PLATFORM@", &Platform::host().to_string())
    };
    let name = case["dockerfile"].as_str().unwrap_or("Dockerfile");
    let text = String::from_utf8_lossy(&std::fs::read(folder.join(name)).unwrap()).into_owned();
    let mut request = Request::new(Platform::host());
    if let Some(platform) = case["platform"].as_str() {
        request.platform = Platform::parse(&fill(platform)).unwrap();
    }
    request.target = case["target"].as_str().map(str::to_owned);
    for (name, value) in case["build_args"].as_object().into_iter().flatten() {
        let value = value.as_str().or(case["env"][name].as_str()).map(fill);
        request.build_args.insert(name.clone(), value);
    }
    for name in suite.bases.keys() {
        request.named_contexts.insert(name.clone(), NamedContext::Image);
    }
    for (name, _) in case["build_contexts"].as_object().into_iter().flatten() {
        request.named_contexts.insert(name.clone(), NamedContext::Files);
    }
    let mut sources = Sources::new();
    let source = sources.add("Dockerfile", text.clone());
    let (file, mut errors) = parse(source, &text);
    let (instructions, more) = parse_all(&file);
    errors.extend(more);
    let planned = if errors.is_empty() {
        let lookup = |wanted: &Wanted| find(suite, wanted);
        plan(&file, &instructions, &request, &lookup, &mut sources)
    } else {
        Err(errors)
    };
    planned.map_err(|errors| {
        let shown: Vec<String> =
            errors.iter().map(|error| render(error, &sources, false)).collect();
        shown.join("\n")
    })
}

// The config as the suite writes it: empty fields left out.
fn config(config: &RunConfig, author: Option<&String>) -> Value {
    let mut value = serde_json::to_value(config).unwrap();
    let object = value.as_object_mut().unwrap();
    object.remove("ArgsEscaped");
    for field in ["ExposedPorts", "Volumes"] {
        if let Some(set) = object.get(field).and_then(Value::as_object) {
            let keys: Vec<String> = set.keys().cloned().collect();
            object.insert(field.to_owned(), json!(keys));
        }
    }
    if let Some(author) = author {
        object.insert("Author".to_owned(), json!(author));
    }
    if object.get("WorkingDir").is_some_and(|path| path == "/") {
        object.remove("WorkingDir");
    }
    value
}

fn expected(expected: &Value) -> Value {
    let mut object: Map<String, Value> = expected.as_object().cloned().unwrap_or_default();
    object.remove("ArgsEscaped");
    object.remove("Platform");
    if object.get("WorkingDir").is_some_and(|path| path == "/") {
        object.remove("WorkingDir");
    }
    Value::Object(object)
}

// Files that stand in the Dockerfile have the content that the suite tells.
fn inline(plan: &Plan, added: &Value) -> Result<(), String> {
    for (_, step) in plan.steps.iter() {
        let Op::Copy(copy) = &step.op else { continue };
        for source in &copy.sources {
            let Source::Inline(file) = source else { continue };
            let path = match copy.directory {
                true => copy.destination.join(file.name.as_bytes()).unwrap(),
                false => copy.destination.clone(),
            };
            let digest = Digest::<Blob>::of(file.content.as_bytes()).hex();
            let want = added[path.to_string()]["sha256"].as_str();
            if want.is_some_and(|want| want != digest) {
                return Err(format!("{path}: {:?} is not {}", file.content, added));
            }
        }
    }
    Ok(())
}

fn compare(plan: &Plan, want: &Value) -> Result<(), String> {
    let stage = &plan.stages[plan.target];
    let history: String =
        stage.history.iter().map(|entry| if entry.step.is_some() { 'L' } else { 'e' }).collect();
    if let Some(pattern) = want["history"].as_str().filter(|pattern| *pattern != history) {
        return Err(format!("history {history}, not {pattern}"));
    }
    let layers: usize =
        plan.chain(plan.target).iter().map(|stage| plan.stages[*stage].steps.len()).sum();
    if want["layers_added"].as_u64().is_some_and(|count| count != layers as u64) {
        return Err(format!("{layers} layers, not {}", want["layers_added"]));
    }
    inline(plan, &want["rootfs"]["added"])?;
    let (have, want) = (config(&stage.config, stage.author.as_ref()), expected(&want["config"]));
    if have == want { Ok(()) } else { Err(format!("config\n  {have}\n  not\n  {want}")) }
}

#[test]
fn suite_cases() {
    let Some(suite) = suite() else {
        eprintln!("skipped: RBUILD_CONFORMANCE does not name a suite with its bases");
        return;
    };
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(&suite.cases).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let (mut failed, mut passed, mut later) = (Vec::new(), 0, Vec::new());
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let read = |file: &str| -> Option<Value> {
            serde_json::from_slice(&std::fs::read(folder.join(file)).ok()?).ok()
        };
        let case = read("case.json").unwrap();
        let have = run(&suite, &folder, &case);
        let result = match (have, read("expected.json")) {
            (Ok(plan), Some(want)) => compare(&plan, &want),
            (Err(message), Some(_)) => Err(message),
            (Ok(_), None) => {
                let advisory = if case["advisory"] == true { " (advisory)" } else { "" };
                later.push(format!("{name}{advisory}"));
                continue;
            }
            (Err(message), None) => {
                let pattern = format!("(?i){}", case["error"].as_str().unwrap_or(""));
                match regex::Regex::new(&pattern) {
                    Ok(regex) if regex.is_match(&message) => Ok(()),
                    _ => Err(format!("`{pattern}` is not in\n{message}")),
                }
            }
        };
        match result {
            Ok(()) => passed += 1,
            Err(_) if case["advisory"] == true => later.push(format!("{name} (advisory)")),
            Err(message) => failed.push(format!("{name}: {message}")),
        }
    }
    println!("{passed} passed; left to execution: {}", later.join(" "));
    assert!(failed.is_empty(), "{} failed\n{}", failed.len(), failed.join("\n"));
    // What text decides must not be left.
    let text = ["parser", "exp", "env", "arg", "cmd", "meta", "health"];
    let left: Vec<&String> = later
        .iter()
        .filter(|name| !name.ends_with("(advisory)"))
        .filter(|name| text.iter().any(|area| name.starts_with(&format!("{area}-"))))
        .collect();
    assert!(left.is_empty(), "not refused: {left:?}");
}
