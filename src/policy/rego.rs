//! Rego itself: a request in, an answer out, both JSON. It runs in a process of its own
//! (`rbuild __rego`, see `cli`) whose time and memory are limited by the kernel; in it there is no
//! clock, no network, no randomness and no file.

use regorus::{Engine, Value as Rego};
use serde_json::{Map, Value, json};

use super::custom::{document, entry};
use crate::facts::shell::{Arg, Command};

/// The word that starts the program as this.
pub const WORD: &str = "__rego";
/// CPU seconds of all rules together, at one moment.
pub const SECONDS: u64 = 2;
/// Bytes of memory, beyond what the program itself takes.
pub const MEMORY: u64 = 256 << 20;

/// Evaluates. The request: `files` and `data` as pairs of name and text, the `packages` that give
/// verdicts, and the `input`. The answer: for each package its entry points and what they hold; or
/// `error`.
pub fn answer(request: &[u8]) -> Vec<u8> {
    let answer = match evaluated(request) {
        Ok(packages) => json!({ "packages": packages }),
        Err(error) => json!({ "error": error }),
    };
    answer.to_string().into_bytes()
}

fn evaluated(request: &[u8]) -> Result<Map<String, Value>, String> {
    let request: Value = serde_json::from_slice(request).map_err(|error| error.to_string())?;
    let pairs = |key: &str| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let list = request[key].as_array().into_iter().flatten();
        list.map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
    };
    let mut engine = Engine::new();
    for (name, arguments, extension) in EXTENSIONS {
        let call = *extension;
        let boxed = Box::new(move |values: Vec<Rego>| {
            let values: Vec<Value> =
                values.iter().filter_map(|value| serde_json::to_value(value).ok()).collect();
            Rego::from_json_str(&call(&values).to_string())
        });
        engine
            .add_extension((*name).to_owned(), *arguments, boxed)
            .map_err(|error| told(&error))?;
    }
    for (name, text) in pairs("files") {
        // Version 1 is the language; older files, as there are many, are read as what they are.
        let first = engine.add_policy(name.clone(), text.clone());
        if let Err(error) = first {
            engine.set_rego_v0(true);
            let second = engine.add_policy(name, text);
            engine.set_rego_v0(false);
            second.map_err(|_| told(&error))?;
        }
    }
    for (name, text) in pairs("data") {
        let value = document(&name, &text)?;
        let value = Rego::from_json_str(&value.to_string()).map_err(|error| told(&error))?;
        engine.add_data(value).map_err(|error| format!("{name}: {}", told(&error)))?;
    }
    let input = Rego::from_json_str(&request["input"].to_string()).map_err(|error| told(&error))?;
    engine.set_input(input);
    let mut out = Map::new();
    for package in request["packages"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let result = engine
            .eval_query(format!("data.{package}"), false)
            .map_err(|error| format!("{package}: {}", told(&error)))?;
        let value = result.result.first().and_then(|row| row.expressions.first());
        let Some(value) = value.map(|one| &one.value) else { continue };
        let value = serde_json::to_value(value).map_err(|error| error.to_string())?;
        let rules = value.as_object().cloned().unwrap_or_default();
        out.insert(package.to_owned(), rules.into_iter().filter(|(name, _)| entry(name)).collect());
    }
    Ok(out)
}

// The message with its place, without the drawing of the line.
fn told(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let plain = lines.filter(|line| {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        !rest.starts_with('|')
    });
    plain.collect::<Vec<_>>().join(" ").trim_start_matches("--> ").to_owned()
}

// Takes and gives JSON: what cannot be said is `null`.
type Extension = fn(&[Value]) -> Value;

// What trivy's checks call.
const EXTENSIONS: &[(&str, u8, Extension)] =
    &[("result.new", 2, result_new), ("sh.parse_commands", 1, parse_commands)];

// `result.new(msg, cause)`: the message with the place of a command or an instruction.
fn result_new(values: &[Value]) -> Value {
    let [message, cause] = values else { return Value::Null };
    let span = match (&cause["span"], &cause["StartLine"]) {
        (span @ Value::Object(_), _) => span.clone(),
        (_, line @ Value::Number(_)) => {
            json!({ "file": cause["Path"], "line": line, "end_line": cause["EndLine"] })
        }
        _ => Value::Null,
    };
    json!({ "msg": message, "span": span })
}

