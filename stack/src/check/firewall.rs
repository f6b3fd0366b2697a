//! Which rule of the host's firewall keeps Prometheus, on its bridge, from node_exporter, on the host; and the command that mends it.
//!
//! Read are the rules as the firewalls' own programs print them: `iptables -S` is walked as a packet would walk it, as far as the
//! conditions are understood (a rule with a condition that is not understood is passed over); of nftables only the policy of
//! chains at the hook `input` is looked at.

use crate::place::Place;
use crate::spec::BRIDGE;

/// What the programs print; `None` of one that is not there or may not be asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) iptables: Option<String>,
    pub(crate) nftables: Option<String>,
    pub(crate) ufw_is_active: bool,
    pub(crate) firewalld_is_running: bool,
}

/// What keeps packets out, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) found: String,
    pub(crate) cure: String,
}

/// Deeper than chains call each other.
const MAX_DEPTH: usize = 16;

/// Asks the host's firewalls.
pub(crate) async fn rules(place: &Place) -> Rules {
    let said = async |program: &str, words: &[&str]| {
        place
            .run(program, words)
            .await
            .filter(|output| output.succeeded)
            .map(|output| output.text)
    };
    Rules {
        iptables: said("iptables", &["-S"]).await,
        nftables: said("nft", &["list", "ruleset"]).await,
        ufw_is_active: said("ufw", &["status"])
            .await
            .is_some_and(|text| text.contains("Status: active")),
        firewalld_is_running: said("firewall-cmd", &["--state"]).await.is_some(),
    }
}

/// The rule that drops a new TCP connection from the stack's bridge to this port of the host.
pub(crate) fn block(rules: &Rules, port: u16) -> Option<Block> {
    let found = rules
        .iptables
        .as_deref()
        .and_then(|text| iptables_block(text, port))
        .map(|rule| (format!("iptables has `{rule}`"), None))
        .or_else(|| {
            let chain = rules
                .nftables
                .as_deref()
                .and_then(|text| nftables_block(text, port))?;
            Some((
                format!("nftables' chain `{chain}` drops what no rule accepts"),
                Some(format!(
                    "nft insert rule {chain} iifname \"{BRIDGE}\" tcp dport {port} accept"
                )),
            ))
        })?;
    let (found, cure) = found;
    let has_ufw = rules.ufw_is_active
        || rules
            .iptables
            .as_deref()
            .is_some_and(|text| text.contains("-N ufw-"));
    let cure = if has_ufw {
        format!("ufw allow in on {BRIDGE} to any port {port} proto tcp")
    } else if rules.firewalld_is_running {
        format!("firewall-cmd --permanent --zone=trusted --add-interface={BRIDGE} && firewall-cmd --reload")
    } else {
        cure.unwrap_or_else(|| {
            format!(
                "iptables -I INPUT -i {BRIDGE} -p tcp --dport {port} -j ACCEPT (and keep it over a restart)"
            )
        })
    };
    Some(Block { found, cure })
}

/// What a chain does with the packet.
enum Fate {
    Accepted,
    Dropped(String),
    /// It goes on behind the jump.
    Returned,
}

/// Does the host hand packets of other machines on into the stack's network? Docker before 28 forbids it only where forwarding was off
/// before it started. cAdvisor's figures would be there for whoever has a route.
pub(crate) fn forwards(rules: &Rules) -> Option<Block> {
    let text = rules.iptables.as_deref()?;
    let has_policy = text.lines().any(|line| line.trim() == "-P FORWARD ACCEPT");
    let drops = |line: &str| {
        let is_isolation = line.starts_with("-A DOCKER-ISOLATION");
        !is_isolation && line.contains(&format!("-o {BRIDGE} ")) && line.trim_end().ends_with("-j DROP")
    };
    if !has_policy || text.lines().any(drops) {
        return None;
    }
    let chain = match text.contains("-N DOCKER-USER") {
        true => "DOCKER-USER",
        false => "FORWARD",
    };
    Some(Block {
        found: format!(
            "iptables' policy of FORWARD is ACCEPT: another machine that has a route to {BRIDGE} through this one reaches cAdvisor, which \
             gives its figures without a password"
        ),
        cure: format!(
            "iptables -I {chain} ! -i {BRIDGE} -o {BRIDGE} -m conntrack --ctstate NEW -j DROP (and keep it over restarts)"
        ),
    })
}

fn iptables_block(text: &str, port: u16) -> Option<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    match walk(&lines, "INPUT", port, 0) {
        Fate::Accepted => None,
        Fate::Dropped(rule) => Some(rule),
        Fate::Returned => lines
            .iter()
            .find(|line| **line == "-P INPUT DROP")
            .map(|line| (*line).to_owned()),
    }
}

