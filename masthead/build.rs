//! Puts the built page where the binary embeds it from: `ui/dist` when it is there, else one page that says it was left out, so that the binary
//! builds on a machine without Node.

use std::path::Path;
use std::{env, fs, io};

const LEFT_OUT: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Masthead</title></head><body>\
<h1>Masthead runs; its web page was left out of this build</h1>\
<p>The page is built with Node 20 (<code>cargo xtask up</code> does it when Node is there). \
The API is complete: try <a href=\"/api/v1/query?query=up\">/api/v1/query?query=up</a>, <a href=\"/metrics\">/metrics</a>, \
<a href=\"/metrics/node\">/metrics/node</a>, or <code>masthead query up</code>.</p></body></html>\n";

fn main() -> io::Result<()> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let built = Path::new(&root).join("../ui/dist");
    let page = Path::new(&out).join("page");
    if page.exists() {
        fs::remove_dir_all(&page)?;
    }
    fs::create_dir_all(&page)?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../ui/dist");
    if built.join("index.html").is_file() {
        copy(&built, &page)
    } else {
        fs::write(page.join("index.html"), LEFT_OUT)
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
