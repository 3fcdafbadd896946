//! `--call plan`: the stages that would be built, their steps, and what waits for what.

use rbuild::base::{StageId, StepId};
use rbuild::build::Prepared;
use rbuild::exec::Foreseen;
use rbuild::plan::{Base, BaseId, From, MountKind, Op, Plan, Stage};
use serde_json::{Value, json};

use super::super::shared::{count, printable};
use super::{Form, Steps, document};

pub(super) fn answer(prepared: &Prepared, foreseen: &Steps, form: Form) -> String {
    let graph = Graph { prepared, plan: &prepared.plan, foreseen };
    match form {
        Form::Text => graph.text(),
        Form::Json => document(&graph.json()),
        Form::Dot => graph.dot(),
    }
}

struct Graph<'a> {
    prepared: &'a Prepared,
    plan: &'a Plan,
    foreseen: &'a Steps,
}

/// Why one thing waits for another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    /// It stands on it.
    Base,
    /// It reads files of it.
    Reads,
}

impl Edge {
    fn word(self) -> &'static str {
        match self {
            Edge::Base => "base",
            Edge::Reads => "reads",
        }
    }
}

impl Graph<'_> {
    fn name(&self, stage: &Stage) -> String {
        stage.name.clone().unwrap_or_else(|| stage.index.to_string())
    }

    fn image(&self, id: BaseId) -> String {
        format!("image {}", self.plan.bases[id].wanted.name)
    }

    fn line(&self, step: StepId) -> usize {
        let span = self.plan.steps[step].span;
        self.prepared.sources.line_column(span.source, span.start).0
    }

    /// The node whose result is the tree of a stage: its last step, or that of a stage below, or
    /// what that stands on; `None` for nothing.
    fn result(&self, mut stage: StageId) -> Option<String> {
        loop {
            if let Some(step) = self.plan.stages[stage].steps.last() {
                return Some(step_node(*step));
            }
            match self.plan.stages[stage].base {
                Base::Stage(below) => stage = below,
                _ => return self.foundation(&self.plan.stages[stage]),
            }
        }
    }

    /// The node that the first step of a stage stands on.
    fn foundation(&self, stage: &Stage) -> Option<String> {
        match &stage.base {
            Base::Scratch | Base::Files(_) => None,
            Base::Stage(below) => self.result(*below),
            Base::Image(id) => Some(self.image(*id)),
            Base::Unread { name } => Some(format!("image {name}")),
        }
    }

    fn source(&self, from: &From) -> Option<String> {
        match from {
            From::Context => Some("context".to_owned()),
            From::Named(name) => Some(format!("context {name}")),
            From::Image(id) => Some(self.image(*id)),
            From::Stage(stage) => self.result(*stage),
            From::Scratch => None,
        }
    }

    /// What people call a source.
    fn called(&self, from: &From) -> Option<String> {
        match from {
            From::Stage(stage) => Some(format!("stage {}", self.name(&self.plan.stages[*stage]))),
            other => self.source(other),
        }
    }

    /// Edges as (from, to, why): each once, in the order of the steps.
    fn edges(&self) -> Vec<(String, String, Edge)> {
        let mut edges = Vec::new();
        for (_, stage) in self.plan.stages.iter() {
            let mut below = self.foundation(stage);
            for step in &stage.steps {
                let node = step_node(*step);
                if let Some(below) = below.replace(node.clone()) {
                    edges.push((below, node.clone(), Edge::Base));
                }
                let mut read: Vec<String> = Vec::new();
                for from in reads(&self.plan.steps[*step].op) {
                    read.extend(self.source(from));
                }
                read.sort_unstable();
                read.dedup();
                edges.extend(read.into_iter().map(|from| (from, node.clone(), Edge::Reads)));
            }
        }
        edges
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for (id, stage) in self.plan.stages.iter() {
            let base = match &stage.base {
                Base::Scratch => "scratch".to_owned(),
                Base::Files(name) => format!("context {name}"),
                Base::Stage(below) => format!("stage {}", self.name(&self.plan.stages[*below])),
                Base::Image(_) | Base::Unread { .. } => self.foundation(stage).unwrap_or_default(),
            };
            let target = if id == self.plan.target { ", the target" } else { "" };
            out.push_str(&printable(&format!(
                "stage {} from {base} for {}{target}",
                self.name(stage),
                stage.platform
            )));
            out.push('\n');
            for step in &stage.steps {
                let title = &self.plan.steps[*step].title;
                let line = format!("{:>4}. line {}: {title}", step.index() + 1, self.line(*step));
                out.push_str(&printable(&line));
                let mut read: Vec<String> = Vec::new();
                for from in reads(&self.plan.steps[*step].op) {
                    read.extend(self.called(from).filter(|name| !read.contains(name)));
                }
                if !read.is_empty() {
                    out.push_str(&printable(&format!("  ← {}", read.join(", "))));
                }
                out.push('\n');
                let told = match self.foreseen.get(step) {
                    None => continue,
                    Some(Foreseen::Hit(key)) => format!("hit {}", &key.hex()[..12]),
                    Some(Foreseen::Miss(key, why)) => format!("miss {}: {why}", &key.hex()[..12]),
                    Some(Foreseen::Unknown(why)) => format!("no key yet: {why}"),
                };
                out.push_str(&printable(&format!("      {told}")));
                out.push('\n');
            }
        }
        let (stages, steps) = (self.plan.stages.len(), self.plan.steps.len());
        out.push_str(&format!("{}, {}\n", count(stages, "stage"), count(steps, "step")));
        out
    }

    fn json(&self) -> Value {
        let stages: Vec<Value> = self
            .plan
            .stages
            .iter()
            .map(|(id, stage)| {
                let steps: Vec<String> = stage.steps.iter().map(|step| step_node(*step)).collect();
                json!({
                    "index": stage.index,
                    "name": stage.name,
                    "base": base(&stage.base, self),
                    "platform": stage.platform.to_string(),
                    "target": id == self.plan.target,
                    "steps": steps,
                })
            })
            .collect();
        let steps: Vec<Value> = self
            .plan
            .steps
            .iter()
            .map(|(id, step)| {
                json!({
                    "id": step_node(id),
                    "kind": kind(&step.op),
                    "stage": self.plan.stages[step.stage].index,
                    "title": step.title,
                    "place": self.prepared.sources.place(step.span),
                    "cache": self.foreseen.get(&id).map(|foreseen| match foreseen {
                        Foreseen::Hit(key) => json!({ "state": "hit", "key": key.to_string() }),
                        Foreseen::Miss(key, why) => {
                            json!({ "state": "miss", "key": key.to_string(), "why": why })
                        }
                        Foreseen::Unknown(why) => json!({ "state": "unknown", "why": why }),
                    }),
                })
            })
            .collect();
        let edges: Vec<Value> = self
            .edges()
            .into_iter()
            .map(|(from, to, why)| json!({ "from": from, "to": to, "kind": why.word() }))
            .collect();
        json!({ "version": 1, "stages": stages, "steps": steps, "edges": edges })
    }

    fn dot(&self) -> String {
        let edges = self.edges();
        let mut out = String::from("digraph plan {\n  rankdir=LR;\n  node [shape=box];\n");
        for (_, stage) in self.plan.stages.iter() {
            let label = quoted(&self.name(stage));
            out.push_str(&format!("  subgraph cluster_{} {{\n", stage.index));
            out.push_str(&format!("    label={label};\n"));
            for step in &stage.steps {
                let title = quoted(&self.plan.steps[*step].title);
                out.push_str(&format!("    {} [label={title}];\n", quoted(&step_node(*step))));
            }
            out.push_str("  }\n");
        }
        let mut outside: Vec<&str> = edges
            .iter()
            .map(|(from, _, _)| from.as_str())
            .filter(|from| !from.starts_with("step "))
            .collect();
        outside.sort_unstable();
        outside.dedup();
        for node in outside {
            out.push_str(&format!("  {} [shape=ellipse];\n", quoted(node)));
        }
        for (from, to, why) in &edges {
            let style = if *why == Edge::Reads { " [style=dashed]" } else { "" };
            out.push_str(&format!("  {} -> {}{style};\n", quoted(from), quoted(to)));
        }
        out.push_str("}\n");
        out
    }
}

