//! `image-size-budget`: more bytes, or layers, than were granted.

use crate::policy::budget;
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Param, ParamKind, Rule};
use toml::Value;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "image-size-budget",
    title: "Multi-gigabyte layers slow a cold start by minutes.",
    text: "Finds an image that is larger than the budget: all files (`max`, or `[budget] \
          max_size`), the layers as they are stored (`max_compressed`), one layer (`max_layer`), \
          their number (`max_layers`), and the growth against the image that it is compared with \
          (`audit --compare`). A size of 0 is no limit.\n\n\
          Leave out what is not needed at run time; build in stages.",
    params: &[
        Param {
            name: "max",
            kind: ParamKind::Size,
            default: r#""0B""#,
            help: "the image, uncompressed",
        },
        Param {
            name: "max_compressed",
            kind: ParamKind::Size,
            default: r#""0B""#,
            help: "the image, compressed",
        },
        Param {
            name: "max_layer",
            kind: ParamKind::Size,
            default: r#""512MiB""#,
            help: "one layer, uncompressed",
        },
        Param {
            name: "max_layers",
            kind: ParamKind::Number,
            default: "60",
            help: "how many layers",
        },
        Param {
            name: "max_growth",
            kind: ParamKind::Share,
            default: r#""20%""#,
            help: "against the image before",
        },
    ],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let facts = judged.facts;
    let sizes: Vec<u64> = (0..facts.layers.len()).map(|index| facts.layer_size(index)).collect();
    let all: u64 = sizes.iter().sum();
    let packed: u64 = facts.whole.packed.iter().sum();
    let help = "leave out what is not needed at run time, or raise [budget]";
    let mut told: Vec<(String, Option<usize>)> = Vec::new();
    let over = |most: Option<u64>, have: u64| most.filter(|most| have > *most);
    if let Some(most) = over(budget::size(found, "max_size", "max"), all) {
        let (all, most) = (budget::bytes(all), budget::bytes(most));
        told.push((format!("the image has {all}, {most} are granted"), None));
    }
    if let Some(most) = over(budget::size(found, "max_compressed", "max_compressed"), packed) {
        let (packed, most) = (budget::bytes(packed), budget::bytes(most));
        told.push((format!("the image is stored in {packed}, {most} are granted"), None));
    }
    let most = budget::size(found, "max_layer", "max_layer");
    for (index, size) in sizes.iter().enumerate() {
        if let Some(most) = over(most, *size) {
            let (size, most) = (budget::bytes(*size), budget::bytes(most));
            told.push((format!("layer {index} has {size}, {most} are granted"), Some(index)));
        }
    }
    let most = found.section("budget", "max_layers").and_then(Value::as_integer);
    let most = most.and_then(|most| u64::try_from(most).ok());
    let most = most.unwrap_or_else(|| found.number("max_layers"));
    if sizes.len() as u64 > most {
        told.push((format!("the image has {} layers, {most} are granted", sizes.len()), None));
    }
    let growth = budget::share(found, "max_growth", "max_growth");
    if let Some(before) = facts.whole.before
        && packed as f64 > before as f64 * (1.0 + growth)
    {
        let percent = (packed as f64 / before.max(1) as f64 - 1.0) * 100.0;
        let most = growth * 100.0;
        told.push((
            format!("the image has grown by {percent:.1} %, {most:.1} % are granted"),
            None,
        ));
    }
    for (message, layer) in told {
        let finding = found.finding(message).in_image("image", layer).help(help);
        found.add(match layer {
            Some(layer) => origin(finding, judged, layer),
            None => finding,
        });
    }
}
