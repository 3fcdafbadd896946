//! Rules that look at the image as a whole, each by small images.

use serde_json::{Value, json};

use super::suite::judge_image;
use super::*;
use crate::registry::base64;

fn file(path: &str, mode: &str, content: &str) -> Value {
    json!({ "path": path, "type": "file", "mode": mode, "content": content })
}

fn sized(path: &str, size: u64) -> Value {
    json!({ "path": path, "type": "file", "mode": "0644", "size": size })
}

fn bytes(path: &str, mode: &str, content: &[u8]) -> Value {
    json!({ "path": path, "type": "file", "mode": mode, "content_b64": base64::encode(content) })
}

fn of(kind: &str, path: &str, more: &str) -> Value {
    json!({ "path": path, "type": kind, "mode": "0755", "target": more })
}

fn layer(entries: &[Value]) -> Value {
    json!({ "created_by": "RUN x", "entries": entries })
}

fn base(entries: &[Value]) -> Value {
    json!({ "created_by": "FROM", "base": true, "entries": entries })
}

// A program of 64 bits with a loader and libraries; without a loader it is static.
fn elf(machine: u16, kind: u16, loader: &str, needed: &[&str]) -> Vec<u8> {
    let mut out = vec![0; 0x400];
    let put = |out: &mut Vec<u8>, at: usize, value: u64, size: usize| {
        out[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    };
    out[..6].copy_from_slice(b"\x7fELF\x02\x01");
    put(&mut out, 16, kind.into(), 2);
    put(&mut out, 18, machine.into(), 2);
    if loader.is_empty() {
        return out;
    }
    put(&mut out, 32, 64, 8);
    put(&mut out, 54, 56, 2);
    put(&mut out, 56, 3, 2);
    let dynamic = 16 * (needed.len() as u64 + 3);
    for (index, kind, place, length) in
        [(0, 3, 0x200, loader.len() as u64 + 1), (1, 1, 0, 0x400), (2, 2, 0x300, dynamic)]
    {
        let at = 64 + 56 * index;
        put(&mut out, at, kind, 4);
        put(&mut out, at + 8, place, 8);
        put(&mut out, at + 16, place, 8);
        put(&mut out, at + 32, length, 8);
    }
    out[0x200..0x200 + loader.len()].copy_from_slice(loader.as_bytes());
    let (mut names, mut at) = (vec![0], 0x300);
    for name in needed {
        put(&mut out, at, 1, 8);
        put(&mut out, at + 8, names.len() as u64, 8);
        names.extend_from_slice(name.as_bytes());
        names.push(0);
        at += 16;
    }
    for (tag, value) in [(5, 0x240), (10, names.len() as u64)] {
        put(&mut out, at, tag, 8);
        put(&mut out, at + 8, value, 8);
        at += 16;
    }
    out[0x240..0x240 + names.len()].copy_from_slice(&names);
    out
}

fn judged(rule: &str, text: &str, config: Value, layers: &[Value], more: Value) -> Vec<String> {
    let mut recipe = json!({ "config": config, "layers": layers });
    for (key, value) in more.as_object().into_iter().flatten() {
        recipe[key] = value.clone();
    }
    let text = format!("version = 1\nextends = \"hardened\"\n{text}");
    let mut policy = Policy::read(&text, "p", &mut |_| None).unwrap();
    policy.apply(&Overrides { only: vec![rule.to_owned()], ..Overrides::default() }).unwrap();
    judge_image(&recipe, &policy)
        .into_iter()
        .map(|(_, path, layer)| match layer {
            Some(layer) => format!("{} in {layer}", path.unwrap_or_default()),
            None => path.unwrap_or_default(),
        })
        .collect()
}

#[test]
fn programs_start_or_the_reason_is_told() {
    let check = |config: Value, entries: &[Value], want: &[&str]| {
        let found =
            judged("entrypoint-unrunnable", "", config.clone(), &[layer(entries)], json!({}));
        assert_eq!(found, want, "{config}");
    };
    let own = elf(62, 2, "", &[]);
    let app = |path: &str| bytes(path, "0755", &own);
    // PATH, the usual one and the image's.
    check(json!({"Cmd": ["app", "x"]}), &[app("/usr/local/bin/app")], &[]);
    check(json!({"Cmd": ["app"]}), &[app("/opt/app")], &["app"]);
    check(json!({"Cmd": ["app"], "Env": ["PATH=/bin:/opt"]}), &[app("/opt/app")], &[]);
    // Of two, the one that may be run.
    let locked = bytes("/usr/local/bin/app", "0644", &own);
    check(json!({"Cmd": ["app"]}), &[locked.clone(), app("/usr/bin/app")], &[]);
    check(json!({"Cmd": ["app"]}), &[locked], &["/usr/local/bin/app in 0"]);
    // WORKDIR; ENTRYPOINT counts, its arguments do not.
    check(json!({"Cmd": ["./app"], "WorkingDir": "/srv"}), &[app("/srv/app")], &[]);
    check(json!({"Cmd": ["./app"]}), &[app("/srv/app")], &["/app"]);
    check(json!({"Entrypoint": ["/app"], "Cmd": ["nothing"]}), &[app("/app")], &[]);
    // Links, of folders and files; a hard link.
    let links = [of("symlink", "/bin", "usr/bin"), of("symlink", "/usr/bin/sh", "busybox")];
    let mut all = links.to_vec();
    all.push(app("/usr/bin/busybox"));
    check(json!({"Cmd": ["/bin/sh"]}), &all, &[]);
    check(json!({"Cmd": ["/bin/sh"]}), &links, &["/bin/sh"]);
    check(json!({"Cmd": ["/b"]}), &[app("/a"), of("hardlink", "/b", "/a")], &[]);
    check(json!({"Cmd": ["/a"]}), &[of("dir", "/a", "")], &["/a in 0"]);
    // Who may run it.
    let group = |mode: &str| bytes("/app", mode, &own);
    check(json!({"Cmd": ["/app"], "User": "10001:9"}), &[group("0750")], &["/app in 0"]);
    // Who is in no file has the group 0.
    check(json!({"Cmd": ["/app"], "User": "10001"}), &[group("0750")], &[]);
    check(json!({"Cmd": ["/app"], "User": "10001:7"}), &[group("0751")], &[]);
    check(json!({"Cmd": ["/app"], "User": "10001:0"}), &[group("0750")], &[]);
    check(json!({"Cmd": ["/app"]}), &[group("0100")], &[]);
    let mut home = of("dir", "/root", "");
    home["mode"] = json!("0700");
    let inside = [home, app("/root/app")];
    check(json!({"Cmd": ["/root/app"], "User": "10001"}), &inside, &["/root/app in 0"]);
    check(json!({"Cmd": ["/root/app"], "User": "0"}), &inside, &[]);
    let accounts = [
        file("/etc/passwd", "0644", "app:x:77:77::/:/bin/sh\n"),
        file("/etc/group", "0644", "root:x:0:app\n"),
        group("0750"),
    ];
    check(json!({"Cmd": ["/app"], "User": "app"}), &accounts, &[]);
    // Nobody knows what is mounted, or who a user is that the image lacks.
    check(json!({"Cmd": ["/data/app"], "Volumes": {"/data": {}}}), &[app("/x")], &[]);
    check(json!({"Cmd": ["/app"], "User": "nobody-knows"}), &[group("0700")], &[]);
    // Health checks, in both forms.
    let health = |test: Value| json!({"Cmd": ["/app"], "Healthcheck": {"Test": test}});
    check(health(json!(["CMD-SHELL", "true"])), &[app("/app")], &["/bin/sh"]);
    check(health(json!(["CMD", "/probe"])), &[app("/app")], &["/probe"]);
    check(health(json!(["NONE"])), &[app("/app")], &[]);
    let shell = [app("/app"), app("/bin/ash")];
    let mut config = health(json!(["CMD-SHELL", "true"]));
    config["Shell"] = json!(["/bin/ash", "-c"]);
    check(config, &shell, &[]);
}

#[test]
fn scripts_and_libraries_are_followed() {
    let check = |entries: &[Value], want: &[&str]| {
        let config = json!({"Cmd": ["/a"], "User": "10001"});
        let found = judged("entrypoint-unrunnable", "", config, &[layer(entries)], json!({}));
        assert_eq!(found, want, "{entries:?}");
    };
    let own = elf(62, 2, "", &[]);
    let python = bytes("/usr/bin/python3", "0755", &own);
    let env = bytes("/usr/bin/env", "0755", &own);
    let script = |line: &str| file("/a", "0755", &format!("{line}\nx\n"));
    check(&[script("#!/usr/bin/python3 -u"), python.clone()], &[]);
    check(&[script("#! /usr/bin/python3\t-u"), python.clone()], &[]);
    check(&[script("#!/usr/bin/python3")], &["/a in 0"]);
    check(&[script("#!/usr/bin/env python3"), env.clone(), python.clone()], &[]);
    check(&[script("#!/usr/bin/env -S python3 -u"), env.clone(), python.clone()], &[]);
    check(&[script("#!/usr/bin/env A=b python"), env.clone()], &[]);
    check(&[script("#!/usr/bin/env python3"), env.clone()], &["/a in 0"]);
    check(&[script("#!/usr/bin/env python3"), python.clone()], &["/a in 0"]);
    check(&[script("#!/usr/bin/python3\r"), python.clone()], &["/a in 0"]);
    // An interpreter that is a script, one that may not be run, and one that is itself.
    let second = file("/i", "0755", "#!/usr/bin/python3\n");
    check(&[script("#!/i"), second.clone(), python], &[]);
    check(&[script("#!/i"), second], &["/a in 0"]);
    check(&[script("#!/i"), file("/i", "0644", "")], &["/i in 0"]);
    check(&[script("#!/a")], &[]);
    // Neither an ELF file nor a script: a kernel may be taught to run it.
    check(&[file("/a", "0755", "\0asm")], &[]);
    let glibc = bytes("/a", "0755", &elf(62, 3, "/lib64/ld.so", &["libc.so.6", "libz.so.1"]));
    let there = [file("/lib64/ld.so", "0755", "x"), file("/usr/lib/libc.so.6", "0644", "x")];
    let library = file("/opt/libz.so.1", "0644", "x");
    check(&[glibc.clone(), there[0].clone(), there[1].clone(), library], &[]);
    check(&[glibc.clone(), there[0].clone(), there[1].clone()], &["/a in 0"]);
    let musl = file("/lib/ld-musl-x86_64.so.1", "0755", "x");
    check(&[glibc, musl.clone()], &["/a in 0"]);
    let own = elf(62, 3, "/lib/ld-musl-x86_64.so.1", &["libc.so", "libpthread.so.0"]);
    check(&[bytes("/a", "0755", &own), musl.clone()], &[]);
    let own = elf(62, 3, "/lib/ld-musl-x86_64.so.1", &["libcrypto.so.3"]);
    check(&[bytes("/a", "0755", &own), musl], &["/a in 0"]);
    check(&[bytes("/a", "0755", &elf(183, 2, "", &[]))], &["/a in 0"]);
}

#[test]
fn programs_for_other_machines() {
    let check = |platform: &str, layers: &[Value], want: &[&str]| {
        let more = json!({ "platform": platform });
        let text = "[rules.foreign-binary]\nallow = [\"/fine/**\"]\n";
        assert_eq!(judged("foreign-binary", text, json!({}), layers, more), want, "{layers:?}");
    };
    let arm = |path: &str| bytes(path, "0755", &elf(183, 2, "", &[]));
    check("linux/amd64", &[layer(&[arm("/app")])], &["/app in 0"]);
    check("linux/arm64", &[layer(&[arm("/app")])], &[]);
    check("linux/amd64", &[base(&[arm("/app")])], &[]);
    for meant in [
        "/opt/linux-arm64/app",
        "/opt/app_aarch64",
        "/usr/lib/aarch64-linux-gnu/x.so",
        "/usr/lib/firmware/x",
        "/app/node_modules/x/a.node",
        "/fine/app",
    ] {
        check("linux/amd64", &[layer(&[arm(meant)])], &[]);
    }
    check("linux/amd64", &[layer(&[arm("/alarm/swarm")])], &["/alarm/swarm in 0"]);
    let old = bytes("/usr/bin/old", "0755", &elf(3, 2, "", &[]));
    check("linux/amd64", &[layer(std::slice::from_ref(&old))], &[]);
    check("linux/arm64", &[layer(&[old])], &["/usr/bin/old in 0"]);
    // Objects, data and unknown machines are no programs for another machine.
    check("linux/amd64", &[layer(&[bytes("/a", "0755", &elf(183, 1, "", &[]))])], &[]);
    check("linux/amd64", &[layer(&[bytes("/a", "0644", &elf(183, 2, "", &[]))])], &[]);
    check("linux/amd64", &[layer(&[bytes("/a", "0755", &elf(247, 2, "", &[]))])], &[]);
    let qemu = file("/usr/bin/qemu-aarch64-static", "0755", "x");
    check("linux/amd64", &[layer(&[qemu, arm("/app")])], &[]);
}

#[test]
fn budgets_are_of_policies_and_rules() {
    let check = |rule: &str, text: &str, layers: &[Value], more: Value, want: &[&str]| {
        assert_eq!(judged(rule, text, json!({}), layers, more), want, "{rule} {text}");
    };
    let two = [layer(&[sized("/a", 1000)]), layer(&[sized("/a", 1000)])];
    check("image-efficiency", "[budget]\nlowest_efficiency = 0.5\n", &two, json!({}), &[]);
    check("image-efficiency", "[budget]\nignore = [\"/a\"]\n", &two, json!({}), &[]);
    check("image-efficiency", "", &two, json!({}), &["image"]);
    let beneath =
        [base(&[sized("/a", 1000)]), base(&[sized("/a", 1000)]), layer(&[sized("/b", 1)])];
    check("image-efficiency", "", &beneath, json!({}), &["image"]);
    let build = "[rules.image-efficiency]\nscope = \"build\"\n";
    check("image-efficiency", build, &beneath, json!({}), &[]);
    check("image-wasted-bytes", "", &two, json!({}), &[]);
    let bytes = "[budget]\nhighest_wasted_bytes = \"1999B\"\n";
    check("image-wasted-bytes", bytes, &two, json!({}), &["image"]);
    check("image-wasted-percent", "", &beneath, json!({}), &[]);
    let dive = "[rules.image-wasted-percent]\ncompat = \"dive\"\n";
    check("image-wasted-percent", dive, &beneath, json!({}), &["image"]);
    let size = "[budget]\nmax_layer = \"999B\"\nmax_layers = 1\n";
    check("image-size-budget", size, &two, json!({}), &["image in 0", "image in 1", "image"]);
    check("image-size-budget", "", &two, json!({"packed": [60, 60], "before": 100}), &[]);
    check("image-size-budget", "", &two, json!({"packed": [60, 61], "before": 100}), &["image"]);
    let packed = "[budget]\nmax_compressed = \"100B\"\nmax_growth = \"90%\"\n";
    let more = json!({"packed": [60, 61], "before": 100});
    check("image-size-budget", packed, &two, more, &["image"]);
}

#[test]
fn droppings_and_caches() {
    let check = |rule: &str, layers: &[Value], want: &[&str]| {
        assert_eq!(judged(rule, "", json!({}), layers, json!({})), want, "{rule} {layers:?}");
    };
    let entries = [
        of("dir", "/app", ""),
        of("dir", "/app/.git", ""),
        file("/app/.git/HEAD", "0644", "x"),
        file("/app/.git/Dockerfile", "0644", "x"),
        file("/app/Dockerfile.dev", "0644", "x"),
        file("/app/vendor/x/Dockerfile", "0644", "x"),
        file("/app/.gitignore", "0644", "x"),
        file("/app/dockerfile.go", "0644", "x"),
        bytes("/tmp/dump", "0600", &elf(62, 4, "", &[])),
    ];
    let want = ["/app/.git in 0", "/app/Dockerfile.dev in 0", "/tmp/dump in 0"];
    check("unneeded-file", &[layer(&entries)], &want);
    let lists = sized("/var/lib/apt/lists/deb.example_dists", 70_000);
    let gone = of("whiteout", "/var/lib/apt/lists", "");
    let want = ["/var/lib/apt/lists in 0"];
    check("package-cache-left", &[layer(std::slice::from_ref(&lists)), layer(&[gone])], &want);
    check("package-cache-left", &[base(&[lists])], &[]);
    check("package-cache-left", &[layer(&[sized("/var/lib/apt/lists/x", 9)])], &[]);
    check("package-cache-left", &[layer(&[sized("/var/lib/apt/listsx/x", 70_000)])], &[]);
    let pip = sized("/home/me/.cache/pip/http/x", 70_000);
    check("package-cache-left", &[layer(&[pip])], &["/home/me/.cache/pip in 0"]);
    let dpkg = |size| base(&[file("/usr/bin/dpkg", "0755", "x"), sized("/usr/share/x", size)]);
    check("final-base-not-minimal", &[dpkg(50 << 20)], &["/usr/bin/dpkg in 0"]);
    check("final-base-not-minimal", &[dpkg(30 << 20)], &[]);
    check("final-base-not-minimal", &[base(&[sized("/x", 50 << 20)])], &[]);
}

#[test]
fn what_the_config_lacks() {
    let check = |rule: &str, config: Value, want: &[&str]| {
        let found = judged(rule, "", config.clone(), &[layer(&[])], json!({}));
        assert_eq!(found, want, "{rule} {config}");
    };
    check("healthcheck-missing", json!({"Cmd": ["/a"]}), &["config"]);
    check("healthcheck-missing", json!({}), &[]);
    for test in [json!(["NONE"]), json!(["CMD", "/a"])] {
        check("healthcheck-missing", json!({"Cmd": ["/a"], "Healthcheck": {"Test": test}}), &[]);
    }
    check("label-missing", json!({}), &["config"]);
    let labels = json!({
        "org.opencontainers.image.source": "x", "org.opencontainers.image.revision": "x",
        "org.opencontainers.image.licenses": "x",
    });
    check("label-missing", json!({ "Labels": labels }), &[]);
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (digest, want) in [(empty, &["layer in 0"][..]), ("44136fa3", &[])] {
        let more = json!({ "digests": [digest] });
        assert_eq!(judged("empty-digest", "", json!({}), &[layer(&[])], more), want);
    }
}

#[test]
fn papers_beside_the_image() {
    let check = |rule: &str, text: &str, more: Value, want: &[&str]| {
        let found = judged(rule, text, json!({}), &[layer(&[])], more.clone());
        assert_eq!(found, want, "{rule} {more}");
    };
    let lacks = json!({"attestations": ["provenance"], "lacks": ["it does not name the builder"]});
    check("provenance-missing", "", lacks, &["image"]);
    let age = "[rules]\nscan-attestation-stale = \"warn\"\n";
    for (time, want) in [("2026-11-14", &[][..]), ("2026-11-13", &["image"]), ("2026-12-01", &[])] {
        let more = json!({ "attestations": [format!("scan@{time}T10:00:00Z")] });
        check("scan-attestation-stale", age, more, want);
    }
    let key = "[signatures]\ntrusted = [{ name = \"ours\", key = \"k\" }]\n";
    let signed =
        |name: &str, holds: bool| json!({"signatures": [{"key": name, "verified": holds}]});
    check("signature-missing", key, signed("ours", true), &[]);
    check("signature-missing", key, signed("theirs", true), &["image"]);
    check("signature-missing", key, signed("ours", false), &["image"]);
    let forms = "[attestations]\nsbom_format = [\"spdx\"]\n";
    let bom = |kind: &str| json!({"attestations": [kind]});
    check("sbom-missing", "", bom("sbom"), &[]);
    check("sbom-missing", "", bom("sbom:cyclonedx"), &[]);
    check("sbom-missing", forms, bom("sbom:spdx"), &[]);
    check("sbom-missing", forms, bom("sbom:cyclonedx"), &["image"]);
    check("sbom-missing", forms, bom("sbom"), &["image"]);
    let sbom = |files: Value| json!({"attestations": ["sbom"], "sbom_files": files});
    check("sbom-incomplete", "", sbom(json!(["/x"])), &[]);
    check("sbom-incomplete", "", json!({"attestations": []}), &[]);
}

#[test]
fn pages_with_the_constant_time() {
    let page = |path: &str, time: i64| json!({"path": path, "type": "file", "mode": "0644", "content": "x", "mtime": time});
    let nginx = || file("/usr/sbin/nginx", "0755", "x");
    let check = |layers: &[Value], want: &[&str]| {
        let found = judged("constant-mtime-web", "", json!({}), layers, json!({}));
        assert_eq!(found, want, "{layers:?}");
    };
    let (constant, html) = (315_532_801, "/usr/share/nginx/html/index.html");
    check(&[base(&[nginx()]), layer(&[page(html, constant)])], &[&format!("{html} in 1")]);
    check(&[base(&[nginx()]), layer(&[page(html, 1_700_000_000)])], &[]);
    check(&[base(&[nginx(), page(html, constant)])], &[]);
    check(&[layer(&[page(html, constant)])], &[]);
    check(&[layer(&[nginx(), page("/srvx/index.html", constant)])], &[]);
    let link = of("symlink", "/usr/bin/caddy", "/opt/caddy");
    check(&[layer(&[link, page("/srv/a", constant)])], &["/srv/a in 0"]);
}

#[test]
fn of_documents_that_lie_nothing_else_is_told() {
    let config = crate::image::Config::empty(&crate::base::Platform::host());
    let needles = crate::facts::Needles::default();
    let mut facts = ImageFacts::new(config, Vec::new(), &BTreeMap::new(), &needles);
    let policy = Policy::builtin("hardened").unwrap();
    let rules = |facts: &ImageFacts| -> Vec<&str> {
        let report = check_image(ImageInput { facts, text: None }, &policy);
        report.findings.iter().map(|finding| finding.rule).collect()
    };
    assert!(rules(&facts).contains(&"final-user-root"));
    facts.whole.broken = true;
    let why = "other bytes".to_owned();
    let place = "manifest".to_owned();
    facts.whole.mismatches.push(crate::facts::Mismatch { layer: None, place, why });
    assert_eq!(rules(&facts), ["digest-mismatch"]);
    // Also where nothing else is judged.
    let none = Policy::builtin("none").unwrap();
    let report = check_image(ImageInput { facts: &facts, text: None }, &none);
    assert!(report.verdict(none.fail_on).refused);
    // Whatever was asked for: what could not look says so.
    for (only, skip) in
        [(vec!["final-user-root".to_owned()], vec![]), (vec![], vec!["digest-mismatch".to_owned()])]
    {
        let mut policy = Policy::builtin("hardened").unwrap();
        policy.apply(&Overrides { only: only.clone(), skip, ..Overrides::default() }).unwrap();
        let report = check_image(ImageInput { facts: &facts, text: None }, &policy);
        let found: Vec<_> = report.findings.iter().map(|f| (f.rule, f.level)).collect();
        assert_eq!(found, [("digest-mismatch", Level::Error)]);
        let skipped: Vec<&str> = report.skipped.iter().map(|skipped| skipped.rule).collect();
        assert!(skipped.contains(&"final-user-root") && !skipped.contains(&"digest-mismatch"));
        assert_eq!(skipped.len() == 1, !only.is_empty(), "{skipped:?}");
    }
}

#[test]
fn what_the_text_told_is_not_told_of_the_image_again() {
    let place = |index| Place { index, span: crate::base::Span::default(), stage: None };
    let finding = |rule, facet, index| {
        let mut finding = Finding::new(Moment::Image, "x").of(place(index)).facet(facet);
        finding.rule = rule;
        finding
    };
    let mut report = Report { findings: vec![finding("a", "apt", 1)], ..Report::default() };
    let more = vec![
        finding("a", "apt", 1).once(),
        finding("a", "apk", 1).once(),
        finding("a", "apt", 2).once(),
        finding("a", "apt", 1),
    ];
    let policy = Policy::builtin("none").unwrap();
    report.append(Report { findings: more, ..Report::default() }, &policy);
    assert_eq!(report.findings.len(), 4);
}