fn step_node(step: StepId) -> String {
    format!("step {}", step.index() + 1)
}

fn kind(op: &Op) -> &'static str {
    match op {
        Op::Run(_) => "run",
        Op::Copy(_) => "copy",
        Op::Workdir(_) => "workdir",
    }
}

fn base(base: &Base, graph: &Graph<'_>) -> Value {
    match base {
        Base::Scratch => json!({ "kind": "scratch" }),
        Base::Files(name) => json!({ "kind": "context", "name": name }),
        Base::Stage(below) => {
            json!({ "kind": "stage", "index": graph.plan.stages[*below].index })
        }
        Base::Image(id) => {
            json!({ "kind": "image", "name": graph.plan.bases[*id].wanted.name })
        }
        Base::Unread { name } => json!({ "kind": "image", "name": name }),
    }
}

/// What a step takes files from. Of a COPY only what its sources need.
fn reads(op: &Op) -> Vec<&From> {
    match op {
        Op::Copy(copy) => {
            let path = |source| matches!(source, &rbuild::plan::Source::Path { .. });
            copy.sources.iter().any(path).then_some(&copy.from).into_iter().collect()
        }
        Op::Run(run) => run
            .mounts
            .iter()
            .filter_map(|mount| match &mount.kind {
                MountKind::Bind { from, .. } => Some(from),
                MountKind::Cache { from, .. } => from.as_ref(),
                MountKind::Tmpfs { .. } | MountKind::Secret { .. } | MountKind::Ssh { .. } => None,
            })
            .collect(),
        Op::Workdir(_) => Vec::new(),
    }
}

