//! Parts of the documents that tests make: each stands between two comments of its name, and is held against what the test found.
//! With `MASTHEAD_UPDATE_DOCS=1` the test writes it instead.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Holds a section of a document below `docs/` against what it must be, or writes it when asked to.
pub(crate) fn check_section(document: &str, name: &str, wanted: &str) -> Result<()> {
    let path = shell::root().join("docs").join(document);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let new = replace(&text, name, wanted)
        .with_context(|| format!("{} has no section `{name}`", path.display()))?;
    if new == text {
        return Ok(());
    }
    if std::env::var_os("MASTHEAD_UPDATE_DOCS").is_some() {
        return fs::write(&path, new).with_context(|| format!("cannot write {}", path.display()));
    }
    bail!(
        "section `{name}` of docs/{document} is out of date: run the test again with MASTHEAD_UPDATE_DOCS=1"
    )
}

/// The document with another text between the marks of a section.
fn replace(text: &str, name: &str, inside: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name}: "), format!("<!-- end of {name} -->"));
    let start = text.find(&begin)?;
    let open = start + text.get(start..)?.find("-->\n")? + "-->\n".len();
    let close = open + text.get(open..)?.find(&end)?;
    Some(format!(
        "{}\n{}\n{}",
        text.get(..open)?,
        inside.trim_end(),
        text.get(close..).map(|rest| format!("\n{rest}"))?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let text = "a\n<!-- t: made by x -->\nold\n<!-- end of t -->\nb\n";
        let new = replace(text, "t", "new\n").expect("a section");
        assert_eq!(new, "a\n<!-- t: made by x -->\n\nnew\n\n<!-- end of t -->\nb\n");
        assert_eq!(replace(&new, "t", "new\n").as_ref(), Some(&new));
        assert_eq!(replace(text, "u", ""), None);
    }
}
