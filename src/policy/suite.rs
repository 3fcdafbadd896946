//! The cases of the policy suite, for the rules that exist.
//!
//! Runs when `RBUILD_POLICY_CASES` names the folder with `static/` and `image/`; else it is
//! skipped, and says so. Each case is judged by one rule alone; its findings are the whole list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::base::{ImagePath, Platform, Secret};
use crate::diag::Sources;
use crate::facts::{
    Attestation, Beside, ImageFacts, LayerFacts, LeakScan, Mismatch, Needles, Origin, Orphan,
    Signature, TableObserver, Whole,
};
use crate::image::Config;
use crate::layer::{Entry, EntryKind, Observer};
use crate::plan::Request;

/// Cases whose recipe contradicts itself: what stands there, what was meant.
const MENDED: &[(&str, &str, &str)] = &[
    // The sum is of no content known; that of the file, `genuine`, is meant to hold.
    (
        "package-file-modified--neg",
        "7dc6bf1efec39a9a57c9ba27bb068a3e",
        "7aa4a242d3ce5fe086e54bd1949ad950",
    ),
];

pub(super) type Row = (Option<u64>, Option<String>, Option<u64>);

#[test]
fn cases() {
    let Some(root) = std::env::var_os("RBUILD_POLICY_CASES") else {
        eprintln!("skipped: RBUILD_POLICY_CASES names no folder");
        return;
    };
    let (mut count, mut wrong) = (0, Vec::new());
    for kind in ["static", "image"] {
        for entry in std::fs::read_dir(Path::new(&root).join(kind)).unwrap() {
            let dir = entry.unwrap().path();
            let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
            let case: Value = serde_json::from_str(&read("case.json")).unwrap();
            let expected: Value = serde_json::from_str(&read("expected.json")).unwrap();
            if rule(case["rule"].as_str().unwrap()).is_none() {
                continue;
            }
            count += 1;
            let text = case["policy"].as_str().unwrap_or("");
            let text = format!("version = 1\nextends = \"hardened\"\n{text}");
            let mut policy = match Policy::read(&text, "case", &mut |_| None) {
                Ok(policy) => policy,
                Err(error) => {
                    wrong.push(format!("{}: {error}", dir.display()));
                    continue;
                }
            };
            let only = vec![case["rule"].as_str().unwrap().to_owned()];
            policy.apply(&Overrides { only, ..Overrides::default() }).unwrap();
            let found = match kind {
                "static" => judge_text(&read("Dockerfile"), &case, &policy),
                _ => {
                    let name = dir.file_name().unwrap();
                    let mut recipe = read("image.json");
                    for (_, wrong, right) in MENDED.iter().filter(|(case, ..)| name == *case) {
                        assert!(recipe.contains(wrong), "{name:?} is mended: take it off the list");
                        recipe = recipe.replace(wrong, right);
                    }
                    judge_image(&serde_json::from_str(&recipe).unwrap(), &policy)
                }
            };
            // Only the keys that the case has are compared.
            let want = expected["findings"].as_array().unwrap();
            let keys: BTreeSet<&String> =
                want.iter().flat_map(|row| row.as_object().unwrap().keys()).collect();
            let has = |key: &str| keys.iter().any(|known| *known == key) || keys.is_empty();
            let cut = |(line, path, layer): Row| {
                (
                    line.filter(|_| has("line")),
                    path.filter(|_| has("path")),
                    layer.filter(|_| has("layer")),
                )
            };
            let want: BTreeSet<Row> = want
                .iter()
                .map(|row| {
                    let path = row["path"].as_str().map(str::to_owned);
                    (row["line"].as_u64(), path, row["layer"].as_u64())
                })
                .collect();
            let found: BTreeSet<Row> = found.into_iter().map(cut).collect();
            if found != want {
                let name = dir.file_name().unwrap().to_string_lossy().into_owned();
                wrong.push(format!("{name}: want {want:?}, found {found:?}"));
            }
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {count} wrong:\n{}", wrong.len(), wrong.join("\n"));
    eprintln!("{count} cases");
}

fn judge_text(file: &str, case: &Value, policy: &Policy) -> Vec<Row> {
    let mut sources = Sources::new();
    let id = sources.add("Dockerfile", file);
    let (parsed, mut errors) = crate::dockerfile::parse(id, file);
    let (instructions, more) = crate::instruction::parse_all(&parsed);
    errors.extend(more);
    let mut request = Request::new(Platform::new("linux", "amd64", None));
    let mut tags = Vec::new();
    let args: Vec<&str> =
        case["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (at, arg) in args.iter().enumerate() {
        match (*arg, args.get(at + 1)) {
            ("--build-arg", Some(pair)) => {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                request.build_args.insert(name.into(), Some(value.into()));
            }
            ("--target", Some(name)) => request.target = Some((*name).to_owned()),
            ("--platform", Some(name)) => request.platform = Platform::parse(name).unwrap(),
            ("-t", Some(name)) => tags.push((*name).to_owned()),
            _ => {}
        }
    }
    let texts: BTreeMap<&str, &str> = case["context"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(path, text)| (path.as_str(), text.as_str().unwrap()))
        .collect();
    let ignore = texts
        .get(".dockerignore")
        .map(|text| crate::input::Ignore::parse(text.as_bytes()).unwrap());
    let mut context = GivenFiles::new();
    if ignore.is_some() {
        context.set_ignore_file(".dockerignore");
    }
    for (path, text) in &texts {
        let at = ImagePath::from_entry(path.as_bytes()).unwrap();
        context.add(path, text, ignore.as_ref().is_some_and(|ignore| ignore.excludes(&at)));
    }
    let mut bases = Bases::from_json(&case["bases"].to_string()).unwrap_or_default();
    bases.read_triggers(&mut sources);
    let input = TextInput {
        file: &parsed,
        instructions: &instructions,
        errors: &errors,
        sources: &sources,
        request: &request,
        bases: &bases,
        squash: args.contains(&"--squash"),
        today: Some("2026-11-21"),
        tags: (!tags.is_empty()).then_some(&tags),
        context: Some(&context),
    };
    let report = check_text(input, policy);
    let findings = report.findings.iter().filter(|finding| finding.counts());
    findings
        .map(|finding| {
            let line = finding.span.map(|span| sources.line_column(span.source, span.start).0);
            (line.map(|line| line as u64), None, None)
        })
        .collect()
}

pub(super) fn judge_image(recipe: &Value, policy: &Policy) -> Vec<Row> {
    let platform = recipe["platform"].as_str().unwrap_or("linux/amd64");
    let architecture = platform.split('/').nth(1).unwrap();
    let mut document = serde_json::json!({
        "os": "linux", "architecture": architecture, "config": recipe["config"],
        "rootfs": { "type": "layers", "diff_ids": [] }, "history": [],
    });
    let secrets: Vec<(String, Secret)> = recipe["secrets"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(id, value)| (id.clone(), Secret::new(value.as_str().unwrap().into())))
        .collect();
    let needles = Needles::new(secrets.iter().map(|(id, secret)| (id.as_str(), secret)));
    let mut layers = Vec::new();
    for layer in recipe["layers"].as_array().unwrap() {
        let empty = layer["empty_layer"].as_bool().unwrap_or(false);
        document["history"].as_array_mut().unwrap().push(serde_json::json!({
            "created_by": layer["created_by"], "empty_layer": empty,
        }));
        if empty {
            continue;
        }
        let (mut table, mut scan) = (TableObserver::new(), LeakScan::new(needles.clone()));
        for entry in layer["entries"].as_array().unwrap() {
            // As the reader does with names that cannot be.
            let name = entry["path"].as_str().unwrap().trim_start_matches('/');
            if let Err(error) = ImagePath::from_entry(name.as_bytes()) {
                table.anomaly(name.as_bytes(), &error.to_string());
                continue;
            }
            let (entry, content) = entry_of(entry);
            for observer in [&mut table as &mut dyn Observer, &mut scan] {
                observer.entry(&entry);
                if matches!(entry.kind, EntryKind::File { .. }) {
                    observer.content(&content);
                }
                observer.end();
            }
        }
        layers.push(LayerFacts {
            table: table.finish().into(),
            origin: match layer["base"].as_bool() {
                Some(true) => Origin::Base,
                _ => Origin::Foreign(layer["created_by"].as_str().unwrap().into()),
            },
            leaks: scan.finish().into(),
            steps: BTreeMap::new(),
        });
    }
    let config = Config::parse(document.to_string().as_bytes()).unwrap();
    let mut facts = ImageFacts::new(config, layers, &BTreeMap::new(), &needles);
    facts.whole = whole_of(recipe);
    let report = check_image(ImageInput { facts: &facts, text: None }, policy);
    let findings = report.findings.iter().filter(|finding| finding.counts());
    findings
        .map(|finding| {
            let image = finding.image.clone().unwrap();
            let line = finding.evidence.get("line").and_then(Value::as_u64);
            (line, Some(image.path), image.layer.map(|layer| layer as u64))
        })
        .collect()
}

// What stands around the layers, as far as a recipe tells of it.
fn whole_of(recipe: &Value) -> Whole {
    let mut whole = Whole { today: Some("2026-11-21".into()), ..Whole::default() };
    let words = |key: &str| -> Vec<String> {
        let list = recipe[key].as_array().into_iter().flatten();
        list.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    if let Some(layer) = recipe["tamper"]["layer"].as_u64() {
        let (place, why) = ("blobs/sha256/x".to_owned(), "other bytes".to_owned());
        whole.mismatches.push(Mismatch { layer: Some(layer as usize), place, why });
    }
    let orphan = |text: &str| Orphan {
        path: "blobs/sha256/y".into(),
        size: text.len() as u64,
        form: "data",
        programs: Vec::new(),
    };
    whole.orphans = Some(recipe["extra_blob"].as_str().map(orphan).into_iter().collect());
    let mut beside = Beside { sbom_files: None, ..Beside::default() };
    if recipe["sbom_files"].is_array() {
        beside.sbom_files = Some(words("sbom_files"));
    }
    for kind in words("attestations") {
        let (kind, time) = match kind.split_once('@') {
            Some((kind, time)) => (kind.to_owned(), Some(time.to_owned())),
            None => (kind, None),
        };
        let (kind, format) = match kind.split_once(':') {
            Some((kind, format)) => (kind.to_owned(), Some(format.to_owned())),
            None => (kind, None),
        };
        beside.attestations.push(Attestation { kind, format, time, lacks: words("lacks") });
    }
    for signature in recipe["signatures"].as_array().into_iter().flatten() {
        let key = signature["key"].as_str().unwrap().to_owned();
        let verified = signature["verified"].as_bool().unwrap();
        beside.signatures.push(Signature { key, verified });
    }
    whole.beside = Some(beside);
    for digest in words("digests") {
        whole.digests.push(("layer", Some(0), digest));
    }
    whole.packed =
        recipe["packed"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    whole.before = recipe["before"].as_u64();
    whole
}

fn entry_of(recipe: &Value) -> (Entry, Vec<u8>) {
    let path =
        |key: &str| ImagePath::from_entry(recipe[key].as_str().unwrap_or("").as_bytes()).unwrap();
    let number = |key: &str| recipe[key].as_u64().unwrap_or(0);
    let content = match (recipe["content"].as_str(), recipe["content_b64"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(text)) => from_base64(text),
        (None, None) => vec![b'x'; number("size") as usize],
    };
    let kind = match recipe["type"].as_str().unwrap() {
        "file" => EntryKind::File { size: content.len() as u64 },
        "dir" => EntryKind::Dir,
        "symlink" => EntryKind::Symlink(recipe["target"].as_str().unwrap().into()),
        "hardlink" => EntryKind::Hardlink(path("target")),
        "whiteout" => EntryKind::Whiteout,
        "opaque" => EntryKind::Opaque,
        "char" => EntryKind::Char { major: number("major") as u32, minor: number("minor") as u32 },
        _ => EntryKind::Block { major: number("major") as u32, minor: number("minor") as u32 },
    };
    let mode = recipe["mode"].as_str().unwrap_or("0644");
    let mut entry = Entry::new(path("path"), kind, u32::from_str_radix(mode, 8).unwrap());
    entry.uid = number("uid") as u32;
    entry.gid = number("gid") as u32;
    entry.mtime = recipe["mtime"].as_i64().unwrap_or(0);
    for name in recipe["xattrs"].as_object().into_iter().flatten().map(|(name, _)| name) {
        entry.xattrs.insert(name.as_bytes().to_vec(), Vec::new());
    }
    (entry, content)
}

fn from_base64(text: &str) -> Vec<u8> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for letter in text.trim_end_matches('=').bytes() {
        let value = letters.iter().position(|known| *known == letter).unwrap();
        bits = bits << 6 | value as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}
