//! docs/add-a-provider.md shows this crate and nothing else.
#![allow(clippy::unwrap_used, reason = "a test stops where its ground gives way")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/add-a-provider.md")).unwrap()
}

#[test]
fn what_the_page_shows_is_the_code() {
    let page = page();
    let mut shown = 0;
    for piece in page.split("<!-- ").skip(1) {
        let (file, rest) = piece.split_once(" -->\n```").unwrap();
        let (_, rest) = rest.split_once('\n').unwrap();
        let (block, _) = rest.split_once("\n```").unwrap();
        let code = std::fs::read_to_string(root().join(file)).unwrap();
        assert!(code.contains(block), "this is not in {file}:\n{block}");
        shown += 1;
    }
    assert!(shown >= 15, "the page shows only {shown} pieces");
    // Rust that is shown without its file would go stale unseen.
    assert_eq!(page.matches("```rust").count(), page.matches(".rs -->\n```rust").count());
}

#[test]
fn the_configuration_on_the_page_is_the_one_of_the_example() {
    let page = page();
    let example = std::fs::read_to_string(root().join("config/example.toml")).unwrap();
    for part in [
        "name = \"disk-usage\"",
        "command = [\"/usr/libexec/cimwright/disk-usage\"]",
        "namespaces = [\"root/diskuse\"]",
    ] {
        assert!(page.contains(part) && example.contains(part), "{part}");
    }
}
