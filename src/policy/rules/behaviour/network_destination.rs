//! `network-destination`: a step on the way to somewhere else.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::policy::executed::{address, leaves};
use crate::policy::{Acts, Found, Rule, glob};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "network-destination",
    title: "It bypassed our entire egress filtering.",
    text: "Finds a step, of whatever stage, that asked for a connection to what `[network] allow` does \
           not list. An entry is a host (`*.debian.org`), an address or a network (`10.0.0.0/8`), \
           each with a port behind it or for all (`deb.debian.org:80`). A host counts where the \
           program that connects, or one above it, names it among its arguments; what looks names up \
           (port 53) and what stays in the step (loopback) pass. Without entries nothing is found; \
           all destinations are in the metadata file.\n\n\
           The fence is `RUN --network=none`; this rule tells.",
    behaviour_check: Some(check),
    ..Rule::NEW
};

/// Ports that pools for mining listen at.
const POOLS: &[u16] = &[3333, 4444, 5555, 7777, 14444];

fn check(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    let allow: Vec<String> =
        found.section_texts("network", "allow").into_iter().map(str::to_owned).collect();
    if allow.is_empty() {
        return;
    }
    for (act, seen) in acts.watched(found) {
        let mut told = BTreeSet::new();
        for one in &seen.connects {
            let Some(to) = address(&one.addr) else { continue };
            let names: BTreeSet<String> = one
                .by
                .into_iter()
                .flat_map(|by| seen.execs.get(by).into_iter().chain(seen.chain(by)))
                .flat_map(|program| program.argv.iter().flat_map(|word| hosts(word)))
                .collect();
            let listed = allow.iter().any(|entry| lists(entry, to, &names));
            if !leaves(to) || to.port() == 53 || listed || !told.insert((to, one.by)) {
                continue;
            }
            let pool =
                if POOLS.contains(&to.port()) { ", where pools for mining listen" } else { "" };
            let message = format!("the step connects to `{to}`{pool}");
            let finding = act
                .finding(found, seen, one.by, message)
                .evidence("address", to.to_string())
                .help("take it out, or list the destination under [network] allow");
            found.add(finding);
        }
    }
}

// The hosts that a word may name: of a URL, of `user@host:path`, or the word itself.
fn hosts(word: &str) -> Vec<String> {
    let rest = word.split_once("://").map_or(word, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = rest.rsplit('@').next().unwrap_or(rest);
    let host = host.split(':').next().unwrap_or(host);
    let is_host = host.contains('.')
        && host.len() < 254
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    is_host.then(|| host.to_ascii_lowercase()).into_iter().collect()
}

fn lists(entry: &str, to: SocketAddr, names: &BTreeSet<String>) -> bool {
    let (host, port) = match entry.rsplit_once(':') {
        // Not the end of an IPv6 address.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (entry, None),
    };
    if port.is_some_and(|port| port != "*" && port.parse() != Ok(to.port())) {
        return false;
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.split_once('/') {
        Some((net, bits)) => match (net.parse::<IpAddr>(), bits.parse::<u32>()) {
            (Ok(net), Ok(bits)) => within(to.ip(), net, bits),
            _ => false,
        },
        None => match host.parse::<IpAddr>() {
            Ok(ip) => ip == to.ip(),
            Err(_) => {
                let host = host.to_ascii_lowercase();
                names.iter().any(|name| glob::matches(&host, name))
            }
        },
    }
}

fn within(ip: IpAddr, net: IpAddr, bits: u32) -> bool {
    match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(bits)).unwrap_or(0);
            u32::from(ip) & mask == u32::from(net) & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(net)) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(bits)).unwrap_or(0);
            u128::from(ip) & mask == u128::from(net) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_list_hosts_addresses_and_networks() {
        let names = BTreeSet::from(["deb.debian.org".to_owned()]);
        for (entry, to, want) in [
            ("*.debian.org:80", "192.0.2.1:80", true),
            ("*.debian.org:80", "192.0.2.1:443", false),
            ("deb.debian.org", "192.0.2.1:443", true),
            ("example.org", "192.0.2.1:443", false),
            ("192.0.2.0/24", "192.0.2.77:9", true),
            ("192.0.2.0/24:80", "192.0.2.77:9", false),
            ("0.0.0.0/0", "198.51.100.1:9", true),
            ("10.0.0.0/8", "11.0.0.1:9", false),
            ("192.0.2.1", "192.0.2.1:1", true),
            ("[2001:db8::]/32", "[2001:db8::7]:443", false),
            ("2001:db8::/32", "[2001:db8::7]:443", true),
            ("[2001:db8::7]:443", "[2001:db8::7]:443", true),
        ] {
            assert_eq!(lists(entry, to.parse().unwrap(), &names), want, "{entry} {to}");
        }
    }

    #[test]
    fn words_name_hosts() {
        for (word, want) in [
            ("https://u:p@Example.org:8443/x?y", "example.org"),
            ("git@example.org:a/b", "example.org"),
            ("example.org", "example.org"),
        ] {
            assert_eq!(hosts(word), [want], "{word}");
        }
        assert!(hosts("install").is_empty() && hosts("-o").is_empty());
    }
}