fn walk(lines: &[&str], chain: &str, port: u16, depth: usize) -> Fate {
    if depth > MAX_DEPTH {
        return Fate::Returned;
    }
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["-A", of, rule @ ..] = words.as_slice() else {
            continue;
        };
        if *of != chain {
            continue;
        }
        let Some(target) = target_of_match(rule, port) else {
            continue;
        };
        match target {
            "ACCEPT" => return Fate::Accepted,
            "DROP" | "REJECT" => return Fate::Dropped((*line).to_owned()),
            "RETURN" => return Fate::Returned,
            // Those that let the packet go on.
            "LOG" | "NFLOG" | "MARK" | "CONNMARK" => {}
            further => match walk(lines, further, port, depth + 1) {
                Fate::Returned => {}
                fate => return fate,
            },
        }
    }
    Fate::Returned
}

/// The target of a rule that matches our packet: new, TCP, from the bridge, to the port. `None` of one that does not, or whose conditions
/// are not understood.
fn target_of_match<'a>(rule: &[&'a str], port: u16) -> Option<&'a str> {
    let mut words = rule.iter().copied().peekable();
    let mut negated = false;
    while let Some(word) = words.next() {
        let matches = match word {
            "!" => {
                negated = true;
                continue;
            }
            "-j" | "-g" => return words.next(),
            "-m" => {
                words.next();
                continue;
            }
            "-i" => interface_matches(words.next()?),
            "-p" => matches!(words.next()?, "tcp" | "6" | "all"),
            "--dport" | "--dports" => ports_match(words.next()?, port),
            "--ctstate" | "--state" => words.next()?.split(',').any(|state| state == "NEW"),
            // Our packet goes to an address of this host.
            "--dst-type" => words.next()? == "LOCAL",
            // At most so many: ours is one of them.
            "--limit" | "--limit-burst" => {
                words.next();
                continue;
            }
            "--comment" => {
                skip_quoted(&mut words)?;
                continue;
            }
            // Addresses, marks and the like: what they come to here is not known.
            _ => return None,
        };
        if matches == negated {
            return None;
        }
        negated = false;
    }
    None
}

/// A comment of one word stands bare, one of more between quotes.
fn skip_quoted<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<()> {
    let first = words.next()?;
    if first.starts_with('"') && !(first.len() > 1 && first.ends_with('"')) {
        words.find(|word| word.ends_with('"'))?;
    }
    Some(())
}

fn interface_matches(pattern: &str) -> bool {
    match pattern.strip_suffix('+') {
        Some(start) => BRIDGE.starts_with(start),
        None => pattern == BRIDGE,
    }
}

fn ports_match(list: &str, port: u16) -> bool {
    list.split(',').any(|part| match part.split_once(':') {
        Some((from, to)) => {
            let from = from.parse().unwrap_or(0);
            let to = to.parse().unwrap_or(u16::MAX);
            (from..=to).contains(&port)
        }
        None => part.parse() == Ok(port),
    })
}

/// Family, table and name of a chain at the hook `input` that drops what no rule accepts, and has no rule that accepts ours. The chains
/// that iptables keeps in nftables are left to `iptables -S`.
fn nftables_block(text: &str, port: u16) -> Option<String> {
    let mut table = "";
    let mut chain = "";
    let mut drops = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("table ") {
            table = rest.trim_end_matches('{').trim();
        } else if let Some(rest) = line.strip_prefix("chain ") {
            chain = rest.trim_end_matches('{').trim();
        } else if line.contains("hook input") && line.contains("policy drop") {
            let is_iptables = chain == "INPUT" && table.ends_with(" filter");
            drops = (!is_iptables).then(|| format!("{table} {chain}"));
        } else if line == "}" && drops.is_some() {
            return drops;
        } else if drops.is_some() && nft_rule_accepts(line, port) {
            drops = None;
        }
    }
    None
}