// `sh.parse_commands(text)`: the commands of a shell text, each a list of words.
fn parse_commands(values: &[Value]) -> Value {
    let text = values.first().and_then(Value::as_str).unwrap_or("");
    let script = super::scripts::text(text);
    let words = |command: &Command| command.argv.iter().map(Arg::shown).collect::<Value>();
    script.commands.iter().map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(rego: &str, input: &Value) -> Value {
        let package = rego.lines().find_map(|line| line.strip_prefix("package ")).unwrap();
        let request = json!({
            "files": [["a.rego", rego]], "data": [["d.json", "{\"list\": [1, 2]}"]],
            "packages": [package], "input": input,
        });
        let answer: Value =
            serde_json::from_slice(&answer(request.to_string().as_bytes())).unwrap();
        match answer["packages"].get(package) {
            Some(found) => found.clone(),
            None => answer,
        }
    }

    #[test]
    fn entry_points_are_answered() {
        let rego = "package a.b\nimport rego.v1\n\
                    deny contains msg if { some x in input.xs; x > 1; msg := sprintf(\"%d\", [x]) }\n\
                    warn_more contains {\"msg\": \"w\"} if input.xs[_] == data.list[_]\n\
                    helper := 1\n";
        let found = ask(rego, &json!({ "xs": [1, 2, 3] }));
        assert_eq!(found, json!({ "deny": ["2", "3"], "warn_more": [{ "msg": "w" }] }));
    }

    #[test]
    fn older_files_are_read_as_what_they_are() {
        let rego = "package main\ndeny[msg] {\n  input[i].Cmd == \"from\"\n  msg := input[i].Value[0]\n}\n";
        let found = ask(rego, &json!([{ "Cmd": "from", "Value": ["debian"] }]));
        assert_eq!(found, json!({ "deny": ["debian"] }));
    }

    #[test]
    fn what_trivy_gives_is_there() {
        let rego = "package t\nimport rego.v1\ndeny contains r if {\n\
                    c := input.Stages[_].Commands[_]\n\
                    sh.parse_commands(c.Value[0])[_][0] == \"curl\"\n\
                    r := result.new(\"curl\", c)\n}\n";
        let command =
            json!({ "Value": ["cd / && curl x"], "StartLine": 3, "EndLine": 4, "Path": "D" });
        let found = ask(rego, &json!({ "Stages": [{ "Commands": [command] }] }));
        let span = json!({ "file": "D", "line": 3, "end_line": 4 });
        assert_eq!(found, json!({ "deny": [{ "msg": "curl", "span": span }] }));
    }

    #[test]
    fn mistakes_have_a_place_and_what_is_not_pure_is_not_there() {
        let error =
            |rego: &str| ask(rego, &json!({}))["error"].as_str().unwrap_or("none").to_owned();
        let text = error("package a\nimport rego.v1\ndeny contains 1 if {{ true\n");
        assert!(text.contains("a.rego:3:") || text.contains("a.rego:4:"), "{text}");
        for call in [
            "http.send({\"method\": \"get\", \"url\": \"http://a\"})",
            "time.now_ns()",
            "rand.intn(\"a\", 3)",
            "opa.runtime()",
            "uuid.rfc4122(\"a\")",
            "net.lookup_ip_addr(\"a\")",
        ] {
            let text =
                error(&format!("package a\nimport rego.v1\ndeny contains x if x := {call}\n"));
            assert!(text.contains("could not find function"), "{call}: {text}");
        }
        for pure in [
            "regex.match(`(?i)^A`, \"a\")",
            "glob.match(\"a*\", [], \"ab\")",
            "semver.is_valid(\"1.2.3\")",
            "base64.encode(\"a\") != \"\"",
            "strings.any_prefix_match(\"ab\", \"a\")",
        ] {
            let found =
                ask(&format!("package a\nimport rego.v1\ndeny contains 1 if {pure}\n"), &json!({}));
            assert_eq!(found["deny"], json!([1]), "{pure}: {found}");
        }
    }
}
