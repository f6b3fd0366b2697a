//! Go's string literals: what a quoted text means and how a text is quoted.
//!
//! A literal can spell bytes that are no UTF-8 (`"\xff"`), so reading one gives bytes.

use std::fmt::Write as _;

/// A text in double quotes, as Go's `%q` writes it.
pub(crate) fn quote(text: &str) -> String {
    quote_bytes(text.as_bytes())
}

/// Bytes in double quotes; those that are no UTF-8 as `\xff`.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_char(&mut out, c, '"');
        }
        for byte in chunk.invalid() {
            push_hex(&mut out, u32::from(*byte), 'x', 2);
        }
    }
    out.push('"');
    out
}

/// A character in single quotes, as Go's `%q` writes a rune.
pub(crate) fn quote_char(c: char) -> String {
    let mut out = String::from("'");
    push_char(&mut out, c, '\'');
    out.push('\'');
    out
}

fn push_char(out: &mut String, c: char, quote: char) {
    match c {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        '\\' => out.push_str("\\\\"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        '"' | '\'' => out.push(c),
        c if c.is_ascii_control() => push_hex(out, u32::from(c), 'x', 2),
        // The standard library knows which characters show nothing on paper.
        c if c.escape_debug().len() == 1 => out.push(c),
        c if u32::from(c) < 0x1_0000 => push_hex(out, u32::from(c), 'u', 4),
        c => push_hex(out, u32::from(c), 'U', 8),
    }
}

fn push_hex(out: &mut String, code: u32, letter: char, width: usize) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\{letter}{code:0width$x}");
}

/// What a literal with its quotes means. The lexer has checked the escapes; a damaged one stands for itself.
pub(crate) fn unquote(literal: &str) -> Vec<u8> {
    let Some(open) = literal.chars().next() else {
        return Vec::new();
    };
    let inner = literal.strip_prefix(open).unwrap_or(literal);
    let inner = inner.strip_suffix(open).unwrap_or(inner);
    if open == '`' {
        return inner.as_bytes().to_vec();
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = unescape(rest.get(at + 1..).unwrap_or(""), &mut out);
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Appends what the escape at the start of `rest` (after its backslash) means, and gives what follows it.
fn unescape<'a>(rest: &'a str, out: &mut Vec<u8>) -> &'a str {
    let Some(c) = rest.chars().next() else { return rest };
    let after = rest.get(c.len_utf8()..).unwrap_or("");
    let (digits, radix) = match c {
        '0'..='7' => (rest.get(..3), 8),
        'x' => (after.get(..2), 16),
        'u' => (after.get(..4), 16),
        'U' => (after.get(..8), 16),
        _ => {
            let byte = match c {
                'a' => 7,
                'b' => 8,
                'f' => 12,
                'n' => b'\n',
                'r' => b'\r',
                't' => b'\t',
                'v' => 11,
                _ => {
                    out.extend_from_slice(&rest.as_bytes()[..c.len_utf8()]);
                    return after;
                }
            };
            out.push(byte);
            return after;
        }
    };
    let code = digits
        .and_then(|d| u32::from_str_radix(d, radix).ok())
        .unwrap_or(0xfffd);
    match (c, u8::try_from(code)) {
        ('0'..='7' | 'x', Ok(byte)) => out.push(byte),
        _ => {
            let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    let used = digits.map_or(0, str::len);
    let from = if radix == 8 { rest } else { after };
    from.get(used..).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_mean_what_go_says() {
        let check = |literal: &str, want: &[u8]| assert_eq!(unquote(literal), want, "{literal}");
        check(r#""a\n\t\\\"""#, b"a\n\t\\\"");
        check(r"'it\'s'", b"it's");
        check(r"`raw \n`", b"raw \\n");
        check(r#""\x41\101\u00e4\U0001F600""#, "AAä😀".as_bytes());
        check(r#""\xff\377""#, &[0xff, 0xff]);
        check(r#""\a\b\f\v\r""#, &[7, 8, 12, 11, 13]);
        check(r#""""#, b"");
    }

    #[test]
    fn quoting_escapes_what_cannot_be_shown() {
        let check = |bytes: &[u8], want: &str| assert_eq!(quote_bytes(bytes), want);
        check(b"a\"b\\c\n", r#""a\"b\\c\n""#);
        check(b"it's", r#""it's""#);
        check(&[0x61, 0xc5, 0x7a], r#""a\xc5z""#);
        check("ä\u{200b}\u{1}\u{e0001}".as_bytes(), r#""ä\u200b\x01\U000e0001""#);
        assert_eq!(quote_char('\''), r"'\''");
        assert_eq!(quote_char('"'), "'\"'");
    }
}