fn nft_rule_accepts(line: &str, port: u16) -> bool {
    if !line.ends_with("accept") || line.contains("ct state established") {
        return false;
    }
    let ours = line.contains(&format!("iifname \"{BRIDGE}\"")) || !line.contains("iif");
    let port = port.to_string();
    let its_port = match line.split_once("dport ") {
        Some((_, ports)) => ports
            .trim_start_matches('{')
            .split(|c: char| !c.is_ascii_digit())
            .any(|word| word == port),
        None => line.contains(BRIDGE),
    };
    ours && its_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_hands_packets_on_is_named_with_the_rule_that_ends_it() {
        let rules = |text: &str| Rules {
            iptables: Some(text.to_owned()),
            ..Rules::default()
        };
        let open = "-P FORWARD ACCEPT\n-N DOCKER-USER\n-A DOCKER-ISOLATION-STAGE-2 -o masthead0 -j DROP\n";
        let block = forwards(&rules(open)).expect("open");
        assert!(
            block
                .cure
                .starts_with("iptables -I DOCKER-USER ! -i masthead0 -o masthead0"),
            "{block:?}"
        );
        let cured =
            format!("{open}-A DOCKER-USER ! -i masthead0 -o masthead0 -m conntrack --ctstate NEW -j DROP\n");
        assert_eq!(forwards(&rules(&cured)), None);
        assert_eq!(forwards(&rules("-P FORWARD DROP\n")), None);
        assert_eq!(
            forwards(&rules(
                "-P FORWARD ACCEPT\n-A DOCKER ! -i masthead0 -o masthead0 -j DROP\n"
            )),
            None
        );
        assert_eq!(forwards(&Rules::default()), None);
    }

    /// What `iptables -S` printed after `ufw enable` (0.36), and after the rule below was added to it.
    const UFW: &str = include_str!("testdata/iptables-ufw.txt");
    const UFW_MENDED: &str = include_str!("testdata/iptables-ufw-mended.txt");
    /// What `nft list ruleset` (1.0.6) printed.
    const NFTABLES: &str = include_str!("testdata/nftables-drop.txt");
    const NFTABLES_MENDED: &str = include_str!("testdata/nftables-mended.txt");

    fn iptables(text: &str) -> Rules {
        Rules {
            iptables: Some(text.to_owned()),
            ..Rules::default()
        }
    }

    fn nftables(text: &str) -> Rules {
        Rules {
            nftables: Some(text.to_owned()),
            ..Rules::default()
        }
    }

    #[test]
    fn ufws_policy_is_found_and_its_own_command_mends_it() {
        let found = block(&iptables(UFW), 9100).expect("blocked");
        assert_eq!(found.found, "iptables has `-P INPUT DROP`");
        assert_eq!(found.cure, "ufw allow in on masthead0 to any port 9100 proto tcp");
        assert_eq!(block(&iptables(UFW_MENDED), 9100), None);
        // Another port is another rule.
        assert!(block(&iptables(UFW_MENDED), 9101).is_some());
    }

    #[test]
    fn nftables_policy_is_found_and_its_own_command_mends_it() {
        let found = block(&nftables(NFTABLES), 9100).expect("blocked");
        assert_eq!(
            found.cure,
            "nft insert rule inet filter input iifname \"masthead0\" tcp dport 9100 accept"
        );
        assert_eq!(block(&nftables(NFTABLES_MENDED), 9100), None);
        assert_eq!(block(&nftables(NFTABLES), 443), None);
        // The chains of iptables are judged by its own words.
        let kept_by_iptables = "table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n";
        assert_eq!(block(&nftables(kept_by_iptables), 9100), None);
    }

    #[test]
    fn a_packet_walks_iptables_rules() {
        let open = "-P INPUT ACCEPT\n";
        let closed = "-P INPUT DROP\n";
        for (policy, rules, want) in [
            (open, "", None),
            (open, "-A INPUT -p tcp -m tcp --dport 22 -j DROP", None),
            (
                open,
                "-A INPUT ! -i lo -j REJECT --reject-with icmp-port-unreachable",
                Some("-A INPUT ! -i lo"),
            ),
            (open, "-A INPUT -i eth0 -j DROP", None),
            (
                open,
                "-A INPUT -i masthead+ -p tcp -j DROP",
                Some("-A INPUT -i masthead+"),
            ),
            (open, "-A INPUT -m conntrack --ctstate INVALID -j DROP", None),
            (
                open,
                "-A INPUT -p tcp -m multiport --dports 80,9000:9200 -j DROP",
                Some("-A INPUT -p tcp"),
            ),
            (
                open,
                "-A INPUT -m comment --comment \"no one gets in\" -j DROP",
                Some("-A INPUT -m comment"),
            ),
            (open, "-A INPUT -j LOG\n-A INPUT -s 10.0.0.0/8 -j DROP", None),
            (closed, "", Some("-P INPUT DROP")),
            (
                closed,
                "-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                Some("-P INPUT DROP"),
            ),
            (closed, "-A INPUT -i masthead0 -j ACCEPT", None),
            (
                closed,
                "-A INPUT -p tcp -m conntrack --ctstate NEW -m tcp --dport 9100 -j ACCEPT",
                None,
            ),
            (
                closed,
                "-N mine\n-A INPUT -j mine\n-A mine -i masthead0 -j RETURN\n-A mine -j ACCEPT",
                Some("-P INPUT DROP"),
            ),
            (
                open,
                "-N mine\n-A INPUT -j mine\n-A mine -j DROP",
                Some("-A mine -j DROP"),
            ),
            // Chains that call each other end somewhere.
            (open, "-A INPUT -j a\n-A a -j b\n-A b -j a", None),
        ] {
            let got = iptables_block(&format!("{policy}{rules}\n"), 9100);
            match (got.as_deref(), want) {
                (None, None) => {}
                (Some(got), Some(want)) if got.starts_with(want) => {}
                _ => panic!("{policy}{rules}: {got:?}, not {want:?}"),
            }
        }
    }

    #[test]
    fn the_cure_is_in_the_words_of_the_firewall_that_is_there() {
        let mut rules = iptables("-P INPUT DROP\n");
        assert!(
            block(&rules, 9100)
                .expect("blocked")
                .cure
                .starts_with("iptables -I INPUT -i masthead0")
        );
        rules.firewalld_is_running = true;
        assert!(
            block(&rules, 9100)
                .expect("blocked")
                .cure
                .starts_with("firewall-cmd")
        );
        rules.ufw_is_active = true;
        assert!(
            block(&rules, 9100)
                .expect("blocked")
                .cure
                .starts_with("ufw allow")
        );
        assert_eq!(block(&Rules::default(), 9100), None);
    }
}
