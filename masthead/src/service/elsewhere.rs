//! What to do where systemd does not run the machine.

/// A container that sees the host; `docs/install.md` has the same lines and says why each is there.
pub const DOCKER_RUN: &str = "\
docker run --detach --name masthead --restart unless-stopped \\
  --network host --pid host --read-only \\
  --cap-drop ALL --cap-add DAC_READ_SEARCH --cap-add SYS_PTRACE \\
  --security-opt no-new-privileges \\
  --volume /:/host:ro,rslave --volume /proc:/host/proc:ro --volume /sys:/host/sys:ro \\
  --volume /var/run:/var/run:ro --volume masthead:/var/lib/masthead \\
  masthead:@VERSION@";

/// The ways, each with a title and what to type.
#[must_use]
pub fn ways(command: &[String]) -> [(&'static str, &'static str, String); 3] {
    let command = command
        .iter()
        .map(|word| shell_word(word))
        .collect::<Vec<_>>()
        .join(" ");
    let log = "/var/log/masthead.log";
    [
        (
            "command",
            "now, until the machine stops",
            format!("setsid {command} >>{log} 2>&1 </dev/null &"),
        ),
        (
            "cron",
            "at each start, by cron: add this line with `crontab -e` as root",
            // cron ends a line at a bare percent sign.
            format!("@reboot {} >>{log} 2>&1", command.replace('%', "\\%")),
        ),
        (
            "docker",
            "as a container, on the machine that runs Docker (docs/install.md says how to make the image)",
            DOCKER_RUN.replace("@VERSION@", env!("CARGO_PKG_VERSION")),
        ),
    ]
}

/// The ways as text.
#[must_use]
pub fn text(command: &[String]) -> String {
    let mut text = String::from(
        "systemd does not run this machine, so no service can be installed. Instead, as root, one of these:\n",
    );
    for (_, title, lines) in ways(command) {
        text.push_str(&format!("\n  {title}:\n"));
        for line in lines.lines() {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text.push_str("\nAnything that keeps programs running (OpenRC, runit, s6, supervisord) does it too: it has to run the first line without");
    text.push_str("\n`setsid` and what follows `>>`, as root; SIGTERM ends it in order.");
    text
}

/// A word as a shell reads it back.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_can_be_typed_as_they_are() {
        let command = ["/a b/masthead", "up", "--config", "/it's 100%.yml"].map(str::to_owned);
        let text = text(&command);
        for line in [
            "    setsid '/a b/masthead' up --config '/it'\\''s 100%.yml' >>/var/log/masthead.log 2>&1 </dev/null &",
            "    @reboot '/a b/masthead' up --config '/it'\\''s 100\\%.yml' >>/var/log/masthead.log 2>&1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\nin\n{text}");
        }
        let version = format!("masthead:{}", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&version), "{text}");
    }

    #[test]
    fn the_document_has_the_same_container() {
        let document = include_str!("../../../docs/install.md");
        let shown = DOCKER_RUN.replace("@VERSION@", env!("CARGO_PKG_VERSION"));
        assert!(document.contains(&shown), "docs/install.md lacks\n{shown}");
    }
}