/// A string of the dot language: <https://graphviz.org/doc/info/lang.html>.
fn quoted(text: &str) -> String {
    let escaped = printable(text).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::super::tests::prepared;
    use super::*;

    const TEXT: &str = "\
FROM debian:12 AS build
WORKDIR /src
COPY . .
RUN --mount=from=golang:1,target=/go echo \"a\\b\"
FROM build AS same
FROM scratch
COPY --from=same /src/app /app
COPY <<x /x
text
x
";

    #[test]
    fn what_would_run() {
        let prepared = prepared(TEXT, |_| {});
        expect_test::expect![[r#"
            stage build from image debian:12 for linux/amd64
               1. line 2: WORKDIR /src
               2. line 3: COPY . .  ← context
               3. line 4: RUN --mount=from=golang:1,target=/go echo "a\b"  ← image golang:1
            stage same from stage build for linux/amd64
            stage 2 from scratch for linux/amd64, the target
               4. line 7: COPY --from=same /src/app /app  ← stage same
               5. line 8: COPY <<x /x text x
            3 stages, 5 steps
        "#]]
        .assert_eq(&answer(&prepared, &Steps::new(), Form::Text));
        expect_test::expect![[r#"
            digraph plan {
              rankdir=LR;
              node [shape=box];
              subgraph cluster_0 {
                label="build";
                "step 1" [label="WORKDIR /src"];
                "step 2" [label="COPY . ."];
                "step 3" [label="RUN --mount=from=golang:1,target=/go echo \"a\\b\""];
              }
              subgraph cluster_1 {
                label="same";
              }
              subgraph cluster_2 {
                label="2";
                "step 4" [label="COPY --from=same /src/app /app"];
                "step 5" [label="COPY <<x /x text x"];
              }
              "context" [shape=ellipse];
              "image debian:12" [shape=ellipse];
              "image golang:1" [shape=ellipse];
              "image debian:12" -> "step 1";
              "step 1" -> "step 2";
              "context" -> "step 2" [style=dashed];
              "step 2" -> "step 3";
              "image golang:1" -> "step 3" [style=dashed];
              "step 3" -> "step 4" [style=dashed];
              "step 4" -> "step 5";
            }
        "#]]
        .assert_eq(&answer(&prepared, &Steps::new(), Form::Dot));
        let value: Value =
            serde_json::from_str(&answer(&prepared, &Steps::new(), Form::Json)).unwrap();
        assert_eq!(value["version"], 1);
        assert_eq!(value["stages"][1]["base"], json!({ "kind": "stage", "index": 0 }));
        assert_eq!(value["stages"][2]["target"], true);
        assert_eq!(value["steps"][3]["place"], "Dockerfile:7:1");
        let edges = value["edges"].as_array().unwrap();
        let edge = json!({ "from": "step 3", "to": "step 4", "kind": "reads" });
        assert!(edges.contains(&edge), "{value:#}");
    }
}
