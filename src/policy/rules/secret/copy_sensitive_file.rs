//! `copy-sensitive-file`: a file of secrets that is copied.

use crate::policy::{Alias, Around, Found, Level, Outline, Param, ParamKind, Rule, Transfer};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "copy-sensitive-file",
    title: "Deleting it in a later RUN does not remove it from the layer below.",
    text: "Finds a source of COPY or ADD that is named as files of secrets are (`names`); of \
          folders and patterns, what they hold in the context. In a stage that gives the image \
          nothing of it, a warning.\n\nExempt: `*.pub`, `.env.example`, `.env.sample`, \
          `.env.template`, `.env.dist`, files that hold only a certificate, and `allow`.",
    aliases: &[Alias::of("CIS-DI-0010"), Alias::of("DS-0031")],
    standards: &["CIS 4.10"],
    params: &[
        Param {
            name: "names",
            kind: ParamKind::Texts,
            default: r#"["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".env", ".env.*", ".netrc", ".npmrc", ".pypirc", ".git-credentials", ".dockercfg", ".docker/config.json", ".aws/*", ".azure/*", ".kube/config", "kubeconfig", "*.tfstate", "*.tfvars", "credentials.json", "*service-account*.json", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ovpn", "*.kdbx", "*.ppk", "*_rsa", "secring.*", "wp-config.php", "database.yml"]"#,
            help: "names of files of secrets",
        },
        Param {
            name: "allow",
            kind: ParamKind::Texts,
            default: "[]",
            help: "paths of the context that are none",
        },
    ],
    text_check: Some(check),
    bad: &[
        "FROM scratch\nCOPY id_ed25519 /root/.ssh/id_ed25519\n",
        "FROM scratch\nCOPY app /app\n",
    ],
    good: &[
        "FROM scratch\nCOPY id_ed25519.pub /root/.ssh/authorized\n",
        "FROM scratch\nCOPY src /src\n",
    ],
    around: Around {
        files: &[
            ("id_ed25519", "x"),
            ("id_ed25519.pub", "x"),
            ("app/.env", "x"),
            ("app/a", "x"),
            ("src/a", "x"),
        ],
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let names: Vec<String> = found.texts("names").into_iter().map(str::to_owned).collect();
    let allow: Vec<String> = found.texts("allow").into_iter().map(str::to_owned).collect();
    let files = outline.input.context.and_then(|context| context.files());
    let shipped: Vec<usize> = outline.chain().iter().map(|stage| stage.index).collect();
    let sensitive = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let samples = [".pub", ".example", ".sample", ".template", ".dist"];
        if samples.iter().any(|ending| name.ends_with(ending))
            || allow.iter().any(|pattern| crate::policy::glob::matches(pattern, path))
        {
            return false;
        }
        names.iter().any(|pattern| {
            crate::policy::glob::matches(pattern, name)
                || (pattern.contains('/')
                    && crate::policy::glob::matches(&format!("**/{pattern}"), path))
        })
    };
    for item in outline.items() {
        let Some(transfer) = item.transfer().filter(Transfer::from_context) else { continue };
        for (span, source) in &transfer.sources {
            let clean = crate::policy::context::clean(source);
            let mut bad: Option<String> = None;
            if let Some(files) = files {
                bad = crate::policy::context::sources(files, source)
                    .filter(|file| !file.folder && !file.ignored && sensitive(&file.path))
                    .find(|file| {
                        let text = outline.input.context.and_then(|c| c.text(&file.path, 1 << 16));
                        // A certificate is for everybody.
                        text.is_none_or(|text| {
                            !text.contains("-----BEGIN CERTIFICATE") || text.contains("PRIVATE KEY")
                        })
                    })
                    .map(|file| file.path.clone());
            } else if sensitive(&clean) && !source.contains("://") {
                bad = Some(clean);
            }
            let Some(path) = bad else { continue };
            let level = match item.place.stage {
                Some(stage) if shipped.contains(&stage) => Level::Error,
                _ => Level::Warn,
            };
            let finding = found
                .finding(format!("`{path}` is a file of secrets by its name"))
                .at(*span, "stays in the layer, deleted later or not")
                .of(item.place)
                .evidence("path", path.as_str())
                .help("mount it for the step that needs it: --mount=type=secret");
            found.add_at(level, finding);
        }
    }
}
